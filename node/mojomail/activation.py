"""A program that systemd begins by its socket, and that ends by itself when nobody has called for a while."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

LOG = logging.getLogger(__name__)
FIRST_DESCRIPTOR = 3
"""Where systemd puts sockets (sd_listen_fds(3))."""
IDLE = 300.0
"""Seconds without a connection after which the program ends; the next one begins it again."""


class Activated:
    """Serves a listening socket, each connection in a thread; who calls has few at a time (master.cf, maxproc)."""

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None], *, idle: float = IDLE) -> None:
        """`serve` is given each connection, and is done with it when it returns."""
        self._listener, self._serve, self._idle = listener, serve, idle
        self._sessions: set[threading.Thread] = set()

    def run(self) -> None:
        """Serve until there was nothing to do for `idle` seconds. Raises OSError when the socket is closed.

        Who calls while this ends waits in the socket, which stays systemd's, and begins the program again.
        """
        self._listener.settimeout(self._idle)
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                self._sessions = {thread for thread in self._sessions if thread.is_alive()}
                if not self._sessions:
                    return
                continue
            thread = threading.Thread(target=self._session, args=(connection,), daemon=True, name="session")
            self._sessions.add(thread)
            thread.start()

    def _session(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except Exception as error:
                # Its text, and a traceback, may hold a secret or a piece of somebody's mail.
                LOG.error("a session ended by a bug of ours: %s", type(error).__name__)


def listening_socket() -> socket.socket | None:
    """The socket that systemd gave to this process, if it did."""
    with suppress(KeyError, ValueError):
        if int(os.environ["LISTEN_PID"]) == os.getpid() and int(os.environ["LISTEN_FDS"]) == 1:
            return socket.socket(fileno=FIRST_DESCRIPTOR)
    return None

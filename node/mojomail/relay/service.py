"""The program mojomail-relay: begun by systemd when Postfix has a mail for it, ended by itself when it has none."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import threading
from contextlib import suppress
from pathlib import Path

from .session import Session, Way
from .tokens import Tokens

LOG = logging.getLogger(__name__)
VAULT = Path("/run/mojomail/tokens")
FIRST_DESCRIPTOR = 3
"""Where systemd puts sockets (sd_listen_fds(3))."""
IDLE = 300.0
"""Seconds without a session after which the program ends; the next connection begins it again."""
IDLE_SESSION = 400.0
"""Seconds that Postfix may say nothing; between mails it closes after a few, and inside of one it does not pause."""


class Relay:
    """Serves a listening socket, each session in a thread; Postfix has two at most (master.cf, maxproc)."""

    def __init__(self, listener: socket.socket, way: Way, *, idle: float = IDLE) -> None:
        self._listener, self._way, self._idle = listener, way, idle
        self._sessions: set[threading.Thread] = set()

    def run(self) -> None:
        """Serve until there was nothing to do for `idle` seconds. Raises OSError when the socket is closed."""
        self._listener.settimeout(self._idle)
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                self._sessions = {thread for thread in self._sessions if thread.is_alive()}
                if not self._sessions:
                    return
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True, name="session")
            self._sessions.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(IDLE_SESSION)
            try:
                Session(connection, self._way).serve()
            except Exception as error:
                # Its text, and a traceback, may hold a token.
                LOG.error("a session ended by a bug of ours: %s", type(error).__name__)


def listening_socket() -> socket.socket | None:
    """The socket that systemd gave to this process, if it did."""
    with suppress(KeyError, ValueError):
        if int(os.environ["LISTEN_PID"]) == os.getpid() and int(os.environ["LISTEN_FDS"]) == 1:
            return socket.socket(fileno=FIRST_DESCRIPTOR)
    return None


def main() -> int:
    """The program mojomail-relay."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    listener = listening_socket()
    if listener is None:
        LOG.error("mojomail-relay is begun by mojomail-relay.socket: systemctl start mojomail-relay.socket")
        return 2
    Relay(listener, Way(Tokens(VAULT), ssl.create_default_context())).run()
    return 0

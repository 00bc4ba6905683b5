"""The program mojomail-relay: begun by systemd when Postfix has a mail for it, ended by itself when it has none."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
from pathlib import Path

from ..activation import IDLE, Activated, listening_socket
from .session import Session, Way
from .tokens import Tokens

LOG = logging.getLogger(__name__)
VAULT = Path("/run/mojomail/tokens")
IDLE_SESSION = 400.0
"""Seconds that Postfix may say nothing; between mails it closes after a few, and inside of one it does not pause."""


class Relay:
    """Serves a listening socket; Postfix has two sessions at most (master.cf, maxproc)."""

    def __init__(self, listener: socket.socket, way: Way, *, idle: float = IDLE) -> None:
        self._way, self._program = way, Activated(listener, self._serve, idle=idle)

    def run(self) -> None:
        """Serve until there was nothing to do for `idle` seconds. Raises OSError when the socket is closed."""
        self._program.run()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(IDLE_SESSION)
        Session(connection, self._way).serve()


def main() -> int:
    """The program mojomail-relay."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    listener = listening_socket()
    if listener is None:
        LOG.error("mojomail-relay is begun by mojomail-relay.socket: systemctl start mojomail-relay.socket")
        return 2
    Relay(listener, Way(Tokens(VAULT), ssl.create_default_context())).run()
    return 0

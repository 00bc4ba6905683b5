"""The program mojomail-sender: begun by systemd when somebody hands in mail, ended by itself when nobody does."""

from __future__ import annotations

import logging
import socket
import sys
from pathlib import Path

from ..activation import Activated, listening_socket
from .milter import Session
from .rule import Rule

LOG = logging.getLogger(__name__)
DATABASE = Path("/var/lib/mojomail/mojomail.db")


def main() -> int:
    """The program mojomail-sender."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    listener = listening_socket()
    if listener is None:
        LOG.error("mojomail-sender is begun by mojomail-sender.socket: systemctl start mojomail-sender.socket")
        return 2
    rule = Rule(DATABASE)

    def serve(connection: socket.socket) -> None:
        Session(connection, rule.refusal).serve()

    Activated(listener, serve).run()
    return 0

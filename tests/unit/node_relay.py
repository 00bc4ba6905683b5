"""The relay at work in a thread, for tests that play Postfix."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mojomail.relay.service import Relay
from mojomail.relay.session import Way


@contextmanager
def relaying(way: Way, directory: Path) -> Iterator[Path]:
    """A relay for the block; yields its socket, which lies in `directory`."""
    path = directory / "relay"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with suppress(OSError):
            Relay(listener, way, idle=60).run()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield path
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as caller:  # what sleeps on it wakes up
            caller.connect(str(path))
        listener.close()

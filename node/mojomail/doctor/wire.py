"""Connections for the doctor: TLS verified, each wait limited and the whole visit too."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..providers import Server
from .findings import Hangs


@dataclass(frozen=True)
class Patience:
    """Seconds: to connect (each of the host's addresses), for each answer, and for a whole visit to one server.

    2G has round trips of 0.7 s, stalls of half a minute, and takes 5 to 10 s for a TLS handshake.
    """

    connect: float = 45.0
    answer: float = 60.0
    visit: float = 240.0


class Wire:
    """One connection that is cut when the visit takes too long, whatever the server drips meanwhile."""

    def __init__(self, plain: socket.socket, patience: Patience) -> None:
        self.socket = plain
        self.expired = False
        self._timer = threading.Timer(patience.visit, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Wire:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with suppress(OSError):
            self.socket.close()

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS from here on. Raises ssl.SSLError and what sockets raise."""
        self.socket = context.wrap_socket(self.socket, server_hostname=host)

    def _cut(self) -> None:
        self.expired = True
        with suppress(OSError):
            # The base class's: SSLSocket.shutdown would forget TLS while another thread reads.
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


@contextmanager
def visit(server: Server, context: ssl.SSLContext, patience: Patience) -> Iterator[Wire]:
    """Connect, and begin TLS where it comes first. Raises what sockets and TLS raise, Hangs when time is up."""
    with Wire(_connect(server, patience), patience) as wire:
        try:
            if server.tls == "tls":
                wire.start_tls(context, server.host)
            yield wire
        except TimeoutError:
            raise Hangs from None
        except Exception:
            if wire.expired:
                raise Hangs from None
            raise


def _connect(server: Server, patience: Patience) -> socket.socket:
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(patience.connect)
            plain.connect(address)
            plain.settimeout(patience.answer)
        except OSError as error:
            plain.close()
            last = error
        else:
            return plain
    raise last

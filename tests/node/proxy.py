"""A provider's front door that misbehaves to order: TLS outside, Dovecot's plain IMAP inside, faults in between."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from dataclasses import dataclass

from tests.lab.authority import Certificate

RECORD = 16384
"""The most that one TLS record holds; large providers fill it, Dovecot does not."""


@dataclass
class Faults:
    """What is wrong at the moment; changed by tests between runs."""

    fill_records: bool = False
    """Hold back what goes down until a record is full or nothing has come for a while."""
    compression: bool = True
    """Offer COMPRESS=DEFLATE, if Dovecot does."""
    uidplus: bool = True
    """Offer to delete single mails (RFC 4315); to be taken away together with compression."""
    cut_after: int = 0
    """Cut each connection when so many bytes went down it; 0 never."""
    lose_append: bool = False
    """Cut when the answer to an APPEND is to go down."""
    silent: bool = False
    """Accept, and say nothing."""
    common_name: bool = False
    """Show a certificate that names the server in the way of old, too."""
    greeting: bytes = b""
    """Say this instead of being a mail server."""


class Proxy:
    """The door. `down` counts bytes before compression is undone, on all connections."""

    def __init__(self, inner: tuple[str, int], named: Certificate, unnamed: Certificate) -> None:
        self.faults = Faults()
        self.down = 0
        self.up = bytearray()
        self.connections = 0
        self._inner = inner
        self._named, self._unnamed = (_context(each) for each in (named, unnamed))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self.faults.silent:
                while client.recv(4096):
                    pass
                return
            context = self._named if self.faults.common_name else self._unnamed
            with context.wrap_socket(client, server_side=True) as outer:
                if self.faults.greeting:
                    outer.sendall(self.faults.greeting)
                    while outer.recv(4096):
                        pass
                    return
                with socket.create_connection(self._inner) as inner:
                    self._carry(outer, inner)

    def _carry(self, outer: ssl.SSLSocket, inner: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(outer, selectors.EVENT_READ)
        selector.register(inner, selectors.EVENT_READ)
        held, down, appending = b"", 0, False
        while True:
            ready = selector.select(0.05 if held else None)
            if not ready:
                outer.sendall(held)
                held = b""
            for key, _ in ready:
                if key.fileobj is outer:
                    data = outer.recv(65536)
                    while outer.pending():
                        data += outer.recv(65536)
                    if not data:
                        return
                    self.up += data
                    appending = appending or b" APPEND " in data
                    inner.sendall(data)
                    continue
                data = inner.recv(65536)
                if not data:
                    outer.sendall(held)
                    return
                if not self.faults.compression:
                    data = data.replace(b"COMPRESS=DEFLATE", b"XOMPRESS=DEFLATE")
                if not self.faults.uidplus:
                    data = data.replace(b"UIDPLUS", b"XIDPLUS")
                if self.faults.lose_append and appending and b"APPENDUID" in data:
                    return
                if self.faults.cut_after and down + len(data) > self.faults.cut_after:
                    outer.sendall(held + data[: self.faults.cut_after - down])
                    self.down += self.faults.cut_after - down
                    return
                down += len(data)
                self.down += len(data)
                held += data
                while len(held) >= RECORD or (held and not self.faults.fill_records):
                    outer.sendall(held[:RECORD])
                    held = held[RECORD:]


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context

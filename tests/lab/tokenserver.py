"""A provider's token server: HTTPS behind the front, as the others of its daemons are (see front.py)."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.lab.authority import Certificate
from tests.lab.tokens import TokenBook, TokenError

PORT, INTROSPECTION = 443, 8443
PATIENCE = 120.0
"""Seconds that a client may take for the next bytes, over a slow link."""
FORM_LIMIT = 65536

Pages = Mapping[str, Callable[[Mapping[str, str]], dict[str, object]]]
"""What answers a posted form, by path."""


class TokenServer:
    """Serves a book of tokens at a loopback address, from `start` to `stop`.

    Programs ask at PORT, by way of the front; the provider's own Dovecot asks at INTROSPECTION, without TLS.
    """

    def __init__(self, book: TokenBook, address: str, certificate: Certificate) -> None:
        self._book, self._address = book, address
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._servers: list[_Server] = []
        self.show(certificate)

    def show(self, certificate: Certificate) -> None:
        """Present this certificate to those who connect from now on."""
        self._context.load_cert_chain(certificate.certificate, certificate.key)

    def start(self) -> None:
        """Listen, and answer in threads of its own."""
        book, site = self._book, self._book.site
        public: Pages = {site.token_path: book.token, site.device_path: book.device_code}
        self._servers = [
            _Server((self._address, PORT), public, self._context),
            _Server((self._address, INTROSPECTION), {"/introspect": book.introspect}, None),
        ]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True, name=f"tokens {self._address}").start()

    def stop(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = min(int(self.headers.get("Content-Length", 0)), FORM_LIMIT)
        form = dict(urllib.parse.parse_qsl(self.rfile.read(size).decode("utf-8", "replace")))
        page = self.server.pages.get(urllib.parse.urlsplit(self.path).path)
        try:
            if page is None:
                raise TokenError("not_found", 404)
            self._answer(200, page(form))
        except TokenError as error:
            self._answer(error.status, {"error": error.code, "error_description": "AADSTS70000: no."})

    def _answer(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Tokens go to no log."""


class _Server(socketserver.ThreadingTCPServer):
    """`pages` answer forms that are posted; with a `context` it speaks TLS, behind the front."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: Pages, context: ssl.SSLContext | None) -> None:
        super().__init__(address, _Handler)
        self.pages, self._context = pages, context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError):  # the client has gone
            request.settimeout(PATIENCE)
            if self._context is None:
                _Handler(request, client_address, self)
                return
            _skip_line(request)
            with self._context.wrap_socket(request, server_side=True) as wrapped:
                _Handler(wrapped, client_address, self)


def _skip_line(connection: socket.socket) -> None:
    """Read the line by which the front says who the client is."""
    while (sign := connection.recv(1)) != b"\n":
        if not sign:
            raise ConnectionError

"""A place in the world to look at the node from: the village with its phones, or the internet.

The sockets are made inside the place's network namespace and used here, so that mail programs are those of the
standard library, in this process, and failures are ordinary exceptions.
"""

from __future__ import annotations

import contextlib
import imaplib
import ipaddress
import poplib
import secrets
import smtplib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.lab import browser, dns
from tests.lab.forward import Forward
from tests.lab.inside import NODE_ADDRESS

Socket = socket.socket
LIMIT = 30.0
"""Seconds that a client waits for the next bytes, unless told otherwise."""


def trust(ca: Path | None) -> ssl.SSLContext:
    """A client's TLS: it trusts the authority in the file `ca` and nobody else; None: whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca)
    return context


class Place:
    """A network namespace of the world, as a place to be a client in. `dns_server` is whom it asks for names."""

    def __init__(self, name: str, make_socket: Callable[[str, int, int, int], Socket], holder: int | None) -> None:
        self.name, self._make_socket, self.holder = name, make_socket, holder
        self.dns_server = NODE_ADDRESS

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> Socket:
        """A new socket that lives in this place, wherever it is used from. Raw ones can be had too."""
        return self._make_socket(self.name, int(family), int(kind), protocol)

    def ping(self, address: str = NODE_ADDRESS, count: int = 5, limit: float = 5.0) -> list[float]:
        """ICMP echo (RFC 792), one after the other; the round trips in seconds, of those back within `limit` each."""
        trips = []
        with self.socket(kind=socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as pinger:
            identifier = secrets.randbits(15)
            for number in range(count):
                start = time.monotonic()
                checksum = ~(0x0800 + identifier + number) & 0xFFFF
                pinger.sendto(struct.pack("!BBHHH", 8, 0, checksum, identifier, number), (address, 0))
                expected = struct.pack("!HH", identifier, number)
                with contextlib.suppress(TimeoutError):
                    while True:
                        pinger.settimeout(max(start + limit - time.monotonic(), 0.001))
                        reply = pinger.recv(2048)
                        head = (reply[0] & 0x0F) * 4
                        if reply[head] == 0 and reply[head + 4 : head + 8] == expected:
                            break
                    trips.append(time.monotonic() - start)
        return trips

    def connect(self, host: str, port: int, limit: float | None = LIMIT) -> Socket:
        """A TCP connection to `host`, an address or a name that this place's DNS server knows."""
        address = self.address_of(host)
        made = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            made.settimeout(limit)
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made

    def resolve(self, name: str, *, server: str | None = None, kind: int = dns.A, limit: float = 5.0) -> list[str]:
        """The addresses of a name, by asking the node (or `server`) once; raises as dns.ask does."""
        with self.socket(kind=socket.SOCK_DGRAM) as asker:
            return dns.ask(asker, server or self.dns_server, name, kind=kind, limit=limit)

    def address_of(self, host: str) -> str:
        """`host` itself when it is an address, else the first that resolve() gives."""
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(host))
        return self.resolve(host)[0]

    def forward(self, port: int, host: str = NODE_ADDRESS, *, here: int = 0) -> Forward:
        """A context manager: a port of this machine (`here`, or any that is free) that leads to `host`:`port`."""
        return Forward(lambda: self.connect(host, port), here)

    def imap(
        self,
        host: str = NODE_ADDRESS,
        port: int = 993,
        *,
        ca: Path | None = None,
        tls: bool = True,
        limit: float = LIMIT,
    ) -> imaplib.IMAP4:
        """A mail program that reads by IMAP, over TLS from the start unless `tls` is False. About `ca` see trust()."""
        return (_ImapTls if tls else _Imap)(self, host, port, ca, limit)

    def pop3(
        self,
        host: str = NODE_ADDRESS,
        port: int = 995,
        *,
        ca: Path | None = None,
        tls: bool = True,
        limit: float = LIMIT,
    ) -> poplib.POP3:
        """A mail program that reads by POP3, over TLS from the start unless `tls` is False."""
        return (_PopTls if tls else _Pop)(self, host, port, ca, limit)

    def smtp(
        self,
        host: str = NODE_ADDRESS,
        port: int = 587,
        *,
        ca: Path | None = None,
        tls: bool | None = None,
        limit: float = LIMIT,
    ) -> smtplib.SMTP:
        """A mail program that sends: TLS from the start on port 465, STARTTLS on others; `tls` False: in the open."""
        if tls is not False and port == 465:
            return _SmtpTls(self, host, port, ca, limit)
        client = _Smtp(self, host, port, ca, limit)
        if tls is not False:
            try:
                client.starttls(context=trust(ca))
                client.ehlo()
            except BaseException:
                client.close()
                raise
        return client

    @contextlib.contextmanager
    def browser(self, **options: Any) -> Iterator[Any]:
        """A page of headless Chromium on a phone in this place; for the options see browser.page."""
        if self.holder is None:
            raise ValueError(f"there is no browser in the {self.name}")
        with browser.page(self.holder, **options) as page:
            yield page


class _Imap(imaplib.IMAP4):
    def __init__(self, place: Place, host: str, port: int, ca: Path | None, limit: float) -> None:
        self._place, self._context = place, trust(ca)
        super().__init__(host, port, limit)

    def _create_socket(self, timeout: float | None) -> Socket:
        return self._place.connect(self.host, self.port, timeout)


class _ImapTls(_Imap):
    def _create_socket(self, timeout: float | None) -> Socket:
        return _wrapped(self._context, self._place.connect(self.host, self.port, timeout), self.host)


class _Pop(poplib.POP3):
    def __init__(self, place: Place, host: str, port: int, ca: Path | None, limit: float) -> None:
        self._place, self._context = place, trust(ca)
        super().__init__(host, port, limit)

    def _create_socket(self, timeout: float | None) -> Socket:
        return self._place.connect(self.host, self.port, timeout)


class _PopTls(_Pop):
    def _create_socket(self, timeout: float | None) -> Socket:
        return _wrapped(self._context, self._place.connect(self.host, self.port, timeout), self.host)


class _Smtp(smtplib.SMTP):
    def __init__(self, place: Place, host: str, port: int, ca: Path | None, limit: float) -> None:
        self._place, self._tls = place, trust(ca)
        super().__init__(host, port, "phone.village.test", limit)

    def _get_socket(self, host: str, port: int, timeout: float | None) -> Socket:
        return self._place.connect(host, port, timeout)


class _SmtpTls(_Smtp):
    def _get_socket(self, host: str, port: int, timeout: float | None) -> Socket:
        return _wrapped(self._tls, self._place.connect(host, port, timeout), host)


def _wrapped(context: ssl.SSLContext, bare: Socket, host: str) -> ssl.SSLSocket:
    """TLS over a connection; closes it when the two do not agree."""
    try:
        return context.wrap_socket(bare, server_hostname=host)
    except BaseException:
        bare.close()
        raise

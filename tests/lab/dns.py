"""A DNS client (RFC 1035) that asks one server for addresses, over a socket from wherever the question is to come."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct

A, AAAA = 1, 28
CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class NoSuchName(OSError):
    """The server answered, but not with an address; `code` is its RCODE by name, or NODATA."""

    def __init__(self, name: str, server: str, code: str) -> None:
        super().__init__(f"{server} says {code} about {name}")
        self.code = code


def question(name: str, kind: int, number: int) -> bytes:
    """A query for one record, with recursion desired."""
    labels = [label.encode("idna") for label in name.rstrip(".").split(".")]
    body = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + body + struct.pack("!HH", kind, 1)


def addresses(reply: bytes, kind: int) -> tuple[str, list[str]]:
    """The reply's code, NOERROR or another by name, and the addresses of that kind in it; raises ValueError."""
    try:
        _number, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", reply)
        at = 12
        for _ in range(questions):
            at = _after_name(reply, at) + 4
        found = []
        for _ in range(answers):
            at = _after_name(reply, at)
            what, _class, _ttl, length = struct.unpack_from("!HHIH", reply, at)
            if what == kind and kind in (A, AAAA):
                found.append(str(ipaddress.ip_address(reply[at + 10 : at + 10 + length])))
            at += 10 + length
    except (struct.error, IndexError) as error:
        raise ValueError(f"not a DNS message: {error}") from None
    code = flags & 0x0F
    return ("NOERROR" if code == 0 else CODES.get(code, f"RCODE {code}")), found


def _after_name(message: bytes, at: int) -> int:
    """Where the name that begins at `at` ends, without following what it refers to."""
    while True:
        length = message[at]
        if length & 0xC0 == 0xC0:
            return at + 2
        at += 1 + length
        if length == 0:
            return at


def ask(asker: socket.socket, server: str, name: str, *, kind: int = A, limit: float = 5.0) -> list[str]:
    """Ask once over a datagram socket; the addresses, in the server's order.

    Raises TimeoutError when there is no answer in `limit` seconds (per packet), NoSuchName when it holds no address.
    """
    number = secrets.randbits(16)
    asker.settimeout(limit)
    asker.connect((server, 53))
    asker.send(question(name, kind, number))
    while True:
        reply = asker.recv(4096)
        if reply[:2] == struct.pack("!H", number):
            break
    code, found = addresses(reply, kind)
    if not found:
        raise NoSuchName(name, server, "NODATA" if code == "NOERROR" else code)
    return found

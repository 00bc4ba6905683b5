"""MX names of a domain, asked of the node's name server: tells whose servers stand behind a domain of one's own.

The standard library cannot ask for MX, and this is all that is needed of a resolver (RFC 1035, 4).
"""

from __future__ import annotations

import secrets
import socket
import struct
from pathlib import Path

PORT, MX, IN = 53, 15, 1
PATIENCE = 10.0
"""Seconds for one answer; each server is asked twice."""
ANSWER_LIMIT = 4096
POINTERS = 32


class NoAnswer(Exception):
    """No name server answered, or not in a way that can be read."""


def servers(resolv_conf: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The addresses of the name servers that this machine asks."""
    try:
        lines = [line.split() for line in resolv_conf.read_text().splitlines()]
    except OSError:
        return []
    return [line[1] for line in lines if len(line) > 1 and line[0] == "nameserver"]


def mail_exchangers(domain: str, *, asked: list[str] | None = None, port: int = PORT) -> list[str]:
    """The MX names of a domain, best first; empty when it has none. Raises NoAnswer."""
    query_id = secrets.token_bytes(2)
    query = query_id + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + _name(domain) + struct.pack("!2H", MX, IN)
    for server in (asked if asked is not None else servers()) * 2:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as channel:
                channel.settimeout(PATIENCE)
                channel.connect((server, port))
                channel.send(query)
                answer = channel.recv(ANSWER_LIMIT)
            if answer[:2] == query_id:
                return read_answer(answer)
        except (OSError, struct.error, IndexError, UnicodeError):
            continue
    raise NoAnswer(domain)


def _name(domain: str) -> bytes:
    labels = [label.encode("ascii") for label in domain.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def read_answer(answer: bytes) -> list[str]:
    """The MX names of an answer, best first. Raises struct.error or IndexError for one that is cut."""
    _, _, questions, answers = struct.unpack_from("!4H", answer)
    at = 12
    for _ in range(questions):
        _, at = _read_name(answer, at)
        at += 4
    found = []
    for _ in range(answers):
        _, at = _read_name(answer, at)
        kind, _, _, length = struct.unpack_from("!2HIH", answer, at)
        at += 10
        if kind == MX:
            preference = struct.unpack_from("!H", answer, at)[0]
            found.append((preference, _read_name(answer, at + 2)[0]))
        at += length
    return [name for _, name in sorted(found) if name]


def _read_name(answer: bytes, at: int) -> tuple[str, int]:
    """A name at an offset, and where it ends; names may point to earlier ones."""
    labels: list[str] = []
    end: int | None = None
    for _ in range(POINTERS):
        length = answer[at]
        if length == 0:
            return ".".join(labels).lower(), end or at + 1
        if length >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", answer, at)[0] & 0x3FFF
        else:
            labels.append(answer[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
    raise IndexError("name does not end")

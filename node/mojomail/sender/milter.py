"""The session with Postfix: the milter protocol, version 6, of which only what a look at the header needs.

For each mail Postfix sends the login (a macro of MAIL), the header line by line, and the end of the message, which
alone is answered. Sources: Sendmail's include/libmilter/mfdef.h and mfapi.h, Postfix's milter8.c.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable, Sequence
from typing import BinaryIO

from .rule import CHECKED, MANY

LOG = logging.getLogger(__name__)
VERSION = 6
NO_CONNECT, NO_HELO, NO_RECIPIENT, NO_BODY, NO_END_OF_HEADER = 0x1, 0x2, 0x8, 0x10, 0x40
NO_REPLY_TO_HEADER, NO_UNKNOWN, NO_DATA, NO_REPLY_TO_MAIL = 0x80, 0x100, 0x200, 0x4000
WISHES = (
    NO_CONNECT
    | NO_HELO
    | NO_REPLY_TO_MAIL
    | NO_RECIPIENT
    | NO_UNKNOWN
    | NO_DATA
    | NO_REPLY_TO_HEADER
    | NO_END_OF_HEADER
    | NO_BODY
)
"""SMFIP_...: what Postfix is not to send, and for what it is not to wait."""
PACKET_LIMIT = 1 << 18
"""Bytes; the largest packet is a header of header_size_limit (postconf(5)), 102,400."""
NEGOTIATE, MACROS, MAIL, HEADER, END, ABORT, QUIT, NEXT = b"O", b"D", b"M", b"L", b"E", b"A", b"Q", b"K"
CONTINUE, REPLY = b"c", b"y"
LOGIN = b"{auth_authen}"

Refusal = Callable[[str, Sequence[tuple[str, str]]], str | None]
"""Given login and headers: an SMTP reply of one line that refuses the mail, or None."""


class Broken(Exception):
    """Postfix does not speak as it should; the mail is put off (milter_default_action)."""


class Session:
    """One connection from Postfix, for the mails of one SMTP session."""

    def __init__(self, connection: socket.socket, refusal: Refusal) -> None:
        self._connection, self._refusal = connection, refusal
        self._announced, self._login = "", ""
        self._headers: list[tuple[str, str]] = []

    def serve(self) -> None:
        """Answer until Postfix goes. It may be silent for as long as somebody writes or sends a mail."""
        try:
            with self._connection.makefile("rb") as source:
                while packet := read_packet(source):
                    command, data = packet
                    if command == QUIT:
                        return
                    self._take(command, data)
        except Broken as error:
            LOG.error("Postfix's milter protocol: %s", error)
        except OSError:
            return

    def _take(self, command: bytes, data: bytes) -> None:
        if command == NEGOTIATE:
            self._negotiate(data)
        elif command == MACROS:
            if data[:1] == MAIL:
                self._announced = macro(data[1:], LOGIN)
        elif command == MAIL:
            # A login counts for the mail that follows it, and for no other.
            self._login, self._announced = self._announced, ""
            self._headers.clear()
        elif command == HEADER:
            self._keep(data)
        elif command == END:
            refusal = self._refusal(self._login, self._headers)
            self._forget()
            self._send(CONTINUE if refusal is None else REPLY + refusal.encode("ascii") + b"\0")
        elif command in (ABORT, NEXT):
            self._forget()
        else:
            raise Broken(f"{command!r} was not asked for")

    def _negotiate(self, data: bytes) -> None:
        if len(data) < 12:
            raise Broken("it offers nothing")
        version, _, offered = struct.unpack("!III", data[:12])
        if version < VERSION or WISHES & ~offered:
            raise Broken(f"version {version} with {offered:#x} is too old")
        self._send(NEGOTIATE + struct.pack("!III", VERSION, 0, WISHES))

    def _keep(self, data: bytes) -> None:
        name, end, value = data.partition(b"\0")
        if not end or not value.endswith(b"\0"):
            raise Broken("a header without an end")
        known = name.decode("latin-1").strip().lower()
        # One more than there may be tells that there are too many.
        if known in CHECKED and len(self._headers) <= MANY:
            self._headers.append((known, value[:-1].decode("utf-8", "replace")))

    def _forget(self) -> None:
        self._announced, self._login = "", ""
        self._headers.clear()

    def _send(self, packet: bytes) -> None:
        self._connection.sendall(struct.pack("!I", len(packet)) + packet)


def read_packet(source: BinaryIO) -> tuple[bytes, bytes] | None:
    """The next command and its data; None when the connection was closed between packets. Raises Broken."""
    size = source.read(4)
    if not size:
        return None
    length = int.from_bytes(size, "big")
    if len(size) < 4 or not 0 < length <= PACKET_LIMIT:
        raise Broken("a packet of no good length")
    packet = source.read(length)
    if len(packet) < length:
        raise Broken("a packet was cut off")
    return packet[:1], packet[1:]


def macro(data: bytes, name: bytes) -> str:
    """The value of a macro among names and values, each with a zero byte behind it; empty without."""
    words = data.split(b"\0")
    found = dict(zip(words[::2], words[1::2], strict=False))
    return found.get(name, b"").decode("utf-8", "replace")

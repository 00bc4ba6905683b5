"""A mail filter as Postfix talks to one: the milter protocol, version 6, over a UNIX socket.

It sees each message a provider is given, with its login and envelope, and may refuse it at any stage or change it.
The protocol's source: Sendmail's libmilter/mfdef.h and Postfix's MILTER_README.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.processes import short

# What the filter may do, and which events it does not want (mfdef.h, SMFIF_ and SMFIP_).
CHANGE_HEADERS, CHANGE_FROM = 0x10, 0x40
NO_HELO, NO_UNKNOWN, NO_REPLY_TO_HEADER, NO_REPLY_TO_EOH, NO_REPLY_TO_BODY = 0x2, 0x100, 0x80, 0x40000, 0x80000
KEEP_SPACE = 0x100000


@dataclass
class Mail:
    """A message as it comes in. `port` is the name of the SMTP service it came by, `login` empty without one."""

    port: str = ""
    login: str = ""
    client: str = ""
    sender: str = ""
    declared: int = 0
    """Bytes that the client announced (RFC 1870), 0 without."""
    recipients: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Names and values; the values with the space after the colon, and with bare line feeds where they fold."""
    body: bytearray = field(default_factory=bytearray)

    def header(self, name: str) -> str:
        """The first header of that name, unfolded, or an empty string."""
        for found, value in self.headers:
            if found.lower() == name.lower():
                return " ".join(value.split())
        return ""

    def content(self) -> bytes:
        """The whole message with CRLF line ends."""
        lines = "".join(f"{name}:{value}\n" for name, value in self.headers)
        head = lines.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")
        return head + b"\r\n" + bytes(self.body)


class Habits:
    """What a provider does with mail. A method that returns a reply such as `550 5.1.1 No` refuses."""

    def sender(self, mail: Mail) -> str | None:
        """After MAIL FROM."""

    def recipient(self, mail: Mail, address: str) -> str | None:
        """After RCPT TO."""

    def data(self, mail: Mail) -> str | None:
        """After DATA."""

    def message(self, mail: Mail, change: Change) -> str | None:
        """After the message's end; when this accepts it, so does Postfix."""


class Change:
    """What is to be changed of a message."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def set_header(self, name: str, value: str) -> None:
        """Replace the first header of that name, with the space before the value."""
        self.packets.append(b"m" + struct.pack("!I", 1) + f"{name}\0{value}\0".encode("utf-8", "surrogateescape"))

    def set_sender(self, address: str) -> None:
        """Replace the envelope's sender."""
        self.packets.append(b"e" + f"<{address}>\0".encode())


class Milter:
    """Listens at a socket and asks `habits` about each message; ends with `close()`."""

    def __init__(self, path: Path, habits: Habits) -> None:
        self.habits = habits
        self._socket = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        with short(path) as name:
            self._socket.bind(name)
        path.chmod(0o666)
        self._socket.listen(64)
        threading.Thread(target=self._accept, name="milter", daemon=True).start()

    def close(self) -> None:
        """Take no more connections; Postfix then defers what it is given."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="milter", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as source, suppress(OSError):
            conversation = _Conversation(self.habits)
            while head := source.read(5):
                size, command = struct.unpack("!Ic", head)
                for packet in conversation.answer(command, source.read(size - 1)):
                    connection.sendall(struct.pack("!I", len(packet)) + packet)
                if conversation.over:
                    return


class _Conversation:
    """One SMTP session as the filter sees it."""

    def __init__(self, habits: Habits) -> None:
        self.habits = habits
        self.macros: dict[str, str] = {}
        self.mail = Mail()
        self.over = False

    def answer(self, command: bytes, data: bytes) -> list[bytes]:
        """The packets to send back for one packet."""
        if command == b"O":
            wishes = NO_HELO | NO_UNKNOWN | NO_REPLY_TO_HEADER | NO_REPLY_TO_EOH | NO_REPLY_TO_BODY
            return [b"O" + struct.pack("!III", 6, CHANGE_HEADERS | CHANGE_FROM, wishes | KEEP_SPACE)]
        if command == b"C":
            return [_reply(None)]
        if command == b"D":
            words = _words(data[1:])
            self.macros |= dict(zip((name.strip("{}") for name in words[::2]), words[1::2], strict=False))
        elif command == b"M":
            return [self._sender(_words(data))]
        elif command == b"R":
            address = _words(data)[0].strip("<>")
            refusal = self.habits.recipient(self.mail, address)
            if not refusal:
                self.mail.recipients.append(address)
            return [_reply(refusal)]
        elif command == b"T":
            return [_reply(self.habits.data(self.mail))]
        elif command == b"L":
            name, value = data[:-1].split(b"\0", 1)
            self.mail.headers.append((name.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")))
        elif command == b"B":
            self.mail.body += data
        elif command == b"E":
            self.mail.body += data
            change = Change()
            refusal = self.habits.message(self.mail, change)
            return [_reply(refusal)] if refusal else [*change.packets, _reply(None)]
        elif command in (b"Q", b"K"):
            self.over = command == b"Q"
            self.macros.clear()
        return []

    def _sender(self, words: list[str]) -> bytes:
        sizes = [word.partition("=")[2] for word in words[1:] if word.upper().startswith("SIZE=")]
        self.mail = Mail(
            port=self.macros.get("daemon_name", ""),
            login=self.macros.pop("auth_authen", "").lower(),
            client=self.macros.get("client_addr", ""),
            sender=words[0].strip("<>"),
            declared=int(sizes[0]) if sizes and sizes[0].isdigit() else 0,
        )
        return _reply(self.habits.sender(self.mail))


def _words(data: bytes) -> list[str]:
    return [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")[:-1]]


def _reply(refusal: str | None) -> bytes:
    return b"y" + refusal.encode() + b"\0" if refusal else b"c"

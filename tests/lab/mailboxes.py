"""The mailboxes of a provider, as the lab looks into them: by IMAP over a pipe, with no login and past all faults."""

from __future__ import annotations

import email
import email.policy
import imaplib
import io
import os
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.daemonroot import DaemonRoot
from tests.lab.processes import end

PATIENCE = 60.0
"""Seconds that a server may be silent, or take to read what it is sent, before its session counts as broken."""


class MailboxError(Exception):
    """A mailbox did not do what was asked; the message is the server's own."""


@dataclass(frozen=True)
class Message:
    """One message in a folder: its size in bytes as RFC822.SIZE counts it."""

    uid: int
    flags: tuple[str, ...]
    message_id: str
    subject: str
    size: int


class _Patient(io.RawIOBase):
    """What comes out of a pipe; raises TimeoutError when nothing does for PATIENCE seconds."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._ready = select.poll()
        self._ready.register(pipe, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready.poll(PATIENCE * 1000):
            raise TimeoutError
        return os.readv(self._pipe, [buffer])


class _Pipe(imaplib.IMAP4):
    """An IMAP session with a server process of our own, which greets with PREAUTH (RFC 9051, 7.1.4)."""

    def __init__(self, root: DaemonRoot, command: Sequence[str]) -> None:
        self._root, self._words = root, command
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(PATIENCE)
        with theirs:  # only for what it hears: Dovecot wants no socket to speak to, but one says when it is full
            self.process = self._root.start(*self._words, stdin=theirs, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._said = io.BufferedReader(_Patient(self.process.stdout.fileno()))

    def read(self, size: int) -> bytes:
        with self._broken_by_silence():
            return self._said.read(size)

    def readline(self) -> bytes:
        with self._broken_by_silence():
            return self._said.readline()

    def send(self, data: Any) -> None:
        with self._broken_by_silence():
            super().send(data)

    @contextmanager
    def _broken_by_silence(self) -> Iterator[None]:
        """A session whose other end is silent or gone is of no use any more, which imaplib says by `abort`."""
        try:
            yield
        except TimeoutError:
            raise self.abort(f"the mailbox's server was silent for {PATIENCE:g} s: {' '.join(self._words)}") from None
        except OSError as error:
            raise self.abort(f"the mailbox's server is gone: {error}: {' '.join(self._words)}") from None

    def append_all(self, folder: str, told: str, messages: Sequence[bytes]) -> Any:
        """APPEND with several messages (RFC 3502) that wait for no leave (RFC 7888); imaplib knows only one by one."""
        tag = self._new_tag()
        self.send(b"%s APPEND %s" % (tag, folder.encode()))
        for message in messages:
            self.send(f"{told} {{{len(message)}+}}\r\n".encode() + message)
        self.send(b"\r\n")
        return self._command_complete("APPEND", tag)

    def shutdown(self) -> None:
        self.sock.close()
        end(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()


def quoted(name: str) -> str:
    """A folder's name as IMAP has it; raises ValueError for one that needs more than ASCII."""
    if not name.isascii():
        raise ValueError(f"the lab takes folder names in ASCII only, not {name!r}")
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Mailbox:
    """All folders of one account. One call at a time; calls of other threads wait."""

    def __init__(self, root: DaemonRoot, configuration: str, address: str) -> None:
        self._root = root
        self._command = ("/usr/lib/dovecot/imap", "-c", configuration, "-u", address)
        self._pipe: _Pipe | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """End the session; the next call begins another, which sees settings that have changed."""
        with self._lock:
            pipe, self._pipe = self._pipe, None
            if pipe is not None:
                pipe.shutdown()

    def _do(self, name: str, *arguments: Any) -> list[Any]:
        with self._lock:
            if self._pipe is None:
                self._pipe = _Pipe(self._root, self._command)
            try:
                kind, data = getattr(self._pipe, name)(*arguments)
            except imaplib.IMAP4.abort:
                self.close()
                raise
            if kind != "OK":
                raise MailboxError(f"{name}: {data[0].decode(errors='replace') if data[0] else kind}")
            return list(data)

    def _select(self, folder: str) -> None:
        self._do("select", quoted(folder))

    def put(self, messages: Sequence[bytes], folder: str, flags: Sequence[str], date: float | None) -> list[int]:
        """Append messages, all or none (RFC 3502), and return their UIDs. `date`: INTERNALDATE, seconds since 1970."""
        told = f" ({' '.join(flags)})" if flags else ""
        when = f" {imaplib.Time2Internaldate(date)}" if date is not None else ""
        with self._lock:
            answer = self._do("append_all", quoted(folder), f"{told}{when}", messages)
        found = re.search(rb"APPENDUID \d+ (\d+)(?::(\d+))?", answer[0])
        assert found is not None
        return list(range(int(found[1]), int(found[2] or found[1]) + 1))

    def folders(self) -> dict[str, list[str]]:
        """Each folder's name with its attributes (RFC 9051, 7.3.1), those for its use among them."""
        found = {}
        for line in self._do("list"):
            match = re.match(rb'\(([^)]*)\) (?:"."|NIL) "?(.*?)"?$', line)
            assert match is not None, line
            found[match[2].decode()] = match[1].decode().split()
        return found

    def messages(self, folder: str) -> list[Message]:
        """What is in a folder, by UID."""
        with self._lock:
            self._select(folder)
            lines = self._do(
                "uid", "FETCH", "1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID SUBJECT)])"
            )
        return [_message(*line) for line in lines if isinstance(line, tuple)]

    def fetch(self, folder: str, uid: int) -> bytes:
        """A message's bytes. Raises MailboxError when there is none with that UID."""
        with self._lock:
            self._select(folder)
            for line in self._do("uid", "FETCH", str(uid), "(BODY.PEEK[])"):
                if isinstance(line, tuple):
                    return bytes(line[1])
        raise MailboxError(f"{folder} has no message {uid}")

    def flag(self, folder: str, uid: int, flags: Sequence[str], how: str) -> None:
        """Set, add or remove flags: `how` is FLAGS, +FLAGS or -FLAGS."""
        with self._lock:
            self._select(folder)
            self._do("uid", "STORE", str(uid), how, f"({' '.join(flags)})")

    def delete(self, folder: str, uid: int) -> None:
        """Expunge one message."""
        with self._lock:
            self.flag(folder, uid, ("\\Deleted",), "+FLAGS")
            self._do("uid", "EXPUNGE", str(uid))

    def uidvalidity(self, folder: str) -> int:
        """The folder's UIDVALIDITY."""
        answer = self._do("status", quoted(folder), "(UIDVALIDITY)")
        found = re.search(rb"UIDVALIDITY (\d+)", answer[0])
        assert found is not None
        return int(found[1])


def _message(head: bytes, fields: bytes) -> Message:

    uid, size = re.search(rb"UID (\d+)", head), re.search(rb"RFC822.SIZE (\d+)", head)
    flags = re.search(rb"FLAGS \(([^)]*)\)", head)
    assert uid is not None and size is not None and flags is not None, head
    parsed = email.message_from_bytes(fields, policy=email.policy.default)
    return Message(
        int(uid[1]),
        tuple(flags[1].decode().split()),
        str(parsed["Message-ID"] or "").strip(),
        str(parsed["Subject"] or ""),
        int(size[1]),
    )

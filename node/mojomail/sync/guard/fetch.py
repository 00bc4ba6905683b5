"""Questions to the provider about mails of one folder: lists, header keys, bodies, parts of bodies."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from offlineimap import imaputil
from offlineimap.error import OfflineImapError

from mojomail.sync.guard.identity import FIELDS, key_of
from mojomail.sync.guard.memory import Memory

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LIST_BATCH = 200
"""For how many mails sizes and headers are asked at a time."""

_NUMBER = {name: re.compile(rb"\b" + name.encode() + rb" (\d+)") for name in ("UID", "RFC822.SIZE")}


@dataclass(frozen=True)
class Summary:
    """What is known of a mail at the provider before it is here; size in bytes as the provider counts."""

    uid: int
    size: int
    key: str


class Mailbox:
    """One folder at the provider, through OfflineIMAP's connections."""

    def __init__(self, folder: Any) -> None:
        self._folder = folder
        self._server = folder.imapserver

    def summaries(self, uids: Iterable[int], keys: bool) -> dict[int, Summary]:
        """Sizes of mails by UID, and their keys when `keys` (some 100 bytes more for each)."""
        query = f"(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({FIELDS})])" if keys else "(UID RFC822.SIZE)"
        found: dict[int, Summary] = {}
        wanted = sorted(uids)
        for start in range(0, len(wanted), LIST_BATCH):
            some = imaputil.uid_sequence(wanted[start : start + LIST_BATCH])
            for line, literal in self._fetch(some, query):
                uid, size = _number("UID", line), _number("RFC822.SIZE", line)
                if uid:
                    found[uid] = Summary(uid, size or 0, key_of(literal or b"") if keys else "")
        return found

    def keys(self, uids: Iterable[int], memory: Memory) -> dict[int, str]:
        """Keys of mails by UID; each is asked for once, however many runs a mail has to wait for its own."""
        name, wanted = self._folder.getname(), set(uids)
        known = memory.keys(name)
        if unknown := wanted - set(known):
            asked = {uid: each.key for uid, each in self.summaries(unknown, keys=True).items()}
            memory.remember(name, asked)
            known |= asked
        return {uid: known[uid] for uid in wanted & set(known)}

    def bodies(self, uids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Whole mails, as the provider has them (CRLF), in no particular order."""
        for line, literal in self._fetch(",".join(str(uid) for uid in uids), "(UID BODY.PEEK[])"):
            uid = _number("UID", line)
            if uid and literal is not None:
                yield uid, literal

    def part(self, uid: int, offset: int, length: int) -> bytes | None:
        """A part of a mail, RFC 3501 section 6.4.5; shorter than asked for at its end, None when it is gone."""
        for line, literal in self._fetch(str(uid), f"(UID BODY.PEEK[]<{offset}.{length}>)"):
            if _number("UID", line) == uid and b"BODY[]" in line:
                return literal or b""
        return None

    def search_message_id(self, message_id: str) -> list[int]:
        """The UIDs of mails with this Message-ID, smallest first."""
        with self._connection(readonly=True) as connection:
            quoted = '"' + message_id.replace("\\", "\\\\").replace('"', '\\"') + '"'
            kind, answer = connection.uid("SEARCH", "HEADER", "Message-ID", quoted)
            if kind != "OK":
                raise OfflineImapError(f"SEARCH refused: {answer}", OfflineImapError.ERROR.FOLDER)
            return sorted(int(uid) for line in answer if line for uid in line.split())

    def append(self, mail: bytes, flags: str, arrived: float) -> int:
        """Copy a mail there, once: what is not acknowledged is not tried again here. Its UID, or 0 if not told."""
        with self._connection(readonly=False) as connection:
            kind, answer = connection.append(self._folder.getfullIMAPname(), flags, internal_date(arrived), mail)
            if kind != "OK":
                raise OfflineImapError(f"APPEND refused: {answer}", OfflineImapError.ERROR.FOLDER)
            told = connection._get_untagged_response("APPENDUID")  # RFC 4315: UIDVALIDITY and UID
            words = told[-1].split() if told and told[-1] else []
            return int(words[1]) if len(words) == 2 else 0

    def expunges_by_uid(self) -> bool:
        """Whether the provider can delete single mails (UIDPLUS, RFC 4315): the other way takes all that are marked."""
        connection = self._server.acquireconnection()
        try:
            return "UIDPLUS" in connection.capabilities
        finally:
            self._server.releaseconnection(connection)

    def mark_deleted(self, uids: list[int]) -> None:
        """Mark mails as deleted at the provider."""
        with self._connection(readonly=False) as connection:
            self._each(connection, uids, "STORE", "+FLAGS.SILENT", r"(\Deleted)")

    def expunge(self, uids: list[int]) -> None:
        """Delete these mails at the provider, and no other that happens to be marked."""
        with self._connection(readonly=False) as connection:
            self._each(connection, uids, "STORE", "+FLAGS.SILENT", r"(\Deleted)")
            self._each(connection, uids, "EXPUNGE")

    @staticmethod
    def _each(connection: Any, uids: list[int], command: str, *arguments: str) -> None:
        """A UID command for many mails."""
        for start in range(0, len(uids), 100):
            kind, answer = connection.uid(command, imaputil.uid_sequence(uids[start : start + 100]), *arguments)
            if kind != "OK":
                raise OfflineImapError(f"{command} refused: {answer}", OfflineImapError.ERROR.FOLDER)

    def _fetch(self, uids: str, query: str) -> Iterator[tuple[bytes, bytes | None]]:
        """The answers to a UID FETCH: the line around the literal, and the literal."""
        with self._connection(readonly=True) as connection:
            kind, answer = connection.uid("FETCH", uids, query)
            if kind != "OK":
                raise OfflineImapError(f"FETCH refused: {answer}", OfflineImapError.ERROR.FOLDER)
            parts = list(answer)
        for index, part in enumerate(parts):
            if isinstance(part, tuple):
                # What the server puts behind the literal comes as a piece of its own.
                rest = parts[index + 1] if index + 1 < len(parts) else b""
                yield part[0] + b" " + (rest if isinstance(rest, bytes) else b""), bytes(part[1])
            elif isinstance(part, bytes) and b"(" in part:
                yield part, None

    def _connection(self, readonly: bool) -> _Selected:
        return _Selected(self._server, self._folder.getfullIMAPname(), readonly)


class _Selected:
    """A connection with the folder selected; dropped when anything goes wrong while it is used."""

    def __init__(self, server: Any, name: str, readonly: bool) -> None:
        self._server, self._name, self._readonly = server, name, readonly

    def __enter__(self) -> Any:
        self._connection = self._server.acquireconnection()
        try:
            self._connection.select(self._name, self._readonly)
        except BaseException:
            self._server.releaseconnection(self._connection, True)
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.releaseconnection(self._connection, kind is not None)


def internal_date(when: float) -> str:
    """A time as IMAP's date-time, RFC 3501 section 9; in UTC."""
    day = time.gmtime(when)
    return f'"{day.tm_mday:2}-{MONTHS[day.tm_mon - 1]}-{time.strftime("%Y %H:%M:%S", day)} +0000"'


def _number(name: str, line: bytes) -> int | None:
    found = _NUMBER[name].search(line)
    return int(found[1]) if found else None

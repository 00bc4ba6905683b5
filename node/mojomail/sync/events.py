"""What a run of a sync engine says while it runs: one JSON object to a line, on a pipe to the scheduler.

The engine's side writes with `Speaker`, the scheduler's side reads with `parse`. No event carries a secret or the
text of a mail. What a run says is not believed further than it must be: it runs with the person's own rights.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LINE_LIMIT = 4096
"""A longer line is no event of ours, bytes."""
TEXT_LIMIT = 500
"""How much is kept of what a server said, characters."""


class Kind(StrEnum):
    """Kinds of events; each names the fields it carries."""

    CONNECTING = "connecting"
    """host, port"""
    CONNECTED = "connected"
    """compressed"""
    LOGIN = "login"
    """no fields: the provider let us in"""
    REFUSED = "refused"
    """text, code: the provider did not let us in"""
    NO_SECRET = "no-secret"
    """text: the vault handed out nothing"""
    UNTRUSTED = "untrusted"
    """text: the certificate is not the provider's"""
    FOLDER = "folder"
    """folder, known, new, size: what there is to do; size in bytes as far as known"""
    GOT = "got"
    """folder, uid, size: a mail was stored here"""
    PART = "part"
    """folder, uid, have, size: so much of a large mail is here"""
    UPLOADED = "uploaded"
    """folder, uid, size"""
    ADOPTED = "adopted"
    """folder, count: mails found on both sides and recognised as the same"""
    GONE = "gone"
    """folder, count: mails deleted here because they are gone at the provider"""
    DELETED = "deleted"
    """folder, count: mails deleted at the provider because their owner deleted them here"""
    HELD = "held"
    """folder, count, known: so much is gone at the provider that it is not believed yet"""
    LOST = "lost"
    """folder: our copy of the folder is gone; it is downloaded again"""
    VALIDITY = "validity"
    """folder, saved, found: the provider numbers the mails of this folder anew"""
    RECOVERED = "recovered"
    """folder, adopted, kept: matched after that; kept are mails that are here alone"""
    TROUBLE = "trouble"
    """text, severity, failure: something that OfflineIMAP reported"""
    TRAFFIC = "traffic"
    """down, up: bytes on the connection, after TLS and before decompression"""
    DONE = "done"
    """more: the run came to its end; `more` tells that its budget was too small for all"""


@dataclass(frozen=True)
class Event:
    """One line."""

    kind: Kind
    fields: dict[str, Any]

    def number(self, name: str) -> int:
        """A field that must be a number; 0 when it is not."""
        value = self.fields.get(name)
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        """A field that must be text, shortened and on one line; empty when it is not."""
        value = self.fields.get(name)
        return " ".join(value.split())[:TEXT_LIMIT] if isinstance(value, str) else ""


def parse(line: bytes) -> Event | None:
    """The event in a line, or None when there is none in it."""
    if len(line) > LINE_LIMIT:
        return None
    try:
        found = json.loads(line)
        return Event(Kind(found.pop("event")), found)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


class Speaker:
    """Writes events to a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, kind: Kind, **fields: Any) -> None:
        """Write one event. When nobody listens any more, the run goes on all the same."""
        for name, value in fields.items():
            if isinstance(value, str):
                fields[name] = value[:TEXT_LIMIT]
        line = json.dumps({"event": kind.value} | fields, default=str).encode("ascii") + b"\n"
        with suppress(OSError):
            os.write(self._descriptor, line)

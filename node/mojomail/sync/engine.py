"""Sync engines: what the scheduler asks of one, and what one answers.

An engine moves one account's mail between its provider and the person's Maildir, in a process of its own that runs
with the person's rights and may be killed at any time. `Run` is all an engine is told; `Outcome` all that comes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mojomail.sync.events import Event, Kind


@dataclass(frozen=True)
class Run:
    """One account's turn."""

    account: int
    uid: int
    """The person's, also the group's number."""
    home: Path
    host: str
    port: int
    tls: str
    """`tls` from the first byte, or `starttls`."""
    user: str
    method: str
    """`password`, or `xoauth2`."""
    folder: str
    """Where the account's mail lies in the mailbox; empty for the root."""
    folders: tuple[tuple[str, str], ...]
    """The provider's folders in the order of their turns, each with our name for it inside of `folder`."""
    uploads: tuple[str, ...] = ()
    """The provider's folders that get what is in ours alone."""
    realdelete: bool = False
    budget: int = 0
    """Bytes to download at most; 0 for no limit."""
    seconds: int = 45 * 60
    """How long the run may take. Below 50 minutes: an access token is not renewed within a run."""


class Result(StrEnum):
    """How a run ended, by what is to be done about it."""

    OK = "ok"
    LINK = "link"
    """The link or the provider's server went away: again soon."""
    PASSWORD = "password"
    """The provider does not know this secret: its owner must give another."""
    REFUSED = "refused"
    """The provider did not let us in and does not say why; a second time it is taken for the password."""
    LIMIT = "limit"
    """Too many log-ins or bytes for the provider: much later."""
    VALIDITY = "validity"
    """A folder is left alone until its new numbers have proved to last: again after that time."""
    TRUST = "trust"
    """The certificate is not the provider's: the clock is wrong, or somebody is in between."""
    RUBBISH = "rubbish"
    """The provider's server speaks no IMAP, or stopped speaking."""
    SECRET = "secret"
    """The vault has nothing to log in with."""
    DISK = "disk"
    """The card is full, or does not take writes."""
    BUG = "bug"
    """None of these: to be reported."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    result: Result
    more: bool = False
    """Whether there is more to download than the budget was for."""
    down: int = 0
    up: int = 0
    """Bytes on the wire."""
    received: int = 0
    """Mails that were stored here."""
    contact: bool = False
    """Whether the provider let us in, so that this was a contact."""
    text: str = ""
    """What the provider or the system said, for the owner or the administrator; one line."""
    notices: tuple[Event, ...] = field(default=(), compare=False)
    """Events that somebody should hear of: held deletions, numbers that changed."""


class Engine(Protocol):
    """One sync program."""

    name: str

    def prepare(self, run: Run, directory: Path) -> None:
        """Write what the program needs into the run's own directory, without any secret."""

    def command(self, directory: Path) -> tuple[str, ...]:
        """The program and its arguments; its standard output takes events."""


LIMIT_CODES = {"LIMIT", "OVERQUOTA", "THROTTLED", "INUSE"}
TRANSIENT_CODES = {"UNAVAILABLE", "SERVERBUG", "CONTACTADMIN", "CORRUPTION"}
PASSWORD_CODES = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED"}
LIMIT_WORDS = re.compile(r"\b(too many|rate|bandwidth|try again later|exceed(s|ed)?|throttl\w*|(over)?quota)\b")
PASSWORD_WORDS = re.compile(
    r"\b(invalid credentials|app(lication)?[- ]?(specific )?passwords?|web ?login required)\b",
)
TRANSIENT_WORDS = re.compile(r"\btemporar(y|ily)\b")
NOTICES = {Kind.VALIDITY, Kind.RECOVERED, Kind.HELD, Kind.LOST}


def refusal(event: Event) -> Result:
    """What a refused log-in means, by its response code (RFC 5530), else by its words."""
    code, text = event.text("code"), event.text("text").lower()
    if code in PASSWORD_CODES or PASSWORD_WORDS.search(text):
        return Result.PASSWORD
    if code in LIMIT_CODES or LIMIT_WORDS.search(text):
        return Result.LIMIT
    return Result.RUBBISH if code in TRANSIENT_CODES or TRANSIENT_WORDS.search(text) else Result.REFUSED


FAILURES = {
    "link": Result.LINK,
    "trust": Result.TRUST,
    "rubbish": Result.RUBBISH,
    "disk": Result.DISK,
    "provider": Result.RUBBISH,
}


def outcome_of(events: Iterable[Event], ended: str) -> Outcome:
    """What came of a run that said `events`; `ended` is systemd's word for how its unit ended (`success`, `timeout`,
    `exit-code`, `signal`, `oom-kill`, ...).
    """
    said = list(events)
    by_kind: dict[Kind, list[Event]] = {}
    for event in said:
        by_kind.setdefault(event.kind, []).append(event)
    traffic = by_kind.get(Kind.TRAFFIC, [Event(Kind.TRAFFIC, {})])[-1]
    done = by_kind.get(Kind.DONE, [])
    contact = Kind.LOGIN in by_kind
    result, text = _result(by_kind, ended, contact)
    return Outcome(
        result=result,
        more=bool(done and done[-1].fields.get("more")),
        down=traffic.number("down"),
        up=traffic.number("up"),
        received=len(by_kind.get(Kind.GOT, [])),
        contact=contact,
        text=text,
        notices=tuple(event for event in said if event.kind in NOTICES),
    )


def _result(by_kind: dict[Kind, list[Event]], ended: str, contact: bool) -> tuple[Result, str]:
    if refused := by_kind.get(Kind.REFUSED):
        return refusal(refused[-1]), refused[-1].text("text")
    for kind, result in ((Kind.NO_SECRET, Result.SECRET), (Kind.UNTRUSTED, Result.TRUST)):
        if kind in by_kind:
            return result, by_kind[kind][-1].text("text")
    troubles = [
        event for event in by_kind.get(Kind.TROUBLE, []) if Kind.VALIDITY not in by_kind or not _expected(event)
    ]
    if troubles:
        worst = troubles[-1]
        limited = LIMIT_WORDS.search(worst.text("text").lower())
        result = FAILURES.get(worst.text("failure"), Result.BUG)
        return Result.LIMIT if limited and result is Result.RUBBISH else result, worst.text("text")
    if Kind.VALIDITY in by_kind:
        return Result.VALIDITY, f"{by_kind[Kind.VALIDITY][-1].text('folder')} is numbered anew"
    if Kind.DONE in by_kind and ended == "success":
        return Result.OK, ""
    if ended in ("timeout", "watchdog"):
        # Too slow is not the same as silent: a run that brought something may go on where it was.
        moved = Kind.GOT in by_kind or Kind.PART in by_kind
        return (Result.LINK, "not done in time") if moved or contact else (Result.RUBBISH, "no answer in time")
    if ended in ("signal", "cancelled"):
        return Result.LINK, "stopped"
    return Result.BUG, f"the run ended with {ended}"


def _expected(event: Event) -> bool:
    return "UIDVALIDITY" in event.text("text")

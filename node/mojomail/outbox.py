"""The outbox: which waiting mail goes next, and what became of each, told truthfully.

A mail is shown as sent when, and only when, Postfix logged that a provider took it, for every recipient. The order is
ours: Postfix tries nothing by itself (`defer_transports`), and is given one mail at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .mailqueue import Attempt, Fate, QueuedMail
from .sync.backoff import Grounds

SMALL_TO_LARGE = (32_000, 256_000, 2_000_000)
"""Bounds between classes of size, bytes: 10 s, a minute and a half, and 11 minutes at 3 kB/s."""
LONG_WAIT = 24 * 3600.0
"""A mail that has waited so long goes with the smallest, seconds."""
WRONG_PASSWORD = re.compile(
    r"(SASL authentication failed; server \S+ said: 5(?!0|30|38)\d\d\b|said: 53[45]\b"
    r"|^454 4\.7\.8 Authentication failed)"
    r"(?!.*\b(temporar\w*|try again later|connection lost)\b)",
    re.I | re.DOTALL,
)
"""What is said when a provider does not take the secret: by Postfix (smtp_sasl_glue.c), or by mojomail-relay.

Postfix begins the text of every log-in that fails alike, so the reply behind it decides: 4xx passes by itself
(RFC 4954, 6: 454 is a temporary failure), and 50x, 530 and 538 speak of the protocol.
"""
NOT_TRIED = "deferred transport"
"""What Postfix says of a mail that nobody has told it to send yet."""
MAILBOXES = ".home.arpa"
"""How addresses end that are mailboxes here: mail to them is handed over on this machine, and is not in the outbox."""
PAUSES = (60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0)
"""Seconds before a mail is tried again after its first, second, ... attempt in vain."""


class State(StrEnum):
    """What a mail is doing; the values are those of state.db."""

    WAITING = "waiting"
    HELD = "held"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Why(StrEnum):
    """What a mail waits for; each is the end of a text's key, outbox.why-..."""

    LINK = "link"
    TURN = "turn"
    PASSWORD = "password"
    PAUSED = "paused"
    OWNER = "owner"
    ACCOUNT = "account"
    PROVIDER = "provider"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sender:
    """Whose an address is."""

    account: int
    uid: int
    paused: bool = False
    grounds: Grounds = field(default_factory=Grounds)
    """What its mail is handed in with."""
    removed: bool = False
    """Whether the account is there no more: its mail stays until the address is there again."""


@dataclass
class Tracked:
    """A mail since it was first seen."""

    id: str
    sender: str
    owner: Sender
    size: int
    arrived: float
    recipients: dict[str, tuple[State, str]]
    """Each recipient far away, with what is known and the provider's own words."""
    message_id: str = ""
    copy: bool = False
    """Whether every recipient left lives here: a provider's copy of what is in the mailbox already."""
    waited: float = 0.0
    """How long it had waited when the queue was last looked at, seconds."""
    tried: Grounds | None = None
    """What it was last handed in with."""
    attempts: int = 0
    not_before: float = 0.0
    on_the_way: bool = False
    """Whether its last attempt failed before the provider could judge it."""
    held: bool = False
    gone: bool = False
    cancelled: bool = False
    changed: float = 0.0

    @property
    def state(self) -> State:
        """What it is doing, over all recipients: sent only if all are, being sent only while it is in the queue."""
        states = {state for state, _ in self.recipients.values()}
        if self.cancelled:
            return State.CANCELLED
        if State.REFUSED in states and (self.gone or not states & {State.WAITING, State.SENDING}):
            return State.REFUSED
        if states == {State.SENT}:
            return State.SENT
        if self.held:
            return State.HELD
        return State.SENDING if State.SENDING in states and not self.gone else State.WAITING

    @property
    def said(self) -> str:
        """The last that a provider, or Postfix, said of it."""
        texts = [text for state, text in self.recipients.values() if text and state is not State.SENT]
        return (texts or [text for _, text in self.recipients.values() if text] or [""])[-1]


@dataclass
class Outbox:
    """The mails and who has been served how much.

    `refresh` is given the time of day, as Postfix knows it; everything else the seconds of a clock that never leaps.
    """

    local: Callable[[str], bool]
    """Whether an address belongs to a person of this node."""
    mails: dict[str, Tracked] = field(default_factory=dict)
    wrong: dict[int, Grounds] = field(default_factory=dict)
    """Accounts whose password a provider refused, and what was refused."""
    current: str = ""
    _served: dict[int, float] = field(default_factory=dict)

    def restore(self, mails: Iterable[Tracked]) -> None:
        """Take in what was known before a restart; what was being sent then waits, as far as anybody knows."""
        for mail in mails:
            mail.recipients = {
                address: (State.WAITING if state is State.SENDING else state, text)
                for address, (state, text) in mail.recipients.items()
            }
            mail.gone = True
            self.mails[mail.id] = mail

    def refresh(self, queue: list[QueuedMail], owner_of: Callable[[str], Sender | None], now: float) -> list[Tracked]:
        """Take in what waits now; returns the mails whose state changed."""
        before = {number: mail.state for number, mail in self.mails.items()}
        for queued in queue:
            mail = self.mails.get(queued.id)
            owner = owner_of(queued.sender)
            if owner is None and mail is not None:
                owner = replace(mail.owner, removed=True)
            away = [one for one in queued.recipients if not one.address.endswith(MAILBOXES)]
            if owner is None or not away:
                continue
            if mail is None:
                names = {one.address: (State.WAITING, "") for one in away}
                mail = Tracked(queued.id, queued.sender, owner, queued.size, queued.arrived, names)
                self.mails[queued.id] = mail
            mail.waited = now - mail.arrived
            mail.owner, mail.held, mail.gone = owner, queued.held, False
            for one in away:
                state, text = mail.recipients.get(one.address, (State.WAITING, ""))
                if state is State.SENT:  # the log was quicker than the queue
                    continue
                if state is State.REFUSED:
                    state = State.WAITING
                reason = "" if one.reason == NOT_TRIED else one.reason
                mail.recipients[one.address] = (state, reason or text)
            mail.copy = all(self.local(one.address) for one in away)
        there = {queued.id for queued in queue}
        for mail in self.mails.values():
            mail.gone = mail.id not in there
        if self.current and self.current not in there:
            self.current = ""
        return [mail for number, mail in self.mails.items() if before.get(number) is not mail.state]

    def attempted(self, attempt: Attempt, now: float) -> tuple[Tracked | None, bool]:
        """Take in a line of the log. Returns the mail, and whether its owner is to hear of a refused password."""
        mail = self.mails.get(attempt.id)
        if mail is None:
            return None, False
        fates = {Fate.SENT: State.SENT, Fate.REFUSED: State.REFUSED, Fate.DEFERRED: State.WAITING}
        mail.recipients[attempt.recipient] = (fates[attempt.fate], attempt.text)
        mail.on_the_way = attempt.on_the_way
        account = mail.owner.account
        tell = False
        if attempt.fate is Fate.SENT:
            self._served[mail.owner.uid] = self._served.get(mail.owner.uid, self._least()) + mail.size
            self.wrong.pop(account, None)
        elif attempt.fate is Fate.DEFERRED and WRONG_PASSWORD.search(attempt.text):
            tried = mail.tried or mail.owner.grounds
            if tried.hold(mail.owner.grounds):  # else it is said of what was changed meanwhile
                tell = not self._refused(mail.owner)
                self.wrong[account] = tried
        elif attempt.fate is Fate.DEFERRED:
            mail.not_before = now + PAUSES[min(mail.attempts, len(PAUSES) - 1)]
            mail.attempts += 1
        if not any(state is State.SENDING for state, _ in mail.recipients.values()) and self.current == mail.id:
            self.current = ""
        return mail, tell

    def why(self, mail: Tracked, link: bool, now: float) -> Why | None:
        """What a waiting mail waits for; None when it is its turn."""
        if mail.gone:
            return Why.UNKNOWN
        if mail.held:
            return Why.OWNER
        if mail.owner.removed:
            return Why.ACCOUNT
        if mail.owner.paused:
            return Why.PAUSED
        if self._refused(mail.owner):
            return Why.PASSWORD
        if not link:
            return Why.LINK
        if mail.not_before > now:
            return Why.PROVIDER
        return None if not self.current else Why.TURN

    def choose(self, link: bool, now: float) -> Tracked | None:
        """The mail to send now: copies last, small before large, then whose people have had least, then the oldest."""
        ready = [
            mail for mail in self.mails.values() if mail.state is State.WAITING and self.why(mail, link, now) is None
        ]
        if not ready:
            return None
        least = min(self._served.get(mail.owner.uid, 0.0) for mail in ready)
        for mail in ready:  # nobody saves up turns
            self._served[mail.owner.uid] = max(self._served.get(mail.owner.uid, 0.0), least)
        chosen = min(
            ready,
            key=lambda mail: (mail.copy, size_class(mail), self._served[mail.owner.uid], mail.arrived, mail.id),
        )
        self.current, chosen.tried = chosen.id, chosen.owner.grounds
        for address, (state, text) in chosen.recipients.items():
            if state is State.WAITING:
                chosen.recipients[address] = (State.SENDING, text)
        return chosen

    def relieve(self) -> None:
        """A link has come: what failed on the way there is tried as if for the first time."""
        for mail in self.mails.values():
            if mail.on_the_way:
                mail.not_before, mail.attempts = 0.0, 0

    def abandon(self) -> None:
        """The mail that is being sent is not, after all: the link has gone or Postfix let go of it."""
        mail = self.mails.get(self.current)
        self.current = ""
        if mail is not None:
            for address, (state, text) in mail.recipients.items():
                if state is State.SENDING:
                    mail.recipients[address] = (State.WAITING, text)

    def forget(self, before: float) -> None:
        """Let go of mails that are done with since then; what is in state.db stays."""
        self.mails = {number: mail for number, mail in self.mails.items() if not mail.gone or mail.changed >= before}

    def counts(self) -> Mapping[int, int]:
        """How many mails of each person wait."""
        waiting: dict[int, int] = {}
        for mail in self.mails.values():
            if not mail.gone and not mail.copy and mail.state in (State.WAITING, State.SENDING, State.HELD):
                waiting[mail.owner.uid] = waiting.get(mail.owner.uid, 0) + 1
        return waiting

    def _refused(self, owner: Sender) -> bool:
        tried = self.wrong.get(owner.account)
        return tried is not None and tried.hold(owner.grounds)

    def _least(self) -> float:
        return min(self._served.values(), default=0.0)


def size_class(mail: Tracked) -> int:
    """Its class of size; who has waited long goes with the smallest."""
    if mail.waited > LONG_WAIT:
        return 0
    return sum(mail.size > bound for bound in SMALL_TO_LARGE)

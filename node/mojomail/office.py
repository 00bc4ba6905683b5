"""The office: what the daemon does when something happens, apart from how it hears of it.

Everything runs in one thread, the GLib loop's; clocks, runs, queue, letters and link are handed in, so that tests play
weeks in milliseconds. `clock` is monotonic and for waiting, `wall` is the time of day and for people.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .accounts import Account, account_numbered, accounts
from .accountstate import grounds_for
from .addresses import lookup_keys
from .database import Database
from .errors import InputError, MojoError
from .link import LinkState, LinkWatch
from .mailqueue import Attempt, Fate, QueuedMail
from .outbox import Outbox, Sender, State, Tracked
from .sync.backoff import Standing
from .sync.engine import Outcome, Result, Run, outcome_of
from .sync.events import Event, Kind
from .sync.scheduler import Scheduler, Subject, Turn

LOG = logging.getLogger(__name__)
SENDING_LIMIT = 4 * 3600.0
"""After so long a mail that is being sent is taken for given up by Postfix, seconds."""
ALONE = 900.0
"""So long sending has the link to itself while mail could be fetched, seconds: 2.7 MB at 3 kB/s."""
ROLES = {"sent": "Sent", "drafts": "Drafts", "trash": "Trash", "junk": "Junk", "archive": "Archive"}
"""Our names for folders that providers name as they like."""
KEPT = 7 * 86400.0
"""How long a mail that is done with is shown, seconds."""


class Runner(Protocol):
    """Starts and stops runs of the engine."""

    def start(self, run: Run, heard: Callable[[Event], None], ended: Callable[[str], None]) -> None:
        """Start a run; raises MojoError when that cannot be."""

    def stop(self, account: int) -> None:
        """Stop an account's run."""


class Queue(Protocol):
    """Postfix's queue."""

    def list(self) -> list[QueuedMail]:
        """What waits."""

    def message_id(self, number: str) -> str:
        """A mail's Message-ID."""

    def send(self, number: str) -> None:
        """Try one mail."""

    def hold(self, number: str) -> None:
        """Stop one."""

    def release(self, number: str) -> None:
        """Let one go on."""

    def cancel(self, number: str) -> None:
        """Remove one."""


def run_for(one: Account, home: Any, budget: int) -> Run:
    """What the engine is told of an account's turn."""
    ours = {getattr(one, f"remote_{role}"): name for role, name in ROLES.items()}
    synced = [name for line in one.synced.splitlines() if (name := line.strip())]
    uploads = {name for name in synced if name != "INBOX"} - ({one.remote_sent} if one.files_sent else set())
    return Run(
        account=one.id,
        uid=one.uid,
        home=home,
        host=one.imap_host,
        port=one.imap_port,
        tls=one.imap_tls,
        user=one.imap_user,
        method="xoauth2" if one.secret_kind == "oauth2" else "password",
        folder=one.folder,
        folders=tuple((name, ours.get(name, name)) for name in synced),
        uploads=tuple(sorted(uploads)),
        realdelete=one.realdelete,
        budget=budget,
    )


class Office:
    """Scheduler, outbox and link, and the books they are written down in."""

    def __init__(
        self,
        database: Database,
        runner: Runner,
        queue: Queue,
        watch: LinkWatch,
        clock: Callable[[], float],
        wall: Callable[[], float],
        tell: Callable[[Account, str], None],
    ) -> None:
        self._database, self._runner, self._queue, self._watch = database, runner, queue, watch
        self._clock, self._wall, self._tell = clock, wall, tell
        self._scheduler = Scheduler()
        self._running: dict[int, list[Event]] = {}
        self._owners: dict[str, Sender] = {}
        self._sending_since = 0.0
        self._alone_since = float("inf")
        self._in_vain = False
        self._way = ""
        self.outbox = Outbox(local=lambda address: self._owner(address) is not None)
        self.outbox.restore(self._written_down())
        watch.listen(self._link_changed)
        self.reload(first=True)

    def reload(self, first: bool = False) -> None:
        """Take in people and accounts as they are now; what was changed, or got in at a test, is tried again."""
        known, grounds = accounts(self._database), grounds_for(self._database)
        self._owners = {
            address: Sender(one.id, one.uid, one.paused, grounds(one, "SMTP"))
            for one in known
            for address in (one.address_ascii, one.address_unicode)
        }
        subjects = [Subject(one.id, one.uid, grounds(one, "IMAP")) for one in known if not one.paused]
        subjects = [one for one in subjects if one.grounds.secret_at is not None]
        self._scheduler.take_part(subjects, self._clock(), self._standings() if first else None)
        self.refresh_outbox()
        self.step()

    def step(self) -> float | None:
        """Start what is to be started now. Returns after how many seconds to call again, None for not at all."""
        self._send_next()
        while self._fetching_may_start() and (turn := self._scheduler.next(self._clock())) is not None:
            self._start(turn)
        wait = self._scheduler.wake_in(self._clock())
        if wait is None or self._fetching_may_start():
            return wait
        return max(wait, self._alone_since + ALONE - self._clock())

    def look(self, uid: int, *, insist: bool = False) -> bool:
        """A person is looking, or (`insist`) wants a turn now; whether there will be one soon."""
        soon = self._scheduler.look(uid, self._clock(), insist=insist)
        self.step()
        return soon

    def refresh_outbox(self) -> None:
        """Look at Postfix's queue."""
        try:
            queue = self._queue.list()
        except MojoError as error:
            LOG.warning("the mail queue cannot be read: %s", error.message)
            return
        current = self.outbox.current
        changed = self.outbox.refresh(queue, self._owner, self._wall())
        waiting = {mail.id: mail for mail in queue}
        stuck = current in waiting and not waiting[current].under_way
        if self.outbox.current and ((stuck and self._clock() - self._sending_since > 60) or self._overdue()):
            self._give_up_sending()
        for mail in changed:
            mail.message_id = mail.message_id or self._queue.message_id(mail.id)
            self._write_down(mail)
        self.outbox.forget(self._wall() - KEPT)

    @property
    def log_cursor(self) -> str:
        """How far Postfix's log has been taken in: a cursor of journalctl(1), '' for not at all."""
        row = self._database.row("SELECT cursor FROM log_read")
        return row["cursor"] if row else ""

    def attempted(self, attempt: Attempt, cursor: str = "") -> None:
        """Postfix has logged an attempt to reach a provider, in the journal's line at `cursor`."""
        if attempt.id not in self.outbox.mails:
            self.refresh_outbox()
        mail, wrong = self.outbox.attempted(attempt, self._clock())
        if mail is None:
            return
        self._in_vain = attempt.fate is Fate.DEFERRED
        if attempt.relay != "none":
            self._watch.contact()
        self._write_down(mail, cursor)
        if wrong and (one := account_numbered(self._database, mail.owner.account)) is not None:
            self._tell(one, attempt.text)
        self.step()

    def change(self, verb: str, number: str, uid: int | None) -> Tracked:
        """Hold, release or cancel a waiting mail. Raises InputError for one that is not there or not this person's."""
        self.refresh_outbox()
        mail = self.outbox.mails.get(number)
        if mail is None or mail.gone or (uid is not None and mail.owner.uid != uid):
            raise InputError("no such mail waits in this outbox")
        if mail.state is State.SENDING:
            raise InputError("this mail is on its way already")
        {"hold": self._queue.hold, "release": self._queue.release, "cancel": self._queue.cancel}[verb](number)
        mail.cancelled = verb == "cancel"
        self.refresh_outbox()
        self._write_down(mail)
        self.step()
        return mail

    def status(self) -> dict[str, Any]:
        """What anybody may know: nothing of single people.

        `at` is the time of day; by `tick`, seconds of the clock that nobody sets, a reader sees how old it is.
        """
        state = self._watch.state
        return {
            "v": 1,
            "at": int(self._wall()),
            "tick": int(self._clock()),
            "link": {
                "up": state.link.up,
                "kind": state.link.kind.value,
                "name": state.link.name,
                "metered": state.link.metered,
                "reached": state.reached,
                "since": state.since and int(state.since),
                "contact": state.contact and int(state.contact),
            },
            "receiving": bool(self._running),
            "sending": bool(self.outbox.current),
            "waiting": sum(self.outbox.counts().values()),
        }

    def personal_status(self, uid: int) -> dict[str, Any]:
        """What a person may know besides: the own accounts, and how many own mails wait."""
        books = {row["account"]: row for row in self._database.rows("SELECT * FROM contact")}
        return self.status() | {
            "waiting_own": self.outbox.counts().get(uid, 0),
            "accounts": [
                {
                    "address": one.address,
                    "paused": one.paused,
                    "receiving": one.id in self._running,
                    "trouble": books[one.id]["trouble"] if one.id in books else None,
                    "synced_at": books[one.id]["synced_at"] if one.id in books else None,
                    "tried_at": books[one.id]["tried_at"] if one.id in books else None,
                    "next_at": books[one.id]["next_at"] if one.id in books else None,
                }
                for one in accounts(self._database)
                if one.uid == uid
            ],
        }

    def listing(self, uid: int | None) -> list[dict[str, Any]]:
        """The outbox of one person, or of everybody, the oldest first."""
        now, link = self._clock(), self._watch.state.link.up
        shown = sorted(self.outbox.mails.values(), key=lambda mail: (mail.arrived, mail.id))
        return [shown_mail(mail, self.outbox, link, now) for mail in shown if uid in (None, mail.owner.uid)]

    def _start(self, turn: Turn) -> None:
        one = account_numbered(self._database, turn.account)
        if one is None:
            self._scheduler.finished(turn.account, Outcome(Result.SECRET), self._clock())
            return
        events: list[Event] = []
        self._running[one.id] = events
        run = run_for(one, self._database.places.home(one.uid), turn.budget)

        def heard(event: Event) -> None:
            events.append(event)
            if event.kind is Kind.LOGIN:
                self._watch.contact()

        try:
            self._runner.start(run, heard, lambda word: self._ended(one, outcome_of(events, word)))
        except MojoError as error:
            LOG.error("a run for account %d cannot be started: %s", one.id, error.message)
            self._ended(one, Outcome(Result.BUG, text=error.message), step=False)

    def _ended(self, one: Account, outcome: Outcome, step: bool = True) -> None:
        self._running.pop(one.id, None)
        verdict = self._scheduler.finished(one.id, outcome, self._clock())
        self._alone_since = self._clock()
        if outcome.result is Result.OK:
            self._in_vain = False
        LOG.info("account %d: %s, %d mails, %d bytes", one.id, outcome.result, outcome.received, outcome.down)
        now = int(self._wall())
        well = outcome.result is Result.OK
        next_at = None if verdict.standing.stopped else now + int(min(verdict.wait, 10**9))
        with self._database.note():
            self._database.execute("INSERT OR IGNORE INTO contact (account) VALUES (?)", one.id)
            self._database.execute(
                "UPDATE contact SET tried_at = ?, synced_at = iif(?, ?, synced_at), failures = ?, trouble = ?,"
                " next_at = ? WHERE account = ?",
                *(now, well, now, verdict.standing.failures, verdict.standing.trouble),
                *(next_at, one.id),
            )
        if verdict.tell:
            self._tell(one, outcome.text)
        if step:
            self.step()

    def _link_changed(self, state: LinkState) -> None:
        self._scheduler.link(state.link.up, self._clock(), state.link.metered)
        came, self._way = state.link.name != self._way, state.link.name
        if not state.link.up:
            self._give_up_sending()
            for account in list(self._running):
                self._runner.stop(account)
        else:
            if came:
                self.outbox.relieve()
            self.refresh_outbox()
        self.step()

    def _fetching_may_start(self) -> bool:
        """Sending goes first: beside it fetching begins only after an attempt in vain, or when it has waited long."""
        alone = self._clock() - self._alone_since <= ALONE
        return not self.outbox.current or self._in_vain or not alone

    def _give_up_sending(self) -> None:
        """Take the mail that is being sent for one that is not."""
        self._in_vain = self._in_vain or bool(self.outbox.current)
        self.outbox.abandon()

    def _send_next(self) -> None:
        mail = self.outbox.choose(self._watch.state.link.up, self._clock())
        if mail is None:
            if not self.outbox.current:
                self._alone_since = float("inf")
            return
        self._sending_since = self._clock()
        self._alone_since = min(self._alone_since, self._sending_since)
        try:
            self._queue.send(mail.id)
        except MojoError as error:
            LOG.warning("%s cannot be sent: %s", mail.id, error.message)
            self.outbox.abandon()
            mail.not_before = self._clock() + 60
        self._write_down(mail)

    def _owner(self, address: str) -> Sender | None:
        """Whose an address is, also with an extension."""
        return next((self._owners[key] for key in lookup_keys(address) if key in self._owners), None)

    def _overdue(self) -> bool:
        return self._clock() - self._sending_since > SENDING_LIMIT

    def _standings(self) -> dict[int, Standing]:
        rows = self._database.rows("SELECT account, trouble FROM contact WHERE trouble = ?", Result.PASSWORD.value)
        return {row["account"]: Standing(Result.PASSWORD, 1) for row in rows}

    def _write_down(self, mail: Tracked, cursor: str = "") -> None:
        mail.changed = self._wall()
        with self._database.note():
            self._database.execute(
                "INSERT INTO outbox (queue_id, uid, account, message_id, sender, recipients, size, state, reason,"
                " submitted_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (queue_id) DO UPDATE SET"
                " state = excluded.state, reason = excluded.reason, recipients = excluded.recipients,"
                " changed_at = excluded.changed_at",
                *(mail.id, mail.owner.uid, mail.owner.account, mail.message_id, mail.sender),
                *(json.dumps(mail.recipients), mail.size, mail.state.value, mail.said or None),
                *(int(mail.arrived), int(mail.changed)),
            )
            if cursor:
                self._database.execute("INSERT OR REPLACE INTO log_read (id, cursor) VALUES (1, ?)", cursor)

    def _written_down(self) -> Iterator[Tracked]:
        """The mails of the last days, as they were when they were last written down."""
        for row in self._database.rows("SELECT * FROM outbox WHERE changed_at >= ?", int(self._wall() - KEPT)):
            yield Tracked(
                id=row["queue_id"],
                sender=row["sender"],
                owner=Sender(row["account"], row["uid"]),
                size=row["size"],
                arrived=row["submitted_at"],
                recipients={
                    address: (State(state), said) for address, (state, said) in json.loads(row["recipients"]).items()
                },
                message_id=row["message_id"],
                cancelled=row["state"] == State.CANCELLED,
                changed=row["changed_at"],
            )


def shown_mail(mail: Tracked, outbox: Outbox, link: bool, now: float) -> dict[str, Any]:
    """A mail as it is shown: what it is doing, why it waits, and what was said, by recipient."""
    why = outbox.why(mail, link, now) if mail.state in (State.WAITING, State.HELD, State.SENDING) else None
    return {
        "id": mail.id,
        "message_id": mail.message_id,
        "sender": mail.sender,
        "size": mail.size,
        "submitted_at": int(mail.arrived),
        "changed_at": int(mail.changed),
        "state": mail.state.value,
        "why": None if why is None or mail.state is State.SENDING else why.value,
        "copy": mail.copy,
        "attempts": mail.attempts,
        "recipients": [
            {"address": address, "state": state.value, "said": text}
            for address, (state, text) in mail.recipients.items()
        ],
    }

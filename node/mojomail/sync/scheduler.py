"""Whose turn it is: one or two accounts at a time, fair between people by bytes, who is looking now first.

Pure: it is told what happens and the time (seconds of a clock that never leaps), and answers which runs to start.
People get their turns in the order of the bytes they have had. Who comes anew, or back after a while, begins where
those are who have had least, so that nobody can save up turns and nobody waits for more than a slice of each other's
mail. A person who is looking at the mailbox is served at once, once, and counts less for as long as that goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mojomail.sync.backoff import Grounds, Standing
from mojomail.sync.engine import Outcome, Result

RUN_COST = 8_000
"""What a run counts even if it brings nothing, bytes: what it takes to connect and ask."""
SLICE = 256_000
"""How much one turn may download, bytes: a minute and a half at 3 kB/s."""
LOOKING = 300.0
"""How long after having been seen a person counts as looking, seconds."""
AGAIN = 60.0
"""A person who is looking has a turn this often, seconds."""
LOOKING_WEIGHT = 4
ALONE_SLICE = 4_000_000
"""The same when nobody else waits."""


@dataclass(frozen=True)
class Subject:
    """An account that takes part, and what it logs in with."""

    account: int
    uid: int
    grounds: Grounds = field(default_factory=Grounds)


@dataclass(frozen=True)
class Turn:
    """A run to be started."""

    account: int
    uid: int
    budget: int


@dataclass(frozen=True)
class Verdict:
    """What a run that ended means for its account."""

    standing: Standing
    wait: float
    """Seconds until the next turn; infinite when the owner has to do something first."""
    tell: bool
    """Whether the owner is to be told, now and once."""


@dataclass
class _Account:
    uid: int
    grounds: Grounds
    due: float
    standing: Standing
    running: bool = False
    began: Grounds = field(default_factory=Grounds)
    """What the run that is under way began with."""
    more: bool = False
    ended: float = float("-inf")


@dataclass
class _Person:
    served: float = 0.0
    seen: float = float("-inf")
    urgent: bool = False


class Scheduler:
    """The turns of all accounts."""

    def __init__(self, interval: float = 900.0, metered_interval: float = 3600.0, at_once: int = 1) -> None:
        self._intervals = {False: interval, True: metered_interval}
        self._at_once = at_once
        self._accounts: dict[int, _Account] = {}
        self._people: dict[int, _Person] = {}
        self._up = False
        self._metered = False

    def take_part(self, subjects: Iterable[Subject], now: float, standings: dict[int, Standing] | None = None) -> None:
        """Say which accounts there are. A new one is due at once; one with a new secret or new settings is tried again,
        and so is one that was stopped, after a test that got in.

        `standings` are those known from before a restart.
        """
        named = {subject.account: subject for subject in subjects}
        for gone in self._accounts.keys() - named.keys():
            if not self._accounts[gone].running:
                del self._accounts[gone]
        for number, subject in named.items():
            known = self._accounts.get(number)
            if known is None:
                standing = (standings or {}).get(number, Standing())
                due = float("inf") if standing.stopped else now
                self._accounts[number] = _Account(subject.uid, subject.grounds, due, standing)
                continue
            mended = known.standing.stopped and not known.grounds.hold(subject.grounds)
            if mended or not known.grounds.same_login(subject.grounds):
                known.standing, known.due = Standing(), now
            known.grounds = subject.grounds
        uids = {subject.uid for subject in named.values()}
        for uid in uids - self._people.keys():
            self._people[uid] = _Person(served=self._least())
        for uid in self._people.keys() - uids:
            del self._people[uid]

    def link(self, up: bool, now: float, metered: bool = False) -> None:
        """The link has come or gone. When it comes, everybody is due."""
        came = up and not self._up
        self._up, self._metered = up, metered
        if came:
            for account in self._accounts.values():
                account.standing = account.standing.relieved()
                if not account.standing.failures:
                    account.due = min(account.due, now)

    def look(self, uid: int, now: float, *, insist: bool = False) -> bool:
        """A person is looking, or (`insist`) asks for a turn now, also after failures that would let the account wait.

        Returns whether an account of the person can have one.
        """
        person = self._people.get(uid)
        if person is None:
            return False
        person.seen = now
        able = False
        for account in self._accounts.values():
            if account.uid == uid and not account.standing.stopped:
                able = True
                if insist or (not account.standing.failures and now - account.ended >= AGAIN):
                    account.due = min(account.due, now)
                    person.urgent = True
        return able and self._up

    def next(self, now: float) -> Turn | None:
        """The run to start now, if there is one; it counts as running until `finished`."""
        running = [account for account in self._accounts.values() if account.running]
        if not self._up or len(running) >= self._at_once:
            return None
        busy = {account.uid for account in running}
        waiting = {
            number: account
            for number, account in self._accounts.items()
            if not account.running and account.due <= now and account.uid not in busy
        }
        if not waiting:
            return None
        least = min(self._people[account.uid].served for account in waiting.values())
        for account in waiting.values():  # nobody saves up turns
            person = self._people[account.uid]
            person.served = max(person.served, least)
        number = min(waiting, key=lambda each: self._rank(each, waiting[each]))
        chosen = waiting[number]
        self._people[chosen.uid].urgent = False
        chosen.running, chosen.began = True, chosen.grounds
        alone = all(account.uid == chosen.uid for account in waiting.values())
        return Turn(number, chosen.uid, ALONE_SLICE if alone else SLICE)

    def finished(self, number: int, outcome: Outcome, now: float) -> Verdict:
        """A run has ended. What it says of a secret that was changed meanwhile counts for nothing."""
        account = self._accounts.get(number)
        if account is None:
            return Verdict(Standing(), float("inf"), tell=False)
        before = account.standing
        account.running, account.ended = False, now
        outdated = not account.began.hold(account.grounds) and outcome.result in (Result.PASSWORD, Result.REFUSED)
        account.standing = before if outdated else before.after(outcome)
        account.more = outcome.more
        changed = outdated or not account.began.same_login(account.grounds)
        again = changed or (outcome.more and not account.standing.failures)
        wait = 0.0 if again else account.standing.wait(self._interval(account, now))
        account.due = now + wait
        person = self._people.get(account.uid)
        if person is not None:
            weight = LOOKING_WEIGHT if self._looking(account.uid, now) else 1
            person.served += (RUN_COST + outcome.down + outcome.up) / weight
        return Verdict(account.standing, wait, account.standing.tells(before))

    def wake_in(self, now: float) -> float | None:
        """Seconds until `next` may have an answer that it has not now; None when only an event can change that."""
        if not self._up:
            return None
        idle = [account.due for account in self._accounts.values() if not account.running]
        soonest = min(idle, default=float("inf"))
        return None if soonest == float("inf") else max(0.0, soonest - now)

    def _rank(self, number: int, account: _Account) -> tuple[bool, float, float, int]:
        person = self._people[account.uid]
        return not person.urgent, person.served, account.due, number

    def _looking(self, uid: int, now: float) -> bool:
        person = self._people.get(uid)
        return person is not None and now - person.seen <= LOOKING

    def _interval(self, account: _Account, now: float) -> float:
        return AGAIN if self._looking(account.uid, now) else self._intervals[self._metered]

    def _least(self) -> float:
        return min((person.served for person in self._people.values()), default=0.0)

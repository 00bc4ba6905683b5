"""Bringing new mail in: newest first, small before large, in pieces that a lost link cannot undo."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from mojomail.sync.events import Kind, Speaker
from mojomail.sync.guard.fetch import Mailbox, Summary
from mojomail.sync.guard.identity import header_of, key_of
from mojomail.sync.guard.memory import Memory
from mojomail.sync.guard.settings import Settings
from mojomail.sync.guard.store import MailStore

ROOM_LEFT = 64 * 1000 * 1000
"""Bytes that downloads leave free on the card, for the mail that people write."""


class Budget:
    """How much may still be downloaded in this run, bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spent = 0
        self.wanting = False
        """Whether something had to wait for another run."""

    def spend(self, size: int) -> None:
        """Count bytes that came."""
        self._spent += size

    @property
    def over(self) -> bool:
        """Whether no more is to be asked for."""
        return bool(self._limit) and self._spent >= self._limit


def in_order(waiting: list[Summary], batch: int) -> tuple[list[Summary], list[Summary]]:
    """Small mails, newest first; and large ones, newest first, which come after them."""
    newest = sorted(waiting, key=lambda summary: summary.uid, reverse=True)
    return [each for each in newest if each.size <= batch], [each for each in newest if each.size > batch]


def batches(small: list[Summary], size: int, count: int) -> list[list[Summary]]:
    """Mails to be asked for together: at most `size` bytes and `count` mails at a time."""
    together: list[list[Summary]] = []
    total = 0
    for each in small:
        if not together or total + each.size > size or len(together[-1]) >= count:
            together.append([])
            total = 0
        together[-1].append(each)
        total += each.size
    return together


class Download:
    """New mails of one folder, from the provider to the Maildir."""

    def __init__(
        self, remote: Any, local: Any, status: Any, memory: Memory, settings: Settings, budget: Budget, speaker: Speaker
    ) -> None:
        self._remote, self._local, self._status = remote, local, status
        self._memory, self._settings, self._budget, self._speaker = memory, settings, budget, speaker
        self._mailbox, self._store = Mailbox(remote), MailStore(local)
        self._name = remote.getname()
        self._spool = Path(settings.state) / "spool"

    def new_uids(self) -> list[int]:
        """UIDs that are at the provider, not here, and never were; within the account's history."""
        known, here = self._status.messagelist, self._local.messagelist
        limit = time.time() - self._settings.history_days * 86400 if self._settings.history_days else None
        return [
            uid
            for uid, entry in self._remote.messagelist.items()
            if uid not in known and uid not in here and (limit is None or (entry["time"] or limit) >= limit)
        ]

    def run(self) -> None:
        """Bring in what is new, as far as the budget goes."""
        new = self.new_uids()
        self._forget_parts(set(new))
        if not new:
            return
        waiting = list(self._mailbox.summaries(new, keys=False).values())
        total = sum(each.size for each in waiting)
        self._speaker.say(
            Kind.FOLDER, folder=self._name, known=len(self._remote.messagelist), new=len(waiting), size=total
        )
        small, large = in_order(waiting, self._settings.batch)
        for batch in batches(small, self._settings.batch, self._settings.batch_count):
            if not self._may_go_on(sum(each.size for each in batch)):
                return
            for uid, mail in self._mailbox.bodies(each.uid for each in batch):
                if uid in self._remote.messagelist and uid not in self._local.messagelist:
                    self._budget.spend(len(mail))
                    self._store.add(uid, mail, self._flags(uid), self._remote.messagelist[uid]["time"])
                    self._keep(uid, key_of(mail[: mail.find(b"\r\n\r\n") + 2]), len(mail))
        for each in large:
            if not self._may_go_on(each.size):
                return
            self._bring_large(each)

    def _may_go_on(self, size: int) -> bool:
        if self._budget.over:
            self._budget.wanting = True
            return False
        if self._store.room() < ROOM_LEFT + 2 * size:
            raise OSError(28, "the card is full")
        return True

    def _bring_large(self, summary: Summary) -> None:
        """F4: bring in a large mail part by part; what is here stays here when the link goes."""
        spool = self._spool_file(summary.uid)
        spool.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with spool.open("ab") as file:
            have = file.tell()
            while True:
                if self._budget.over:
                    self._budget.wanting = True
                    return
                part = self._mailbox.part(summary.uid, have, self._settings.chunk)
                if part is None:
                    spool.unlink()
                    return
                file.write(part)
                file.flush()
                os.fsync(file.fileno())
                have += len(part)
                self._budget.spend(len(part))
                self._speaker.say(Kind.PART, folder=self._name, uid=summary.uid, have=have, size=summary.size)
                if len(part) < self._settings.chunk:
                    break
        uid = summary.uid
        if have == 0:
            spool.unlink()
            return
        self._store.add_file(uid, spool, self._flags(uid), self._remote.messagelist[uid]["time"])
        self._keep(uid, key_of(header_of(spool)), have)
        spool.unlink()

    def _keep(self, uid: int, key: str, size: int) -> None:
        """A mail is on the card: make that known."""
        self._memory.remember(self._name, {uid: key})
        self._status.savemessage(uid, None, self._flags(uid), 0)
        self._speaker.say(Kind.GOT, folder=self._name, uid=uid, size=size)

    def _flags(self, uid: int) -> set[str]:
        # A mail marked as deleted by another program of its owner's is not hidden here before it is gone.
        return set(self._remote.messagelist[uid]["flags"]) - {"T"}

    def _spool_file(self, uid: int) -> Path:
        return self._spool / f"{self._local._foldermd5}.{self._remote.get_uidvalidity()}.{uid}"

    def _forget_parts(self, new: set[int]) -> None:
        """Remove parts of mails that nobody waits for any more."""
        wanted = {self._spool_file(uid).name for uid in new}
        if self._spool.is_dir():
            for part in self._spool.iterdir():
                if part.name.startswith(f"{self._local._foldermd5}.") and part.name not in wanted:
                    part.unlink()

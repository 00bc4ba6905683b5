"""Recognising a mail that is on both sides without a common UID, before it is copied either way.

That is the case for what a neighbour delivered here and the provider got too, in whichever folder it lies here, for an
upload whose reply was lost (F3), and for a whole folder after the provider has numbered it anew (F2).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from mojomail.sync.events import Kind, Speaker
from mojomail.sync.guard.elsewhere import Elsewhere
from mojomail.sync.guard.fetch import Mailbox
from mojomail.sync.guard.identity import header_of, key_of
from mojomail.sync.guard.memory import GONE, LOST, OURS, SPARED, Memory
from mojomail.sync.guard.store import MailStore

SYNCED_FLAGS = frozenset("DFRS")
"""Draft, flagged, replied, seen: what goes both ways. Not T: that a mail is marked as deleted does not delete it."""


class Matching:
    """One folder and its two sides."""

    def __init__(
        self, remote: Any, local: Any, status: Any, memory: Memory, elsewhere: Elsewhere, speaker: Speaker
    ) -> None:
        self._remote, self._local, self._status = remote, local, status
        self._memory, self._elsewhere, self._speaker = memory, elsewhere, speaker
        self._store = MailStore(local)
        self._name = remote.getname()

    def without_uid(self) -> dict[str, list[int]]:
        """Our mails that have no UID of the provider's, by key."""
        found: dict[str, list[int]] = defaultdict(list)
        for uid in sorted(uid for uid in self._local.messagelist if uid < 0):
            try:
                found[key_of(header_of(self._store.file(uid)))].append(uid)
            except FileNotFoundError:
                del self._local.messagelist[uid]  # its owner has just moved it away
        return found

    def run(self) -> None:
        """Give the provider's UID to those of our mails that are there too; let deleted ones stay away."""
        candidates = self.without_uid()
        self._memory.mark(self._name, OURS, candidates)
        gone, in_folder = self._memory.marked(self._name, GONE), self._memory.marked(self._name, OURS)
        known = gone | (in_folder | self._elsewhere.village) - self._memory.marked(self._name, LOST)
        new = [
            uid
            for uid in self._remote.messagelist
            if uid not in self._status.messagelist and uid not in self._local.messagelist
        ]
        if not known or not new:
            return
        adopted = 0
        keys = Mailbox(self._remote).keys(new, self._memory)
        for uid in sorted(keys):
            key = keys[uid]
            flags = self._flags(self._remote, uid)
            if candidates.get(key):
                ours = candidates[key].pop()
                # What both agree on; what only one has then goes to the other, and nothing is taken away.
                flags &= self._flags(self._local, ours)
                self._store.give_uid(ours, uid)
                adopted += 1
            elif key not in known:
                continue
            elif key in gone or key not in in_folder:
                # That it is not in this folder does not say that its owner deleted it.
                self._memory.mark(self._name, SPARED, [key])
            self._status.savemessage(uid, None, flags, 0)
        if adopted:
            self._speaker.say(Kind.ADOPTED, folder=self._name, count=adopted)

    def renumber(self) -> None:
        """F2: forget all UIDs of a folder that the provider has numbered anew.

        Each step may be interrupted and is then done again from the beginning: the old UIDVALIDITY is what is saved
        until the last one. Nothing is removed here or there; `run` then finds what belongs together.
        """
        positive = sorted(uid for uid in self._local.messagelist if uid > 0)
        self._learn(positive)
        self._note_deleted()
        free = min([0, *self._local.messagelist]) - 1
        for offset, uid in enumerate(positive):
            self._store.take_uid(uid, free - offset)
        self._store.sync()
        self._memory.forget_uids(self._name)
        self._status.deletemessages(list(self._status.messagelist))
        self._remote.save_uidvalidity()

    def lose_copy(self) -> None:
        """Our copy of the folder is gone as a whole: forget that it was there, so that it comes down again."""
        self._speaker.say(Kind.LOST, folder=self._name)
        keys, were_elsewhere = self._memory.keys(self._name), self._memory.marked(self._name, SPARED)
        lost = {keys[uid] for uid in self._status.messagelist if uid in keys} - were_elsewhere
        self._memory.mark(self._name, LOST, lost)
        self._status.deletemessages(list(self._status.messagelist))

    def _learn(self, uids: list[int]) -> None:
        """Note the keys of mails that were here before the guard was."""
        keys: dict[int, str] = {}
        for uid in uids:
            if self._memory.key(self._name, uid) is None:
                try:
                    keys[uid] = key_of(header_of(self._store.file(uid)))
                except FileNotFoundError:
                    continue
        self._memory.remember(self._name, keys)

    def _note_deleted(self) -> None:
        """Mails that were deleted here and are at the provider all the same: they stay away."""
        here: defaultdict[str, int] = defaultdict(int)
        for key, ours in self.without_uid().items():
            here[key] += len(ours)
        for uid in self._local.messagelist:
            if uid > 0 and (known := self._memory.key(self._name, uid)):
                here[known] += 1
        deleted = set()
        for uid in self._status.messagelist:
            known = self._memory.key(self._name, uid)
            if known and uid not in self._local.messagelist and here[known] == 0:
                deleted.add(known)
        self._memory.mark(self._name, GONE, deleted)

    def _flags(self, folder: Any, uid: int) -> set[str]:
        return set(folder.messagelist[uid]["flags"]) & SYNCED_FLAGS


def marker_of(folder: Path) -> Path:
    """The file that says that this copy of a folder is the one whose mails the status file lists."""
    return folder / "mojomail-sync"

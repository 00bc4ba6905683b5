"""One folder's turn, in place of OfflineIMAP's own: what to do in which order, and what is not done at all.

OfflineIMAP calls `syncmessagesto` twice: first from the provider's folder to ours, then from ours to the provider's.
What is quick comes first, since the link may go: deletions and flags both ways, then new mail in, then mail out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offlineimap.error import OfflineImapError

from mojomail.sync.events import Kind, Speaker
from mojomail.sync.guard.download import Budget, Download
from mojomail.sync.guard.elsewhere import Elsewhere, Restless
from mojomail.sync.guard.fetch import Mailbox
from mojomail.sync.guard.matching import Matching, marker_of
from mojomail.sync.guard.memory import SPARED, Memory
from mojomail.sync.guard.settings import Settings
from mojomail.sync.guard.upload import Upload

MANY = 20
"""So many mails, and more than half of the folder: that is not believed at once."""


class FolderTurn:
    """What the guard does for one account's folders."""

    def __init__(self, settings: Settings, memory: Memory, speaker: Speaker, flags_pass: Any) -> None:
        self._settings, self._memory, self._speaker = settings, memory, speaker
        self._flags_pass = flags_pass
        self._elsewhere = Elsewhere(Path(settings.state), memory)
        self.budget = Budget(settings.budget)

    def uidvalidity_holds(self, remote: Any) -> bool:
        """F2: whether a folder may be worked on; OfflineIMAP's own answer to "no" is ignored by OfflineIMAP.

        A change is believed when the new value has stayed for a while; until then the folder is left alone.
        Raises OfflineImapError for a folder that is to be left alone.
        """
        saved, found, name = remote.get_saveduidvalidity(), remote.get_uidvalidity(), remote.getname()
        if saved is None:
            remote.save_uidvalidity()
            return True
        if saved == found:
            self._memory.unnote(name, "validity")
            return True
        if self._memory.note(name, "validity", found) < self._settings.patience:
            self._speaker.say(Kind.VALIDITY, folder=name, saved=saved, found=found)
            raise OfflineImapError(f"{name}: UIDVALIDITY was {saved} and is {found}", OfflineImapError.ERROR.FOLDER)
        remote.renumbered = True
        return True

    def from_provider(self, remote: Any, local: Any, status: Any) -> None:
        """The first call."""
        matching = Matching(remote, local, status, self._memory, self._elsewhere, self._speaker)
        marker = marker_of(matching._store.path)
        if status.messagelist and not marker.exists():
            matching.lose_copy()
        marker.touch(mode=0o600)
        if getattr(remote, "renumbered", False):
            before = len([uid for uid in local.messagelist if uid > 0])
            matching.renumber()
            matching.run()
            adopted = len([uid for uid in local.messagelist if uid > 0])
            self._speaker.say(Kind.RECOVERED, folder=remote.getname(), adopted=adopted, kept=max(0, before - adopted))
        else:
            matching.run()
        self._remove_vanished(remote, local, status)
        self._flags_pass(remote, local, status)

    def to_provider(self, remote: Any, local: Any, status: Any) -> None:
        """The second call."""
        self._pass_deletions_on(remote, local, status)
        self._flags_pass(local, remote, status)
        Download(remote, local, status, self._memory, self._settings, self.budget, self._speaker).run()
        Upload(remote, local, status, self._memory, self._settings, self._speaker).run()

    def _remove_vanished(self, remote: Any, local: Any, status: Any) -> None:
        """The provider deletes, the node follows; but not when most of a folder is gone at a stroke."""
        name = remote.getname()
        gone = [uid for uid in status.messagelist if uid not in remote.messagelist]
        here = [uid for uid in gone if uid in local.messagelist]
        known = len([uid for uid in local.messagelist if uid > 0])
        if len(here) >= MANY and 2 * len(here) > known:
            if self._memory.note(name, "vanished", len(remote.messagelist)) < self._settings.vanish_patience:
                self._speaker.say(Kind.HELD, folder=name, count=len(here), known=known)
                return
        else:
            self._memory.unnote(name, "vanished")
        for uid in here:
            local.deletemessage(uid)
        status.deletemessages(gone)
        if here:
            self._speaker.say(Kind.GONE, folder=name, count=len(here))

    def _pass_deletions_on(self, remote: Any, local: Any, status: Any) -> None:
        """Delete at the provider what its owner deleted here, where that was asked for; else leave it in the status.

        What its owner moved to a folder that no provider has is not deleted: the provider's copy is the only other
        one. There first, and in the status then: interrupted in between, the mail is not downloaded again.
        """
        if not self._settings.realdelete:
            return
        name = remote.getname()
        missing = [uid for uid in status.messagelist if uid not in local.messagelist and uid in remote.messagelist]
        if not missing:
            return
        try:
            stay = self._memory.marked(name, SPARED) | self._elsewhere.kept()
        except Restless:
            return  # the next run sees where they went
        mailbox = Mailbox(remote)
        deleted = [uid for uid, key in mailbox.keys(missing, self._memory).items() if key not in stay]
        if not deleted:
            return
        if not mailbox.expunges_by_uid():
            # Still there, and in the status: from where it would be missed, it would come down again.
            if unmarked := [uid for uid in deleted if "T" not in remote.messagelist[uid]["flags"]]:
                mailbox.mark_deleted(unmarked)
            return
        mailbox.expunge(deleted)
        for uid in deleted:
            del remote.messagelist[uid]
        status.deletemessages(deleted)
        self._speaker.say(Kind.DELETED, folder=name, count=len(deleted))

"""The guard: keeps OfflineIMAP's known faults from losing, repeating or blocking mail.

OfflineIMAP loads it as its `pythonfile`, in its own process, before it reads the accounts. It is told what to do by
settings.py and tells what happens by events (mojomail.sync.events) on a descriptor of the run.

What is guarded, by the names of the faults: F1 a compressed reply that never arrives whole (connection); F2 a folder
that the provider has numbered anew (folder, matching); F3 an upload whose reply is lost (upload, matching); F4 a large
mail that begins again and again (download); F5 a size limit, and F8 an age limit, that delete local mail: neither
option of OfflineIMAP's is used, limits are in download; F6 certificates without a commonName (connection); F7 a crash
at the end (connection); F9 no time limit (the engine sets one); F10 secrets in logs (connection). Newest first is in
download.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mojomail.sync.events import Kind, Speaker
from mojomail.sync.guard.settings import read

SPEAKING_END = 3
"""The descriptor that events are written to."""


def install(path: Path) -> None:
    """Put the guard in place, with the settings in a file. To be called once, before OfflineIMAP begins."""
    from offlineimap.error import OfflineImapError
    from offlineimap.folder.Base import BaseFolder
    from offlineimap.folder.IMAP import IMAPFolder
    from offlineimap.folder.Maildir import MaildirFolder
    from offlineimap.ui.UIBase import UIBase

    from mojomail.sync.guard import connection
    from mojomail.sync.guard.folder import FolderTurn
    from mojomail.sync.guard.matching import SYNCED_FLAGS
    from mojomail.sync.guard.memory import FILE, Memory
    from mojomail.sync.guard.rename import change_flags

    settings = read(path)
    speaker, traffic = Speaker(SPEAKING_END), connection.Traffic()
    connection.guard_reading(traffic)
    connection.guard_certificates(speaker)
    connection.guard_login(settings, speaker)
    connection.guard_reports(speaker)

    flags_pass = BaseFolder._BaseFolder__syncmessagesto_flags
    turn = FolderTurn(settings, Memory(Path(settings.state) / FILE), speaker, flags_pass)

    def syncmessagesto(self: Any, other: Any, status: Any) -> None:
        try:
            if isinstance(self, IMAPFolder):
                turn.from_provider(self, other, status)
            else:
                turn.to_provider(other, self, status)
        except Exception as error:
            if connection.failure_of(error) in ("link", "disk"):
                # The other folders would fare no better.
                raise OfflineImapError(str(error), OfflineImapError.ERROR.REPO) from error
            raise

    def check_uidvalidity(self: Any) -> bool:
        return turn.uidvalidity_holds(self)

    def combine_flags_and_keywords(self: Any, uid: int, _: Any) -> set[str]:
        return set(self.getmessageflags(uid)) & SYNCED_FLAGS

    def terminate(self: Any, *args: Any, **kwargs: Any) -> None:
        speaker.say(Kind.TRAFFIC, down=traffic.down, up=traffic.up)
        speaker.say(Kind.DONE, more=turn.budget.wanting)
        original_terminate(self, *args, **kwargs)

    original_terminate = UIBase.terminate
    UIBase.terminate = terminate
    BaseFolder.syncmessagesto = syncmessagesto
    BaseFolder.combine_flags_and_keywords = combine_flags_and_keywords
    IMAPFolder.check_uidvalidity = check_uidvalidity
    MaildirFolder.savemessageflags = change_flags

"""Copying mail that is here alone to the provider: rare, late, and never a second time."""

from __future__ import annotations

import re
from typing import Any

from offlineimap import imaputil

from mojomail.sync.events import Kind, Speaker
from mojomail.sync.guard.fetch import Mailbox
from mojomail.sync.guard.identity import header_fields, header_of, key_of, made_here
from mojomail.sync.guard.matching import SYNCED_FLAGS
from mojomail.sync.guard.memory import OURS, Memory
from mojomail.sync.guard.settings import Settings
from mojomail.sync.guard.store import MailStore

LONE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class Upload:
    """Mails of one local folder that the provider has not, from the Maildir to the provider."""

    def __init__(
        self, remote: Any, local: Any, status: Any, memory: Memory, settings: Settings, speaker: Speaker
    ) -> None:
        self._remote, self._local, self._status = remote, local, status
        self._memory, self._settings, self._speaker = memory, settings, speaker
        self._store = MailStore(local)
        self._name = remote.getname()

    def run(self) -> None:
        """Upload what is to be uploaded, one by one."""
        if self._name not in self._settings.uploads:
            return
        for uid in sorted((uid for uid in self._local.messagelist if uid < 0), reverse=True):
            try:
                path = self._store.file(uid)
                header, size = header_of(path), path.stat().st_size
            except FileNotFoundError:
                continue
            key = key_of(header)
            if size > self._settings.upload_limit or made_here(header):
                continue
            if self._memory.was_at_provider(self._name, key):
                continue
            self._upload(uid, header, key, size)

    def _upload(self, uid: int, header: bytes, key: str, size: int) -> None:
        """F3: a mail whose upload was not acknowledged may be there; ask before, and after a failure leave it."""
        message_id = header_fields(header).get("message-id", "")
        if not message_id:
            return
        mailbox = Mailbox(self._remote)
        found = mailbox.search_message_id(message_id)
        there = found[0] if found else 0
        flags = set(self._local.messagelist[uid]["flags"]) & SYNCED_FLAGS
        if not there:
            # Noted before: if the reply is lost and the mail is then deleted here, it does not come down again.
            self._memory.mark(self._name, OURS, [key])
            mail = LONE_LINE_FEED.sub(b"\r\n", self._store.file(uid).read_bytes())
            shown = imaputil.flagsmaildir2imap(flags)
            there = mailbox.append(mail, shown, self._local.getmessagetime(uid))
            if not there:
                there = max(mailbox.search_message_id(message_id), default=0)
        if there <= 0:
            return
        self._store.give_uid(uid, there)
        self._memory.remember(self._name, {there: key})
        self._status.savemessage(there, None, flags, 0)
        self._speaker.say(Kind.UPLOADED, folder=self._name, uid=there, size=size)

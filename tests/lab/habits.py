"""What a provider does with the mail it is given: whom it refuses, what it changes, what it files and keeps to show."""

from __future__ import annotations

import fnmatch
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.header import decode_header, make_header
from email.utils import formataddr, parseaddr

from tests.lab.mailboxes import MailboxError
from tests.lab.milter import Change, Habits, Mail
from tests.lab.providers import Provider

ROOMY = 15 << 30
"""Bytes an account may hold unless said otherwise."""


def legible(header: str) -> str:
    """A header as a reader sees it, without encoded words (RFC 2047)."""
    return str(make_header(decode_header(header)))


def _in_one_line(error: Exception) -> str:
    """What went wrong, as a reply of SMTP can say it."""
    return " ".join(str(error).split())[:300]


@dataclass(frozen=True)
class Account:
    """A person's account. `password` is the one mail programs are to use (the app password where there is such a
    thing), `ordinary` that of the web login, `quota` bytes, `aliases` other addresses it may send from."""

    address: str
    password: str
    ordinary: str = ""
    quota: int = ROOMY
    full: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Posted:
    """A message that a provider took: from a person of its own, then `login` says whom, or at its MX.

    `sender` and `recipients` are the envelope's, `client` the address it came from, `when` seconds since 1970, `size`
    bytes of the message, `header_from` what it said in From: when it came; names and subject as a reader sees them.
    """

    provider: str
    login: str
    client: str
    sender: str
    recipients: tuple[str, ...]
    header_from: str
    message_id: str
    subject: str
    when: float
    size: int
    message: bytes


@dataclass(frozen=True)
class Rule:
    """A reason to refuse mail. `stage` is mail, rcpt, data (the command) or message (after its end); `sender` and
    `recipient` are shell patterns; `times` is how often it still applies, None for ever."""

    stage: str
    reply: str
    sender: str = "*"
    recipient: str = "*"
    times: int | None = None


class ProviderHabits(Habits):
    """The habits of one provider. `accounts` are by address; `file` puts a message that was sent into a folder.

    `posted` is what was taken, `rules` why more is refused than by habit.
    """

    def __init__(
        self, provider: Provider, accounts: Mapping[str, Account], file: Callable[[str, bytes, str], object]
    ) -> None:
        self.provider = provider
        self.posted: list[Posted] = []
        self.rules: list[Rule] = []
        self._accounts = accounts
        self._file = file
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget what was posted, and the rules."""
        with self._lock:
            self.posted.clear()
            self.rules.clear()

    def canonical(self, address: str) -> str:
        """An address as accounts are kept by: in lower case, and at Gmail without `+` and what follows."""
        local, _, domain = address.lower().rpartition("@")
        return f"{local.partition('+')[0]}@{domain}" if self.provider.foreign_sender == "rewrite" else address.lower()

    def _refusal(self, stage: str, sender: str, recipients: tuple[str, ...]) -> str | None:
        with self._lock:
            for number, rule in enumerate(self.rules):
                if rule.stage != stage or rule.times == 0 or not fnmatch.fnmatch(sender, rule.sender):
                    continue
                if rule.recipient != "*" and not fnmatch.filter(recipients, rule.recipient):
                    continue
                if rule.times is not None:
                    self.rules[number] = replace(rule, times=rule.times - 1)
                return rule.reply
        return None

    def sender(self, mail: Mail) -> str | None:
        """Refuse who is not logged in where that is due, and mail from an address that is not the login's."""
        if mail.port == "submission":
            if not mail.login:
                return "530 5.7.0 Authentication Required."
            account = self._accounts.get(mail.login)
            own = account is not None and mail.sender.lower() in (account.address.lower(), *account.aliases)
            if not own and self.provider.foreign_sender == "refuse":
                return f"550 5.7.60 SMTP; Client does not have permissions to send as this sender: {mail.sender}"
        return self._refusal("mail", mail.sender, ())

    def recipient(self, mail: Mail, address: str) -> str | None:
        """Refuse people who do not exist here, and those whose mailbox is full."""
        domain = address.rpartition("@")[2].lower()
        if domain in self.provider.domains and mail.port == "mx":
            account = self._accounts.get(self.canonical(address))
            if account is None:
                return self.provider.unknown_person
            if account.full:
                return "552 5.2.2 The email account that you tried to reach is over quota"
        return self._refusal("rcpt", mail.sender, (address,))

    def data(self, mail: Mail) -> str | None:
        """Refuse by the tests' rules."""
        return self._refusal("data", mail.sender, tuple(mail.recipients))

    def message(self, mail: Mail, change: Change) -> str | None:
        """File a copy where the provider does so unasked, and keep what was taken for the tests to see.

        What cannot be filed is refused for now, and was not sent.
        """
        refusal = self._refusal("message", mail.sender, tuple(mail.recipients))
        if refusal:
            return refusal
        said = mail.header("From")
        account = self._accounts.get(mail.login)
        if account is not None:
            self._make_own(mail, account, change)
        content = mail.content()
        posted = Posted(
            provider=self.provider.name,
            login=mail.login,
            client=mail.client,
            sender=mail.sender,
            recipients=tuple(mail.recipients),
            header_from=legible(said),
            message_id=mail.header("Message-ID"),
            subject=legible(mail.header("Subject")),
            when=time.time(),
            size=len(content),
            message=content,
        )
        if account is not None and self.provider.sent_folder:
            try:
                self._file(account.address, content, self.provider.sent_folder)
            except MailboxError as error:  # such as a full mailbox
                return f"452 4.2.2 {_in_one_line(error)}"
            except Exception as error:  # a session that broke, an account closed meanwhile: the client tries again
                traceback.print_exc()
                return f"451 4.3.0 The copy was not filed: {_in_one_line(error)}"
        with self._lock:
            self.posted.append(posted)
        return None

    def _make_own(self, mail: Mail, account: Account, change: Change) -> None:
        """Where the provider does so: put the login's address in place of a sender that is none of its own."""
        if self.provider.foreign_sender != "rewrite":
            return
        own = (account.address.lower(), *account.aliases)
        if mail.sender.lower() not in own:
            mail.sender = account.address
            change.set_sender(account.address)
        name, address = parseaddr(mail.header("From"))
        if address.lower() in own:
            return
        value = " " + formataddr((name, account.address))
        change.set_header("From", value)
        mail.headers = [(found, value if found.lower() == "from" else old) for found, old in mail.headers]

"""One far provider at work: its Dovecot and its Postfix, its accounts, and what it does with mail by habit."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Any

import jinja2

from tests.lab.authority import Certificate
from tests.lab.daemonroot import DaemonRoot
from tests.lab.mailboxes import Mailbox, MailboxError
from tests.lab.milter import Change, Habits, Mail, Milter
from tests.lab.processes import LabError, end
from tests.lab.providers import INBOX, Provider, provider_of

TEMPLATES = Path(__file__).parent / "templates"
QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")
START_LIMIT = 20.0
"""Seconds that the daemons may take to listen."""
ROOMY = 15 << 30
"""Bytes an account may hold unless said otherwise."""


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
    bytes of the message, `header_from` what it said in From: when it came.
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
class Login:
    """An attempt to log in: `how` is ok, wrong (password or name) or ordinary (password where an app's is due)."""

    when: float
    service: str
    how: str

    @property
    def ok(self) -> bool:
        """Whether it was let in."""
        return self.how == "ok"


@dataclass(frozen=True)
class Rule:
    """A reason to refuse mail. `stage` is mail, rcpt, data (the command) or message (after its end); `sender` and
    `recipient` are shell patterns; `times` is how often it still applies, None for ever."""

    stage: str
    reply: str
    sender: str = "*"
    recipient: str = "*"
    times: int | None = None


class MailProvider(Habits):
    """A provider in a root directory. Its daemons start with the first that needs them."""

    def __init__(self, provider: Provider, root: DaemonRoot, certificate: Certificate) -> None:
        self.provider = provider
        self.root = root
        self.size_limit = provider.size_limit
        self.accounts: dict[str, Account] = {}
        self.posted: list[Posted] = []
        self.rules: list[Rule] = []
        self._homes: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._mailboxes: dict[str, Mailbox] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._milter: Milter | None = None
        self._lock = threading.RLock()
        self._lay_out(certificate)

    # ---- the daemons

    def _lay_out(self, certificate: Certificate) -> None:
        name, place = self.provider.name, self.root.directory
        place(f"/etc/{name}")
        for directory in (f"/srv/mail/{name}", f"/run/{name}", f"/var/lib/{name}"):
            place(directory)
        place(f"/srv/mail/{name}", "vmail")
        place(f"/var/log/{name}", mode=0o777)
        place(f"/var/lib/{name}/postfix", "postfix", 0o700)
        spool = f"/var/spool/{name}"
        for queue in QUEUES:
            place(f"{spool}/{queue}", "postfix", 0o700)
        place(f"{spool}/private", "postfix", 0o700)
        place(f"{spool}/pid")
        place(f"{spool}/maildrop", "postfix", 0o730, "postdrop")
        place(f"{spool}/public", "postfix", 0o710, "postdrop")
        shutil.copyfile(certificate.certificate, self.root.inside(f"/etc/{name}/server.pem"))
        self.root.write(f"/etc/{name}/server.key", certificate.key.read_text(), 0o600)
        for log, mode in (("logins", 0o666), ("dovecot.log", 0o644), ("postfix.log", 0o666)):
            path = self.root.logs / name / log
            path.touch()
            path.chmod(mode)
        for file in ("dovecot.conf", "accounts.lua", "refusal.lua", "everything.sieve", "main.cf", "master.cf"):
            self._render(file)
        self._write_accounts()

    def _render(self, file: str) -> None:
        """Write one configuration file from its template; `{{ }}` in it knows the provider and its present limit."""
        loader = jinja2.FileSystemLoader(TEMPLATES)
        environment = jinja2.Environment(
            loader=loader, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
        )
        text = environment.get_template(f"{file}.j2").render(
            provider=self.provider,
            size_limit=self.size_limit,
            plain_imap=any(port.number == 143 for port in self.provider.ports),
            greeting="Gimap ready for requests" if self.provider.name == "gmail" else "IMAP4rev1 ready",
            quota_exceeded="Quota exceeded (mailbox for user is full)",
        )
        self.root.write(f"/etc/{self.provider.name}/{file}", text)

    def start(self) -> None:
        """Start the daemons unless they run; returns when they listen. Raises LabError when they do not."""
        with self._lock:
            if self._processes:
                return
            name = self.provider.name
            private = self.root.inside(f"/var/spool/{name}/private")
            self._milter = Milter(private / "habits", self)
            commands = {
                "dovecot": ("/usr/sbin/dovecot", "-F", "-c", f"/etc/{name}/dovecot.conf"),
                "postfix": ("/usr/lib/postfix/sbin/master", "-d", "-c", f"/etc/{name}"),
            }
            for daemon, words in commands.items():
                with (self.root.logs / name / f"{daemon}.out").open("ab") as out:
                    self._processes[daemon] = self.root.start(*words, stdout=out, stderr=out)
            self._wait_for("dovecot", private / "auth")
            self._wait_for("postfix", self.root.inside(f"/var/spool/{name}/pid/master.pid"))
            self._wait_for("postfix", private / "../public/showq")

    def _wait_for(self, daemon: str, sign: Path) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not sign.exists():
            ended = self._processes[daemon].poll()
            if ended is not None or time.monotonic() > deadline:
                logs = self.root.logs / self.provider.name
                said = [(logs / f"{daemon}.{kind}").read_text(errors="replace")[-600:] for kind in ("out", "log")]
                self.stop()
                raise LabError(f"{daemon} of {self.provider.name} does not start: {' '.join(said).strip()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the daemons, the sessions and the filter."""
        with self._lock:
            for mailbox in self._mailboxes.values():
                mailbox.close()
            self._mailboxes.clear()
            for process in self._processes.values():
                end(process, patience=5.0)
                with suppress(ProcessLookupError):  # what is left of its session
                    os.killpg(process.pid, signal.SIGKILL)
            self._processes.clear()
            if self._milter is not None:
                self._milter.close()
                self._milter = None

    @property
    def running(self) -> bool:
        """Whether its daemons were started."""
        return bool(self._processes)

    def set_size_limit(self, size: int) -> None:
        """Take messages up to `size` bytes from now on."""
        with self._lock:
            self.size_limit = size
            self._render("main.cf")
            if self.running:
                self._processes["postfix"].send_signal(signal.SIGHUP)

    def clear(self) -> None:
        """Forget accounts, mail, rules and what was posted; the queues are to be empty, and nothing to come in."""
        with self._lock:
            for address in list(self.accounts):
                self._forget(address)
            self._write_accounts()
            self.posted.clear()
            self.rules.clear()
            if self.size_limit != self.provider.size_limit:
                self.set_size_limit(self.provider.size_limit)
            (self.root.logs / self.provider.name / "logins").write_text("")

    def empty_queues(self) -> int:
        """Remove what waits or is on its way; returns how many files it was."""
        spool = self.root.inside(f"/var/spool/{self.provider.name}")
        found = [path for queue in QUEUES for path in (spool / queue).rglob("*") if path.is_file()]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    # ---- accounts and mailboxes

    def account(self, address: str) -> Account:
        """The account of an address; raises LabError when there is none."""
        found = self.accounts.get(self.canonical(address))
        if found is None:
            known = ", ".join(self.accounts) or "none"
            raise LabError(f"{self.provider.name} has no account {address}; it has: {known}")
        return found

    def canonical(self, address: str) -> str:
        """An address as accounts are kept by: in lower case, and at Gmail without `+` and what follows."""
        local, _, domain = address.lower().rpartition("@")
        return f"{local.partition('+')[0]}@{domain}" if self.provider.foreign_sender == "rewrite" else address.lower()

    def set_account(self, account: Account) -> None:
        """Add an account, or replace the one with its address."""
        with self._lock:
            if provider_of(account.address) is not self.provider:
                raise LabError(f"{account.address} is not an address of {self.provider.name}")
            name = account.address.lower()
            self.accounts[name] = account
            if name not in self._homes:
                self._homes[name] = f"/srv/mail/{self.provider.name}/{next(self._numbers)}"
            self._write_accounts()

    def change_account(self, address: str, **changes: Any) -> None:
        """Change some of an account's properties; sessions that run are ended where they would not notice."""
        with self._lock:
            before = self.account(address)
            self.set_account(replace(before, **changes))
            if "quota" in changes or "full" in changes:
                self.kick(address)

    def remove_account(self, address: str) -> None:
        """Remove an account with its mail."""
        with self._lock:
            gone = self.account(address)
            self.kick(gone.address)
            self._forget(gone.address.lower())
            self._write_accounts()

    def _forget(self, name: str) -> None:
        """Drop an account and its mail. A session that still runs may go on there: nobody else gets that place."""
        del self.accounts[name]
        home = self.root.inside(self._homes.pop(name))
        mailbox = self._mailboxes.pop(name, None)
        if mailbox is not None:
            mailbox.close()
        shutil.rmtree(home, ignore_errors=True)

    def kick(self, address: str) -> None:
        """End an account's IMAP sessions."""
        with self._lock:
            mailbox = self._mailboxes.pop(address.lower(), None)
            if mailbox is not None:
                mailbox.close()
            if self.running:
                words = ("/usr/bin/doveadm", "-c", f"/etc/{self.provider.name}/dovecot.conf", "kick", address.lower())
                with suppress(LabError):  # there is no session
                    self.root.run(*words)

    def mailbox(self, address: str) -> Mailbox:
        """The mailbox of an account, past its login."""
        self.start()
        with self._lock:
            name = self.account(address).address.lower()
            if name not in self._mailboxes:
                self._mailboxes[name] = Mailbox(self.root, f"/etc/{self.provider.name}/dovecot.conf", name)
            return self._mailboxes[name]

    def file(
        self, address: str, messages: Sequence[bytes], folder: str, flags: tuple[str, ...], date: float | None
    ) -> list[int]:
        """Put messages into a folder, and where the provider keeps all mail in one folder, into that; their UIDs."""
        mailbox = self.mailbox(address)
        lines = [re.sub(rb"\r?\n", b"\r\n", message) for message in messages]
        uids = mailbox.put(lines, folder, flags, date)
        if self.provider.all_folder and folder in (INBOX, self.provider.sent_folder):
            mailbox.put(lines, self.provider.all_folder, flags, date)
        return uids

    def renumber(self, address: str, folder: str) -> None:
        """Give a folder a new UIDVALIDITY, and its messages UIDs from 1 on, as after a restore from a backup."""
        old = self.mailbox(address).uidvalidity(folder)
        self.kick(address)
        place = self._home(address) / "Maildir" / folder
        for path in [*place.glob("dovecot-uidlist*"), *place.glob("dovecot.index*")]:
            path.unlink()
        for path in self._home(address).joinpath("Maildir").glob("dovecot.list.index*"):
            path.unlink()
        if self.mailbox(address).uidvalidity(folder) == old:
            raise LabError(f"{folder} of {address} kept its UIDVALIDITY")

    def _home(self, address: str) -> Path:
        return self.root.inside(self._homes[address.lower()])

    def _write_accounts(self) -> None:
        lines = []
        for name, account in self.accounts.items():
            home = self._homes[name]
            quota = 1 if account.full else account.quota
            lines.append(f"{name}\t{account.password}\t{account.ordinary}\t{quota}\t{home}\n")
        self.root.write(f"/etc/{self.provider.name}/accounts", "".join(lines))

    def logins(self, address: str) -> list[Login]:
        """The attempts to log in as an address, also with a wrong password, oldest first."""
        text = (self.root.logs / self.provider.name / "logins").read_text()
        rows = [line.split("\t") for line in text.splitlines()]
        return [Login(float(row[0]), row[1], row[3]) for row in rows if row[2] == address.lower()]

    # ---- habits

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
            account = self.accounts.get(mail.login)
            own = account is not None and mail.sender.lower() in (account.address.lower(), *account.aliases)
            if not own and self.provider.foreign_sender == "refuse":
                return f"550 5.7.60 SMTP; Client does not have permissions to send as this sender: {mail.sender}"
        return self._refusal("mail", mail.sender, ())

    def recipient(self, mail: Mail, address: str) -> str | None:
        """Refuse people who do not exist here, and those whose mailbox is full."""
        domain = address.rpartition("@")[2].lower()
        if domain in self.provider.domains and mail.port == "mx":
            account = self.accounts.get(self.canonical(address))
            if account is None:
                return self.provider.unknown_person
            if account.full:
                return "552 5.2.2 The email account that you tried to reach is over quota"
        return self._refusal("rcpt", mail.sender, (address,))

    def data(self, mail: Mail) -> str | None:
        """Refuse by the tests' rules."""
        return self._refusal("data", mail.sender, tuple(mail.recipients))

    def message(self, mail: Mail, change: Change) -> str | None:
        """Keep what was taken for the tests to see, and file a copy where the provider does so unasked."""
        refusal = self._refusal("message", mail.sender, tuple(mail.recipients))
        if refusal:
            return refusal
        said = mail.header("From")
        account = self.accounts.get(mail.login)
        if account is not None:
            self._make_own(mail, account, change)
        content = mail.content()
        posted = Posted(
            provider=self.provider.name,
            login=mail.login,
            client=mail.client,
            sender=mail.sender,
            recipients=tuple(mail.recipients),
            header_from=said,
            message_id=mail.header("Message-ID"),
            subject=mail.header("Subject"),
            when=time.time(),
            size=len(content),
            message=content,
        )
        with self._lock:
            self.posted.append(posted)
        if account is not None and self.provider.sent_folder:
            try:
                self.file(account.address, [content], self.provider.sent_folder, ("\\Seen",), None)
            except MailboxError as error:  # such as a full mailbox
                return f"452 4.2.2 {error}"
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

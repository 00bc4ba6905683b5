"""One far provider at work: its Dovecot and its Postfix, its accounts and their mailboxes."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from tests.lab.authority import Certificate
from tests.lab.daemonroot import DaemonRoot
from tests.lab.habits import Account, ProviderHabits
from tests.lab.mailboxes import Mailbox
from tests.lab.milter import Milter
from tests.lab.processes import LabError, end, run, short
from tests.lab.providers import INBOX, Provider, provider_of
from tests.lab.tokens import TokenBook
from tests.lab.tokenserver import INTROSPECTION

TEMPLATES = Path(__file__).parent / "templates"
QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")
START_LIMIT = 20.0
"""Seconds that the daemons may take to listen."""


@dataclass(frozen=True)
class Login:
    """An attempt to log in: `how` is ok, wrong (password, name or token) or ordinary (password where an app's is due).

    `service` is imap, smtp, or token: one that is good no more, for either. Those that were never given are nobody's
    attempts, and not among these."""

    when: float
    service: str
    how: str

    @property
    def ok(self) -> bool:
        """Whether it was let in."""
        return self.how == "ok"


class MailProvider:
    """A provider in a root directory. Its daemons start with the first that needs them."""

    def __init__(self, provider: Provider, root: DaemonRoot, certificate: Certificate) -> None:
        self.provider = provider
        self.root = root
        self.size_limit = provider.size_limit
        self.accounts: dict[str, Account] = {}
        self.habits = ProviderHabits(provider, self.accounts, self._file_sent)
        self._homes: dict[str, str] = {}
        self._kept: dict[str, tuple[Account, Path]] = {}
        self._numbers = itertools.count(1)
        self._mailboxes: dict[str, Mailbox] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._milter: Milter | None = None
        self._lock = threading.RLock()
        self.tokens = None if provider.tokens is None else TokenBook(provider.tokens, self._note_refused_token)
        self._lay_out(certificate)

    # ---- the daemons

    def _lay_out(self, certificate: Certificate) -> None:
        name, place = self.provider.name, self.root.directory
        place(f"/etc/{name}")
        for directory in (f"/srv/mail/{name}", f"/run/{name}", f"/var/lib/{name}"):
            place(directory)
        place(f"/srv/mail/{name}", "vmail")
        place(f"/var/lib/{name}/postfix", "postfix", 0o700)
        spool = f"/var/spool/{name}"
        for queue in QUEUES:
            place(f"{spool}/{queue}", "postfix", 0o700)
        place(f"{spool}/private", "postfix", 0o700)
        place(f"{spool}/pid")
        place(f"{spool}/maildrop", "postfix", 0o730, "postdrop")
        place(f"{spool}/public", "postfix", 0o710, "postdrop")
        self._show(certificate)
        for log, mode in (("logins", 0o666), ("dovecot.log", 0o644), ("postfix.log", 0o666)):
            path = self._log(log)
            path.touch()
            path.chmod(mode)
        for file in ("dovecot.conf", "accounts.lua", "refusal.lua", "everything.sieve", "main.cf", "master.cf"):
            self._render(file)
        self._write_accounts()

    def _log(self, name: str) -> Path:
        """Where one of its logs is; names in one flat directory, so that a bundle can hold all."""
        return self.root.logs / f"{self.provider.name}-{name}"

    def _show(self, certificate: Certificate) -> None:
        place = f"/etc/{self.provider.name}"
        self.root.write(f"{place}/server.key", certificate.key.read_text(), 0o600)
        self.root.write(f"{place}/server.pem", certificate.certificate.read_text())

    def show(self, certificate: Certificate) -> None:
        """Present another certificate; connections that begin a moment later see it."""
        with self._lock:
            self._show(certificate)
            if not self.running:
                return
            before = self._who_knows_passwords()
            self._processes["dovecot"].send_signal(signal.SIGHUP)
            deadline = time.monotonic() + START_LIMIT
            while self._who_knows_passwords() in ("", before):  # a server of Postfix that finds nobody there dies
                if time.monotonic() > deadline:
                    raise LabError(f"dovecot of {self.provider.name} does not take its certificate")
                time.sleep(0.01)
            self._processes["postfix"].send_signal(signal.SIGHUP)

    def _who_knows_passwords(self) -> str:
        """The process that Postfix asks, by the SPID of Dovecot's auth-protocol, which has it in the first lines."""
        with (
            socket.socket(socket.AF_UNIX) as caller,
            short(self.root.inside(f"/var/spool/{self.provider.name}/private/auth")) as name,
            suppress(OSError),
        ):
            caller.settimeout(1.0)
            caller.connect(name)
            caller.sendall(b"VERSION\t1\t2\nCPID\t%d\n" % os.getpid())
            said = b""
            while (more := caller.recv(4096)) and b"\nDONE\n" not in (said := said + more):
                pass
            if found := re.search(rb"^SPID\t(\d+)\n(?s:.*)^DONE$", said, re.MULTILINE):
                return found[1].decode()
        return ""

    def _render(self, file: str) -> None:
        """Write one configuration file from its template; `{{ }}` in it knows the provider and its present limit."""
        loader = jinja2.FileSystemLoader(TEMPLATES)
        environment = jinja2.Environment(
            loader=loader, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
        )
        text = environment.get_template(f"{file}.j2").render(
            provider=self.provider,
            size_limit=self.size_limit,
            introspection_port=INTROSPECTION,
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
            self._milter = Milter(private / "habits", self.habits)
            commands = {
                "dovecot": ("/usr/sbin/dovecot", "-F", "-c", f"/etc/{name}/dovecot.conf"),
                "postfix": ("/usr/lib/postfix/sbin/master", "-d", "-c", f"/etc/{name}"),
            }
            for daemon, words in commands.items():
                with self._log(f"{daemon}.out").open("ab") as out:
                    self._processes[daemon] = self.root.start(*words, stdout=out, stderr=out)
            self._wait_for("dovecot", private / "auth")
            self._wait_for("postfix", self.root.inside(f"/var/spool/{name}/pid/master.pid"))
            self._wait_for("postfix", private / "../public/showq")

    def _wait_for(self, daemon: str, sign: Path) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not sign.exists():
            ended = self._processes[daemon].poll()
            if ended is not None or time.monotonic() > deadline:
                said = [self._log(f"{daemon}.{kind}").read_text(errors="replace")[-600:] for kind in ("out", "log")]
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
        """Take messages up to `size` bytes; connections that begin a moment later are told so."""
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
            self.habits.clear()
            if self.tokens is not None:
                self.tokens.clear()
            if self.size_limit != self.provider.size_limit:
                self.set_size_limit(self.provider.size_limit)
            self._log("logins").write_text("")

    def keep(self) -> None:
        """Remember the accounts and their mail as they are, numbers of folders and mails included."""
        with self._lock:
            shutil.rmtree(self.root.inside(f"/srv/kept/{self.provider.name}"), ignore_errors=True)
            self._kept = {}
            for number, (name, account) in enumerate(self.accounts.items()):
                self.kick(name)
                copy = self.root.inside(f"/srv/kept/{self.provider.name}/{number}")
                copy.parent.mkdir(parents=True, exist_ok=True)
                if self._home(name).exists():
                    run("cp", "-a", self._home(name), copy)
                self._kept[name] = (account, copy)

    def take_back(self) -> None:
        """Clear, and have the accounts and mail that were kept again."""
        with self._lock:
            self.clear()
            for name, (account, copy) in self._kept.items():
                self.accounts[name] = account
                self._homes[name] = self._new_home()
                if copy.exists():
                    run("cp", "-a", copy, self._home(name))
            self._write_accounts()

    def _new_home(self) -> str:
        return f"/srv/mail/{self.provider.name}/{next(self._numbers)}"

    def empty_queues(self) -> list[Path]:
        """Remove what waits or is on its way; returns the files that it was."""
        spool = self.root.inside(f"/var/spool/{self.provider.name}")
        found = [path for queue in QUEUES for path in (spool / queue).rglob("*") if path.is_file()]
        for path in found:
            path.unlink(missing_ok=True)
        return found

    # ---- accounts and mailboxes

    def account(self, address: str) -> Account:
        """The account of an address; raises LabError when there is none."""
        found = self.accounts.get(self.habits.canonical(address))
        if found is None:
            known = ", ".join(self.accounts) or "none"
            raise LabError(f"{self.provider.name} has no account {address}; it has: {known}")
        return found

    def set_account(self, account: Account) -> None:
        """Add an account, or replace the one with its address."""
        with self._lock:
            if provider_of(account.address) is not self.provider:
                raise LabError(f"{account.address} is not an address of {self.provider.name}")
            name = account.address.lower()
            self.accounts[name] = account
            if name not in self._homes:
                self._homes[name] = self._new_home()
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

    def _file_sent(self, address: str, message: bytes, folder: str) -> None:
        self.file(address, [message], folder, ("\\Seen",), None)

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

    def _note_refused_token(self, address: str) -> None:
        with self._log("logins").open("a") as log:
            log.write(f"{time.time():.0f}\ttoken\t{address}\twrong\n")

    def logins(self, address: str) -> list[Login]:
        """The attempts to log in as an address, also with a wrong password, oldest first."""
        text = self._log("logins").read_text()
        rows = [line.split("\t") for line in text.splitlines()]
        return [Login(float(row[0]), row[1], row[3]) for row in rows if row[2] == address.lower()]

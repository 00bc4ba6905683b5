"""A node with people and their accounts, and what tests do to it: the command, mail apps in the village, waiting."""

from __future__ import annotations

import csv
import email
import email.policy
import imaplib
import io
import json
import random
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any

from tests.conftest import SEED
from tests.lab.machine import Machine, MachineFailure
from tests.lab.world import World

chance = random.Random(f"{SEED} people")

SERVICES = ("mojomaild", "postfix", "dovecot", "nginx", "php8.4-fpm")
ASK_DAEMON = (
    'perl -MIO::Socket::UNIX -e \'$s = IO::Socket::UNIX->new("/run/mojomail/control") or exit;'
    " print $s scalar <STDIN>; $s->flush; print scalar <$s>'"
)
PAST_THE_WIZARD = """
systemctl stop mojomail-firstboot.service
install -d -m 700 /var/lib/mojomail/firstboot
touch /var/lib/mojomail/firstboot/done
rm -f /run/mojomail-setting-up
nft -f /etc/nftables.conf
systemctl start --no-block mojomail-tv.service
"""
"""What is left of the wizard once a node is set up: the state screen."""
QUIET = (
    "! systemctl --quiet is-active 'mojomail-sync-*' && [ -z \"$(ss --no-header --tcp --numeric"
    " exclude listening exclude time-wait '( dport = :993 or dport = :465 or dport = :587 )')\" ]"
)
"""Whether no run is on, and no connection to a provider open or being closed."""
ARRIVES = 180.0
"""Seconds that mail may take on a good link, when the emulated node has to begin a run for it."""


def letters(count: int) -> str:
    """A secret of small letters, as Google makes app passwords."""
    return "".join(chance.choices(string.ascii_lowercase, k=count))


@dataclass(frozen=True)
class Villager:
    """A person of the village; `secrets` are the app passwords by address, the first address first."""

    login: str
    name: str
    language: str
    password: str
    secrets: dict[str, str]

    @property
    def addresses(self) -> list[str]:
        """The addresses, the usual one first."""
        return list(self.secrets)


ASHA = Villager(
    "asha", "Asha Devi", "hi", letters(14), {"asha@gmail.com": letters(16), "asha.devi@yahoo.com": letters(16)}
)
RAVI = Villager("ravi", "Ravi ಕುಮಾರ್", "kn", letters(14), {"ravi@example.org": letters(16)})
VILLAGE = (ASHA, RAVI)

FRIEND = "friend@outlook.com"
"""Somebody far away."""
SERVERS = {"example.org": ("generic", "imap.example.org 993 tls", "smtp.example.org 587 starttls")}
"""What has to be told of a provider that there is no preset for."""


def letter(sender: str, *recipients: str, subject: str, text: str = "hello\n", date: str | None = None) -> EmailMessage:
    """A mail with a Message-ID of its own."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(recipients), subject
    mail["Message-ID"] = make_msgid(domain="far.example")
    mail["Date"] = date or "Sun, 22 Nov 2026 10:00:00 +0530"
    mail.set_content(text)
    return mail


def parsed(content: bytes) -> EmailMessage:
    """A mail as it was fetched."""
    found = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


class MailOffice:
    """The booted node with its people. `ca` is the file with the node's own authority, which village phones trust."""

    def __init__(self, node: Machine, world: World, ca: Path) -> None:
        self.node, self.world, self.ca = node, world, ca
        self._apps: dict[str, imaplib.IMAP4] = {}

    def hang_up(self) -> None:
        """Close all mail apps: the node they spoke to is not what it was."""
        for app in self._apps.values():
            app.shutdown()
        self._apps.clear()

    # ---- the keeper's side

    def ask(self, *words: str, secret: str = "", limit: float = 120.0, code: int = 0) -> Any:
        """What `mojomail WORDS --json` answers; asserts its exit code. `secret` is handed in unseen."""
        line = " ".join(f"'{word}'" for word in ("mojomail", *words, "--json"))
        result = self.node.execute(line, limit, stdin=f"{secret}\n".encode() if secret else b"")
        assert result.code == code, f"{line}: {result.code}\n{result.stdout}\n{result.stderr}"
        return json.loads(result.stdout) if result.stdout.strip() else {}

    def daemon(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """What mojomaild answers on its control socket: as the command would ask, without Python's start each time."""
        question = json.dumps({"v": 1, "do": verb, **arguments})
        result = self.node.execute(ASK_DAEMON, 60, stdin=f"{question}\n".encode())
        try:
            answer: dict[str, Any] = json.loads(result.stdout)
        except ValueError:
            return {}  # it is not there at the moment
        return answer

    def take_in(self, villagers: Sequence[Villager]) -> None:
        """Add people with all accounts, which are there at the far side, by one table as for a whole village."""
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(("login", "name", "language", "password", "address", "provider", "secret", "imap", "smtp"))
        for one in villagers:
            for number, (address, secret) in enumerate(one.secrets.items()):
                person = (one.name, one.language, one.password) if number == 0 else ("", "", "")
                servers = SERVERS.get(address.partition("@")[2], ("", "", ""))
                writer.writerow((one.login, *person, address, servers[0], secret, *servers[1:]))
        self.ask("person", "import", "-", secret=table.getvalue().rstrip("\n"))

    def open_far_accounts(self) -> None:
        """Open everybody's accounts at the providers."""
        self.world.internet.add_account(FRIEND, "afriendspassword")
        for villager in VILLAGE:
            for address, secret in villager.secrets.items():
                self.world.internet.add_account(address, secret)

    def fetched(self, villager: Villager) -> bool:
        """Whether each account of a person has been fetched at least once."""
        return all(one.get("synced_at") for one in self.daemon("status", person=villager.login).get("accounts", [{}]))

    def outbox(self, villager: Villager | None = None) -> list[dict[str, Any]]:
        """The outbox of a person, or everybody's."""
        return list(self.daemon("outbox", **({"person": villager.login} if villager else {})).get("mails", []))

    def waiting(self, message_id: str) -> dict[str, Any]:
        """A mail of the outbox by its Message-ID, {} when it is not there."""
        return next((mail for mail in self.outbox() if mail["message_id"] == message_id), {})

    def wait_for_outbox(self, message_id: str, state: str, why: str | None = None, limit: float = ARRIVES) -> Any:
        """Wait until a mail is shown in this state, for this reason."""
        last: dict[str, Any] = {}

        def there() -> dict[str, Any]:
            nonlocal last
            last = self.waiting(message_id)
            fits = last.get("state") == state and (why is None or last.get("why") == why)
            return last if fits else {}

        what = " ".join(word for word in (message_id, state, why) if word)
        return self._wait_and_tell(there, what, limit, lambda: f"the outbox has {last or 'no such mail'}")

    def link(self, up: bool) -> None:
        """Bring the way out, or take it away: the cable of the uplink."""
        self.node.link(up, card="uplink")
        self.wait_for_link(up)

    def trouble(self, villager: Villager, address: str) -> str | None:
        """What is wrong with fetching an account, as the daemon tells it; None for nothing."""
        told = self.daemon("status", person=villager.login).get("accounts", [])
        return next((one["trouble"] for one in told if one["address"] == address), None)

    def wait_for_link(self, up: bool) -> None:
        """Wait until the node knows of it."""
        self.node.wait_until(
            lambda: self.daemon("status").get("link", {}).get("up") is up,
            90,
            f"the link being {'up' if up else 'down'}",
        )

    def sync(self, villager: Villager) -> None:
        """The person wants the mail now."""
        self.daemon("sync", person=villager.login, insist=True)

    def fetch(self, villager: Villager, limit: float = ARRIVES) -> None:
        """The person wants the mail now; wait until every account has had a turn, each at most `limit` seconds."""

        def tried() -> dict[str, Any]:
            told = self.daemon("status", person=villager.login).get("accounts", [])
            return {one["address"]: one["tried_at"] for one in told}

        before = tried()
        self.sync(villager)

        def over() -> bool:
            now = tried()
            return all(address in now and now[address] != before.get(address) for address in villager.secrets)

        self.node.wait_until(over, limit * len(villager.secrets), f"a turn of each account of {villager.login}")

    def carried_when_quiet(self, provider: str, limit: float = ARRIVES) -> int:
        """Bytes of IP to and from a provider since the counts were reset, once nobody speaks to one any more."""
        self.node.wait_until(QUIET, limit, "the end of all that is said to providers")
        counts = self.world.uplink.counts()[provider]
        return counts.to_far + counts.from_far

    # ---- the people's side

    @contextmanager
    def imap(self, villager: Villager) -> Iterator[imaplib.IMAP4]:
        """The person's mail app, logged in; it stays so, as apps do. One that lost its node logs in again."""
        app = self._apps.pop(villager.login, None)
        try:
            if app is not None:
                app.noop()
        except (imaplib.IMAP4.error, OSError):
            app = None
        if app is None:
            app = self.world.village.imap(ca=self.ca, limit=60)
            app.login(villager.login, villager.password)
        yield app
        self._apps[villager.login] = app

    def mails(self, villager: Villager, folder: str = "INBOX") -> list[EmailMessage]:
        """All mails in a folder, oldest first."""
        return [parsed(content) for content in self.raw_mails(villager, folder)]

    def raw_mails(self, villager: Villager, folder: str = "INBOX") -> list[bytes]:
        """All mails in a folder, as they are."""
        with self.imap(villager) as app:
            kind, count = app.select(f'"{folder}"', readonly=True)
            if kind != "OK" or count[0] == b"0":
                return []
            _, data = app.fetch("1:*", "(BODY.PEEK[])")
            return [part[1] for part in data if isinstance(part, tuple)]

    def subjects(self, villager: Villager, folder: str = "INBOX") -> list[str]:
        """The subjects in a folder."""
        return [str(mail["Subject"]) for mail in self.mails(villager, folder)]

    def wait_for_mail(
        self, villager: Villager, subject: str, folder: str = "INBOX", limit: float = ARRIVES
    ) -> EmailMessage:
        """Wait until a mail is there; gives it."""

        def there() -> EmailMessage | None:
            with suppress(imaplib.IMAP4.error, OSError):  # the node is on its way up
                return next((mail for mail in self.mails(villager, folder) if mail["Subject"] == subject), None)
            return None

        found: EmailMessage = self.node.wait_until(there, limit, f"{subject!r} in {folder} of {villager.login}")
        return found

    def wait_until_gone(self, villager: Villager, subject: str, limit: float = 3 * ARRIVES) -> None:
        """Wait until no mail of that subject is in the inbox any more."""

        def gone() -> bool:
            with suppress(imaplib.IMAP4.error, OSError):
                return subject not in self.subjects(villager)
            return False

        self.node.wait_until(gone, limit, f"{subject!r} being gone from the inbox of {villager.login}")

    def send(self, villager: Villager, mail: EmailMessage, port: int = 465) -> str:
        """Hand in a mail as the person's mail app does; gives its Message-ID."""
        with self.world.village.smtp(port=port, ca=self.ca, limit=120) as app:
            app.login(villager.login, villager.password)
            app.send_message(mail)
        return str(mail["Message-ID"])

    def arrived(self, address: str, subject: str) -> list[Any]:
        """What was taken at an address with that subject."""
        return [mail for mail in self.world.internet.arrived(address) if mail.subject == subject]

    def wait_for_arrival(self, address: str, subject: str, limit: float = ARRIVES) -> Any:
        """Wait until a mail has arrived far away."""
        return self._wait_and_tell(
            lambda: self.arrived(address, subject),
            f"{subject!r} at {address}",
            limit,
            lambda: f"the outbox has {self.outbox()}",
        )[0]

    def wait_until(self, condition: Callable[[], Any], what: str, limit: float = ARRIVES) -> Any:
        """Wait for anything else."""
        return self.node.wait_until(condition, limit, what)

    def _wait_and_tell(self, condition: Callable[[], Any], what: str, limit: float, instead: Callable[[], str]) -> Any:
        """Wait; only when it was in vain, ask `instead` what there is by then, for the error's first line."""
        try:
            return self.node.wait_until(condition, limit, what)
        except MachineFailure as failure:
            try:
                found = instead()
            except MachineFailure:  # a node that is off cannot tell
                found = "the node does not answer"
            raise AssertionError(f"{what}; {found}\n{failure}") from None


def set_up(node: Machine, world: World, directory: Path) -> MailOffice:
    """Take the village's people in on a node that is up, and fetch their mail once. `directory` is for the CA's file.

    What the set-up of a real node does, by the same commands: trust the lab's authority, name the way out.
    """
    for name in SERVICES:
        node.wait_for_unit(f"{name}.service")
    if node.execute("systemctl cat mojomail-firstboot.service").code == 0:
        node.succeed(PAST_THE_WIZARD, limit=120)
    world.trusted_by(node)
    node.succeed("nmcli connection add type ethernet ifname eth1 con-name way-out connection.zone uplink")
    node.succeed("nmcli --wait 60 connection up way-out", limit=90)
    ca = directory / "node-ca.crt"
    ca.write_bytes(node.read_file("/etc/ssl/mojomail/ca.crt"))
    office = MailOffice(node, world, ca)
    office.open_far_accounts()
    office.take_in(VILLAGE)
    office.wait_for_link(True)
    for villager in VILLAGE:
        node.wait_until(lambda who=villager: office.fetched(who), 600, f"mail of {villager.login} fetched once")
    return office

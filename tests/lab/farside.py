"""The internet of the lab: the far providers under their real names and ports, and the name server that knows them.

Everything a test does to them goes through `Internet`. It lives in the world's internet namespace; its arguments and
answers are plain data, so that it can be called from outside of it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from imagebuilder.cache import default_cache
from tests.lab import netns
from tests.lab.authority import Authority
from tests.lab.daemonroot import DaemonRoot
from tests.lab.daemontree import find_tree
from tests.lab.front import Fault, Front, Gate
from tests.lab.habits import Account, Posted, Rule
from tests.lab.mailboxes import Message
from tests.lab.mailprovider import Login, MailProvider
from tests.lab.nameserver import ADDRESS, Nameserver
from tests.lab.processes import LabError, run
from tests.lab.providers import INBOX, PROVIDERS, provider_of
from tests.lab.tokens import TokenBook
from tests.lab.tokenserver import TokenServer

UPLINK = f"{ADDRESS}/24"
PROVIDERS_NET = "203.0.113.1/24"
SERVICES: dict[str, tuple[str, ...]] = {"imap": ("imap",), "smtp": ("smtp",), "mx": ("mx",), "web": ("web",)}
SERVICES["all"] = tuple(SERVICES)
"""What `service` may be: the mailbox's port, the one for sending, the one other providers deliver to, the one that
gives tokens, or all."""
QUIET = 0.1
"""Seconds without a new file after which queues count as empty, bounces of what was in them included."""
QUIET_LIMIT = 60.0
"""Seconds that mail may go on coming into queues that are being emptied; on a busy host it is over in a few."""
CERTIFICATES = ("good", "nameless", "wrong")
FAULTS = ("refuse", "drop", "hang")


def _nothing() -> None:
    """What has to be ready before a token server is: it runs from the start."""


def authority() -> Authority:
    """The lab's certificate authority, which images under test are to trust."""
    return Authority(default_cache().path / "farside" / "authority")


class Internet:
    """All far providers. Made and started in the internet's network namespace, by root of the world's.

    `work` is a directory for this run, with the daemons' logs in `work/logs`; `interface` is the uplink's, whose
    DHCP and name server are at 192.0.2.1; `seed` makes chance the same each time. The tree of programs must have
    been made (daemontree.make_tree), as there are no package sources where this runs.
    """

    def __init__(self, work: Path, interface: str, seed: int | str) -> None:
        self._work = work
        self._interface = interface
        self._seed = seed
        self._root = DaemonRoot(work, find_tree())
        self._undo = ExitStack()
        self._dropped: set[str] = set()
        self._uncommon: set[str] = set()
        """Providers whose certificate is not the good one."""
        self.logs = self._root.logs

    def start(self) -> None:
        """Open all ports and answer for all names. The daemons of a provider start when they are first needed."""
        netns.add_address("lo:1", PROVIDERS_NET)
        netns.add_address(self._interface, UPLINK)
        for provider in PROVIDERS.values():  # Postfix wants its address to be one of an interface
            netns.add_address(f"lo:p{provider.number}", f"{provider.loopback}/32")
        lab = authority()
        with ExitStack() as undo:
            self._root.mount()
            undo.callback(self._root.unmount)
            names: dict[str, str] = {}
            exchangers: dict[str, str] = {}
            self._front = Front(self._seed)
            undo.callback(self._front.close)
            self._providers: dict[str, MailProvider] = {}
            self._token_servers: dict[str, TokenServer] = {}
            for provider in PROVIDERS.values():
                certificate = lab.issue(provider.name, tuple(provider.names))
                served = self._providers[provider.name] = MailProvider(provider, self._root, certificate)
                undo.callback(served.stop)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate.certificate, certificate.key)
                if served.tokens is not None:
                    server = TokenServer(served.tokens, provider.loopback, certificate)
                    server.start()
                    undo.callback(server.stop)
                    self._token_servers[provider.name] = server
                for port in provider.ports:
                    self._front.open(
                        Gate(
                            provider=provider.name,
                            service=port.service,
                            address=provider.addresses[port.service],
                            number=port.number,
                            wrapped=port.wrapped,
                            upstream=provider.loopback,
                            ready=_nothing if port.service == "web" else served.start,
                            context=context,
                        )
                    )
                names |= provider.names
                exchangers |= dict.fromkeys(provider.domains, provider.mx_name)
            nameserver = Nameserver(self._root, self._interface, names, exchangers)
            nameserver.start()
            undo.callback(nameserver.stop)
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """End all daemons and undo all mounts; the logs stay."""
        self._undo.close()

    def clear(self) -> None:
        """Back to the state at the start: no accounts, no mail, no faults. Daemons that run go on running.

        Raises LabError when queues do not become empty in QUIET_LIMIT.
        """
        self._begin_anew(MailProvider.clear)

    def keep(self) -> None:
        """Remember all accounts and their mail as they are, for take_back(): what a snapshot is to a machine."""
        for provider in self._providers.values():
            provider.keep()

    def take_back(self) -> None:
        """As clear(), and then have accounts and mail again as they were when they were kept, numbers included."""
        self._begin_anew(MailProvider.take_back)

    def _begin_anew(self, how: Callable[[MailProvider], None]) -> None:
        running = [provider for provider in self._providers.values() if provider.running]
        for provider in running:  # nothing more comes in
            self._front.set(Fault("refuse"), provider.provider.name, SERVICES["all"])
        begun = quiet = time.monotonic()
        while running and time.monotonic() - quiet < QUIET:
            if left := [path for provider in running for path in provider.empty_queues()]:
                quiet = time.monotonic()
                if quiet - begun > QUIET_LIMIT:
                    raise LabError(f"queues still fill after {QUIET_LIMIT:.0f} s: {', '.join(map(str, left[:10]))}")
            time.sleep(QUIET / 10)
        for name in sorted(self._uncommon):
            self.certificate(name)
        for provider in self._providers.values():
            how(provider)
            self.up(provider.provider.name)

    def start_all(self) -> float:
        """Start the daemons of all providers now; returns the seconds it took."""
        begun = time.monotonic()
        for provider in self._providers.values():
            provider.start()
        return time.monotonic() - begun

    def authority_pem(self) -> str:
        """The certificate of the lab's authority, which signed those of all providers."""
        return authority().pem

    def providers(self) -> dict[str, list[str]]:
        """The providers' names, each with its domains."""
        return {name: list(provider.domains) for name, provider in PROVIDERS.items()}

    def addresses(self) -> dict[str, dict[str, str]]:
        """The addresses of each provider's services: imap, smtp, mx and web."""
        return {name: provider.addresses for name, provider in PROVIDERS.items()}

    # ---- accounts

    def _of(self, address: str) -> MailProvider:
        try:
            return self._providers[provider_of(address).name]
        except ValueError as error:
            raise LabError(str(error)) from None

    def _named(self, provider: str) -> MailProvider:
        try:
            return self._providers[provider]
        except KeyError:
            raise LabError(f"no provider is called {provider!r}; there are: {', '.join(PROVIDERS)}") from None

    def add_account(
        self, address: str, password: str, ordinary: str = "", quota: int | None = None, aliases: Sequence[str] = ()
    ) -> None:
        """Open an account. `password` is the app password where the provider wants one, `ordinary` the person's own,
        which is then refused with the words for it; `aliases` are more addresses it may send from."""
        account = Account(address, password, ordinary, aliases=tuple(alias.lower() for alias in aliases))
        self._of(address).set_account(account if quota is None else replace(account, quota=quota))

    def remove_account(self, address: str) -> None:
        """Close an account, with its mail."""
        self._of(address).remove_account(address)

    def set_password(self, address: str, password: str) -> None:
        """Change the password; sessions that are logged in go on, as they do at the real ones."""
        self._of(address).change_account(address, password=password)

    def set_quota(self, address: str, size: int) -> None:
        """Let an account hold `size` bytes; what is over is refused as it comes (APPEND) or bounced."""
        self._of(address).change_account(address, quota=size, full=False)

    def fill(self, address: str) -> None:
        """Let an account be full: nothing more goes in, and mail for it is refused at the MX."""
        self._of(address).change_account(address, full=True)

    def empty(self, address: str) -> None:
        """Undo `fill`."""
        self._of(address).change_account(address, full=False)

    def logins(self, address: str) -> list[Login]:
        """The attempts to log in as an address, oldest first."""
        return self._of(address).logins(address)

    def kick(self, address: str) -> None:
        """End the IMAP sessions of an account."""
        self._of(address).kick(address)

    # ---- logins by token

    def _book(self, provider: MailProvider) -> TokenBook:
        if provider.tokens is None:
            raise LabError(f"{provider.provider.name} gives no tokens")
        return provider.tokens

    def register(self, provider: str, client: str, secret: str = "") -> None:
        """Let a program ask a provider for tokens, as its maker registered it; `secret` is '' for none."""
        self._book(self._named(provider)).clients[client] = secret

    def token_times(
        self, provider: str, access: float | None = None, code: float | None = None, interval: int | None = None
    ) -> None:
        """Seconds that access tokens and codes given from now on are good for, and between polls for a code."""
        times = self._book(self._named(provider)).times
        times.access = times.access if access is None else access
        times.code = times.code if code is None else code
        times.interval = times.interval if interval is None else interval

    def agree(self, user_code: str, address: str) -> None:
        """A person types the code that a program shows, and lets it into the account `address`."""
        self._book(self._of(address)).agree(user_code, self._of(address).account(address).address.lower())

    def decline(self, user_code: str, address: str) -> None:
        """A person types the code that a program shows, and says no."""
        self._book(self._of(address)).agree(user_code, address.lower(), no=True)

    def visit(self, url: str, address: str, agree: bool = True) -> str:
        """A person opens the address that a program shows, and lets it in or not; where the browser ends."""
        return self._book(self._of(address)).visit(
            url, self._of(address).account(address).address.lower(), no=not agree
        )

    def revoke(self, address: str) -> None:
        """A person takes the access back: no token for the address is good any more, sessions end."""
        self._book(self._of(address)).revoke(address.lower())
        self._of(address).kick(address)

    def end_access(self, address: str) -> None:
        """Let the provider refuse an address's access tokens before their time; refresh tokens stay good."""
        self._book(self._of(address)).end_access(address.lower())

    def tokens(self, address: str) -> list[str]:
        """Every token that was given for an address, oldest first, for tests that look where they have gone."""
        return list(self._book(self._of(address)).given.get(address.lower(), []))

    # ---- mailboxes

    def put(
        self, address: str, message: bytes, folder: str = INBOX, flags: Sequence[str] = (), date: float | None = None
    ) -> int:
        """Put a message into a folder, as if it had come in at `date` (seconds since 1970); returns its UID."""
        return self._of(address).file(address, [message], folder, tuple(flags), date)[0]

    def put_all(self, address: str, messages: Sequence[bytes], folder: str = INBOX) -> list[int]:
        """Put many messages into a folder; returns their UIDs."""
        return self._of(address).file(address, messages, folder, (), None) if messages else []

    def folders(self, address: str) -> dict[str, list[str]]:
        """An account's folders, each with its attributes."""
        return self._of(address).mailbox(address).folders()

    def messages(self, address: str, folder: str = INBOX) -> list[Message]:
        """What is in a folder, by UID."""
        return self._of(address).mailbox(address).messages(folder)

    def fetch(self, address: str, uid: int, folder: str = INBOX) -> bytes:
        """A message's bytes."""
        return self._of(address).mailbox(address).fetch(folder, uid)

    def delete(self, address: str, uid: int, folder: str = INBOX) -> None:
        """Remove a message from a folder, for good."""
        self._of(address).mailbox(address).delete(folder, uid)

    def flag(self, address: str, uid: int, flags: Sequence[str], folder: str = INBOX, how: str = "+FLAGS") -> None:
        """Add flags to a message, take them from it (-FLAGS) or set them (FLAGS)."""
        self._of(address).mailbox(address).flag(folder, uid, flags, how)

    def uidvalidity(self, address: str, folder: str = INBOX) -> int:
        """A folder's UIDVALIDITY."""
        return self._of(address).mailbox(address).uidvalidity(folder)

    def change_uidvalidity(self, address: str, folder: str = INBOX) -> int:
        """Give a folder a new UIDVALIDITY and its messages new UIDs from 1 on; sessions end. Returns the new one."""
        self._of(address).renumber(address, folder)
        return self.uidvalidity(address, folder)

    # ---- what went through

    def sent(self, provider: str | None = None, login: str | None = None) -> list[Posted]:
        """What people sent, oldest first: all, or by one provider, or under one login."""
        chosen = list(self._providers.values()) if provider is None else [self._named(provider)]
        found = [mail for one in chosen for mail in one.habits.posted if mail.login and login in (None, mail.login)]
        return sorted(found, key=lambda mail: mail.when)

    def arrived(self, address: str) -> list[Posted]:
        """What was taken for an address from outside or from its provider's other people, oldest first."""
        return [mail for mail in self._of(address).habits.posted if address.lower() in map(str.lower, mail.recipients)]

    # ---- faults

    def down(self, provider: str, service: str = "all", how: str = "refuse") -> None:
        """Let services be down: connections are refused, packets are dropped unseen, or nobody says a word (hang)."""
        if how not in FAULTS:
            raise LabError(f"{how!r} is no way to be down; there are: {', '.join(FAULTS)}")
        services = self._services(service)
        if how == "drop":
            for address in self._addresses(provider, services) - self._dropped:
                self._route("add", address)
                self._dropped.add(address)
        else:
            self._named(provider)
            self._front.set(Fault(how), provider, services)

    def up(self, provider: str, service: str = "all") -> None:
        """End all faults of services: down, slow and rubbish."""
        services = self._services(service)
        for address in self._addresses(provider, services) & self._dropped:
            self._route("del", address)
            self._dropped.discard(address)
        self._front.set(Fault(), provider, services)

    def slow(self, provider: str, seconds: float = 0.0, rate: float | None = None, service: str = "all") -> None:
        """Let a provider take `seconds` before each answer, or answer with `rate` bytes a second."""
        self._named(provider)
        self._front.set(Fault(delay=seconds, rate=rate), provider, self._services(service))

    def rubbish(self, provider: str, service: str = "all") -> None:
        """Let a provider say things that are not of the protocol, after TLS where TLS comes first."""
        self._named(provider)
        self._front.set(Fault("rubbish"), provider, self._services(service))

    def cut(self, provider: str, service: str = "all") -> int:
        """Reset the connections that are open now; returns how many there were."""
        self._named(provider)
        return self._front.cut(provider, self._services(service))

    def reject(
        self,
        provider: str,
        stage: str,
        code: int,
        text: str,
        sender: str = "*",
        recipient: str = "*",
        times: int | None = None,
    ) -> None:
        """Refuse mail at a stage of SMTP: mail, rcpt, data (the command) or message (after its end).

        `code` is the reply's, 4xx or 5xx, `text` what follows it, with an enhanced code or not; `sender` and
        `recipient` are shell patterns of the envelope's; `times` is how often, None for always.
        """
        if stage not in ("mail", "rcpt", "data", "message") or not 400 <= code <= 599:
            raise LabError(f"mail cannot be refused at {stage!r} with {code}")
        if text[:2] in ("2.", "4.", "5.") and text[0] != str(code)[0]:
            raise LabError(f"{text.split()[0]} does not go with {code}")
        self._named(provider).habits.rules.append(Rule(stage, f"{code} {text}", sender, recipient, times))

    def accept(self, provider: str) -> None:
        """Undo every `reject`."""
        self._named(provider).habits.rules.clear()

    def set_size_limit(self, provider: str, size: int) -> None:
        """Let a provider take messages up to `size` bytes; connections that begin a moment later are told so."""
        self._named(provider).set_size_limit(size)

    def certificate(self, provider: str, kind: str = "good") -> None:
        """Let a provider present a certificate that is `good`, has its names but no CN (`nameless`), or is for
        another name (`wrong`); connections that begin a moment later see it, until `clear`."""
        served = self._named(provider)
        names = tuple(served.provider.names)
        if kind not in CERTIFICATES:
            raise LabError(f"{kind!r} is no kind of certificate; there are: {', '.join(CERTIFICATES)}")
        wanted = ("wrong.example",) if kind == "wrong" else names
        label = provider if kind == "good" else f"{provider}-{kind}"
        certificate = authority().issue(label, wanted, common_name=kind != "nameless")
        served.show(certificate)
        if provider in self._token_servers:
            self._token_servers[provider].show(certificate)
        (self._uncommon.discard if kind == "good" else self._uncommon.add)(provider)

    def _services(self, service: str) -> tuple[str, ...]:
        try:
            return SERVICES[service]
        except KeyError:
            raise LabError(f"{service!r} is no service; there are: {', '.join(SERVICES)}") from None

    def _addresses(self, provider: str, services: tuple[str, ...]) -> set[str]:
        where = self._named(provider).provider.addresses
        return {where[service] for service in services}

    def _route(self, do: str, address: str) -> None:
        """Have the kernel drop packets for an address without a word, or no longer (ip-route(8), blackhole)."""
        run(*self._root.on_network("ip", "route", do, "blackhole", f"{address}/32", "table", "local"))

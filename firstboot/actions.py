"""What the answers lead to: actions that look whether they are done, and may be done again at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from . import keeper
from .dongle import LINK_WAIT, Dongle, active, pin_use
from .durable import DISK, Disk, make_directories, remove_file, write_file, write_link
from .errors import SystemFault
from .join import DOMAIN, SETUP, WIFI_ADDRESS
from .keyfiles import CONNECTIONS, LAN_CABLE, LAN_WIFI, LINK, LINK_ROUTER, firewall, keyfiles
from .made import Made, MadeList
from .office import Office
from .process import Runner, demand, run
from .settings import Account, Person, Settings
from .surroundings import Surroundings
from .trust import AUTHORITIES, KEYS, SSH_OPEN, SSH_RULES, SSH_SHUT, Authorities, Login

SERVICES = ("postfix.service", "dovecot.service", "nginx.service", "mojomaild.service")
CERTIFICATE = "mojomail-certificate.service"
"""Makes the servers' certificate again when the node has another name or address."""
LOCALES = Path("etc/locale.gen")
CAN_WAIT = ("link", "trust", "people")
"""Groups without which the village has its mail, though one person or the way out may be missing."""


@dataclass(frozen=True)
class Action:
    """One thing to do. `done` says whether it is in force already; `apply` may be cut off anywhere and done again.

    Of a group that can wait, `vital` actions cannot: nothing of the group is possible without them. `words` is the key
    of the text that says that it did not work, where that of its group does not fit.
    """

    group: str
    name: str
    done: Callable[[], bool]
    apply: Callable[[], None]
    vital: bool = False
    words: str = ""

    @property
    def can_wait(self) -> bool:
        """Whether the rest is a working node without it."""
        return self.group in CAN_WAIT and not self.vital


def nothing() -> None:
    """Where nothing more is to be done."""


@dataclass(frozen=True)
class Site:
    """Where actions act: the root of the file system, the machine, programs, and the mail office.

    `after_firewall` is called each time the firewall was loaded anew, which forgets what was let in by hand.
    """

    root: Path
    around: Surroundings
    runner: Runner = run
    disk: Disk = DISK
    after_firewall: Callable[[], None] = nothing

    def __post_init__(self) -> None:
        self.made.begin()

    @property
    def made(self) -> MadeList:
        """Which people and addresses this set-up has made."""
        return MadeList(self.root, self.disk)

    @property
    def office(self) -> Office:
        """The mail office's commands."""
        return Office(self.runner)

    def file(self, group: str, path: str, text: str, mode: int = 0o644) -> Action:
        """A file with this text."""
        place, data = self.root / path, text.encode()

        def done() -> bool:
            try:
                return place.read_bytes() == data and place.stat().st_mode & 0o777 == mode
            except OSError:
                return False

        return Action(group, path, done, lambda: write_file(place, data, mode, self.disk))

    def command(self, group: str, *argv: str, needed: bool = True, limit: float = 60.0) -> Action:
        """A program that is run every time; where it is not `needed`, it may fail."""

        def apply() -> None:
            if needed:
                demand(self.runner, *argv, limit=limit)
            else:
                self.runner(*argv, limit=limit)

        return Action(group, " ".join(argv), lambda: False, apply)

    def load_firewall(self, group: str) -> Action:
        """The firewall as its files have it, and who waits for phones is told at once, also where it was not taken."""

        def apply() -> None:
            try:
                # Without its rules no phone gets an address, and all the rest would look as if it worked.
                demand(self.runner, "nft", "-f", "/etc/nftables.conf")
            finally:
                self.after_firewall()

        return Action(group, "firewall", lambda: False, apply)


def actions(settings: Settings, site: Site) -> list[Action]:
    """Everything that has to be in force, in order."""
    return [
        *_language(settings, site),
        *_name(settings, site),
        *_keeper(settings, site),
        *_network(settings, site),
        *_link(settings, site),
        *_trust(settings, site),
        *_people(settings, site),
        *_services(site),
    ]


def _language(settings: Settings, site: Site) -> Iterator[Action]:
    locale = f"# The language of the system's own messages.\nLANG={_locale(settings.language, site.root)}\n"
    yield site.file("language", "etc/default/locale", locale)
    variant = "eng" if settings.keyboard == "in" else ""
    keyboard = f"""\
# The keyboard on the text screens.
XKBMODEL="pc105"
XKBLAYOUT="{settings.keyboard}"
XKBVARIANT="{variant}"
XKBOPTIONS=""
BACKSPACE="guess"
"""
    yield site.file("language", "etc/default/keyboard", keyboard)
    target, link = f"/usr/share/zoneinfo/{settings.timezone}", site.root / "etc/localtime"
    yield Action(
        *("language", "etc/localtime"),
        lambda: link.is_symlink() and str(link.readlink()) == target,
        lambda: write_link(link, target, site.disk),
    )
    yield site.file("language", "etc/timezone", f"{settings.timezone}\n")


def _locale(language: str, root: Path) -> str:
    """The locale of a language, or the first one where the image has none for it: all are listed in locale.gen(5)."""
    try:
        lines = [line.split() for line in (root / LOCALES).read_text("utf-8").splitlines()]
    except OSError:
        lines = []
    made = [words[0] for words in lines if words and not words[0].startswith("#")]
    wanted = f"{language}_IN.UTF-8"
    return wanted if wanted in made else next(iter(made), "C.UTF-8")


def _name(settings: Settings, site: Site) -> Iterator[Action]:
    name = settings.name
    hosts = f"""\
127.0.0.1  localhost
127.0.1.1  {name}.{DOMAIN} {name}
::1        localhost ip6-localhost ip6-loopback
ff02::1    ip6-allnodes
ff02::2    ip6-allrouters
"""
    yield site.file("name", "etc/hostname", f"{name}\n")
    yield site.file("name", "etc/hosts", hosts)
    live = site.root / "proc/sys/kernel/hostname"
    yield Action(
        *("name", "host name"),
        lambda: live.exists() and live.read_text().strip() == name,
        lambda: (demand(site.runner, "hostname", name), None)[1],
    )


def _keeper(settings: Settings, site: Site) -> Iterator[Action]:
    if settings.keeper_password:
        yield Action(
            *("keeper", "password"),
            lambda: keeper.fits(settings.keeper_password, keeper.read(site.root)),
            lambda: keeper.write(site.root, keeper.make_hash(settings.keeper_password), site.disk),
        )
    elif settings.keeper_hash:
        yield Action(
            *("keeper", "password"),
            lambda: keeper.read(site.root) == settings.keeper_hash,
            lambda: keeper.write(site.root, settings.keeper_hash, site.disk),
        )


def _network(settings: Settings, site: Site) -> Iterator[Action]:
    yield site.file("network", "etc/nftables.d/25-village.nft", firewall(settings, site.around))
    if settings.access_point:
        country = settings.access_point.country
        rules = f"# The country whose rules for radio hold.\noptions cfg80211 ieee80211_regdom={country}\n"
        yield site.file("network", "etc/modprobe.d/mojomail-wifi.conf", rules)
        yield site.command("network", "iw", "reg", "set", country, needed=False)
    names = f"""\
# What the village's phones ask this node for, besides addresses: its own name, and nothing of home.arpa elsewhere.
local=/{DOMAIN}/
address=/{settings.name}.{DOMAIN}/{WIFI_ADDRESS}
address=/{settings.name}/{WIFI_ADDRESS}
domain={DOMAIN}
"""
    yield site.file("network", "etc/NetworkManager/dnsmasq-shared.d/mojomail.conf", names)
    yield _connections(settings, site)
    yield site.command("network", "nmcli", "connection", "reload", needed=False)
    yield site.load_firewall("network")
    for name, wanted in ((LAN_WIFI, settings.access_point), (LAN_CABLE, settings.ethernet)):
        if wanted:
            yield site.command("network", "nmcli", "--wait", "25", "connection", "up", name, needed=False)


def _connections(settings: Settings, site: Site) -> Action:
    """The connections of this set-up, and none left of an earlier one."""
    folder = site.root / CONNECTIONS
    wanted = keyfiles(settings, site.around, pin_use(site, settings.link.pin))
    writes = [site.file("network", f"{CONNECTIONS}/{name}", text, 0o600) for name, text in wanted.items()]

    def stale() -> list[Path]:
        return [path for path in folder.glob("mojomail-*") if path.name not in wanted]

    def apply() -> None:
        make_directories(folder, 0o700, site.disk)
        for write in writes:
            if not write.done():
                write.apply()
        for path in stale():
            remove_file(path, site.disk)

    return Action("network", "connections", lambda: not stale() and all(write.done() for write in writes), apply)


def _link(settings: Settings, site: Site) -> Iterator[Action]:
    if settings.link.kind == "dongle" and settings.link.pin:
        yield Action("link", "SIM card", lambda: False, Dongle(settings, site).bring_up)
    elif settings.link.kind != "none":
        yield site.command("link", "nmcli", "--wait", str(LINK_WAIT), "connection", "up", LINK, needed=False)
    if settings.link.kind == "dongle":
        router = site.command("link", "nmcli", "--wait", str(LINK_WAIT), "connection", "up", LINK_ROUTER, needed=False)
        yield replace(router, done=lambda: active(site.runner, LINK) or not site.around.tethers())
    yield site.command("link", "nmcli", "connection", "delete", SETUP, needed=False)


def _trust(settings: Settings, site: Site) -> Iterator[Action]:
    authorities = Authorities(settings.authorities, site)
    for name, text in authorities.files.items():
        yield site.file("trust", f"{AUTHORITIES}/{name}", text)
    yield Action("trust", "certificates", authorities.trusted, authorities.trust)
    login = Login(settings.ssh_keys, site)
    if settings.ssh_keys:
        yield Action("trust", "root/.ssh", login.folder.is_dir, login.make_folder)
        yield site.file("trust", KEYS, login.text, 0o600)
        yield site.file("trust", SSH_RULES, SSH_OPEN)
        yield site.command("trust", "systemctl", "enable", "--now", "ssh.service", needed=False)
        yield site.load_firewall("trust")
    elif login.outdated():
        yield site.file("trust", SSH_RULES, SSH_SHUT)
        yield site.load_firewall("trust")
        yield site.command("trust", "systemctl", "disable", "--now", "ssh.service", needed=False)
        # Last, since what a cut has stopped is done again only while they are there.
        yield Action("trust", "no ssh keys", lambda: not login.outdated(), login.take_away)


class _Known:
    """Who and which addresses were there when this began: asked once, since each question takes seconds."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @cached_property
    def logins(self) -> frozenset[str]:
        return frozenset(self._office.people())

    @cached_property
    def addresses(self) -> dict[str, str]:
        return {one.address.lower(): one.login for one in self._office.accounts()}

    def ask_again(self) -> None:
        """Forget the answers: something was removed."""
        for name in ("logins", "addresses"):
            self.__dict__.pop(name, None)


def _people(settings: Settings, site: Site) -> Iterator[Action]:
    known = _Known(site.office)
    yield Action("people", "database", lambda: False, site.office.prepare, vital=True, words="office")
    yield _corrections(settings, site, known)
    for person in settings.people:
        yield _person(person, site, known)
        for account in person.accounts:
            yield _account(person.login, account, site, known)
    if settings.further:
        yield _further(settings.further, site, known)
    if settings.secret:
        yield _secret(settings.secret, site, known)


def _corrections(settings: Settings, site: Site, known: _Known) -> Action:
    """Who and what this set-up has made from answers that were corrected since. Mail that has arrived stays."""
    office = site.office
    logins = {person.login for person in settings.people}
    addresses = {account.address.lower() for person in settings.people for account in person.accounts}
    addresses |= {settings.further.address.lower()} if settings.further else set()

    def stale() -> Made:
        made = site.made.read()
        return Made(made.logins - logins, made.addresses - addresses)

    def apply() -> None:
        gone = stale()
        for address in sorted(gone.addresses & known.addresses.keys()):
            office.remove_account(address)
        for login in sorted(gone.logins & known.logins):
            office.remove_person(login)
        site.made.forget(logins=gone.logins, addresses=gone.addresses)
        known.ask_again()

    return Action("people", "corrections", lambda: stale() == Made(), apply, words="corrections")


def _person(person: Person, site: Site, known: _Known) -> Action:
    """A person as the answers have it. Whether the password is in force cannot be seen, so it is set each time."""
    words = (person.login, person.name, person.language, person.password)

    def apply() -> None:
        if person.login in known.logins:
            site.office.change_person(*words)
        else:
            site.made.note(logins=[person.login])
            site.office.add_person(*words)

    return Action("people", person.login, lambda: False, apply)


def _account(login: str, account: Account, site: Site, known: _Known) -> Action:
    """An account as the answers have it. One that is somebody else's is left alone: the secret there is theirs."""
    address, office = account.address, site.office

    def apply() -> None:
        owner = known.addresses.get(address.lower(), "")
        if owner and owner != login:
            if address.lower() not in site.made.read().addresses:
                raise SystemFault(f"{address} is an address of {owner} already, so {login} cannot have it")
            office.remove_account(address)  # the answers gave it to somebody else at first
            owner = ""
        if owner:
            office.change_account(address, account.imap, account.smtp, account.password)
        else:
            site.made.note(addresses=[address])
            office.add_account(login, address, account.imap, account.smtp, account.password)

    return Action("people", address, lambda: False, apply)


def _further(account: Account, site: Site, known: _Known) -> Action:
    """Another account of somebody who is there; who has gone meanwhile stops nothing, and trying it out says so."""
    added = _account(account.login, account, site, known)
    return replace(added, apply=lambda: added.apply() if account.login in known.logins else None)


def _secret(account: Account, site: Site, known: _Known) -> Action:
    """Another secret for an account that is there. Whether it is in force cannot be seen, so it is set each time.

    One that has gone meanwhile stops nothing, and trying it out says so.
    """

    def apply() -> None:
        if account.address.lower() in known.addresses:
            site.office.change_account(account.address, "", "", account.password)

    return Action("people", account.address, lambda: False, apply)


def _services(site: Site) -> Iterator[Action]:
    # The certificate first, by itself; then all at once, since each of them by itself would have it looked at again.
    yield site.command("services", "systemctl", "restart", CERTIFICATE, needed=False, limit=300.0)
    yield site.command("services", "systemctl", "restart", *SERVICES, needed=False, limit=600.0)

"""A machine for the first boot to run on in tests: its surroundings, programs and key are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from firstboot.actions import Site
from firstboot.durable import Disk
from firstboot.journal import Journal
from firstboot.process import Done
from firstboot.screens import Screen
from firstboot.surroundings import KnownAccount, Provider, Surroundings
from firstboot.wizard import Wizard

NOW = datetime(2026, 11, 22, 14, 5, tzinfo=ZoneInfo("Asia/Kolkata"))
SECRETS = ("keeper-pass-1", "wifi-pass-22", "person-pass-333", "provider-pass-4444")
"""Canaries: typed as secrets, and looked for where none may be."""


class MadeUp(Surroundings):
    """Fixed answers about the machine."""

    def __init__(
        self,
        *,
        radios: Sequence[str] = ("wlan0",),
        sockets: Sequence[str] = ("eth0",),
        modem: bool = False,
        tethers: Sequence[str] = (),
        plugged: Sequence[str] = (),
        seen: Sequence[str] = (),
        logins: Sequence[str] = (),
        taken: Mapping[str, str] | None = None,
        people: Mapping[str, str] | None = None,
        accounts: Sequence[KnownAccount] = (),
    ) -> None:
        super().__init__(Path("/"), Programs())
        self._radios, self._sockets, self._modem = list(radios), list(sockets), modem
        self._tethers, self._plugged, self._networks = list(tethers), plugged, list(seen)
        self._named = dict.fromkeys(logins, "Somebody") | dict(people or {})
        self._held = [*accounts, *(KnownAccount(address, login) for address, login in (taken or {}).items())]

    def radios(self) -> list[str]:
        return list(self._radios)

    def sockets(self) -> list[str]:
        return list(self._sockets)

    def find(self, *, radio: str = "", socket: str = "") -> None:
        """One more is found."""
        self._radios += [radio] if radio else []
        self._sockets += [socket] if socket else []

    def tethers(self) -> list[str]:
        return list(self._tethers)

    def plugged(self, interface: str) -> bool:
        return interface in self._plugged

    def modem(self) -> bool:
        return self._modem

    def routed(self, interface: str) -> bool:
        return False

    def addresses(self) -> dict[str, str]:
        return {"eth0": "192.168.1.20"}

    def seen_networks(self) -> list[str]:
        return self._networks

    def people(self) -> Mapping[str, str]:
        return self._named

    def accounts(self) -> Sequence[KnownAccount]:
        return self._held

    def logins(self) -> frozenset[str]:
        return frozenset(self._named)

    def addresses_taken(self) -> Mapping[str, str]:
        return {one.address.lower(): one.login for one in self._held}

    def now(self, zone: str) -> datetime:
        return NOW.astimezone(ZoneInfo(zone))

    def image_day(self) -> datetime:
        return datetime(2026, 11, 1, tzinfo=ZoneInfo("UTC"))

    def zones(self) -> Sequence[str]:
        return ("UTC", "Africa/Nairobi", *ZONES)

    def countries(self) -> dict[str, str]:
        return {"BT": "Bhutan", "IN": "India", "KE": "Kenya", "NP": "Nepal"}

    def provider(self, address: str, language: str) -> Provider | None:
        domain = address.rpartition("@")[2]
        if domain == "gmail.com":
            return Provider("Gmail", "password", "Gmail wants an app password: myaccount.google.com/apppasswords.")
        return Provider("Outlook", "oauth2", "Outlook asks by a web page.") if domain == "outlook.com" else None


ZONES = ("Asia/Colombo", "Asia/Dhaka", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Thimphu")


class Programs:
    """Programs that are not run: what was called is kept, answers come from a table of first words."""

    def __init__(self, answers: dict[str, Done] | None = None) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.read: list[str] = []
        lists = {"mojomail account list": Done(0, "[]"), "mojomail person list": Done(0, "[]")}
        self.answers = (answers or {}) | {key: done for key, done in lists.items() if key not in (answers or {})}

    def __call__(self, *argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
        self.calls.append(argv)
        self.read.append(stdin)
        line = " ".join(argv)
        return next((done for begin, done in self.answers.items() if line.startswith(begin)), Done(0, ""))


class Seal:
    """A seal that hides text from a search, and tells when an answer is in another's place."""

    def close(self, name: str, text: str) -> str:
        return f"{name}|{text.encode().hex()}"

    def open(self, name: str, sealed: str) -> str:
        for_name, _, text = sealed.partition("|")
        assert for_name == name
        return bytes.fromhex(text).decode()


class Quick(Disk):
    """A disk that waits for nothing: tests cut the power themselves."""

    def write(self, path: Path, data: bytes, mode: int) -> None:
        path.write_bytes(data)
        path.chmod(mode)

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def sync_directory(self, path: Path) -> None:
        assert path.is_dir()


def wizard_at(folder: Path, around: Surroundings | None = None) -> Wizard:
    """The wizard of a node whose root is `folder`."""
    return Wizard(journal_at(folder), around or MadeUp())


def journal_at(folder: Path) -> Journal:
    """The journal of a node whose root is `folder`."""
    return Journal(folder, Seal(), Quick())


def site_at(folder: Path, programs: Programs | None = None, around: Surroundings | None = None) -> Site:
    """Where actions act on a node whose root is `folder`."""
    return Site(folder, around or MadeUp(), programs or Programs(), Quick())


def walk(
    wizard: Wizard,
    given: dict[str, str] | None = None,
    *,
    until: str = "apply",
    look: Callable[[Screen], None] = lambda screen: None,
) -> list[str]:
    """Answer screen after screen, as given or as Enter would, up to the screen `until`; returns those seen."""
    seen: list[str] = []
    while wizard.at != until:
        screen = wizard.screen()
        look(screen)
        seen.append(screen.at)
        value = (given or {}).get(screen.at, screen.value)
        assert wizard.answer(screen.at, value), (screen.at, value, wizard.problem)
        assert len(seen) < 200
    look(wizard.screen())
    return seen


VILLAGE = {
    "language": "kn",
    "name": "rampur",
    "keeper.password": SECRETS[0],
    "network.kind": "both",
    "network.wifi.name": "Rampur Post",
    "network.wifi.passphrase": SECRETS[1],
    "link.kind": "dongle",
    "people.0.name": "Asha Rao",
    "people.0.login": "asha",
    "people.0.password": SECRETS[2],
    "people.0.accounts.0.address": "asha.rao@gmail.com",
    "people.0.accounts.0.password": SECRETS[3],
    "people.0.accounts.0.more": "yes",
    "people.0.accounts.1.address": "asha@panchayat.example.org",
    "people.0.accounts.1.password": SECRETS[3],
    "people.0.more": "yes",
    "people.1.name": "ರವಿ",
    "people.1.login": "ravi",
}
"""Somebody's answers; the rest is as Enter has it."""


def everywhere(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder with its bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()

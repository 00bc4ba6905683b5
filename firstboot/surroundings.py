"""What this machine has around it: radios, sockets, dongles, places and countries, the time."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from .errors import SystemFault
from .process import Runner, run

ROOT = Path("/")
TETHERS = ("rndis_host", "cdc_ether", "cdc_ncm", "ipheth")
"""Kernel drivers of a phone that shares its link by USB."""
SEEN_FOR = 15.0
"""Seconds for which a list of Wi-Fi networks is good: a screen is looked at after each key."""
PEOPLE_FOR = 300.0
"""Seconds for which a list of people or of their addresses is good; to ask for it takes seconds."""


@dataclass(frozen=True)
class Provider:
    """What is known of the provider of an address: how it lets programs in, and how to get that, in plain words."""

    name: str
    secret: str
    help: str


@dataclass(frozen=True)
class KnownAccount:
    """An account that is there already: its address, whose it is, and what its provider is shown.

    by_token  the provider gives a permission in place of a password
    complete  the password or the permission is there
    """

    address: str
    login: str
    by_token: bool = False
    complete: bool = True


class Surroundings:
    """Looks at the machine whenever it is asked; tests put fixed answers in its place."""

    def __init__(self, root: Path = ROOT, runner: Runner = run) -> None:
        self.root, self._run = root, runner
        self._seen: tuple[float, list[str]] = (-SEEN_FOR, [])
        self._asking = threading.RLock()
        self._people: tuple[float, Mapping[str, str]] = (-PEOPLE_FOR, {})
        self._accounts: tuple[float, Sequence[KnownAccount]] = (-PEOPLE_FOR, ())

    def _interfaces(self) -> list[Path]:
        folder = self.root / "sys/class/net"
        return sorted(path for path in folder.iterdir() if (path / "device").exists()) if folder.is_dir() else []

    def _driver(self, interface: Path) -> str:
        link = interface / "device/driver"
        return link.resolve().name if link.exists() else ""

    def radios(self) -> list[str]:
        """Wi-Fi interfaces."""
        return [path.name for path in self._interfaces() if (path / "phy80211").exists()]

    def tethers(self) -> list[str]:
        """Network interfaces of phones that share their link by USB."""
        return [path.name for path in self._interfaces() if self._driver(path) in TETHERS]

    def sockets(self) -> list[str]:
        """Ethernet sockets: the Pi's own, and those of USB adapters."""
        taken = {*self.radios(), *self.tethers()}
        return [path.name for path in self._interfaces() if path.name not in taken and path.name[:2] in ("et", "en")]

    def plugged(self, interface: str) -> bool:
        """Whether there is a live cable in a socket."""
        try:
            return (self.root / "sys/class/net" / interface / "carrier").read_text().strip() == "1"
        except OSError:
            return False

    def modem(self) -> bool:
        """Whether a dongle with a modem is plugged in."""
        device = self.root / "dev"
        return any(device.glob("cdc-wdm*")) or any(device.glob("ttyUSB*"))

    def await_network(self) -> None:
        """Wait until what looks after the network has started, at each start of the machine."""
        self._run("systemctl", "start", "nftables.service", "NetworkManager.service", limit=120.0)

    def addresses(self) -> dict[str, str]:
        """The IPv4 address of each interface that has one, loopback left out."""
        found: dict[str, str] = {}
        for line in self._run("ip", "-4", "-o", "address", "show", "up").output.splitlines():
            match = re.match(r"\d+: (\S+)\s+inet ([\d.]+)/", line)
            if match and match[1] != "lo":
                found.setdefault(match[1], match[2])
        return found

    def routed(self, interface: str) -> bool:
        """Whether a DHCP server has given this interface its address."""
        shown = self._run("nmcli", "-g", "DHCP4.OPTION", "device", "show", interface).output
        return "dhcp_server_identifier" in shown

    def seen_networks(self) -> list[str]:
        """Names of the Wi-Fi networks in reach, strongest first."""
        if time.monotonic() - self._seen[0] >= SEEN_FOR:
            words = ("nmcli", "-t", "-f", "SSID", "device", "wifi", "list", "--rescan", "no")
            names = (line.replace("\\:", ":") for line in self._run(*words, limit=10.0).output.splitlines() if line)
            self._seen = (time.monotonic(), list(dict.fromkeys(names)))
        return self._seen[1]

    def now(self, zone: str) -> datetime:
        """The time of day in a time zone."""
        try:
            return datetime.now(ZoneInfo(zone))
        except (OSError, ValueError):
            return datetime.now(ZoneInfo("UTC"))

    def image_day(self) -> datetime:
        """When this image was made: no clock is right that is behind that."""
        try:
            made = (self.root / "usr/lib/clock-epoch").stat().st_mtime
        except OSError:
            made = 0.0
        return datetime.fromtimestamp(made, ZoneInfo("UTC"))

    def zones(self) -> Sequence[str]:
        """Time zones, by name."""
        return tuple(_zones(self.root))

    def countries(self) -> Mapping[str, str]:
        """Countries: ISO 3166 code to English name."""
        return _countries(self.root)

    def people(self) -> Mapping[str, str]:
        """The names of those who get mail here already, by login; none where the mail office does not answer."""
        from .office import Office

        with self._asking:
            if time.monotonic() - self._people[0] >= PEOPLE_FOR:
                found: Mapping[str, str] = {}
                with contextlib.suppress(SystemFault, LookupError, TypeError):
                    found = Office(self._run).people()
                self._people = (time.monotonic(), found)
            return self._people[1]

    def accounts(self) -> Sequence[KnownAccount]:
        """Their accounts, sorted by address; as people()."""
        from .office import Office

        with self._asking:
            if self.people() and time.monotonic() - self._accounts[0] >= PEOPLE_FOR:
                found: Sequence[KnownAccount] = ()
                with contextlib.suppress(SystemFault, LookupError, TypeError):
                    found = sorted(Office(self._run).accounts(), key=lambda one: one.address.lower())
                self._accounts = (time.monotonic(), found)
            return self._accounts[1]

    def logins(self) -> frozenset[str]:
        """The logins of those who get mail here already.

        Without those whom this set-up itself has made: their answers can still be corrected.
        """
        from .made import MadeList

        return frozenset(self.people()) - MadeList(self.root).read().logins

    def addresses_taken(self) -> Mapping[str, str]:
        """The addresses of those who get mail here already, in small letters, each with its login; as logins()."""
        from .made import MadeList

        made = MadeList(self.root).read().addresses
        taken = {one.address.lower(): one.login for one in self.accounts()}
        return {address: login for address, login in taken.items() if address not in made}

    def provider(self, address: str, language: str) -> Provider | None:
        """What is known of the provider of a mail address, in a language; None for one that is not known."""
        from .office import provider_of

        return provider_of(address, language)


@cache
def _zones(root: Path) -> list[str]:
    try:
        lines = (root / "usr/share/zoneinfo/tzdata.zi").read_text("ascii", "replace").splitlines()
    except OSError:
        return ["UTC"]
    names = {parts[1] for line in lines if (parts := line.split()) and parts[0] == "Z"}
    return ["UTC", *sorted(name for name in names if "/" in name and not name.startswith("Etc/"))]


@cache
def _countries(root: Path) -> dict[str, str]:
    try:
        lines = (root / "usr/share/zoneinfo/iso3166.tab").read_text("utf-8").splitlines()
    except OSError:
        return {"IN": "India"}
    found = dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))
    return dict(sorted(found.items(), key=lambda item: item[1]))

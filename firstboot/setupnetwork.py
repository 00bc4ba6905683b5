"""How a phone reaches the wizard while the village has no network yet: a Wi-Fi for the set-up, and any cable."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from .actions import Site
from .aside import Aside, unbroken
from .durable import write_file
from .join import SETUP, WIFI_ADDRESS, Join
from .keyfiles import ENDING, LAN_WIFI, access_point
from .phone.server import PORT
from .settings import AccessPoint
from .suggestions import password
from .texts import texts

RUNTIME = Path("run/NetworkManager/system-connections")
"""Connections of this start only."""
DEFAULT_COUNTRY = "IN"
PRIVATE = re.compile(r"10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.")
"""How addresses begin that a village has (RFC 1918, 3927); others are a link's."""
SETTING_UP = Path("run/mojomail-setting-up")
"""While this is there, the web server's first page leads to the wizard (nginx/mojomail-open.conf)."""


class SetupNetwork:
    """The set-up's own Wi-Fi, with a passphrase that is made at each start and shown on the TV."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.name, self.passphrase = SETUP, password()
        self._tried: frozenset[str] = frozenset()
        self.up = False
        self.address = ""
        self._open_to = ""

    def _carried(self, radio: str) -> str:
        """The connection that a radio carries now, "" for none."""
        words = ("nmcli", "-g", "GENERAL.CONNECTION", "device", "show", radio)
        return self._site.runner(*words, limit=15.0).output.strip()

    def start(self) -> None:
        """Open it, where there is a radio for it, and let phones in; slow."""
        self._site.around.await_network()
        self._open()
        self.let_in()

    def _open(self) -> None:
        """Open it on the last radio, unless the village's own network or the link has that."""
        radios = self._site.around.radios()
        self._tried |= frozenset(radios)
        if not radios or self._carried(radios[-1]) not in ("", SETUP):
            return
        point = AccessPoint(DEFAULT_COUNTRY, self.name, self.passphrase)
        path = self._site.root / RUNTIME / f"{SETUP}{ENDING}"
        with contextlib.suppress(OSError):
            write_file(path, access_point(SETUP, point, radios[-1]).encode(), 0o600)
        self._site.runner("nmcli", "connection", "reload", limit=20.0)
        self.up = self._site.runner("nmcli", "--wait", "25", "connection", "up", SETUP, limit=40.0).code == 0

    def let_in(self) -> None:
        """Let phones through the firewall, from the village side; a reload of its rules takes that back."""
        with contextlib.suppress(OSError):
            write_file(self._site.root / SETTING_UP, b"")
        inside = self._inside()
        rules = (f"tcp dport {PORT}", "udp dport { 53, 67 }") if inside else ()
        words = [f"add rule inet filter services iifname {{ {inside} }} {rule} accept" for rule in rules]
        # Both or none, and again at the next look: while all of a node starts, a program may take too long.
        self._open_to = inside if words and self._site.runner("nft", "; ".join(words), limit=60.0).code == 0 else ""

    def _inside(self) -> str:
        """The village side's interfaces, as nft lists them."""
        around = self._site.around
        return ", ".join(f'"{name}"' for name in (*around.radios(), *around.sockets()))

    def look(self) -> bool:
        """See which address a phone can use now, on a radio that has come by now too; whether it is another one."""
        before = self.address
        if self._open_to != self._inside():
            self.let_in()
        if not self.up and not self._tried.issuperset(self._site.around.radios()):
            self.start()
        found = self._site.around.addresses()
        inside = (*self._site.around.sockets(), *self._site.around.radios())
        reached = [found[name] for name in inside if name in found and PRIVATE.match(found[name])]
        self.address = WIFI_ADDRESS if self.up else next(iter(reached), "")
        return self.address != before

    def applied(self, join: Join) -> None:
        """The village's own network is there now, or as much of it as trouble has let be."""
        carried = {self._carried(radio) for radio in self._site.around.radios()}
        if LAN_WIFI in carried:
            self.name, self.passphrase = join.wifi, join.passphrase
        self.up = LAN_WIFI in carried or (self.up and SETUP in carried)
        self._tried |= frozenset(self._site.around.radios())
        self.look()

    def stop(self) -> None:
        """Let nobody in any more."""
        (self._site.root / SETTING_UP).unlink(missing_ok=True)
        (self._site.root / RUNTIME / f"{SETUP}{ENDING}").unlink(missing_ok=True)
        self._site.runner("nft", "-f", "/etc/nftables.conf", limit=20.0)

    def aside(self, language: str, pin: str, port: int, minutes_locked: int) -> Aside:
        """What the TV shows beside a question."""
        say = texts(language).say
        if minutes_locked:
            return Aside(brief=say("keys|locked", n=minutes_locked), title=say("keys|locked", n=minutes_locked))
        if not self.address:
            return Aside(brief=say("keys|phone_none"))
        address = f"http://{self.address}:{port}"
        spaced = f"{pin[:3]} {pin[3:]}"
        rows = [(say("aside|address"), address), (say("aside|pin"), spaced)]
        if not self.up:
            brief = say("keys|phone", address=address, pin=spaced)
            return Aside(brief=brief, title=say("aside|title"), lines=rows)
        shown = unbroken(self.passphrase)
        rows = [(say("aside|wifi"), self.name), (say("aside|password"), shown), *rows]
        brief = say("keys|phone_wifi", wifi=unbroken(self.name), password=shown, address=address, pin=spaced)
        code = Join(self.name, self.passphrase, "", "").qr()
        return Aside(brief=brief, title=say("aside|title"), lines=rows, qr=code)

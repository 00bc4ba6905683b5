"""A dongle whose SIM card wants a PIN: three wrong ones lock the card, so each PIN is tried once, and never the last.

NetworkManager sends the PIN of a connection whenever it brings that up and the card is locked: at `connection reload`
and at each start too, where the connection comes up by itself. So a PIN stands in a connection that does not, until
the card has taken it; one that the card has refused stands there as a comment, which is never sent.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .durable import write_file
from .keyfiles import CONNECTIONS, ENDING, LINK, PinUse, keyfiles, refused_pin
from .process import Runner
from .settings import Settings

if TYPE_CHECKING:
    from .actions import Site

LINK_WAIT = 45
"""Seconds that a link has to come up: a dongle that looks for its network takes half a minute."""
MODEM_WAIT = 45.0
"""Seconds that a dongle which is plugged in has to become a modem."""
LOOK_AGAIN = 1.0
ALL_TRIES = 3
"""Tries that a SIM card has when none was wasted (3GPP TS 31.101, 9.5)."""


@dataclass(frozen=True)
class Modem:
    """What ModemManager says of a modem.

    lock     what the SIM card wants now
    tries    those left for the PIN, None where it does not tell
    guarded  the card wants its PIN whenever it was without power
    """

    state: str = ""
    failed: str = ""
    lock: str = ""
    tries: int | None = None
    guarded: bool = False

    @property
    def wants_pin(self) -> bool:
        """Whether the SIM card is locked, and opens with its PIN."""
        return self.lock == "sim-pin"

    @property
    def wants_puk(self) -> bool:
        """Whether the SIM card is locked, and does not open with its PIN any more."""
        return self.lock == "sim-puk"


def read_modem(runner: Runner) -> Modem | None:
    """The modem as it is now; None where there is none."""
    listed = _ask(runner, "--list-modems").get("modem-list", [])
    if not listed:
        return None
    modem = _ask(runner, "--modem", str(listed[0])).get("modem", {})
    generic, mobile = modem.get("generic", {}), modem.get("3gpp", {})
    tries = re.search(r"sim-pin \((\d+)\)", str(generic.get("unlock-retries", "")))
    return Modem(
        state=str(generic.get("state", "")),
        failed=str(generic.get("state-failed-reason", "")),
        lock=str(generic.get("unlock-required", "")),
        tries=int(tries[1]) if tries else None,
        guarded=re.search(r"(?<![\w-])sim(?![\w-])", str(mobile.get("enabled-locks", ""))) is not None,
    )


def _ask(runner: Runner, *words: str) -> dict[str, Any]:
    done = runner("mmcli", "--output-json", *words, limit=15.0)
    try:
        told = json.loads(done.output)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def active(runner: Runner, connection: str) -> bool:
    """Whether a connection is up."""
    shown = runner("nmcli", "-g", "GENERAL.STATE", "connection", "show", connection, limit=15.0)
    return shown.output.strip() == "activated"


def _lines(site: Site) -> list[str]:
    """The link's connection as the card has it."""
    try:
        return (site.root / CONNECTIONS / f"{LINK}{ENDING}").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def taken_pin(site: Site) -> str:
    """The PIN that the SIM card has taken, "" for none."""
    lines = _lines(site)
    pins = [line.removeprefix("pin=") for line in lines if line.startswith("pin=")]
    return pins[0] if pins and "autoconnect=false" not in lines else ""


def pin_use(site: Site, pin: str) -> PinUse:
    """What came of a PIN so far, as its connection on the card has it."""
    if refused_pin(pin) in _lines(site):
        return "refused"
    return "taken" if pin and pin == taken_pin(site) else "untried"


def may_try(modem: Modem, use: PinUse) -> bool:
    """Whether a PIN may be sent to a locked card: with all tries left any may, else a new one, but not as the last."""
    if modem.tries is None:
        return use != "refused"
    return modem.tries >= ALL_TRIES or (modem.tries > 1 and use != "refused")


class Dongle:
    """Brings up a link whose SIM card has a PIN. May be done again at any time."""

    def __init__(self, settings: Settings, site: Site, wait: Callable[[float], None] = time.sleep) -> None:
        self._settings, self._site, self._wait = settings, site, wait
        self._taken_before = taken_pin(site)

    def bring_up(self) -> None:
        """Bring the link up, unless that would be a try of the PIN too many; the connection says what came of it."""
        runner, pin = self._site.runner, self._settings.link.pin
        modem = self._await_modem()
        if modem is None or modem.wants_puk:
            return
        if modem.wants_pin:
            if not may_try(modem, pin_use(self._site, pin)):
                self._note("refused")
                return
            self._note("untried")
        runner("nmcli", "--wait", str(LINK_WAIT), "connection", "up", LINK, limit=LINK_WAIT + 15.0)
        after = read_modem(runner)
        if active(runner, LINK) or (after and after.lock in ("none", "sim-pin2", "sim-puk2")):
            # A card that was open already was not asked, and has taken another one if there was another one.
            if modem.wants_pin or not (after or modem).guarded or self._taken_before in ("", pin):
                self._note("taken")
        elif after and (after.wants_pin or after.wants_puk):
            self._note("refused")

    def _await_modem(self) -> Modem | None:
        """The modem, as soon as it says what it wants; None where no dongle is plugged in, or it is no modem."""
        waited = 0.0
        modem = read_modem(self._site.runner)
        while (modem is None or modem.lock == "unknown") and waited < MODEM_WAIT and self._site.around.modem():
            self._wait(LOOK_AGAIN)
            waited += LOOK_AGAIN
            modem = read_modem(self._site.runner)
        return modem

    def _note(self, use: PinUse) -> None:
        """Write what came of the PIN into the connection, and have NetworkManager read it."""
        name = f"{LINK}{ENDING}"
        path, text = self._site.root / CONNECTIONS / name, keyfiles(self._settings, self._site.around, use)[name]
        if not path.exists() or path.read_text("utf-8") != text:
            write_file(path, text.encode(), 0o600, self._site.disk)
            self._site.runner("nmcli", "connection", "reload", limit=20.0)

"""What the state screen shows: the mail office's own status file, the card, and how warm the machine is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .journal import left_for_later
from .texts import Texts, texts

STATUS = Path("run/mojomail/status.json")
"""Written by mojomaild, as a whole, whenever something changes, and every two minutes at least."""
SILENT = 600.0
"""Seconds after which what mojomaild wrote last tells nothing of now: it is down, or stuck."""
TEMPERATURE = Path("sys/class/thermal/thermal_zone0/temp")
HOT = 80
"""Degrees Celsius from which a Pi makes itself slower."""
SECRETS_LEFT = Path("var/lib/mojomail/firstboot/secrets-left")
"""A note that the set-up's passwords could not be taken off the card yet."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Status:
    """The node's state.

    link          up, down, or "" when not known
    waiting       mails that have yet to go out, None when not known
    last_contact  seconds since 1970, None for never
    free          bytes free on the card
    celsius       temperature, None when not known
    left          groups of the set-up that were left for later
    secrets_left  whether passwords of the set-up are still in a file on the card
    """

    link: str = ""
    waiting: int | None = None
    last_contact: int | None = None
    free: int = 0
    celsius: int | None = None
    left: tuple[str, ...] = ()
    secrets_left: bool = False


def read_status(root: Path, clock: Callable[[], float] = time.monotonic) -> Status:
    """The state now. What cannot be read, or is too old, is not known; the last contact was when it was.

    `clock` is mojomaild's too: the time of day may go on by weeks at the first contact.
    """
    try:
        told = json.loads((root / STATUS).read_bytes())
    except (OSError, ValueError):
        told = {}
    told = told if isinstance(told, dict) else {}
    link = told.get("link")
    link = link if isinstance(link, dict) else {}
    tick = _number(told.get("tick"))
    silent = tick is not None and clock() - tick > SILENT
    try:
        celsius: int | None = round(int((root / TEMPERATURE).read_text()) / 1000)
    except (OSError, ValueError):
        celsius = None
    card = os.statvfs(root)
    return Status(
        link="" if silent else _link(link),
        waiting=None if silent else _number(told.get("waiting")),
        last_contact=_number(link.get("contact")),
        free=card.f_bavail * card.f_frsize,
        celsius=celsius,
        secrets_left=(root / SECRETS_LEFT).exists(),
        left=left_for_later(root),
    )


def _link(told: dict[str, Any]) -> str:
    if not isinstance(told.get("up"), bool):
        return ""
    return "up" if told["up"] else "down"


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def size(count: int) -> str:
    """A number of bytes for people: "7.2 GB"."""
    return f"{count / 1000 / MEGABYTE:.1f} GB" if count >= 1000 * MEGABYTE else f"{count / MEGABYTE:.0f} MB"


def ago(seconds: float, said: Texts) -> str:
    """How long ago something was; a time to come is just now (the clock was set back)."""
    minutes = max(0, int(seconds // 60))
    if minutes < 1:
        return said.say("state|ago_now")
    if minutes < 90:
        return said.say("state|ago_minutes", n=minutes)
    if minutes < 48 * 60:
        return said.say("state|ago_hours", n=round(minutes / 60))
    return said.say("state|ago_days", n=round(minutes / 60 / 24))


def facts(status: Status, now: float, said: Texts) -> list[tuple[str, str, bool]]:
    """What the screen says: label, value, and whether it is trouble."""
    link = said.say(f"state|{status.link or 'unknown'}")
    last = said.say("state|never") if status.last_contact is None else ago(now - status.last_contact, said)
    waiting = said.say("state|unknown") if status.waiting is None else str(status.waiting)
    free, full = said.say("state|free", size=size(status.free)), status.free < 200 * MEGABYTE
    card = said.say("state|secrets_left") if status.secrets_left and not full else free
    left = ", ".join(said.say(f"apply|steps|{group}") for group in status.left)
    told = [(said.say("state|left"), left, True)] if left else []
    told += [
        (said.say("state|link"), link, status.link == "down"),
        (said.say("state|waiting"), waiting, False),
        (said.say("state|last_contact"), last, False),
        (said.say("state|card"), card, full or status.secrets_left),
    ]
    if status.celsius is not None:
        hot = status.celsius >= HOT
        shown = said.say("state|too_hot", n=status.celsius) if hot else f"{status.celsius} °C"
        told.append((said.say("state|temperature"), shown, hot))
    return told


def told(root: Path, language: str) -> dict[str, object]:
    """What the state socket tells while the state is shown."""
    lines = [list(line) for line in facts(read_status(root), time.time(), texts(language))]
    return {"screen": "state", "field": "", "value": "", "language": language, "lines": lines}

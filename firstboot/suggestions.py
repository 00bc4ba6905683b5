"""What Enter answers where the node has to find it: names, passwords that a person can copy, the likely link."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Callable

from .answers import Answers
from .join import SETUP
from .surroundings import Surroundings

CONSONANTS, VOWELS, DIGITS = "bdghjkmnprstvyz", "aeiou", "23456789"
CLOCK_FORM = "%Y-%m-%d %H:%M"
LOGIN_LIMIT = 32
DEFAULT_NODE_NAME = "mojomail"


def password() -> str:
    """A password such as "kamu-ripo-tevu-482": easy to read, to say and to type on a phone; 46 bits of chance."""
    syllables = ["".join((secrets.choice(CONSONANTS), secrets.choice(VOWELS))) for _ in range(6)]
    words = [first + second for first, second in zip(syllables[::2], syllables[1::2], strict=True)]
    return "-".join((*words, "".join(secrets.choice(DIGITS) for _ in range(3))))


def pin() -> str:
    """Six digits for the phone pages."""
    return f"{secrets.randbelow(1_000_000):06d}"


def login_from(name: str, taken: frozenset[str] = frozenset()) -> str:
    """A login made of a name: "Asha Rao" gives asha, then asha.rao, then asha2; "" for a name in another script."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z][a-z0-9]*", plain) if word]
    if not words:
        return ""
    for login in (words[0], ".".join(words)[:LOGIN_LIMIT].rstrip(".")):
        if login not in taken:
            return login
    number = 2
    while f"{words[0][:28]}{number}" in taken:
        number += 1
    return f"{words[0][:28]}{number}"


def _network(answers: Answers, around: Surroundings) -> str:
    return "wifi" if around.radios() else "ethernet"


def _link(answers: Answers, around: Surroundings) -> str:
    if around.modem():
        return "dongle"
    if around.tethers():
        return "phone"
    village = 1 if answers.get("network.kind") in ("ethernet", "both") else 0
    plugged = [socket for socket in around.sockets()[village:] if around.plugged(socket)]
    return "ethernet" if plugged else "none"


def _ethernet(answers: Answers, around: Surroundings) -> str:
    return "join" if any(around.routed(socket) for socket in around.sockets()[:1]) else "serve"


def _country(answers: Answers, around: Surroundings) -> str:
    zones = {"Asia/Kathmandu": "NP", "Asia/Dhaka": "BD", "Asia/Colombo": "LK", "Asia/Thimphu": "BT"}
    return zones.get(answers.need("timezone"), "IN")


def _wifi_name(answers: Answers, around: Surroundings) -> str:
    return answers.get("name") or DEFAULT_NODE_NAME


def others_in_reach(answers: Answers, around: Surroundings) -> list[str]:
    """Names of the Wi-Fis in reach that can be the link, strongest first: none that the node itself has opened."""
    own = (SETUP, answers.get("network.wifi.name"))
    return [name for name in around.seen_networks() if name not in own]


def _seen_wifi(answers: Answers, around: Surroundings) -> str:
    return next(iter(others_in_reach(answers, around)), "")


def _now(answers: Answers, around: Surroundings) -> str:
    return around.now(zone_of(answers)).strftime(CLOCK_FORM)


_ONCE: dict[str, Callable[[Answers, Surroundings], str]] = {
    "network": _network,
    "ethernet": _ethernet,
    "link": _link,
    "country": _country,
    "wifi_name": _wifi_name,
    "seen_wifi": _seen_wifi,
    "now": _now,
}


def zone_of(answers: Answers) -> str:
    """The time zone that was chosen so far."""
    chosen = answers.get("timezone") or "Asia/Kolkata"
    return answers.get("timezone_other") or "UTC" if chosen == "other" else chosen


def logins(answers: Answers, but: int = -1) -> frozenset[str]:
    """The logins given so far, but that of one person."""
    count = answers.count("people")
    return frozenset(answers.need(f"people.{index}.login") for index in range(count) if index != but)


def suggest(what: str, path: str, answers: Answers, around: Surroundings) -> str:
    """What Enter answers at `path`, by the name that steps.yaml gives it."""
    if what == "password":
        login = answers.need(path.rpartition(".")[0] + ".login")
        return next(made for made in iter(password, "") if not login or login not in made)
    if what in _ONCE:
        return _ONCE[what](answers, around)
    if what in ("imap", "smtp"):
        domain = answers.need(path.rpartition(".")[0] + ".address").rpartition("@")[2]
        return f"{what}.{domain}" if domain else ""
    person = re.match(r"people\.(\d+)\.", path)
    if person is None:
        return ""
    before = f"people.{person[1]}"
    if what == "login":
        taken = logins(answers, int(person[1])) | around.logins()
        return login_from(answers.need(f"{before}.name"), taken)
    return answers.get("language") or "en"

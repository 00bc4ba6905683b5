"""Whether an answer can be taken; if not, why, as the key of a text under `problems`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from .answers import Answers
from .suggestions import CLOCK_FORM, logins, zone_of
from .surroundings import Surroundings

LEAST_PASSWORD = 8
"""Letters of a password; the mail office asks for as many."""
LONGEST = 200
"""Letters of any answer."""
LONGEST_LIFE = timedelta(days=20 * 365)
"""How far behind its image a node can be in use; a later time is a mistyped year."""

# As the mail office reads a login (mojomail.addresses).
LOGIN = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")
RESERVED = frozenset(
    (
        *("abuse", "admin", "administrator", "daemon", "dovecot", "dovenull", "hostmaster", "mail", "mailer-daemon"),
        *("mojomail", "nobody", "noreply", "postfix", "postmaster", "root", "roundcube", "security", "spam"),
        *("support", "vmail", "webmaster", "www", "www-data"),
    )
)
COMMON = frozenset(
    (
        *("password", "passwort", "12345678", "123456789", "1234567890", "87654321", "qwertyui", "qwerty123"),
        *("abcd1234", "asdfghjk", "iloveyou", "mojomail", "password1", "password123", "india123", "krishna123"),
        *("welcome1", "admin123"),
    )
)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})*\.[A-Za-z0-9-]{{2,}}")
HOST = re.compile(rf"{_LABEL}(\.{_LABEL})+(:\d{{1,5}})?")
NODE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
JOINER = re.compile(r"(?<=[^\s\u200c\u200d])[\u200c\u200d]")
"""A sign that joins letters or keeps them apart (U+200D, U+200C), behind a letter: Indian keyboards write it."""


@dataclass(frozen=True)
class Problem:
    """Why an answer cannot be taken: the key of a text, and what fills it in."""

    key: str
    given: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What a check may look at: the answer, where it belongs, all answers so far, and the machine."""

    value: str
    path: str
    answers: Answers
    around: Surroundings


Check = Callable[[Question], Problem | None]
CHECKS: dict[str, Check] = {}


def _check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@_check
def timezone(asked: Question) -> Problem | None:
    known = asked.value == "other" or asked.value in asked.around.zones()
    return None if known else Problem("timezone")


@_check
def country(asked: Question) -> Problem | None:
    known = asked.value == "other" or asked.value in asked.around.countries()
    return None if known else Problem("country")


@_check
def clock_time(asked: Question) -> Problem | None:
    try:
        given = datetime.strptime(asked.value, CLOCK_FORM).replace(tzinfo=ZoneInfo(zone_of(asked.answers)))
    except ValueError:
        return Problem("clock_time")
    made = asked.around.image_day()
    if given < made - timedelta(days=1):
        return Problem("clock_past", {"day": f"{made:%Y-%m-%d}"})
    return Problem("clock_far") if given > made + LONGEST_LIFE else None


@_check
def node_name(asked: Question) -> Problem | None:
    return None if NODE_NAME.fullmatch(asked.value) and asked.value != "localhost" else Problem("node_name")


@_check
def password(asked: Question) -> Problem | None:
    if not asked.value.isascii() or not asked.value.isprintable():
        return Problem("password_ascii")
    if len(asked.value) < LEAST_PASSWORD:
        return Problem("password_short", {"least": LEAST_PASSWORD})
    login_name = asked.answers.get(asked.path.rpartition(".")[0] + ".login")
    easy = (
        len(set(asked.value)) < 4 or asked.value.lower() in COMMON or (login_name and login_name in asked.value.lower())
    )
    return Problem("password_easy") if easy else None


@_check
def network_kind(asked: Question) -> Problem | None:
    if asked.value in ("wifi", "both") and not asked.around.radios():
        return Problem("no_radio")
    return Problem("no_ethernet") if asked.value in ("ethernet", "both") and not asked.around.sockets() else None


@_check
def wifi_name(asked: Question) -> Problem | None:
    return Problem("wifi_name_length") if len(asked.value.encode()) > 32 else None


@_check
def wifi_passphrase(asked: Question) -> Problem | None:
    if not asked.value.isascii() or not asked.value.isprintable():
        return Problem("password_ascii")
    return None if 8 <= len(asked.value) <= 63 else Problem("passphrase_length")


@_check
def link_passphrase(asked: Question) -> Problem | None:
    if re.fullmatch(r"[0-9A-Fa-f]{64}", asked.value):
        return None
    return wifi_passphrase(asked)


@_check
def link_kind(asked: Question) -> Problem | None:
    village = asked.answers.need("network.kind")
    if asked.value == "wifi" and len(asked.around.radios()) <= (village in ("wifi", "both")):
        return Problem("one_radio" if asked.around.radios() else "no_radio")
    if asked.value == "ethernet" and len(asked.around.sockets()) <= (village in ("ethernet", "both")):
        return Problem("one_socket" if asked.around.sockets() else "no_ethernet")
    return None


@_check
def apn(asked: Question) -> Problem | None:
    return None if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", asked.value) else Problem("apn")


@_check
def sim_pin(asked: Question) -> Problem | None:
    return None if re.fullmatch(r"[0-9]{4,8}", asked.value) else Problem("sim_pin")


@_check
def person_name(asked: Question) -> Problem | None:
    if len(asked.value) > 100:
        return Problem("too_long", {"most": 100})
    return Problem("letters") if any(sign in asked.value for sign in '<>"') else None


@_check
def login(asked: Question) -> Problem | None:
    if not LOGIN.fullmatch(asked.value) or len(asked.value) > 32:
        return Problem("login")
    if asked.value in RESERVED:
        return Problem("login_reserved")
    taken = logins(asked.answers, int(asked.path.split(".")[1]))
    if asked.answers.get(asked.path) != asked.value:  # one that was given before may have been made by now
        taken |= asked.around.logins()
    return Problem("login_taken") if asked.value in taken else None


@_check
def address(asked: Question) -> Problem | None:
    if not ADDRESS.fullmatch(asked.value) or len(asked.value) > 254 or len(asked.value.split("@")[0]) > 64:
        return Problem("address")
    for path, value in asked.answers.leaves():
        if path.endswith(".address") and path != asked.path and value.lower() == asked.value.lower():
            owner = ".".join(path.split(".")[:2])
            return Problem("address_taken", {"person": asked.answers.need(f"{owner}.name")})
    person = re.match(r"people\.\d+(?=\.)", asked.path)
    before = person[0] if person else asked.path.rpartition(".")[0]
    login_name = asked.answers.get(f"{before}.login")
    holder = asked.around.addresses_taken().get(asked.value.lower(), login_name)
    return Problem("address_taken", {"person": holder}) if holder != login_name else None


@_check
def server(asked: Question) -> Problem | None:
    _, _, port = asked.value.partition(":")
    good = HOST.fullmatch(asked.value) and (not port or 0 < int(port) < 65536)
    return None if good else Problem("server")


@_check
def by_password(asked: Question) -> Problem | None:
    by_token = {one.address for one in asked.around.accounts() if one.by_token}
    return Problem("by_token") if asked.value in by_token else None


@_check
def account_password(asked: Question) -> Problem | None:
    return None if is_line(asked.value) else Problem("account_password")


def tidy(value: str, kind: str, checks: tuple[str, ...]) -> str:
    """An answer as it is meant: no space around it; where only small letters can be, small letters."""
    if kind == "secret":
        return value
    tidied = " ".join(value.split())
    return tidied.lower() if {"node_name", "login", "server"} & set(checks) else tidied


def is_line(text: str) -> bool:
    """Whether a text is one line without control characters, as the mail office reads it (mojomail.lines)."""
    return JOINER.sub("", text).isprintable()


def find_problem(asked: Question, *, optional: bool, checks: tuple[str, ...]) -> Problem | None:
    """The first thing that is wrong with an answer, or None."""
    if not asked.value:
        return None if optional else Problem("empty")
    if len(asked.value) > LONGEST:
        return Problem("too_long", {"most": LONGEST})
    if not is_line(asked.value):
        return Problem("letters")
    for name in checks:
        problem = CHECKS[name](asked)
        if problem is not None:
            return problem
    return None

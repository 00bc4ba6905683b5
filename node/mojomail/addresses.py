"""Mail addresses and logins, as people type them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .catalogue import say
from .errors import InputError

ATEXT = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
"""A dot-atom (RFC 5322, 3.2.3). Quoted local parts are legal and unknown to providers."""
LOCAL_LIMIT, ADDRESS_LIMIT = 64, 254
"""Octets (RFC 5321, 4.5.3.1, and errata 1690)."""

EXTENSION = "+"
"""What begins the part of an address that its owner may choose freely: recipient_delimiter in main.cf."""

LOGIN = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")
LOGIN_LIMIT = 32
RESERVED = frozenset(
    (
        "abuse",
        "admin",
        "administrator",
        "daemon",
        "dovecot",
        "dovenull",
        "hostmaster",
        "mail",
        "mailer-daemon",
        "mojomail",
        "nobody",
        "noreply",
        "postfix",
        "postmaster",
        "root",
        "roundcube",
        "security",
        "spam",
        "support",
        "vmail",
        "webmaster",
        "www",
        "www-data",
    )
)
"""Logins that would be mistaken for a part of the node, or are due to its keeper (RFC 2142)."""


@dataclass(frozen=True)
class Address:
    """A mail address: as written, and as it is compared, lower-case in both spellings of an international domain."""

    written: str
    ascii: str
    unicode: str

    @property
    def domain(self) -> str:
        """The domain, lower-case, in its ASCII spelling."""
        return self.ascii.rpartition("@")[2]

    def __str__(self) -> str:
        return self.written


def parse_address(text: str) -> Address:
    """Read one bare address (no name, no <>). Raises InputError that says what is wrong with it."""
    written = unicodedata.normalize("NFC", text.strip())
    local, at, domain = written.rpartition("@")
    shown = written[:100]
    if not at:
        raise InputError(say("address.no-at", address=shown), hint=say("address.like"))
    if any(sign.isspace() or unicodedata.category(sign) == "Cc" for sign in written):
        raise InputError(say("address.space", address=shown), hint=say("address.like"))
    if not local.isascii():
        raise InputError(say("address.local-not-ascii", address=shown), hint=say("address.like"))
    if not ATEXT.fullmatch(local) or len(local) > LOCAL_LIMIT:
        raise InputError(say("address.local", address=shown, local=local[:70]), hint=say("address.like"))
    ascii_domain, unicode_domain = _domain(domain, shown)
    if len(local) + 1 + len(ascii_domain) > ADDRESS_LIMIT:
        raise InputError(say("address.long", address=shown, limit=ADDRESS_LIMIT))
    return Address(
        written=f"{local}@{unicode_domain}",
        ascii=f"{local.lower()}@{ascii_domain}",
        unicode=f"{local.lower()}@{unicode_domain}",
    )


def lookup_keys(address: str) -> tuple[str, ...]:
    """What an address is looked up by, in this order, as Postfix does it (strip_addr(3)): asha+shop@... is asha@..."""
    local, at, domain = address.rpartition("@")
    bare, sign, _ = local.partition(EXTENSION)
    return (address, f"{bare}{at}{domain}") if bare and sign else (address,)


def _domain(domain: str, shown: str) -> tuple[str, str]:
    """Both spellings of a domain, lower-case (IDNA 2008 with the mapping of UTS 46). Raises InputError."""
    import idna

    try:
        spelled = idna.encode(domain, uts46=True).decode("ascii").lower()
        unicode = idna.decode(spelled)
    except (idna.IDNAError, UnicodeError):
        raise _no_domain(domain, shown) from None
    labels = spelled.split(".")
    if len(labels) < 2 or not all(re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in labels):
        raise _no_domain(domain, shown)
    if labels[-1].isdigit() or spelled.endswith("home.arpa"):
        raise _no_domain(domain, shown)
    return spelled, unicode


def _no_domain(domain: str, shown: str) -> InputError:
    return InputError(say("address.domain", address=shown, domain=domain[:70]), hint=say("address.like"))


def parse_login(text: str) -> str:
    """Read a login. Raises InputError, with one that would do where the text gives an idea of it."""
    if text in RESERVED:
        raise InputError(say("login.reserved", login=text))
    if LOGIN.fullmatch(text) and len(text) <= LOGIN_LIMIT:
        return text
    idea = login_from(text)
    hint = say("hint.did-you-mean", suggestion=idea) if idea else None
    raise InputError(say("login.form", login=text[:LOGIN_LIMIT], limit=LOGIN_LIMIT), hint=hint)


def login_from(text: str) -> str | None:
    """A login made of a name or an address, or None: `Asha Devi` gives asha.devi."""
    plain = unicodedata.normalize("NFKD", text.partition("@")[0].lower()).encode("ascii", "ignore").decode()
    login = re.sub(r"[^a-z0-9]+", ".", plain).strip(".0123456789")[:LOGIN_LIMIT].strip(".")
    return login if LOGIN.fullmatch(login) and login not in RESERVED else None


def nearest(word: str, known: list[str]) -> str | None:
    """What was probably meant by a word that is not among those known."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, n=1, cutoff=0.75)
    return found[0] if found else None

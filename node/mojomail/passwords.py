"""People's own passwords: made, checked, and hashed as Dovecot reads them."""

from __future__ import annotations

import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHash, VerificationError

from .catalogue import say
from .errors import InputError

SCHEME = "{ARGON2ID}"
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""argon2id with 19 MiB (given in KiB), t=2, p=1: OWASP's least, which a Pi Zero 2 with 512 MB bears for each login."""

SHORTEST, LONGEST = 8, 128
"""Characters."""
COMMON = frozenset(
    (
        "password",
        "passwort",
        "12345678",
        "123456789",
        "1234567890",
        "11111111",
        "00000000",
        "87654321",
        "qwertyui",
        "qwerty123",
        "abcd1234",
        "asdfghjk",
        "iloveyou",
        "mojomail",
        "password1",
        "password123",
        "india123",
        "krishna123",
        "welcome1",
        "admin123",
    )
)
CONSONANTS, VOWELS = "bdfghjklmnprstvz", "aeiou"


def check_password(password: str, *, login: str) -> None:
    """Raises InputError when a password is too easy to guess, or cannot be typed again elsewhere."""
    plain = unicodedata.normalize("NFC", password)
    if len(plain) < SHORTEST:
        raise InputError(say("password.short", shortest=SHORTEST))
    if len(plain) > LONGEST:
        raise InputError(say("password.long", longest=LONGEST))
    if any(unicodedata.category(sign) == "Cc" for sign in plain):
        raise InputError(say("password.control"))
    if plain.lower() in COMMON or len(set(plain)) < 4 or login in plain.lower():
        raise InputError(say("password.easy"))


def hash_password(password: str) -> str:
    """The hash of a password with its scheme in front, as Dovecot's passdb takes it."""
    return SCHEME + _hasher.hash(unicodedata.normalize("NFC", password))


def verify_password(password: str, stored: str) -> bool:
    """Whether a password fits a stored hash."""
    try:
        return _hasher.verify(stored.removeprefix(SCHEME), unicodedata.normalize("NFC", password))
    except (VerificationError, InvalidHash):
        return False


def make_password() -> str:
    """A password that can be read out and typed on a phone: `kivo-tamu-seji-rodu-38`, 57 bits."""
    pairs = [secrets.choice(CONSONANTS) + secrets.choice(VOWELS) for _ in range(8)]
    words = ["".join(pairs[at : at + 2]) for at in range(0, 8, 2)]
    return "-".join([*words, f"{secrets.randbelow(100):02}"])

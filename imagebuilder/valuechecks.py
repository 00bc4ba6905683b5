"""Checks for the values of settings: each takes the value and returns what is wrong with it, or None."""

from __future__ import annotations

import base64
import binascii
import re
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from .suggestion import did_you_mean

TextCheck = Callable[[str], str | None]
NumberCheck = Callable[[int], str | None]

ZONEINFO = Path("/usr/share/zoneinfo")

# Debian Policy 5.6.1 (Source and Package): lower case letters, digits, plus, minus, full stop; two at least.
PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")

KEY_TYPES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)


def matches(pattern: str, right: str) -> TextCheck:
    """A check that the whole value matches `pattern`; `right` says in words what would be right."""
    compiled = re.compile(pattern)

    def check(value: str) -> str | None:
        return None if compiled.fullmatch(value) else f"{value!r} is not right: it must be {right}"

    return check


def between(low: int, high: int, unit: str = "") -> NumberCheck:
    """A check that a number is in a range, both ends included."""

    def check(value: int) -> str | None:
        if low <= value <= high:
            return None
        return f"{value} is out of range: from {low} to {high}{' ' + unit if unit else ''} is possible"

    return check


is_name = matches(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?", "up to 48 of a-z, 0-9 and -, no - first or last")
is_hostname = matches(
    r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", "a host name of a-z, 0-9, - and . (RFC 1123)"
)
is_host = matches(
    r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", "a host name or an IP address"
)
is_locale = matches(r"C\.UTF-8|[a-z]{2,3}_[A-Z]{2}\.UTF-8(@[a-z]+)?", "a UTF-8 locale such as en_IN.UTF-8")
is_user = matches(r"[a-z][-a-z0-9_]{0,31}", "a user name of a-z, 0-9, - and _, a letter first")
is_country = matches(r"[A-Z]{2}", "a country code of two capital letters (ISO 3166) such as IN")
is_word = matches(r"[A-Za-z0-9][A-Za-z0-9._-]*", "one word of letters, digits, '.', '_' and '-'")
is_fingerprint = matches(
    r"([0-9A-Fa-f]{4} ?){9}[0-9A-Fa-f]{4}|([0-9A-Fa-f]{4} ?){15}[0-9A-Fa-f]{4}",
    "the key's whole fingerprint, 40 or 64 hexadecimal digits",
)


def is_url(value: str) -> str | None:
    """An http, https or file address, without a password in it."""
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return f"{value!r} is not an address such as https://example.org/debian"
    complete = parts.hostname if parts.scheme in ("http", "https") else parts.scheme == "file" and parts.path
    if not complete or not port_is_right or re.search(r"\s", value):
        return f"{value!r} is not an address: it must begin with http://, https:// or file:///"
    if parts.password is not None:
        return "an address with a password in it would be readable in the image"
    return None


def is_package(value: str) -> str | None:
    """A name that a Debian package can have, with an architecture after a colon if need be."""
    name, _, architecture = value.partition(":")
    if PACKAGE_NAME.fullmatch(name) and (not architecture or re.fullmatch(r"[a-z0-9-]+", architecture)):
        return None
    return f"{value!r} cannot be a package's name: it must be two or more of a-z, 0-9, '+', '-' and '.'"


def is_timezone(value: str) -> str | None:
    """A name of the time zone database; only its form is checked on a host without one."""
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", value):
        return f"{value!r} is not a time zone such as Asia/Kolkata"
    if ZONEINFO.is_dir() and not (ZONEINFO / value).is_file():
        hint = did_you_mean(value, zoneinfo.available_timezones())
        return f"there is no time zone {value!r}" + (f", {hint}" if hint else "")
    return None


def is_public_key(value: str) -> str | None:
    """One line of an OpenSSH public key file (sshd(8), AUTHORIZED_KEYS FILE FORMAT), options not allowed."""
    if "PRIVATE KEY" in value:
        return "this is a private key, which must stay secret: give the public one, from the file that ends in .pub"
    words = value.split()
    if "\n" in value.strip() or len(words) < 2:
        return "this is not an OpenSSH public key: it must be one line such as 'ssh-ed25519 AAAA... name'"
    if words[0] not in KEY_TYPES:
        hint = did_you_mean(words[0], KEY_TYPES)
        return f"{words[0]!r} is not a type of ssh key that sshd takes" + (f", {hint}" if hint else "")
    try:
        body = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        body = b""
    kind = words[0].encode()
    if not body.startswith(len(kind).to_bytes(4, "big") + kind) or len(body) < len(kind) + 4 + 32:
        return f"this {words[0]} key is damaged: copy it anew, whole and in one line"
    return None


def is_apt_source(value: str) -> str | None:
    """A line of sources.list(5) for binary packages that names its key: `deb [signed-by=FILE] URL SUITE COMPONENT`."""
    found = APT_SOURCE.fullmatch(value)
    if found is None:
        return "this is not a package source: it must be 'deb [signed-by=KEYFILE] URL SUITE COMPONENT...'"
    return is_url(found["url"])


APT_SOURCE = re.compile(
    r"deb +\[(?P<options>[^\[\]]*\bsigned-by=(?P<key>[^\]\s,]+)[^\[\]]*)\]"
    r" +(?P<url>\S+) +(?P<suite>\S+)(?P<components>( +\S+)+)"
)

"""Whom a header like From names: the addresses, and those that its names and comments show besides.

Stricter than RFC 5322, 3.4: readers differ in how they take what is unusual or broken, so what could be read in two
ways is not read at all. Groups, routes, quoted local parts, addresses with blanks or comments inside, and lists with
holes are legal here and there, and no mail app writes them.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

LIMIT = 4096
"""Characters of a header; a person's name and a few addresses have some hundred."""
ADDRESS = re.compile(r"(?!.*=\?)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[^@\s]+")
"""What may be an address, to be compared letter by letter. `=?` in it could be taken for an encoded word."""
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
ATOM = re.compile(r'[^ \t<>,;:\[\]\\()"]+')
"""A word without quotes (RFC 5322, 3.2.3), also with dots, an `@` or in UTF-8 (RFC 6532)."""
ENCODED = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]*)?\?([BbQq])\?([^?]*)\?=")
"""An encoded word (RFC 2047, 2, with the language of RFC 2231, 5); blanks in it are against the rule, and read."""
BETWEEN_ENCODED = re.compile(r"(\?=)\s+(?==\?)")
QUOTING = str.maketrans("", "", '"\\')
SEPARATOR = re.compile(r"[\s<>()\[\],;:]")
DOMAIN = re.compile(r"[\w-]+(?:[.。][\w-]+)+")
ALONE, IN_BRACKETS = ["atom"], ["<", "atom", ">"]


class Unreadable(ValueError):
    """The header cannot be read in one way only."""


@dataclass(frozen=True)
class Authors:
    """`addresses` as the header has them, at least one; `shown` are all that a reader may see in it, those included."""

    addresses: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Token:
    """`kind` is `atom`, `text` (a quoted string), `comment`, or one of the signs `<`, `>` and `,`."""

    kind: str
    text: str = ""


def read_authors(value: str) -> Authors:
    """Read a header's value, folded or not. Raises Unreadable."""
    line = re.sub(r"\r?\n(?=[ \t])", "", value)
    if len(line) > LIMIT or CONTROL.search(line):
        raise Unreadable
    mailboxes: list[list[Token]] = [[]]
    for token in _tokens(line):
        if token.kind == ",":
            mailboxes.append([])
        else:
            mailboxes[-1].append(token)
    shown = decoded(line.translate(QUOTING)).translate(QUOTING)
    return Authors(tuple(_address(mailbox) for mailbox in mailboxes), tuple(addresses_in(shown)))


def _address(mailbox: list[Token]) -> str:
    """That of `Asha Devi <asha@gmail.com>`, or of `asha@gmail.com` alone."""
    while mailbox and mailbox[-1].kind == "comment":
        mailbox = mailbox[:-1]
    if [token.kind for token in mailbox[-3:]] == IN_BRACKETS:
        name, address = mailbox[:-3], mailbox[-2].text
    else:
        name, address = [], ""
        if [token.kind for token in mailbox if token.kind != "comment"] == ALONE:
            address = mailbox[-1].text
    if any(token.kind in "<>" for token in name) or not ADDRESS.fullmatch(address):
        raise Unreadable
    return address


def _tokens(line: str) -> list[Token]:
    tokens, place = [], 0
    while place < len(line):
        sign, text = line[place], ""
        if sign in " \t":
            place += 1
        elif sign in "<>,":
            tokens.append(Token(sign))
            place += 1
        elif sign in '"(':
            text, place = _enclosed(line, place)
            tokens.append(Token("text" if sign == '"' else "comment", text))
        elif atom := ATOM.match(line, place):
            tokens.append(Token("atom", atom.group()))
            place = atom.end()
        else:
            raise Unreadable
    return tokens


def _enclosed(line: str, start: int) -> tuple[str, int]:
    """The quoted string or the comment, which may have others in it, that begins here; and the place behind it."""
    comment, depth, place = line[start] == "(", 1, start + 1
    while place < len(line):
        sign = line[place]
        if sign == "\\":
            place += 1
        elif comment and sign == "(":
            depth += 1
        elif sign == (")" if comment else '"'):
            depth -= 1
            if not depth:
                return line[start + 1 : place], place + 1
        place += 1
    raise Unreadable


def decoded(text: str) -> str:
    """Text with its encoded words as they are shown (RFC 2047, 6.2). Raises Unreadable."""
    plain = ENCODED.sub(lambda word: _word(*word.groups()), BETWEEN_ENCODED.sub(r"\1", text))
    return plain.encode("utf-8", "replace").decode()


def _word(charset: str, encoding: str, text: str) -> str:
    try:
        raw = text.encode()
        if encoding in "Bb":
            raw = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        else:
            raw = binascii.a2b_qp(raw, header=True)
        return raw.decode(charset, "replace")
    except (ValueError, LookupError):
        raise Unreadable from None


def addresses_in(text: str) -> list[str]:
    """What a reader would take for a mail address in a text, with full-width signs and invisible ones too."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKC", text) if unicodedata.category(sign) != "Cf")
    found = []
    for before, behind in pairwise(plain.split("@")):
        local = SEPARATOR.split(before.rstrip())[-1].lstrip("'")
        domain = DOMAIN.match(behind.lstrip())
        if local and domain:
            found.append(f"{local}@{domain.group().replace('。', '.')}")
    return found

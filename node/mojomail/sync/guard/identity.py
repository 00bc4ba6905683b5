"""By what a mail is recognised as the same one on both sides: its Message-ID, or a digest of what else names it.

IMAP's UIDs hold within one folder and one UIDVALIDITY only; a mail that a neighbour delivered here, one whose upload
was never acknowledged, and one in a folder that was numbered anew have none in common.
"""

from __future__ import annotations

import hashlib
import re
from email.header import decode_header, make_header
from pathlib import Path

FIELDS = "MESSAGE-ID DATE FROM SUBJECT"
"""The header fields that `key_of` looks at, as IMAP's HEADER.FIELDS takes them."""

HEADER_LIMIT = 256 * 1024
"""How much of a file is looked at for its header, bytes."""

_POSTED_HERE = re.compile(rb"^received:.*\bby [a-z0-9-]+\.home\.arpa\b", re.IGNORECASE | re.MULTILINE)
_UNFOLD = re.compile(rb"\r?\n[ \t]+")


def header_fields(header: bytes) -> dict[str, str]:
    """The first of each field in a header, by lower-case name, unfolded."""
    found: dict[str, str] = {}
    for line in _UNFOLD.sub(b" ", header).splitlines():
        if not line:
            break
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.decode("ascii", "replace").strip().lower(), value.decode("utf-8", "replace").strip())
    return found


def key_of(header: bytes) -> str:
    """The key of the mail with this header, RFC 5322 section 3.6.4; short, and the same for CRLF and LF."""
    fields = header_fields(header)
    named = fields.get("message-id", "")
    if named:
        return "m" + hashlib.sha256(named.encode()).hexdigest()[:32]
    other = "\0".join(" ".join(fields.get(name, "").split()) for name in ("date", "from", "subject"))
    return "h" + hashlib.sha256(other.encode()).hexdigest()[:32]


def header_of(path: Path) -> bytes:
    """The header of a mail in a file, without the rest."""
    with path.open("rb") as mail:
        start = mail.read(HEADER_LIMIT)
    ends = [place for place in (start.find(b"\n\n"), start.find(b"\n\r\n")) if place >= 0]
    return start[: min(ends) + 1] if ends else start


def made_here(header: bytes) -> bool:
    """Whether the node itself wrote this mail, or a program did: a notice, a report of a failed delivery.

    Such mail stays here: it was meant for the reader alone (RFC 3834 section 5, RFC 5321 section 4.5.5).
    """
    fields = header_fields(header)
    automatic = fields.get("auto-submitted", "no").split(";")[0].strip().lower()
    return automatic != "no" or fields.get("return-path", "").replace(" ", "") == "<>"


def posted_here(header: bytes) -> bool:
    """Whether the mail was handed in at this node. It says so (RFC 5321 section 4.4) in no mail that leaves it."""
    return bool(_POSTED_HERE.search(_UNFOLD.sub(b" ", header)))


def readable(value: str) -> str:
    """A header field's text with RFC 2047 words decoded, as far as it can be."""
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, UnicodeError):
        return value

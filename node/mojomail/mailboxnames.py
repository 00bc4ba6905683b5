"""Folder names as IMAP spells them: modified UTF-7 (RFC 3501, 5.1.3), and lines of LIST."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

USES = {"\\sent": "sent", "\\drafts": "drafts", "\\trash": "trash", "\\junk": "junk", "\\all": "archive"}
"""Special uses (RFC 6154) by role."""
LINE = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?P<separator>\\?.)"|NIL) (?P<name>.*)', re.DOTALL)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of a provider; `role` is '' unless the provider says what it is for."""

    name: str
    role: str
    selectable: bool


def decode(name: str) -> str:
    """A folder's name in Unicode; what is not modified UTF-7 stays as it is."""
    try:
        return re.sub(r"&([^-]*)-", lambda found: _decoded(found[1]), name)
    except (binascii.Error, UnicodeError):
        return name


def _decoded(text: str) -> str:
    if not text:
        return "&"
    padded = text.replace(",", "/") + "=" * (-len(text) % 4)
    return base64.b64decode(padded, validate=True).decode("utf-16-be")


def encode(name: str) -> str:
    """A folder's name in modified UTF-7."""
    escaped = name.replace("&", "&-")
    return re.sub(r"[^\x20-\x7e]+", lambda found: _encoded(found[0]), escaped)


def _encoded(text: str) -> str:
    plain = base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
    return f"&{plain}-"


def parse_list(lines: list[bytes | tuple[bytes, bytes]]) -> list[RemoteFolder]:
    """The folders of a reply to LIST as imaplib gives it; lines that are none are left out."""
    folders = []
    for line in lines:
        head, literal = (line[0], line[1]) if isinstance(line, tuple) else (line, None)
        found = LINE.match(head or b"")
        if found is None:
            continue
        raw = literal if literal is not None else _unquoted(found["name"].strip())
        flags = {flag.lower() for flag in found["flags"].decode("ascii", "replace").split()}
        role = "archive" if "\\archive" in flags else next((USES[flag] for flag in sorted(flags & USES.keys())), "")
        selectable = not flags & {"\\noselect", "\\nonexistent"}
        folders.append(RemoteFolder(decode(raw.decode("utf-8", "replace")), role, selectable))
    return folders


def _unquoted(name: bytes) -> bytes:
    if len(name) >= 2 and name.startswith(b'"') and name.endswith(b'"'):
        return re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return name


def folders_by_role(folders: list[RemoteFolder]) -> dict[str, str]:
    """The name of the folder for each role that the provider names one for, the first where it names two."""
    roles: dict[str, str] = {}
    for folder in folders:
        if folder.role and folder.selectable:
            roles.setdefault(folder.role, folder.name)
    return roles

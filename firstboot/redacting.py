"""Taking the secrets off the card's FAT partition once they are on the node.

Writing the file anew beside itself would leave the old one's blocks, secrets and all, somewhere on the card. So each
secret is first written over in its place, at its own length: FAT changes nothing but these bytes, and a cut leaves a
file with some secrets gone and some to go, which the next start finds and goes on with. Only then is the file written
beside itself with a word in place of each secret, and renamed.

Comments go as well: nobody can tell whether an old password stands in one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from .durable import DISK, Disk, write_file
from .errors import FaultyFile
from .preset import LARGEST, REMOVED, may_be_secret
from .yamltree import Mapping, Node, Scalar, parse, scalars

FILL = "x"
UNREAD = b"\xff"
"""In place of a byte that the card does not give back."""
BLANK = f"# {REMOVED}: what stood here could not be read, and may have held passwords.\n"
"""A file that was written over whole."""
HEADINGS = frozenset(("#cloud-config",))
"""Comments that mean something to a program."""
_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*")


@dataclass(frozen=True)
class Piece:
    """Characters `start` to `end` of a file's text that have to go; `instead` comes in their place."""

    start: int
    end: int
    instead: str = ""


def secret_scalars(tree: Node, hides: Callable[[str], bool] = may_be_secret) -> list[Scalar]:
    """The secrets in a file that have yet to go."""
    return [
        scalar
        for path, scalar in scalars(tree)
        if hides(path) and scalar.tag != "null" and scalar.text and scalar.text != REMOVED
    ]


def redact(path: Path, hides: Callable[[str], bool] = may_be_secret, disk: Disk = DISK, *, whole: bool = False) -> bool:
    """Take the secrets out of the file at `path`; whether there were any. `hides` tells them by their path in it.

    A file that cannot be read as settings is left alone, or, with `whole`, written over from end to end.
    """
    try:
        if path.stat().st_size > LARGEST:
            return whole and _blank_large(path, disk)
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return False
    except OSError:
        if not whole:
            raise
        data = UNREAD * path.stat().st_size
    try:
        text = data.decode("utf-8-sig")
        tree = parse(text, path.name)
    except (FaultyFile, UnicodeDecodeError):
        tree = None
        text = ""
    if not isinstance(tree, Mapping):
        return whole and _blank(path, data, disk)
    secrets = list(_secrets(tree, hides, text))
    found = [
        *secrets,
        *(one for one in comments(text) if not any(piece.start <= one.start < piece.end for piece in secrets)),
    ]
    if not found:
        return False
    bom = len(data) - len(text.encode())
    for piece in found:
        start = bom + len(text[: piece.start].encode())
        length = len(text[piece.start : piece.end].encode())
        disk.overwrite(path, start, filler(data[start : start + length]))
    new = text
    for piece in sorted(found, key=lambda piece: piece.start, reverse=True):
        new = f"{new[: piece.start]}{piece.instead}{new[piece.end :]}"
    write_file(path, new.encode(), 0o600, disk)
    return True


def _secrets(tree: Node, hides: Callable[[str], bool], text: str) -> Iterator[Piece]:
    for secret in secret_scalars(tree, hides):
        start, end = secret.place.start, secret.place.end
        tail = "\n" if text[start:end].endswith("\n") else ""
        yield Piece(start, end, f'"{REMOVED}"{tail}')


def comments(text: str) -> Iterator[Piece]:
    """The comments of YAML that can be read: what stands between its tokens, or beside the sign of a long text."""
    before = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start, end = token.start_mark.index, token.end_mark.index
        yield from _comments_in(text, before, start)
        if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
            yield from _comments_in(text, start, text.find("\n", start, end))
        before = max(before, end)


def _comments_in(text: str, start: int, end: int) -> Iterator[Piece]:
    for found in _COMMENT.finditer(text, start, end):
        if found[0].rstrip() in HEADINGS:
            continue
        line = text.rfind("\n", 0, found.start()) + 1
        alone = not text[line : found.start()].strip()
        yield Piece(line if alone else found.start(), found.end() + alone)


def _blank(path: Path, data: bytes, disk: Disk) -> bool:
    if not data.strip() or data == BLANK.encode():
        return False
    disk.overwrite(path, 0, filler(data))
    write_file(path, BLANK.encode(), 0o600, disk)
    return True


def _blank_large(path: Path, disk: Disk) -> bool:
    size = path.stat().st_size
    for start in range(0, size, LARGEST):
        disk.overwrite(path, start, FILL.encode() * min(LARGEST, size - start))
    write_file(path, BLANK.encode(), 0o600, disk)
    return True


def filler(written: bytes) -> bytes:
    """As many bytes that hold no secret; quotes, line ends and # stay, so that the file can still be read."""
    kept = b"\"'\n\r |>#"
    return bytes(byte if byte in kept else ord(FILL) for byte in written)

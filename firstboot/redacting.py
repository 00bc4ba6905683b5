"""Taking the secrets off the card's FAT partition once they are on the node.

Writing the file anew beside itself would leave the old one's blocks, secrets and all, somewhere on the card. So each
secret is first written over in its place, at its own length: FAT changes nothing but these bytes, and a cut leaves a
file with some secrets gone and some to go, which the next start finds and goes on with. Only then is the file written
beside itself with a word in place of each secret, and renamed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .durable import DISK, Disk, write_file
from .errors import FaultyFile
from .preset import REMOVED, may_be_secret
from .yamltree import Mapping, Node, Scalar, parse, scalars

FILL = "x"
UNREAD = b"\xff"
"""In place of a byte that the card does not give back."""
BLANK = f"# {REMOVED}: what stood here could not be read, and may have held passwords.\n"
"""A file that was written over whole."""


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
    found = secret_scalars(tree, hides)
    if not found:
        return False
    bom = len(data) - len(text.encode())
    for secret in found:
        start = bom + len(text[: secret.place.start].encode())
        length = len(text[secret.place.start : secret.place.end].encode())
        written = data[start : start + length]
        disk.overwrite(path, start, filler(written))
    new = text
    for secret in sorted(found, key=lambda scalar: scalar.place.start, reverse=True):
        tail = "\n" if text[secret.place.start : secret.place.end].endswith("\n") else ""
        new = f'{new[: secret.place.start]}"{REMOVED}"{tail}{new[secret.place.end :]}'
    write_file(path, new.encode(), 0o600, disk)
    return True


def _blank(path: Path, data: bytes, disk: Disk) -> bool:
    if not data.strip() or data == BLANK.encode():
        return False
    disk.overwrite(path, 0, filler(data))
    write_file(path, BLANK.encode(), 0o600, disk)
    return True


def filler(written: bytes) -> bytes:
    """As many bytes that hold no secret: quotes and line ends stay, so that the file can still be read."""
    kept = b"\"'\n\r |>"
    return bytes(byte if byte in kept else ord(FILL) for byte in written)

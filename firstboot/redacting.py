"""Taking the secrets off the card's FAT partition once they are on the node.

Writing the file anew beside itself would leave the old one's blocks, secrets and all, somewhere on the card. So each
secret is first written over in its place, at its own length: FAT changes nothing but these bytes, and a cut leaves a
file with some secrets gone and some to go, which the next start finds and goes on with. Only then is the file written
beside itself with a word in place of each secret, and renamed.
"""

from __future__ import annotations

from pathlib import Path

from .durable import DISK, Disk, write_file
from .errors import FaultyFile
from .preset import REMOVED
from .seal import SECRET_NAMES
from .yamltree import Mapping, Node, Scalar, parse, scalars

FILL = "x"


def secret_scalars(tree: Node, names: frozenset[str] = SECRET_NAMES) -> list[Scalar]:
    """The secrets in a file that have yet to go."""
    return [
        scalar
        for path, scalar in scalars(tree)
        if path.rpartition(".")[2] in names and scalar.tag != "null" and scalar.text and scalar.text != REMOVED
    ]


def redact(path: Path, names: frozenset[str] = SECRET_NAMES, disk: Disk = DISK) -> bool:
    """Take the secrets out of the file at `path`; whether there were any. A file that is no YAML is left alone."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
        tree = parse(text, path.name)
    except (FileNotFoundError, FaultyFile, UnicodeDecodeError):
        return False
    found = secret_scalars(tree, names) if isinstance(tree, Mapping) else []
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


def filler(written: bytes) -> bytes:
    """As many bytes that hold no secret: quotes and line ends stay, so that the file can still be read."""
    kept = b"\"'\n\r |>"
    return bytes(byte if byte in kept else ord(FILL) for byte in written)

"""What lies in an image's root file system, without booting or mounting it."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.lab.processes import run

SECTOR = 512


def root_of(image: Path) -> str:
    """The second partition as debugfs(8) names it."""
    with image.open("rb") as file:
        table = file.read(SECTOR)
    start = struct.unpack_from("<I", table, 446 + 16 + 8)[0]
    return f"{image}?offset={start * SECTOR}"


def look(root: str, request: str) -> str:
    """What debugfs answers to a request, such as `stat /etc/hostname`."""
    return run("debugfs", "-R", request, root)


def has(root: str, path: str) -> bool:
    """Whether there is a file."""
    return "Inode:" in look(root, f"stat {path}")

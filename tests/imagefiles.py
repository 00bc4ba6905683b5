"""What lies in an image's root file system, without booting or mounting it."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.lab.processes import end, run, start

SECTOR = 512


def root_of(image: Path) -> str:
    """The second partition as debugfs(8) names it."""
    with image.open("rb") as file:
        table = file.read(SECTOR)
    start = struct.unpack_from("<I", table, 446 + 16 + 8)[0]
    return f"{image}?offset={start * SECTOR}"


def read_from_boot(image: Path, name: str) -> str:
    """A text file on the first partition, the one that any computer shows."""
    with image.open("rb") as file:
        table = file.read(SECTOR)
    start = struct.unpack_from("<I", table, 446 + 8)[0]
    return run("mtype", "-i", f"{image}@@{start * SECTOR}", f"::/{name}")


def mended_root(card: Path, root: Path) -> str:
    """Copy the root file system of a card that lost its power to the file `root`, as the next start would have it: its
    journal is replayed. Gives it as debugfs(8) names it; AssertionError when it does not mend by itself.
    """
    start_byte = int(root_of(card).rpartition("=")[2])  # e2fsck has no offset when it opens the file once more
    run("dd", f"if={card}", f"of={root}", "bs=1M", "conv=sparse", "iflag=skip_bytes", f"skip={start_byte}")
    check = start(("e2fsck", "-fp", root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = check.communicate(timeout=300)
    finally:
        end(check)
    assert check.returncode in (0, 1), said.decode(errors="replace")  # nothing to do, or mended (e2fsck(8))
    return str(root)


def read(root: str, path: str) -> str | None:
    """A text file's content; None where there is none."""
    return look(root, f"cat {path}") if has(root, path) else None


def look(root: str, request: str) -> str:
    """What debugfs answers to a request, such as `stat /etc/hostname`."""
    return run("debugfs", "-R", request, root)


def has(root: str, path: str) -> bool:
    """Whether there is a file."""
    return "Inode:" in look(root, f"stat {path}")

"""A card as it is after each flush of a write log: its two partitions as files, brought forward write by write.

What a power cut leaves is looked at without booting: e2fsck(8) replays the journal as the kernel would, with an undo
file, debugfs(8) reads, and e2undo(8) takes the replay back before the next writes are added.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import processes, qemu
from tests.lab.writelog import WriteLog, copy_sparse

SECTOR = 512
processes.PACKAGES.update(e2undo="e2fsprogs", mtype="mtools")


class CutError(Exception):
    """A card that no power cut may leave."""


def partitions(image: Path) -> list[int]:
    """Where the two partitions begin, in bytes."""
    with image.open("rb") as file:
        table = file.read(SECTOR)
    return [int(struct.unpack_from("<I", table, 446 + 16 * number + 8)[0]) * SECTOR for number in range(2)]


@dataclass(frozen=True)
class Look:
    """What can be read from a card after a cut."""

    root: Path
    boot: Path

    def read(self, path: str) -> bytes | None:
        """A file of the root file system; None where there is none."""
        out = self.root.with_suffix(".read")
        out.unlink(missing_ok=True)
        _run("debugfs", "-R", f"dump {path} {out}", self.root)
        return out.read_bytes() if out.exists() else None

    def read_boot(self, name: str) -> bytes | None:
        """A file of the FAT partition; None where there is none."""
        code, said = _run("mtype", "-i", self.boot, f"::/{name}")
        return said if code == 0 else None

    def check(self) -> None:
        """Raise CutError unless the file system is whole once its journal is replayed."""
        code, said = _run("e2fsck", "-fn", self.root)
        # what is unlinked but open at the cut is cleared by the next mount, and is no damage
        if code and not re.search(rb"(?s)orphan", said):
            raise CutError(f"e2fsck: exit code {code}\n{said.decode(errors='replace')}")


class Replay:
    """A card that goes through a write log. `image` is what it began as."""

    def __init__(self, image: Path, log: WriteLog, work: Path) -> None:
        self._log, self._at = log, 0
        self._starts = partitions(image)
        whole = work / "whole.img"
        copy_sparse(image, whole, qemu.DISK_BYTES)
        self.boot, self.root = work / "boot.part", work / "root.part"
        ends = (self._starts[1], qemu.DISK_BYTES)
        for part, start, end in zip((self.boot, self.root), self._starts, ends, strict=True):
            with whole.open("rb") as source, part.open("wb") as target:
                target.truncate(end - start)
                at = start
                while at < end:
                    try:
                        at = os.lseek(source.fileno(), at, os.SEEK_DATA)
                    except OSError:
                        break
                    hole = min(os.lseek(source.fileno(), at, os.SEEK_HOLE), end)
                    while at < hole:
                        at += os.copy_file_range(
                            source.fileno(), target.fileno(), min(hole - at, 64 << 20), at, at - start
                        )
        whole.unlink()

    def advance(self, upto: int) -> None:
        """Bring `upto` entries of the log to the card."""
        with self._log.path.open("rb") as log, self.boot.open("r+b") as boot, self.root.open("r+b") as root:
            for entry in self._log.entries[self._at : upto]:
                into, start = (root, self._starts[1]) if entry.start >= self._starts[1] else (boot, self._starts[0])
                if entry.start >= self._starts[0] and entry.count:
                    log.seek(entry.data)
                    into.seek(entry.start - start)
                    into.write(bytes(entry.count) if entry.is_discard else log.read(entry.count))
        self._at = upto

    @contextlib.contextmanager
    def look(self) -> Iterator[Look]:
        """The card as the next start finds it, its journal replayed; afterwards it is as it was cut."""
        undo = self.root.with_suffix(".undo")
        undo.unlink(missing_ok=True)
        code, said = _run("e2fsck", "-y", "-E", "journal_only", "-z", undo, self.root)
        if code not in (0, 1):
            raise CutError(f"the journal cannot be replayed: exit code {code}\n{said.decode(errors='replace')}")
        try:
            yield Look(self.root, self.boot)
        finally:
            if undo.exists():
                code, said = _run("e2undo", undo, self.root)
                assert code == 0, said


def _run(*command: str | Path) -> tuple[int, bytes]:
    program = processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = program.communicate(timeout=300)
    finally:
        processes.end(program)
    return program.returncode, said

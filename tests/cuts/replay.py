"""A card as it is after each flush of a write log: its two partitions as files, brought forward write by write.

What a power cut leaves is looked at without booting: e2fsck(8) replays the journal as the kernel would, with an undo
file, debugfs(8) reads, and e2undo(8) takes the replay back before the next writes are added.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import processes, qemu
from tests.lab.writelog import WriteLog, copy_sparse

SECTOR = 512
HARMLESS = re.compile(
    r"fsck\.fat .*|There are differences between boot sector and its backup\.|This is mostly harmless\. .*"
    r"|  [\d:/a-f, ]+|  Not automatically fixing this\.|Dirty bit is set\. .*| Automatically removing dirty bit\.|"
    r"|Leaving filesystem unchanged\.|.*: \d+ files, \d+/\d+ clusters"
    r"|Reclaimed \d+ unused clusters? .*|Free cluster summary wrong .*|  Auto-correcting\."
    r"|/mojomail\.yaml|/mojomail-mistakes\.txt(\.new)?|  Contains a free cluster .*|  File size is \d+ bytes, .*"
    r"|  Truncating file to \d+ bytes\."
)
"""What fsck.fat(8) may say after a cut. A FAT has no journal: that it was in use, that its counts are not up to date,
and that a file which is being written is cut short: the preset file, which is being replaced, or what is wrong with it.
Whether anything in that is lost is looked at apart."""


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
        """Raise CutError unless both file systems are whole, the root once its journal is replayed."""
        with _tried(self.root, ".orphans", "-p"):  # as the next mount clears what was unlinked but open at the cut
            code, said = _run("e2fsck", "-fn", self.root)
            if code:
                raise CutError(f"e2fsck: exit code {code}\n{said.decode(errors='replace')}")
        code, said = _run("fsck.vfat", "-n", self.boot)
        if wrong := [line for line in said.decode(errors="replace").splitlines() if not HARMLESS.fullmatch(line)]:
            raise CutError("fsck.vfat: " + "\n".join(wrong))


class Replay:
    """A card that goes through a write log. `image` is what it began as.

    at      how many entries of the log are on it
    boot    its two partitions, as files
    root
    """

    def __init__(self, image: Path, log: WriteLog, work: Path) -> None:
        self.log, self.at = log, 0
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
        with self.log.path.open("rb") as log, self.boot.open("r+b") as boot, self.root.open("r+b") as root:
            for entry in self.log.entries[self.at : upto]:
                into, start = (root, self._starts[1]) if entry.start >= self._starts[1] else (boot, self._starts[0])
                if entry.start >= self._starts[0] and entry.count:
                    log.seek(entry.data)
                    into.seek(entry.start - start)
                    into.write(bytes(entry.count) if entry.is_discard else log.read(entry.count))
        self.at = upto

    @contextlib.contextmanager
    def look(self) -> Iterator[Look]:
        """The card as the next start finds it, its journal replayed; afterwards it is as it was cut."""
        with _tried(self.root, ".undo", "-y", "-E", "journal_only"):
            yield Look(self.root, self.boot)


@contextlib.contextmanager
def kept_if_it_fails(replay: Replay, place: Path, note: str) -> Iterator[None]:
    """Leave in `place`, when looking at a card fails, where that was and what is needed to look again."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        points = replay.log.flush_points
        told = [
            f"flush {points.index(replay.at)} of {len(points) - 1}, after {replay.at} entries of the write log",
            note,
            "",
            "root.part, boot.part: the card's partitions as that flush left them",
            "    e2fsck -fn root.part; debugfs root.part; fsck.vfat -n boot.part; mdir -i boot.part",
            f"{replay.log.path.name}: all that was written to the card (tests/lab/writelog.py)",
            "",
            *traceback.format_exception(error),
        ]
        (place / "walk.txt").write_text("\n".join(told))
        for part in (replay.root, replay.boot, replay.log.path):
            copy_sparse(part, place / part.name)
        raise


@contextlib.contextmanager
def _tried(root: Path, ending: str, *how: str) -> Iterator[None]:
    """A root file system that e2fsck has mended in one way; afterwards it is as it was."""
    undo = root.with_suffix(ending)
    undo.unlink(missing_ok=True)
    code, said = _run("e2fsck", *how, "-z", undo, root)
    if code not in (0, 1):
        raise CutError(f"e2fsck {' '.join(how)}: exit code {code}\n{said.decode(errors='replace')}")
    try:
        yield
    finally:
        if undo.exists():
            code, said = _run("e2undo", undo, root)
            assert code == 0, said


def _run(*command: str | Path) -> tuple[int, bytes]:
    program = processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = program.communicate(timeout=300)
    finally:
        processes.end(program)
    return program.returncode, said

"""What a tree holds, as far as its file systems need to know before they are made."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import BuildError

MIB = 1024 * 1024
BLOCK = 4096
LARGE = 16 * MIB
"""Files from this size on may be mostly holes, so they are counted by what is in them."""

NOT_IN_FAT = frozenset('"*/:<>?\\|')


@dataclass(frozen=True)
class Survey:
    """`data_bytes` in whole blocks; `stale` names what was last read or changed before the epoch."""

    inodes: int
    data_bytes: int
    stale: tuple[str, ...]


@dataclass(frozen=True)
class BootFile:
    """One file or directory for the FAT partition: where it is, its name there, its size in bytes."""

    path: Path
    name: PurePosixPath
    size: int
    is_directory: bool


def survey_root(rootfs: Path, *, without: Path, epoch: int) -> Survey:
    """Walk the tree once, leaving out what is inside `without` (relative); raises BuildError on odd names."""
    seen: set[tuple[int, int]] = set()
    stale: list[str] = []
    inodes = blocks = 0
    hidden = os.fspath(without)
    pending = [""]
    while pending:
        directory = pending.pop()
        entries_bytes = 2 * 12
        try:
            with os.scandir(rootfs / directory) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            raise BuildError(f"cannot read {rootfs / directory}: {error.strerror}") from error
        for entry in entries:
            name = f"{directory}/{entry.name}" if directory else entry.name
            if "\n" in entry.name:
                raise BuildError(f"a file name with a line feed in it: {name!r}")
            status = entry.stat(follow_symlinks=False)
            entries_bytes += 8 + (len(os.fsencode(entry.name)) + 3) // 4 * 4
            if stat.S_ISDIR(status.st_mode):
                if name != hidden:
                    pending.append(name)
                else:
                    blocks += 1
            else:
                if status.st_nlink > 1:
                    key = (status.st_dev, status.st_ino)
                    if key in seen:
                        continue
                    seen.add(key)
                blocks += _data_blocks(entry.path, status)
            inodes += 1
            if status.st_atime < epoch or status.st_ctime < epoch:
                stale.append(name)
        # leaves are never quite full, and each ends in a checksum
        blocks += 1 + entries_bytes * 5 // 4 // BLOCK
    return Survey(inodes, blocks * BLOCK, tuple(stale))


def _data_blocks(path: str, status: os.stat_result) -> int:
    """Blocks of 4 KiB that the contents of a file take."""
    if stat.S_ISLNK(status.st_mode):
        return 1 if status.st_size >= 60 else 0
    if not stat.S_ISREG(status.st_mode):
        return 0
    if status.st_size >= LARGE:
        return _written_blocks(path, status.st_size)
    return -(-status.st_size // BLOCK)


def _written_blocks(path: str, size: int) -> int:
    """Blocks that are not all zero. Holes are skipped, but do not count otherwise than zeros that were
    written: which of the two it is depends on the host's file system."""
    zeros = bytes(MIB)
    count = position = 0
    with Path(path).open("rb", buffering=0) as file:
        while position < size:
            try:
                position = os.lseek(file.fileno(), position, os.SEEK_DATA) // BLOCK * BLOCK
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break
                raise
            hole = os.lseek(file.fileno(), position, os.SEEK_HOLE)
            hole = min(size, -(-hole // BLOCK) * BLOCK)
            while position < hole:
                chunk = os.pread(file.fileno(), min(MIB, hole - position), position)
                if chunk != zeros[: len(chunk)]:
                    blocks = (chunk[at : at + BLOCK] for at in range(0, len(chunk), BLOCK))
                    count += sum(block != zeros[: len(block)] for block in blocks)
                position += len(chunk)
    return count


def survey_boot(directory: Path) -> tuple[BootFile, ...]:
    """Everything for the FAT partition, directories before what is in them, by name.

    Raises BuildError for what FAT cannot hold: links, special files, names that it does not allow or that
    differ in case only. No directory gives no files.
    """
    found: list[BootFile] = []
    if directory.is_dir():
        _collect(directory, PurePosixPath(), found)
    return tuple(found)


def _collect(directory: Path, inside: PurePosixPath, found: list[BootFile]) -> None:
    folded: dict[str, str] = {}
    for path in sorted(directory.iterdir(), key=lambda path: path.name):
        name, status = inside / path.name, path.lstat()
        if not path.name.isascii() or not path.name.isprintable() or NOT_IN_FAT & set(path.name):
            raise BuildError(f"a FAT file system cannot hold the name {path.name!r}: {path}")
        other = folded.setdefault(path.name.casefold(), path.name)
        if other != path.name:
            raise BuildError(f"on a FAT file system {other} and {path.name} are the same name: {directory}")
        if stat.S_ISDIR(status.st_mode):
            found.append(BootFile(path, name, 0, True))
            _collect(path, name, found)
        elif stat.S_ISREG(status.st_mode):
            found.append(BootFile(path, name, status.st_size, False))
        else:
            raise BuildError(
                f"a FAT file system holds only files and directories: {path}",
                hint="copy the file there instead of linking it",
            )

"""What the machine wrote to its card, in order, and what a power cut would leave of it.

QEMU's `blklogwrites` writes the format of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/
log-writes.rst): a superblock, and then, for each entry, one sector of header followed by the data. An entry is
logged when the write is done, and only then the machine is told that it is. The superblock's count of entries is
brought up to date with each flush, and with each 4096th entry (log-super-update-interval; QEMU's block/blklogwrites.c).

An entry is counted when its way into the log begins. So when QEMU is killed, the last ones that a superblock counts may
not be there, or only in part: the machine had not been told that they were done.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
FLAGS = FLUSH | FUA | DISCARD | MARK
_SUPERBLOCK = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
UNDER_WAY = 256
"""Writes that may be on their way at once: QEMU's queue-size of virtio-blk."""
TORN_BYTES = 512
"""What a card writes whole or not at all."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One write: `count` bytes at byte `start` of the card, which are at byte `data` of the log."""

    start: int
    count: int
    flags: int
    data: int

    @property
    def is_flush(self) -> bool:
        """Whether all entries before it were on the card when it ended."""
        return bool(self.flags & FLUSH)

    @property
    def is_discard(self) -> bool:
        """Whether it makes its bytes zero, and carries no data."""
        return bool(self.flags & DISCARD)


class WriteLogError(Exception):
    """The file is no write log, or is damaged."""


class WriteLog:
    """The entries of a log; `counted` of them are known to the superblock, the others came after that was written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: tuple[Entry, ...] = ()
        self._end = 0
        """The byte of the file where whole entries end."""
        with path.open("rb") as file:
            superblock = file.read(_SUPERBLOCK.size)
            if not superblock:
                self.sector, self.counted = 512, 0
                return
            if len(superblock) < _SUPERBLOCK.size:
                raise WriteLogError(f"{path} is too short for a write log")
            magic, version, self.counted, self.sector = _SUPERBLOCK.unpack(superblock)
            if magic == 0:  # QEMU has not written it yet
                self.counted, self.sector = 0, 512
            elif (magic, version) != (MAGIC, 1):
                raise WriteLogError(f"{path} is no write log of version 1: {magic:#x}, {version}")
            self.entries = tuple(self._read(file))
            missing = self.counted - len(self.entries)
            if missing > UNDER_WAY or (missing > 0 and self._is_damaged(file)):
                raise WriteLogError(f"{path} has {len(self.entries)} entries, its superblock counts {self.counted}")
        self.counted = min(self.counted, len(self.entries))

    def _read(self, file: BinaryIO) -> Iterator[Entry]:
        """The entries, as far as they are whole."""
        size = os.fstat(file.fileno()).st_size
        at = self.sector
        while at + self.sector <= size:
            self._end = at
            file.seek(at)
            sector, sectors, flags, length = _ENTRY.unpack(file.read(_ENTRY.size))
            if flags & ~FLAGS or not (sectors or flags or length):
                return  # nothing has been written here
            at += self.sector
            entry = Entry(sector * self.sector, sectors * self.sector, flags, at)
            if flags & MARK:
                at += -(-length // self.sector) * self.sector
            elif not entry.is_discard:
                at += entry.count
            if at > size:
                return
            yield entry
        self._end = at

    def _is_damaged(self, file: BinaryIO) -> bool:
        """Whether more is wrong with what is behind the last whole entry than that writes were under way.

        Behind a gap there may be writes that were done, and in no order with it; but a flush would say of those
        that they are on the card.
        """
        file.seek(self._end)
        sectors = list(iter(lambda: file.read(self.sector), b""))
        flush = _ENTRY.pack(0, 0, FLUSH, 0).ljust(self.sector, b"\0")
        if flush in sectors:
            return True
        flags = _ENTRY.unpack_from(sectors[0])[2] if sectors and len(sectors[0]) == self.sector else 0
        return flags > FLAGS

    @property
    def flush_points(self) -> tuple[int, ...]:
        """After how many entries the card is as a flush left it; 0 is the card before the first entry."""
        return (0, *(number + 1 for number, entry in enumerate(self.entries[: self.counted]) if entry.is_flush))

    def rebuild(
        self, image: Path, upto: int, target: Path, *, seed: int | None = None, size: int | None = None
    ) -> None:
        """Write to `target` what a card that began as the raw `image` holds when power goes.

        upto    how many entries are on it, such as one of `flush_points`; any other number is a card that wrote
                in order and was cut between two writes. After the last flush, writes with FUA are on it too
        seed    besides, of the entries up to the next flush, a random half of the 512-byte sectors got there, in
                random order; the same seed chooses the same
        size    bytes of the card, where it is larger than the image

        Raises WriteLogError when there are not so many entries.
        """
        if not 0 <= upto <= len(self.entries):
            raise WriteLogError(f"there is no entry {upto} in {self.path}, which has {len(self.entries)}")
        copy_sparse(image, target, size)
        with self.path.open("rb") as log, target.open("r+b") as card:
            for entry in self.entries[:upto]:
                self._apply(entry, log, card)
            if upto == self.flush_points[-1]:
                for entry in self.entries[upto:]:
                    if entry.flags & FUA:
                        self._apply(entry, log, card)
            if seed is not None:
                self._tear(upto, random.Random(seed), log, card)

    def _apply(self, entry: Entry, log: BinaryIO, card: BinaryIO) -> None:
        if entry.flags & MARK:
            return
        log.seek(entry.data)
        card.seek(entry.start)
        for at in range(0, entry.count, _CHUNK):
            count = min(_CHUNK, entry.count - at)
            card.write(bytes(count) if entry.is_discard else log.read(count))

    def _tear(self, upto: int, chance: random.Random, log: BinaryIO, card: BinaryIO) -> None:
        pieces = []
        for number, entry in enumerate(self.entries[upto:], upto):
            if entry.is_flush and number < self.counted:
                break
            pieces += [
                Entry(entry.start + at, TORN_BYTES, entry.flags, entry.data + at)
                for at in range(0, entry.count, TORN_BYTES)
                if chance.random() < 0.5
            ]
        chance.shuffle(pieces)
        for piece in pieces:
            self._apply(piece, log, card)


def copy_sparse(source: Path, target: Path, size: int | None = None) -> None:
    """Copy a file with its holes, and give it `size` bytes when that is more than it has."""
    with source.open("rb") as origin, target.open("wb") as copy:
        length = os.fstat(origin.fileno()).st_size
        copy.truncate(max(length, size or 0))
        at = 0
        while at < length:
            try:
                at = os.lseek(origin.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole is left
                return
            end = os.lseek(origin.fileno(), at, os.SEEK_HOLE)
            while at < end:
                at += os.copy_file_range(origin.fileno(), copy.fileno(), min(end - at, 64 << 20), at, at)

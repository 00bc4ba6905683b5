"""Which bytes of a disk image no file system in it uses, read from the file systems' own books.

A card keeps what was on it before, so a block may only be left out when flashing if nothing will ever
read it before writing it. "It is all zero" does not prove that: FAT's table of free clusters, an ext4
inode table and an empty journal are all zero too, and with an old card's bytes in their place the file
system is broken, at once or at the first recovery. Only blocks that a file system itself calls free may
be left out. What is not understood here (another partition table, another file system, a feature) counts
as used, and is then merely written.

Sources: the MBR; Microsoft's FAT specification 1.03, sections 3 to 6; the kernel's
Documentation/filesystems/ext4 (super block, group descriptors, flex_bg, uninitialised groups).
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Span = tuple[int, int]
"""The bytes from the first number up to, and not including, the second."""

SECTOR = 512
MBR_ENTRY = struct.Struct("<B3sB3sII")
EXTENDED_TYPES = (0x05, 0x0F, 0x85)
GPT_PROTECTIVE = 0xEE

EXT_MAGIC = 0xEF53
EXT_INCOMPAT_META_BG = 0x10
EXT_INCOMPAT_64BIT = 0x80
EXT_RO_SPARSE_SUPER = 0x1
EXT_RO_BIGALLOC = 0x200
EXT_GROUP_BLOCK_UNINIT = 0x2

_BITS = [bytes((byte >> bit) & 1 for bit in range(8)) for byte in range(256)]


def free_spans(image: Path) -> list[Span]:
    """The spans of bytes in the raw disk image that its file systems call free, sorted, never touching."""
    found: list[Span] = []
    size = image.stat().st_size
    with image.open("rb") as handle:
        for start, end in partitions(handle):
            end = min(end, size)
            if end - start >= 4096:
                found += [(start + a, start + b) for a, b in _free_in_partition(handle, start, end - start)]
    return sorted(found)


def partitions(handle: BinaryIO) -> list[Span]:
    """The primary partitions of an MBR as spans of bytes; none for anything else, or when two overlap."""
    sector = _read(handle, 0, SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        return []
    found: list[Span] = []
    for slot in range(4):
        status, _, kind, _, first, count = MBR_ENTRY.unpack_from(sector, 446 + 16 * slot)
        if status not in (0x00, 0x80) or kind in (GPT_PROTECTIVE, *EXTENDED_TYPES):
            return []
        if kind and count:
            found.append((first * SECTOR, (first + count) * SECTOR))
    found.sort()
    overlap = any(a[1] > b[0] for a, b in itertools.pairwise(found))
    return [] if overlap else found


def _free_in_partition(handle: BinaryIO, start: int, size: int) -> Iterator[Span]:
    boot = _read(handle, start, 4096)
    if struct.unpack_from("<H", boot, 1024 + 56)[0] == EXT_MAGIC:
        return _free_in_ext(handle, start, size, boot[1024:2048])
    if boot[510:512] == b"\x55\xaa" and boot[0] in (0xEB, 0xE9):
        return _free_in_fat(handle, start, size, boot)
    return iter(())


def _free_in_fat(handle: BinaryIO, start: int, size: int, boot: bytes) -> Iterator[Span]:
    """FAT16 and FAT32: a cluster is free when its entry in the first table is 0."""
    sector, per_cluster, reserved, tables, root_entries, total16 = struct.unpack_from("<HBHBHH", boot, 11)
    table16 = struct.unpack_from("<H", boot, 22)[0]
    total32, table32 = struct.unpack_from("<II", boot, 32)
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not tables or not reserved:
        return
    table, total = table16 or table32, total16 or total32
    data = reserved + tables * table + -(-root_entries * 32 // sector)
    clusters = (total - data) // per_cluster
    if clusters < 4085 or total * sector > size:  # FAT12 packs its entries in 12 bits: left alone
        return
    width = 2 if clusters < 65525 else 4
    entries = _read(handle, start + reserved * sector, (clusters + 2) * width)
    if len(entries) < (clusters + 2) * width or (clusters + 2) * width > table * sector:
        return
    mask, form = (0xFFFF, "H") if width == 2 else (0x0FFFFFFF, "I")
    used = bytes(bool(value & mask) for (value,) in struct.iter_unpack(f"<{form}", entries))[2:]
    for run in re.finditer(rb"\0+", used):
        yield (data + run.start() * per_cluster) * sector, (data + run.end() * per_cluster) * sector


def _free_in_ext(handle: BinaryIO, start: int, size: int, super_block: bytes) -> Iterator[Span]:
    """ext2 to ext4: a block is free when its bit is 0 and it is no group's bitmap, inode table or backup."""

    def number(offset: int, form: str = "<I") -> int:
        value: int = struct.unpack_from(form, super_block, offset)[0]
        return value

    if number(24) > 6:
        return
    block = 1024 << number(24)
    first, per_group, inodes_per_group = number(20), number(32), number(40)
    incompat, ro_compat = number(96), number(100)
    inode_size = number(88, "<H") if number(76) else 128
    wide = bool(incompat & EXT_INCOMPAT_64BIT)
    total = number(4) | (number(336) << 32 if wide else 0)
    descriptor = number(254, "<H") if wide else 32
    odd = not per_group or per_group != 8 * block or total <= first or total * block > size or descriptor < 32
    if odd or incompat & EXT_INCOMPAT_META_BG or ro_compat & EXT_RO_BIGALLOC:
        return
    groups = -(-(total - first) // per_group)
    table = _read(handle, start + (first + 1) * block, groups * descriptor)
    if len(table) < groups * descriptor:
        return
    backup = 1 + -(-groups * descriptor // block) + number(206, "<H")
    inode_blocks = -(-inodes_per_group * inode_size // block)

    used = bytearray(b"\x01" * first)
    metadata: list[Span] = []
    for group in range(groups):
        entry = table[group * descriptor : (group + 1) * descriptor]
        low = struct.unpack_from("<III", entry, 0)
        high = struct.unpack_from("<III", entry, 32) if wide and descriptor >= 64 else (0, 0, 0)
        block_bitmap, inode_bitmap, inode_table = (a | b << 32 for a, b in zip(low, high, strict=True))
        metadata += [
            (block_bitmap, block_bitmap + 1),
            (inode_bitmap, inode_bitmap + 1),
            (inode_table, inode_table + inode_blocks),
        ]
        if struct.unpack_from("<H", entry, 18)[0] & EXT_GROUP_BLOCK_UNINIT:
            used += bytes(per_group)
        else:
            bits = _read(handle, start + block_bitmap * block, block)
            if len(bits) < block:
                return
            used += b"".join(map(_BITS.__getitem__, bits))
        if not ro_compat & EXT_RO_SPARSE_SUPER or _has_backup(group):
            begin = first + group * per_group
            metadata.append((begin, begin + backup))
    del used[total:]
    for begin, end in metadata:
        if not 0 <= begin < end <= total:
            if begin >= total:
                return
            end = total
        used[begin:end] = b"\x01" * (end - begin)
    for run in re.finditer(rb"\0+", used):
        yield run.start() * block, run.end() * block


def _has_backup(group: int) -> bool:
    """Whether a group keeps a copy of the super block under sparse_super: 0, 1, powers of 3, 5 and 7."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def _read(handle: BinaryIO, offset: int, length: int) -> bytes:
    handle.seek(offset)
    return handle.read(length)

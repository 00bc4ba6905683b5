"""Block maps: which blocks of a raw image must be written to a card, each range with its SHA-256.

The format is bmaptool's version 2.0, so that `bmaptool copy` takes our maps and we take its maps.
`bmaptool create` itself is not used: it asks the host's file system which parts of the image file are
holes (FIEMAP), so the same image gives another map after a copy. Here a block is left out when it is all
zero *and* the image's file systems call it free (see `freespace`): the map depends on the image's bytes
alone, and a card with old data on it is as good as a blank one after flashing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from .errors import InputError, Problem, ProblemsError
from .freespace import Span, free_spans

BLOCK = 4096
"""Bytes in a block of the maps we write."""

CHUNK = 1 << 20
LARGEST_FILE = 64 << 20
ZERO_BLOCK = bytes(BLOCK)
ZERO_CHECKSUM = "0" * 64

TEMPLATE = """<?xml version="1.0" ?>
<!-- Block map: the blocks of an image that must be written to a card. All others are zero in the image
     and free in its file systems. Made for bmaptool (format 2.0) and "build.py flash". -->
<bmap version="2.0">
    <!-- Bytes in the image -->
    <ImageSize> {size} </ImageSize>
    <!-- Bytes in a block -->
    <BlockSize> {block} </BlockSize>
    <BlocksCount> {count} </BlocksCount>
    <!-- {mapped_bytes} bytes, {percent:.1f} % of the image -->
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <!-- The checksum of this file, taken with 64 times the digit 0 in its place -->
    <BmapFileChecksum> {checksum} </BmapFileChecksum>
    <BlockMap>
{ranges}    </BlockMap>
</bmap>
"""


@dataclass(frozen=True)
class Range:
    """The blocks `first` to `last`, both included, and the SHA-256 of their bytes where the map has one."""

    first: int
    last: int
    sha256: str | None = None

    @property
    def blocks(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Bmap:
    """A block map; sizes in bytes. The last block may reach beyond the end of the image."""

    image_size: int
    block_size: int
    ranges: tuple[Range, ...]

    @property
    def blocks(self) -> int:
        return -(-self.image_size // self.block_size)

    @property
    def mapped_blocks(self) -> int:
        return sum(part.blocks for part in self.ranges)

    @property
    def mapped_bytes(self) -> int:
        return sum(end - start for start, end in map(self.span, self.ranges))

    def span(self, part: Range) -> Span:
        """The bytes of a range, cut at the end of the image."""
        return part.first * self.block_size, min((part.last + 1) * self.block_size, self.image_size)


def whole(image_size: int) -> Bmap:
    """A map that writes every block, for an image that came without one."""
    last = -(-image_size // BLOCK) - 1
    return Bmap(image_size, BLOCK, (Range(0, last),) if image_size else ())


def create(image: Path, *, free: Sequence[Span] | None = None) -> Bmap:
    """Make the map of a raw image. `free`: spans of bytes that need not be written where they are zero;
    None asks the file systems in the image.

    Raises InputError when the image is empty or not a file.
    """
    if not image.is_file():
        raise InputError(f"no such image: {image}")
    size = image.stat().st_size
    if not size:
        raise InputError(f"the image is empty: {image}")
    spans = free_spans(image) if free is None else sorted(free)
    ranges: list[Range] = []
    with image.open("rb", buffering=0) as handle:  # positions are also set by lseek
        at = 0
        for first, last in _holes(handle, size, spans):
            if first > at:
                ranges.append(_range(handle, at, first - 1, size))
            at = last + 1
        if at * BLOCK < size:
            ranges.append(_range(handle, at, -(-size // BLOCK) - 1, size))
    return Bmap(size, BLOCK, tuple(ranges))


def render(bmap: Bmap) -> str:
    """The map as the text of a .bmap file."""
    lines = []
    for part in bmap.ranges:
        attribute = f' chksum="{part.sha256}"' if part.sha256 else ""
        blocks = f"{part.first}-{part.last}" if part.last > part.first else f"{part.first}"
        lines.append(f"        <Range{attribute}> {blocks} </Range>\n")

    def text(checksum: str) -> str:
        return TEMPLATE.format(
            size=bmap.image_size,
            block=bmap.block_size,
            count=bmap.blocks,
            mapped=bmap.mapped_blocks,
            mapped_bytes=bmap.mapped_bytes,
            percent=100 * bmap.mapped_blocks / max(1, bmap.blocks),
            checksum=checksum,
            ranges="".join(lines),
        )

    return text(hashlib.sha256(text(ZERO_CHECKSUM).encode()).hexdigest())


def read(path: Path) -> Bmap:
    """Read a .bmap file of format 2 with SHA-256 checksums, as bmaptool and we write them.

    Raises InputError when it cannot be read, is damaged, of another format, or contradicts itself.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is too large for a block map")
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the block map {path}: {error.strerror}") from error
    try:
        root = ElementTree.fromstring(raw)
    except ElementTree.ParseError as error:
        line, column = error.position
        raise ProblemsError([Problem(path, line, column + 1, f"not XML: {error}", "is this a .bmap file?")]) from error
    version = root.get("version", "")
    if root.tag != "bmap" or version.split(".")[0] != "2":
        raise InputError(
            f"{path}: not a block map of format 2 (found <{root.tag}> of version {version or 'unknown'})",
            hint="bmaptool 3.0 or later writes format 2",
        )
    kind = _text(path, root, "ChecksumType").lower()
    if kind != "sha256":
        raise InputError(f"{path}: checksums of type {kind}", hint="make the block map with sha256")
    stated = _text(path, root, "BmapFileChecksum").encode()
    if len(stated) != 64 or raw.count(stated) < 1:
        raise InputError(f"{path}: BmapFileChecksum is not a SHA-256")
    if hashlib.sha256(raw.replace(stated, ZERO_CHECKSUM.encode(), 1)).hexdigest().encode() != stated:
        raise InputError(f"{path}: the block map is damaged (its own checksum does not fit)", hint="copy it again")
    bmap = Bmap(_number(path, root, "ImageSize"), _number(path, root, "BlockSize"), tuple(_ranges(path, root)))
    _check(path, bmap, _number(path, root, "BlocksCount"), _number(path, root, "MappedBlocksCount"))
    return bmap


def beside(image: Path) -> Path | None:
    """The block map that lies beside NAME.img or NAME.img.xz as NAME.img.bmap, if there is one."""
    name = image.name.removesuffix(".xz")
    for candidate in (image.with_name(f"{name}.bmap"), image.with_name(f"{name.removesuffix('.img')}.bmap")):
        if candidate.is_file():
            return candidate
    return None


def _holes(handle: BinaryIO, size: int, free: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Runs of whole blocks, first and last, that are zero and lie in a free span; runs may touch."""
    for start, end in free:
        at, stop = -(-start // BLOCK) * BLOCK, min(end, size) // BLOCK * BLOCK
        run: int | None = None
        while at < stop:
            data_at = min(_next_data(handle, at), stop) // BLOCK * BLOCK
            if data_at > at:
                run = at if run is None else run
                at = data_at
                continue
            handle.seek(at)
            chunk = handle.read(min(CHUNK, stop - at))
            for offset in range(0, len(chunk), BLOCK):
                if chunk[offset : offset + BLOCK] == ZERO_BLOCK:
                    run = at + offset if run is None else run
                elif run is not None:
                    yield run // BLOCK, (at + offset) // BLOCK - 1
                    run = None
            at += len(chunk)
        if run is not None and stop > run:
            yield run // BLOCK, stop // BLOCK - 1


def _next_data(handle: BinaryIO, at: int) -> int:
    """Where data begins at or after `at`: only a short cut over the file's holes, which read as zero."""
    try:
        return os.lseek(handle.fileno(), at, os.SEEK_DATA)
    except OSError as error:
        return os.fstat(handle.fileno()).st_size if error.errno == errno.ENXIO else at


def _range(handle: BinaryIO, first: int, last: int, size: int) -> Range:
    digest = hashlib.sha256()
    at, end = first * BLOCK, min((last + 1) * BLOCK, size)
    handle.seek(at)
    while at < end:
        chunk = handle.read(min(CHUNK, end - at))
        digest.update(chunk)
        at += len(chunk)
    return Range(first, last, digest.hexdigest())


def _text(path: Path, root: ElementTree.Element, name: str) -> str:
    text = (root.findtext(name) or "").strip()
    if not text:
        raise InputError(f"{path}: {name} is missing from the block map")
    return text


def _number(path: Path, root: ElementTree.Element, name: str) -> int:
    text = _text(path, root, name)
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise InputError(f"{path}: {name} is not a number: {text}")
    return int(text)


def _ranges(path: Path, root: ElementTree.Element) -> Iterator[Range]:
    for element in root.iterfind("BlockMap/Range"):
        text, checksum = (element.text or "").strip(), element.get("chksum")
        match = re.fullmatch(r"([0-9]{1,19})(?:\s*-\s*([0-9]{1,19}))?", text)
        if not match or (checksum is not None and not re.fullmatch(r"[0-9a-f]{64}", checksum)):
            raise InputError(f"{path}: not a range of blocks: {text or 'nothing'} (checksum {checksum})")
        yield Range(int(match[1]), int(match[2] or match[1]), checksum)


def _check(path: Path, bmap: Bmap, count: int, mapped: int) -> None:
    if not bmap.image_size or bmap.block_size < 512 or bmap.block_size & (bmap.block_size - 1):
        raise InputError(f"{path}: impossible sizes: image {bmap.image_size}, block {bmap.block_size} bytes")
    if count != bmap.blocks or mapped != bmap.mapped_blocks:
        raise InputError(f"{path}: the block map's counts of blocks contradict each other")
    after = 0
    for part in bmap.ranges:
        if not after <= part.first <= part.last < count:
            raise InputError(f"{path}: range {part.first}-{part.last} is out of order or beyond the image")
        after = part.last + 1

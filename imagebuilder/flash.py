"""Writing an image to a card, by its block map, and reading it back.

The first MiB, with the partition table in it, is zeroed first and written last, after all the rest was
read back and found right: a card whose flashing broke off, or that does not keep what it is given, never
looks like a good one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import lzma
import mmap
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from . import bmap as bmaps
from . import device as devices
from .bmap import Bmap
from .device import Device, format_size
from .errors import BuildError, InputError
from .process import run
from .progress import detail, note, step

HEAD = 1 << 20
"""Bytes at the start of the target that are written last."""

CHUNK = 1 << 20
SYNC_EVERY = 64 << 20
"""Bytes between two syncs, so that the progress shown is the card's and not the page cache's."""

ALIGNMENT = 4096
BLKRRPART = 0x125F
"""ioctl: read the partition table again (linux/fs.h)."""

XZ_MAGIC = b"\xfd7zXZ\0"


@dataclass(frozen=True)
class Flashed:
    """What was done; `written` counts the bytes that were written and read back."""

    target: Path
    written: int
    seconds: float


@dataclass
class _Source:
    """The image as a stream. `digests` gets the SHA-256 of each range as it is read."""

    path: Path
    packed: bool
    bmap: Bmap
    map_path: Path | None
    digests: list[str]
    head: bytearray


def flash(
    image: Path,
    target: Path,
    *,
    bmap: Path | None = None,
    allow_fixed: Path | None = None,
    allow_mounted: Path | None = None,
    root: Path = devices.ROOT,
) -> Flashed:
    """Write a .img or .img.xz to a block device, or to a plain file that is made or replaced; verify it.

    bmap           the block map; None takes NAME.img.bmap beside the image, or writes everything without
    allow_fixed    must name the target for a disk that is not removable to be written
    allow_mounted  must name the target for a disk with mounted partitions to be written
    root           where /sys and /proc are looked for

    Raises InputError when the target is refused or image and map do not fit, BuildError when reading,
    writing or verifying fails.
    """
    started = time.monotonic()
    for option, named in (("--allow-fixed", allow_fixed), ("--allow-mounted", allow_mounted)):
        if named is not None and os.path.realpath(named) != os.path.realpath(target):
            raise InputError(f"{option} names {named}, but the target is {target}", hint="name the same device twice")
    source = _open_source(image, bmap)
    disk = _check_target(
        image, target, source.bmap.image_size, allow_fixed is not None, allow_mounted is not None, root
    )
    total = source.bmap.mapped_bytes
    with ExitStack() as stack:
        stack.enter_context(_unusable(target, disk))
        if disk is None:
            handle, path = stack.enter_context(_plain_file(target, source.bmap.image_size))
        else:
            handle, path = stack.enter_context(_whole_disk(target, exclusive=allow_mounted is None)), target
        with step(f"Writing {format_size(total)} to {target}"):
            _write(source, handle)
        with step(f"Reading {format_size(total)} back from {target}"):
            _verify(source, handle, path)
            _pwrite(handle, bytes(source.head), 0)
            os.fsync(handle)
            if _read_back(handle, path, len(source.head)) != bytes(source.head):
                raise BuildError(f"{target} does not keep what is written to its first MiB", hint="try another card")
        if disk is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(handle, BLKRRPART)
    return Flashed(target, total, time.monotonic() - started)


def _open_source(image: Path, map_path: Path | None) -> _Source:
    if not image.is_file():
        raise InputError(f"no such image: {image}", hint="build one first, or give the path of a .img or .img.xz")
    with image.open("rb") as handle:
        packed = handle.read(len(XZ_MAGIC)) == XZ_MAGIC
    if not packed and image.suffix == ".xz":
        raise InputError(f"{image} is not an xz file")
    map_path = map_path or bmaps.beside(image)
    size = None if packed else image.stat().st_size
    if map_path is not None:
        bmap = bmaps.read(map_path)
        if size is not None and size != bmap.image_size:
            raise InputError(
                f"the block map {map_path} is for an image of {bmap.image_size} bytes, {image} has {size}",
                hint="take both from the same build",
            )
    else:
        note(f"no block map beside {image.name}: the whole image is written")
        bmap = bmaps.whole(_unpacked_size(image) if size is None else size)
    if not bmap.image_size:
        raise InputError(f"the image is empty: {image}")
    return _Source(image, packed, bmap, map_path, [], bytearray(min(HEAD, bmap.image_size)))


def _unpacked_size(image: Path) -> int:
    """The size in bytes that the index of an .xz file gives, as `xz --robot --list` prints it."""
    for line in run("xz", "--robot", "--list", image).splitlines():
        fields = line.split("\t")
        if fields[0] == "totals":
            return int(fields[4])
    raise InputError(f"{image} does not say how large it is unpacked")


def _check_target(image: Path, target: Path, size: int, fixed: bool, mounted: bool, root: Path) -> Device | None:
    """The device to write to, or None for a plain file. Raises InputError for anything that must not be written."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        if target.parent.is_dir() and not target.is_symlink() and target.parent.resolve() != Path("/dev"):
            return None
        raise InputError(f"no such device or folder: {target}", hint=_choices(root)) from None
    except OSError as error:
        raise InputError(f"{target}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{target} is a folder, not a device or file", hint=_choices(root))
    name = devices.kernel_name(target, root)
    if name is None:
        if not stat.S_ISREG(mode):
            raise InputError(f"{target} is neither a disk nor a plain file", hint=_choices(root))
        if target.samefile(image):
            raise InputError(f"{target} is the image itself")
        return None
    disk = devices.probe(name, root)
    reasons = devices.refusals(disk, size, fixed=fixed, mounted=mounted)
    if reasons:
        hint = _choices(root)
        if reasons == ["it is not removable"]:
            hint += f"\n  if {target} is really meant, and all on it may go, repeat its name: --allow-fixed {target}"
        raise InputError(f"{target} is not written to: {'; '.join(reasons)}\n  {disk}", hint=hint)
    return disk


def _choices(root: Path) -> str:
    found = devices.candidates(root)
    if not found:
        return "no removable disk is free at the moment; put a card in"
    return "removable disks that are free:" + "".join(f"\n    {disk}" for disk in found)


@contextmanager
def _unusable(target: Path, disk: Device | None) -> Iterator[None]:
    """Say what an error, or an interrupt, in the middle of writing means for the target."""
    left = "the card is not usable as it is: flash it again" if disk else "no file was left behind"
    try:
        yield
    except OSError as error:
        raise BuildError(f"{target}: {error.strerror or error}", hint=left) from error
    except (InputError, BuildError) as error:
        error.hint = f"{error.hint}; {left}" if error.hint else left
        raise
    except KeyboardInterrupt:
        note(f"interrupted; {left}")
        raise


@contextmanager
def _whole_disk(target: Path, *, exclusive: bool) -> Iterator[int]:
    """The disk, open for reading and writing; O_EXCL has the kernel refuse one that is in use (open(2))."""
    try:
        handle = os.open(target, os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0))
    except PermissionError as error:
        raise InputError(f"no right to write to {target}", hint="run the same command with sudo") from error
    except OSError as error:
        raise InputError(f"cannot open {target}: {error.strerror}", hint="close what uses it") from error
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _plain_file(target: Path, size: int) -> Iterator[tuple[int, Path]]:
    """A sparse file beside the target, that becomes the target when all went well and else is removed."""
    target = target.resolve()
    partial = target.with_name(f"{target.name}.partial")
    try:
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"cannot write {partial}: {error.strerror}") from error
    try:
        os.ftruncate(handle, size)
        yield handle, partial
        os.fsync(handle)
        partial.replace(target)
    finally:
        os.close(handle)
        partial.unlink(missing_ok=True)


def _write(source: _Source, target: int) -> None:
    """Write every range but the head, which is kept in `source.head`; check the source's checksums."""
    bmap, show = source.bmap, _Meter(source.bmap.mapped_bytes)
    _pwrite(target, bytes(len(source.head)), 0)
    os.fsync(target)
    unsynced = 0
    with _stream(source) as stream:
        at = 0
        for part in bmap.ranges:
            start, end = bmap.span(part)
            at = _skip(source, stream, at, start)
            digest = hashlib.sha256()
            while at < end:
                chunk = _read(source, stream, min(CHUNK, end - at))
                digest.update(chunk)
                inside = max(0, min(len(chunk), HEAD - at))
                source.head[at : at + inside] = chunk[:inside]
                _pwrite(target, chunk[inside:], at + inside)
                at += len(chunk)
                unsynced += len(chunk)
                if unsynced >= SYNC_EVERY:
                    os.fdatasync(target)
                    unsynced = 0
                show(len(chunk))
            source.digests.append(digest.hexdigest())
            if part.sha256 not in (None, digest.hexdigest()):
                raise InputError(
                    f"the block map {source.map_path} does not belong to the image {source.path}: "
                    f"blocks {part.first} to {part.last} differ",
                    hint="take both from the same build",
                )
        at = _skip(source, stream, at, bmap.image_size)
        if source.packed and stream.read(1):
            raise InputError(f"{source.path} unpacks to more than the {bmap.image_size} bytes of {source.map_path}")
    os.fsync(target)


def _verify(source: _Source, target: int, path: Path) -> None:
    """Read every range from the medium itself and compare; the head is taken from memory."""
    bmap, show = source.bmap, _Meter(source.bmap.mapped_bytes)
    with _reader(target, path) as read:
        for part, expected in zip(bmap.ranges, source.digests, strict=True):
            digest = hashlib.sha256()
            at, end = bmap.span(part)
            if at < HEAD:
                digest.update(source.head[at : min(end, HEAD)])
                at = min(end, HEAD)
            while at < end:
                chunk = read(at, min(CHUNK, end - at))
                digest.update(chunk)
                at += len(chunk)
                show(len(chunk))
            if digest.hexdigest() != expected:
                raise BuildError(
                    f"{path} does not keep what is written to it: blocks {part.first} to {part.last} read back wrong",
                    hint="a worn or counterfeit card does this; try another",
                )


def _read_back(target: int, path: Path, length: int) -> bytes:
    with _reader(target, path) as read:
        return read(0, length)


@contextmanager
def _stream(source: _Source) -> Iterator[BinaryIO]:
    if not source.packed:
        with source.path.open("rb") as handle:
            yield handle
        return
    try:
        with lzma.open(source.path, "rb") as packed:
            yield cast(BinaryIO, packed)
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"{source.path} is damaged: {error}", hint="compare it with SHA256SUMS") from error


def _skip(source: _Source, stream: BinaryIO, at: int, to: int) -> int:
    if not source.packed:
        stream.seek(to)
        return to
    while at < to:
        at += len(_read(source, stream, min(CHUNK, to - at)))
    return at


def _read(source: _Source, stream: BinaryIO, length: int) -> bytes:
    chunk = stream.read(length)
    if not chunk:
        raise InputError(f"{source.path} ends too early: {source.bmap.image_size} bytes were expected")
    return chunk


def _pwrite(target: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(target, view, offset)
        view, offset = view[written:], offset + written


@contextmanager
def _reader(target: int, path: Path) -> Iterator[Callable[[int, int], bytes]]:
    """Read past the page cache: by O_DIRECT where the file system has it, else after dropping the cache."""
    os.posix_fadvise(target, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        direct = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        direct = -1
    buffer = mmap.mmap(-1, CHUNK + ALIGNMENT)  # page-aligned, as O_DIRECT asks for

    def read(at: int, length: int) -> bytes:
        length = min(length, CHUNK)
        if direct >= 0 and at % ALIGNMENT == 0:
            rounded = -(-length // ALIGNMENT) * ALIGNMENT
            with memoryview(buffer) as whole, whole[:rounded] as view:
                got = min(os.preadv(direct, [view], at), length)
                data = bytes(view[:got])
        else:
            data = os.pread(target, length, at)
        if not data:
            raise BuildError(f"{path} ends at {at} bytes")
        return data

    try:
        yield read
    finally:
        buffer.close()
        if direct >= 0:
            os.close(direct)


class _Meter:
    """Shows how far a transfer of `total` bytes is."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.monotonic()

    def __call__(self, length: int) -> None:
        self.done += length
        rate = self.done / max(0.001, time.monotonic() - self.started)
        left = (self.total - self.done) / max(1, rate)
        detail(f"{self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s, {left:.0f} s left")

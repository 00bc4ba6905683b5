"""A directory tree becomes a raw disk image: MBR, FAT32 for the firmware, ext4 for the rest.

Nothing is mounted from the image and no loop device is used: the file systems are written by mke2fs and
mtools straight into files. The same tree, layout and epoch give the same bits, whatever the host, the order
in which the tree was made, and the clock.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from .durable import sync_path
from .errors import BuildError, CommandFailed
from .process import clean_environment, run
from .progress import detail
from .treesurvey import MIB, BootFile, Survey, survey_boot, survey_root

SECTOR = 512
BLOCK = 4096
ALIGNMENT = 4 * MIB
"""Partitions start and end at multiples of this: the erase block of common SD cards."""

BOOT_DIRECTORY = Path("boot/firmware")
FAT32_LBA, LINUX = 0x0C, 0x83

MKE2FS_CONF = """\
[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
[fs_types]
ext4 = {
features = has_journal,extent,flex_bg,metadata_csum,metadata_csum_seed,64bit,dir_nlink,extra_isize
}
small = {
}
floppy = {
}
"""
"""Stands in for the host's /etc/mke2fs.conf. Without orphan_file and huge_file, which do nothing for an SD
card, e2fsck of older rescue systems can mend the card too."""


class ToolRunner(Protocol):
    """Where the image tools come from: their version decides the bits."""

    def command(self, name: str) -> list[str]:
        """The words that start the tool `name`; its arguments follow them."""
        ...


@dataclass(frozen=True)
class Layout:
    """What the disk looks like. Sizes are in MiB, identities are fixed so that the bits are."""

    disk_id: int
    boot_serial: int
    root_uuid: UUID
    hash_seed: UUID
    boot_label: str = "MOJOBOOT"
    root_label: str = "mojoroot"
    boot_mib: int = 256
    free_mib: int = 256
    journal_mib: int = 64
    reserved_percent: int = 1
    bytes_per_inode: int = 16384

    @classmethod
    def from_seed(cls, seed: str, *, boot_mib: int = 256, free_mib: int = 256) -> Layout:
        """The layout whose identities are derived from `seed` (profile name and layer id, say)."""
        digest = hashlib.sha512(f"mojomail disk identities\0{seed}".encode()).digest()
        return cls(
            disk_id=int.from_bytes(digest[0:4], "big") or 1,
            boot_serial=int.from_bytes(digest[4:8], "big") or 1,
            root_uuid=UUID(bytes=digest[16:32], version=4),
            hash_seed=UUID(bytes=digest[32:48], version=4),
            boot_mib=boot_mib,
            free_mib=free_mib,
        )


@dataclass(frozen=True)
class Partition:
    """One partition; `start`, `size` and `used` (what its files and file system take) in bytes."""

    number: int
    kind: str
    label: str
    identity: str
    start: int
    size: int
    used: int


@dataclass(frozen=True)
class ImageFacts:
    """What was made: `size` is the image's length, `allocated` what it takes on the disk, both in bytes."""

    path: Path
    size: int
    allocated: int
    disk_id: str
    boot: Partition
    root: Partition
    files: int


def assemble(rootfs: Path, output: Path, *, layout: Layout, epoch: int, tools: ToolRunner) -> ImageFacts:
    """Make the raw image `output` from the tree `rootfs`, as root of the (user) namespace that owns its files.

    rootfs  the whole tree; rootfs/boot/firmware becomes partition 1, the rest partition 2
    output  appears only when it is whole, synced, and both file systems have been checked
    epoch   seconds since 1970; no time stamp in the image is later

    The image is sparse, but what must read as zeros is written as zeros (FATs, bitmaps, the journal): also a
    block map made of the holes alone leaves nothing of a card's former life in them.

    Raises BuildError when the disk is full, the firmware does not fit its partition or FAT, or a tool fails.
    """
    rootfs, output = rootfs.resolve(), output.absolute()
    boot_files = survey_boot(rootfs / BOOT_DIRECTORY)
    survey = survey_root(rootfs, without=BOOT_DIRECTORY, epoch=epoch)
    boot_size = _round_up(layout.boot_mib * MIB, ALIGNMENT)
    _check_boot_fits(boot_files, boot_size)
    root_start = ALIGNMENT + boot_size
    inode_ratio = _inode_ratio(survey, layout)
    root_size = _root_size(survey, layout, inode_ratio)

    output.parent.mkdir(parents=True, exist_ok=True)
    need = survey.data_bytes + 2 * sum(file.size for file in boot_files) + (layout.journal_mib + 16) * MIB
    with _full_disk_explained(output.parent, need), _work_directory(output.parent, layout) as work:
        work_tools = _Tools(tools, work, epoch)
        image = work / "image"
        _make_sparse(image, root_start + root_size)
        _write_table(work_tools, layout, boot_size, root_size)
        detail("root file system")
        _write_root(work_tools, rootfs, layout, root_start, root_size, inode_ratio)
        _settle_times(work_tools, survey, root_start)
        work_tools.run("e2fsck", "-f", "-n", f"image?offset={root_start}")
        detail("boot file system")
        _write_boot(work_tools, boot_files, layout, boot_size)
        with image.open("r+b") as file:
            _copy_allocated(work / "boot", file.fileno(), ALIGNMENT)
            root_used = _ext4_used(file.fileno(), root_start)
            detail("writing to disk")
            os.fsync(file.fileno())
            allocated = os.fstat(file.fileno()).st_blocks * 512
        image.replace(output)
        sync_path(output.parent)
    return ImageFacts(
        path=output,
        size=root_start + root_size,
        allocated=allocated,
        disk_id=f"{layout.disk_id:08x}",
        boot=Partition(
            number=1,
            kind="vfat",
            label=layout.boot_label,
            identity=f"{layout.boot_serial >> 16:04X}-{layout.boot_serial & 0xFFFF:04X}",
            start=ALIGNMENT,
            size=boot_size,
            used=sum(file.size for file in boot_files),
        ),
        root=Partition(
            number=2,
            kind="ext4",
            label=layout.root_label,
            identity=str(layout.root_uuid),
            start=root_start,
            size=root_size,
            used=root_used,
        ),
        files=survey.inodes + len(boot_files),
    )


class _Tools:
    """The image tools, run in the work directory so that no path of the host gets into their arguments."""

    def __init__(self, tools: ToolRunner, work: Path, epoch: int) -> None:
        self.tools = tools
        self.work = work
        self.epoch = epoch
        (work / "mke2fs.conf").write_text(MKE2FS_CONF)
        self.environment: Mapping[str, str] = clean_environment(
            {
                "SOURCE_DATE_EPOCH": str(epoch),
                "TZ": "UTC0",
                "HOME": str(work),
                "MKE2FS_CONFIG": "mke2fs.conf",
                "MTOOLSRC": "/dev/null",
                # Zeros are written, not punched out. A card flashed by block map keeps what was in the
                # holes before, and an old journal there could be replayed after a power cut.
                "UNIX_IO_NOZEROOUT": "1",
            }
        )

    def run(self, name: str, *arguments: str, prefix: tuple[str, ...] = (), stdin: str | None = None) -> str:
        words = (*prefix, *self.tools.command(name), *arguments)
        return run(*words, cwd=self.work, env=self.environment, stdin=stdin, quiet=name == "debugfs")


def _write_table(tools: _Tools, layout: Layout, boot_size: int, root_size: int) -> None:
    table = (
        f"label: dos\nlabel-id: 0x{layout.disk_id:08x}\nunit: sectors\n"
        f"start={ALIGNMENT // SECTOR}, size={boot_size // SECTOR}, type={FAT32_LBA:x}\n"
        f"start={(ALIGNMENT + boot_size) // SECTOR}, size={root_size // SECTOR}, type={LINUX:x}\n"
    )
    tools.run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never", "image", stdin=table)


def _write_boot(tools: _Tools, files: tuple[BootFile, ...], layout: Layout, size: int) -> None:
    """The FAT in a file of its own, since fsck.vfat cannot look at a part of one. Times are the epoch."""
    _make_sparse(tools.work / "boot", size)
    serial, hidden = f"{layout.boot_serial:08x}", str(ALIGNMENT // SECTOR)
    tools.run("mkfs.vfat", "--invariant", "-F", "32", "-i", serial, "-n", layout.boot_label, "-h", hidden, "boot")
    by_directory: dict[str, list[str]] = {}
    for entry in files:
        parent = "".join(f"{part}/" for part in entry.name.parts[:-1])
        if entry.is_directory:
            tools.run("mmd", "-i", "boot", f"::/{entry.name}")
        else:
            by_directory.setdefault(parent, []).append(str(entry.path))
    for parent, paths in sorted(by_directory.items()):
        tools.run("mcopy", "-b", "-i", "boot", *paths, f"::/{parent}")
    tools.run("fsck.vfat", "-n", "boot")


def _write_root(tools: _Tools, rootfs: Path, layout: Layout, start: int, size: int, inode_ratio: int) -> None:
    """mke2fs copies the tree in the order of names. What is below boot/firmware is hidden from it by a bind
    mount that only mke2fs sees."""
    empty = tools.work / "empty"
    empty.mkdir(mode=0o755)
    empty.chmod(0o755)
    os.utime(empty, (tools.epoch, tools.epoch))
    prefix: tuple[str, ...] = ()
    if (rootfs / BOOT_DIRECTORY).is_dir():
        hide = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "hide")
        prefix += (str(empty), str(rootfs / BOOT_DIRECTORY))
    extended = (
        f"offset={start}",
        f"hash_seed={layout.hash_seed}",
        "root_owner=0:0",
        "nodiscard",
        # the kernel clears unused inode tables in the background, so they need not be in the image
        "lazy_itable_init=1",
        "lazy_journal_init=0",
    )
    tools.run(
        "mke2fs",
        *("-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", "256", "-i", str(inode_ratio)),
        *("-m", str(layout.reserved_percent), "-J", f"size={layout.journal_mib}"),
        *("-L", layout.root_label, "-U", str(layout.root_uuid), "-E", ",".join(extended)),
        *("-d", str(rootfs), "image", f"{size // 1024}k"),
        prefix=prefix,
    )


def _settle_times(tools: _Tools, survey: Survey, start: int) -> None:
    """Give files that were last read or changed before the epoch the epoch, as mke2fs does for later ones:
    when that was depends on the host (the age of a checkout or a cached layer), not on the content."""
    if not survey.stale:
        return
    script = tools.work / "times"
    with script.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for name in survey.stale:
            quoted = '"/' + name.replace('"', '""') + '"'
            file.write(f"sif {quoted} atime @{tools.epoch}\nsif {quoted} ctime @{tools.epoch}\n")
    tools.run("debugfs", "-w", "-f", "times", f"image?offset={start}")


def _check_boot_fits(files: tuple[BootFile, ...], size: int) -> None:
    """Raises BuildError unless the files fit a FAT32 of `size` bytes, counted in clusters of 4 KiB."""
    need = sum(_round_up(file.size, BLOCK) + BLOCK for file in files) + 2 * MIB
    if need > size:
        raise BuildError(
            f"{BOOT_DIRECTORY} needs {need // MIB + 1} MiB, its partition has {size // MIB} MiB",
            hint="give the boot partition more room in the profile, or install fewer kernels",
        )


def _inode_ratio(survey: Survey, layout: Layout) -> int:
    """Bytes for each inode: the layout's, or a smaller power of two when the tree has many small files."""
    ratio = layout.bytes_per_inode
    smallest = survey.data_bytes + layout.free_mib * MIB
    while ratio > BLOCK and smallest // ratio < survey.inodes * 5 // 4 + 1024:
        ratio //= 2
    return ratio


def _root_size(survey: Survey, layout: Layout, inode_ratio: int) -> int:
    """The size of partition 2 in bytes: content, journal, the file system's own blocks and the free space."""
    wanted = survey.data_bytes + survey.data_bytes // 200 + (layout.journal_mib + layout.free_mib + 1) * MIB
    size = wanted
    for _ in range(4):
        groups = size // (32768 * BLOCK) + 1
        backups = 1 + sum(1 for base in (3, 5, 7) for power in range(8) if base**power < groups)
        descriptors = groups // 64 + 1
        reserved_descriptors = min(1024, groups * 16 + 1)
        own = groups * 3 + backups * (1 + descriptors + reserved_descriptors)
        inode_tables = size // inode_ratio * 256 + groups * BLOCK
        size = wanted + own * BLOCK + inode_tables + size * layout.reserved_percent // 100
    return _round_up(size, ALIGNMENT)


def _ext4_used(image: int, start: int) -> int:
    """Bytes in use, from the superblock (offsets: Linux, Documentation/filesystems/ext4/super.rst)."""
    superblock = os.pread(image, 1024, start + 1024)
    total, _reserved, free = struct.unpack_from("<III", superblock, 4)
    return int(total - free) * BLOCK


def _make_sparse(path: Path, size: int) -> None:
    with path.open("xb") as file:
        file.truncate(size)


def _copy_allocated(source: Path, target: int, offset: int) -> None:
    """Copy what is allocated in the file `source` to `offset` in `target`; holes stay holes."""
    with source.open("rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position < size:
            try:
                position = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            hole = os.lseek(file.fileno(), position, os.SEEK_HOLE)
            while position < hole:
                chunk = os.pread(file.fileno(), min(4 * MIB, hole - position), position)
                position += os.pwrite(target, chunk, offset + position)


@contextmanager
def _work_directory(parent: Path, layout: Layout) -> Iterator[Path]:
    """A directory beside the image. Its name is fixed, so the next build clears what a killed one left."""
    work = parent / f".image-{layout.disk_id:08x}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _full_disk_explained(directory: Path, need: int) -> Iterator[None]:
    """Turn every form of "no space left" into one BuildError that says how much is needed, and where."""

    def full(cause: Exception | None) -> BuildError:
        free = shutil.disk_usage(directory).free
        error = BuildError(
            f"the disk is full: the image needs about {need // MIB} MiB in {directory}, {free // MIB} MiB are free",
            hint="free some space there, or build to a directory on another disk",
        )
        error.__cause__ = cause
        return error

    if shutil.disk_usage(directory).free < need:
        raise full(None)
    try:
        yield
    except CommandFailed as error:
        if any("No space left on device" in line or "Disk quota exceeded" in line for line in error.tail):
            raise full(error) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full(error) from error
        raise


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple

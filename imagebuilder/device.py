"""Block devices as the kernel describes them in /sys and /proc, and why one must not be written to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError

ROOT = Path("/")
SECTOR = 512
"""/sys/class/block/*/size counts in units of 512 bytes, whatever the device's own sectors are."""


@dataclass(frozen=True)
class Device:
    """One block device. `mounts` are mount points of it or a partition of it, `swaps` those in use as
    swap, `holders` what is built on it (device mapper, md)."""

    name: str
    size: int
    removable: bool
    read_only: bool
    transport: str
    model: str
    disk: str | None = None
    mounts: tuple[str, ...] = ()
    swaps: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path("/dev") / self.name

    def __str__(self) -> str:
        text = f"{self.path}  {format_size(self.size)}  {self.model or 'unknown model'} ({self.transport})"
        return f"{text}, mounted on {', '.join(self.mounts)}" if self.mounts else text


def kernel_name(path: Path, root: Path = ROOT) -> str | None:
    """The kernel's name of the block device that `path` leads to, such as `sdb`; None for anything else."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISBLK(status.st_mode):
        return None
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    try:
        return (root / "sys/dev/block" / number).resolve(strict=True).name
    except OSError as error:
        raise InputError(f"{path} is a block device that /sys does not know ({number})") from error


def probe(name: str, root: Path = ROOT) -> Device:
    """What the kernel says of the block device `name`. Raises InputError when there is no such device."""
    folder = root / "sys/class/block" / name
    if not folder.is_dir():
        raise InputError(f"no such device: /dev/{name}")
    real = folder.resolve()
    partition = (real / "partition").is_file()
    disk = real.parent if partition else real
    family = [real, *sorted(part.parent for part in real.glob("*/partition"))]
    transport = _transport(disk)
    return Device(
        name=name,
        size=int(_text(real / "size") or 0) * SECTOR,
        removable=_text(disk / "removable") == "1" or transport in ("usb", "sd"),
        read_only=_text(real / "ro") == "1",
        transport=transport,
        model=" ".join(f"{_text(disk / 'device/vendor')} {_text(disk / 'device/model')}".split())
        or _text(disk / "device/name"),
        disk=disk.name if partition else None,
        mounts=tuple(sorted(set(_mounts(family, root)))),
        swaps=tuple(sorted(_swaps({part.name for part in family}, root))),
        holders=tuple(sorted(holder.name for part in family for holder in (part / "holders").glob("*"))),
    )


def candidates(root: Path = ROOT) -> list[Device]:
    """The removable disks with a card or stick in them that nothing uses, sorted by name."""
    found = []
    for entry in sorted((root / "sys/class/block").glob("*")):
        if entry.name.startswith(("loop", "ram", "zram", "dm-", "md", "sr", "nbd")) or "boot" in entry.name:
            continue
        device = probe(entry.name, root)
        if device.disk is None and device.size and not refusals(device, 0):
            found.append(device)
    return found


def refusals(device: Device, size: int, *, fixed: bool = False, mounted: bool = False) -> list[str]:
    """Every reason not to write an image of `size` bytes to the device.

    fixed    the caller named this device as one that need not be removable
    mounted  the caller named this device as one that may be mounted; never lifts it for the running system
    """
    found = []
    if device.disk is not None:
        found.append(f"it is a partition of /dev/{device.disk}, not a whole disk")
    if not device.size:
        found.append("there is no card in it")
    elif device.size < size:
        found.append(f"it is smaller than the image: {format_size(device.size)}, needed {format_size(size)}")
    if device.read_only:
        found.append("it is read-only (is the card's lock switch on?)")
    if device.mounts and ("/" in device.mounts or not mounted):
        found.append(f"it is mounted on {', '.join(device.mounts)}")
    if device.swaps:
        found.append(f"it is in use as swap ({', '.join(device.swaps)})")
    if device.holders:
        found.append(f"it is in use by {', '.join(device.holders)}")
    if not device.removable and not fixed:
        found.append("it is not removable")
    return found


def format_size(size: int) -> str:
    """Bytes as cards are sold, in powers of ten: `31.9 GB`, `512 MB`, `80 bytes`."""
    for unit, power in (("GB", 9), ("MB", 6), ("kB", 3)):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}".replace(".0 ", " ")
    return f"{size} bytes"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _transport(disk: Path) -> str:
    """`usb`, `sd` (a card in a reader of its own), `emmc` (soldered on), or the driver's part of the name."""
    kind = _text(disk / "device/type")
    if kind in ("SD", "MMC"):
        return "sd" if kind == "SD" else "emmc"
    if any(part.startswith("usb") for part in disk.parts):
        return "usb"
    return disk.name.rstrip("0123456789") if not disk.name.startswith("nvme") else "nvme"


def _mounts(family: list[Path], root: Path) -> Iterator[str]:
    """Mount points by device number and, for file systems with numbers of their own (btrfs), by source."""
    numbers = {_text(part / "dev") for part in family} - {""}
    sources = {f"/dev/{part.name}" for part in family}
    for line in _text(root / "proc/self/mountinfo").splitlines():
        fields = line.split(" ")
        if len(fields) < 10 or "-" not in fields:
            continue
        source = fields[fields.index("-") + 2]
        if fields[2] in numbers or source in sources:
            yield fields[4].replace("\\040", " ")


def _swaps(names: set[str], root: Path) -> Iterator[str]:
    for line in _text(root / "proc/swaps").splitlines()[1:]:
        path = line.split()[0] if line.split() else ""
        if path.removeprefix("/dev/") in names:
            yield path

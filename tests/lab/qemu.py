"""What QEMU is started with: the boards ("lanes"), the boot files out of the image, the card, the command line."""

from __future__ import annotations

import lzma
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab import processes
from tests.lab.control import PORT
from tests.lab.processes import LabError

SECTOR = 512
DISK_BYTES = 4 * 1024**3
"""The card's size: a power of two, as QEMU's SD card must be, and larger than the image, so that it grows."""
COMMAND_LINE_BYTES = 2048
"""COMMAND_LINE_SIZE of arm64's Linux, the zero at the end included."""
SOCKET_PATH_BYTES = 107
"""The longest path of a UNIX socket (unix(7))."""
CARDS = ("lan", "uplink")
"""The machine's network cards, which are QEMU's netdevs of the same names."""
PATIENCE = (
    "systemd.default_timeout_start_sec=600 systemd.default_device_timeout_sec=600"
    " rcupdate.rcu_cpu_stall_timeout=300 watchdog_thresh=60"
)
"""For the kernel's command line: emulation on a busy host is up to ten times as slow as a Pi (systemd(1))."""
BRISK = "kpti=off norandmaps"
"""For the kernel's command line where QEMU gives it a seed for chance, which makes it hide its own pages from programs
(unmap_kernel_at_el0() in arm64's cpufeature.c): QEMU would forget all addresses that it has looked up twice in each
system call. And it would translate a program anew wherever chance puts it. On the Pi's lane there is no seed, and
programs do lie where chance puts them."""
DISK = "card"
"""The block node that the machine sees as its disk."""


@dataclass(frozen=True)
class Lane:
    """One kind of board. `serials` are the names of its serial lines, in QEMU's order."""

    name: str
    board: tuple[str, ...]
    drive: str
    serials: tuple[str, ...]
    cards: Mapping[str, str]
    """The -device of each network card."""
    interfaces: Mapping[str, str]
    """What the machine calls each card."""
    control: str
    """The control channel's device in the machine; `*` stands for what the kernel puts there."""
    control_chardev: tuple[str, ...]
    """What ties the chardev `control` to that device."""
    device_tree: str | None = None
    command_line: str = ""
    """What is added to the image's own kernel command line."""
    screen: str | None = None
    """The -device of the screen; {width} and {height} are pixels. None: the board's own, of its own size."""
    snapshots: bool = True
    """Whether QEMU can keep all its devices as they are."""
    seconds_to_boot: float = 150.0
    """About how long it takes from power-on to the login prompt, under emulation on two idle cores."""


LANES = {
    lane.name: lane
    for lane in (
        Lane(
            name="virt",
            board=(
                # one processor: a second one saves nothing beside another machine, and waits for the first where the
                # host does not run both, for minutes; the Pi's board has four
                *("-M", "virt", "-cpu", "cortex-a53", "-smp", "1", "-m", "1024"),
                *("-device", "virtio-rng-pci", "-device", "qemu-xhci", "-device", "usb-kbd"),
            ),
            screen="virtio-gpu-pci,xres={width},yres={height}",
            drive="if=virtio",
            serials=("ttyAMA0",),
            # the kernel numbers them in the order of their PCI addresses
            cards={
                "lan": "virtio-net-pci,netdev=lan,romfile=,mac=52:54:00:4d:4d:00,addr=0x10",
                "uplink": "virtio-net-pci,netdev=uplink,romfile=,mac=52:54:00:4d:4d:01,addr=0x11",
            },
            interfaces={"lan": "eth0", "uplink": "eth1"},
            # not by its name in /dev/virtio-ports, which udev makes, and too late for a look at a boot that hangs
            control="/dev/vport*p1",
            control_chardev=(
                *("-device", "virtio-serial-pci"),
                *("-device", f"virtserialport,chardev=control,nr=1,name={PORT}"),
            ),
            command_line=f"console=ttyAMA0 {PATIENCE} {BRISK}",
        ),
        Lane(
            name="raspi3b",
            board=("-M", "raspi3b", "-usb", "-device", "usb-kbd"),
            drive="if=sd",
            serials=("ttyAMA0", "ttyS1"),
            # all the network that this board has in QEMU; Linux drives it as cdc_subset, which neither reads the card's
            # address nor sees its cable
            cards={"lan": "usb-net,netdev=lan", "uplink": "usb-net,netdev=uplink"},
            interfaces={"lan": "usb0", "uplink": "usb1"},
            # an FTDI cable: of the Pi's own lines, ttyS1 has the console, and ttyAMA0 goes to the Bluetooth chip
            control="/dev/ttyUSB0",
            control_chardev=("-device", "usb-serial,chardev=control"),
            device_tree="bcm2837-rpi-3-b.dtb",
            command_line=PATIENCE,
            snapshots=False,  # QEMU's usb-serial is "non-migratable"
            seconds_to_boot=250.0,
        ),
    )
}


@dataclass(frozen=True)
class BootFiles:
    """What the firmware would load, copied out of the image."""

    kernel: Path
    initramfs: Path
    command_line: str
    device_tree: Path | None


def boot_files(image: Path, lane: Lane, work: Path) -> BootFiles:
    """Copy what config.txt names out of the raw image's first partition into `work`."""
    with image.open("rb") as file:
        table = file.read(SECTOR)
    start = struct.unpack_from("<I", table, 446 + 8)[0] if table[510:] == b"\x55\xaa" else 0
    if not start:
        raise LabError(f"{image} is no card image, it has no partition table: run 'make image'")

    def copy(name: str) -> Path:
        target = work / Path(name).name
        processes.run("mcopy", "-n", "-o", "-i", f"{image}@@{start * SECTOR}", f"::/{name}", target)
        return target

    config = copy("config.txt").read_text()
    kernel = _setting(config, r"kernel=(\S+)") or "kernel8.img"
    initramfs = _setting(config, r"initramfs\s+(\S+)") or "initramfs8"
    return BootFiles(
        kernel=copy(kernel),
        initramfs=copy(initramfs),
        command_line=copy("cmdline.txt").read_text().strip(),
        device_tree=copy(lane.device_tree) if lane.device_tree else None,
    )


def _setting(config: str, pattern: str) -> str | None:
    """The last match in the parts of config.txt that hold for every board."""
    value, applies = None, True
    for line in config.splitlines():
        if section := re.fullmatch(r"\s*\[(\w+)\]\s*", line):
            applies = section[1] == "all"
        elif applies and (match := re.match(pattern, line)):
            value = match[1]
    return value


def raw_image(image: Path, work: Path) -> Path:
    """The image itself, or an .xz unpacked into `work` with holes for zeros. Raises LabError when it is not there."""
    if not image.is_file():
        raise LabError(f"there is no image at {image}: run 'make image'")
    if image.suffix != ".xz":
        return image.resolve()
    target, zeros = work / image.stem, bytes(1 << 20)
    with lzma.open(image) as source, target.open("xb") as file:
        while chunk := source.read(len(zeros)):
            if chunk == zeros[: len(chunk)]:
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
        file.truncate(file.tell())
    return target


def make_overlay(base: Path, overlay: Path) -> None:
    """A card of its own over the raw file `base`, which is only read."""
    size = max(DISK_BYTES, 1 << (base.stat().st_size - 1).bit_length())
    processes.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay, str(size))


def socket_path(directory: Path, name: str) -> Path:
    """A path for a UNIX socket; raises LabError when it is too long for one."""
    path = directory / name
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise LabError(f"{path} is longer than {SOCKET_PATH_BYTES} bytes, too long for a socket: set a short TMPDIR")
    return path


def drive(lane: Lane, overlay: Path, write_log: Path | None) -> str:
    """The -drive of the card; with a write log, every write and flush of the guest goes into it.

    Without one, flushes are ignored: they would cost time and prove nothing, for the host does not lose power.
    With one they are recorded, and only the files of the host are not flushed.
    """
    if write_log is None:
        return f"file={_quoted(overlay)},format=qcow2,node-name={DISK},cache=unsafe,{lane.drive}"
    return (
        f"driver=blklogwrites,node-name={DISK},{lane.drive},log-append=on"
        f",file.driver=qcow2,file.file.driver=file,file.file.filename={_quoted(overlay)},file.cache.no-flush=on"
        f",log.driver=file,log.filename={_quoted(write_log)},log.cache.no-flush=on"
    )


def network(lane: Lane, wires: Path) -> list[str]:
    """The cards. Frames are datagrams between `wires`/<card>.qemu and <card>.wire; with nobody there they are lost."""
    words = []
    for card in CARDS:
        if device := lane.cards.get(card):
            near, far = socket_path(wires, f"{card}.qemu"), socket_path(wires, f"{card}.wire")
            ends = f"local.type=unix,local.path={_quoted(near)},remote.type=unix,remote.path={_quoted(far)}"
            words += ["-netdev", f"dgram,id={card},{ends}", "-device", device]
    return words


def _quoted(path: Path) -> str:
    """For QEMU's options, where a comma is written twice."""
    return str(path).replace(",", ",,")

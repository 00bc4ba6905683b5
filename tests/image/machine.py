"""Boot a built image, unmodified, in QEMU: by hand with `python -m tests.image.machine`, or from a test.

    with Machine(Path("deploy/mojomail-village.img"), LANES["virt"]) as machine:
        machine.wait_for_login(limit=300)
        machine.screenshot(Path("screen.png"))

The image lies read-only below a qcow2 overlay that is thrown away. Kernel, initramfs and command line come
from the image's own FAT partition, as the Pi's firmware would take them.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

SECTOR = 512
DISK_BYTES = 4 * 1024**3
"""The card's size: a power of two, as QEMU's SD card must be, and larger than the image, so that it grows."""

LOGIN = re.compile(rb"^[\w.-]+ login: ", re.MULTILINE)
LOST = re.compile(
    rb"Kernel panic - not syncing[^\r\n]*|You are in (?:emergency|rescue) mode|Give root password for maintenance"
    rb"|\(initramfs\) |Press Enter for maintenance|Unable to mount root fs[^\r\n]*"
    rb"|Timed out waiting for device /dev/(?:disk|mmcblk|[vs]da)[^\r\n]*"
)
"""What says on a console that no login prompt will come."""


class MachineFailure(Exception):
    """The machine did not do what was waited for; the message ends with the last lines of its console."""


@dataclass(frozen=True)
class Lane:
    """One kind of board. `serials` are the names of its serial lines, in QEMU's order."""

    name: str
    board: tuple[str, ...]
    drive: str
    serials: tuple[str, ...]
    device_tree: str | None = None
    command_line: str = ""
    """What is added to the image's own kernel command line."""


LANES = {
    lane.name: lane
    for lane in (
        Lane(
            name="virt",
            board=(
                *("-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1024"),
                *("-device", "virtio-gpu-pci", "-device", "virtio-rng-pci"),
                *("-device", "qemu-xhci", "-device", "usb-kbd"),
                *("-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="),
            ),
            drive="if=virtio",
            serials=("ttyAMA0",),
            command_line="console=ttyAMA0",
        ),
        Lane(
            name="raspi3b",
            board=(
                *("-M", "raspi3b", "-usb", "-device", "usb-kbd"),
                *("-netdev", "user,id=net0", "-device", "usb-net,netdev=net0"),
            ),
            drive="if=sd",
            serials=("ttyAMA0", "ttyS1"),
            device_tree="bcm2837-rpi-3-b.dtb",
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
    start, _count = struct.unpack_from("<II", table, 446 + 8)
    if table[510:] != b"\x55\xaa" or not start:
        raise MachineFailure(f"{image} has no partition table")

    def copy(name: str) -> Path:
        _run("mcopy", "-n", "-i", f"{image}@@{start * SECTOR}", f"::/{name}", str(work / Path(name).name))
        return work / Path(name).name

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
    """The image itself, or an .xz unpacked into `work` with holes for zeros."""
    if image.suffix != ".xz":
        return image
    target, zeros = work / image.stem, bytes(1 << 20)
    with lzma.open(image) as source, target.open("xb") as file:
        while chunk := source.read(len(zeros)):
            if chunk == zeros[: len(chunk)]:
                file.seek(len(chunk), 1)
            else:
                file.write(chunk)
        file.truncate(file.tell())
    return target


def qemu_command(image: Path, lane: Lane, work: Path, serials: Sequence[str], display: str = "none") -> list[str]:
    """Make the overlay in `work`, and give the command that boots from it; `serials` are QEMU's -serial."""
    if shutil.which("qemu-system-aarch64") is None:
        raise MachineFailure("qemu-system-aarch64 is missing: sudo apt-get install qemu-system-arm qemu-utils mtools")
    image = raw_image(image, work).resolve()
    files = boot_files(image, lane, work)
    size = max(DISK_BYTES, 1 << (image.stat().st_size - 1).bit_length())
    overlay = work / "disk.qcow2"
    _run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "raw", str(overlay), str(size))
    command = ["qemu-system-aarch64", *lane.board, "-accel", "tcg,thread=multi,tb-size=512"]
    command += ["-kernel", str(files.kernel), "-initrd", str(files.initramfs)]
    command += ["-append", f"{files.command_line} {lane.command_line}".strip()]
    if files.device_tree:
        command += ["-dtb", str(files.device_tree)]
    command += ["-drive", f"file={str(overlay).replace(',', ',,')},format=qcow2,cache=unsafe,{lane.drive}"]
    command += ["-display", display]
    for serial in serials:
        command += ["-serial", serial]
    return command


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise MachineFailure(f"{command[0]} is missing: sudo apt-get install qemu-utils mtools") from None
    except subprocess.CalledProcessError as error:
        raise MachineFailure(f"{' '.join(command)}: {error.stderr.strip()}") from error


@dataclass
class Console:
    """One serial line: what came so far, also kept in the file `log`."""

    name: str
    connection: socket.socket
    log: Path
    text: bytearray = field(default_factory=bytearray)

    def take(self) -> bool:
        """Read what is there; False when the other side has closed."""
        data = self.connection.recv(65536)
        self.text += data
        with self.log.open("ab") as file:
            file.write(data)
        return bool(data)


class Machine:
    """A running machine. Leaving the `with` block ends QEMU and removes the overlay; `logs` stays."""

    def __init__(self, image: Path, lane: Lane, logs: Path | None = None) -> None:
        self.image = image
        self.lane = lane
        self._logs = logs
        self._stack = ExitStack()

    def __enter__(self) -> Machine:
        with ExitStack() as stack:
            # short, for a socket's path has at most 107 bytes (unix(7))
            self.work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mojo-")))
            self.logs = self._logs or self.work
            self.logs.mkdir(parents=True, exist_ok=True)
            listeners = {name: self._listen(stack, name) for name in (*self.lane.serials, "qmp")}
            serials = [f"unix:{self.work / name}" for name in self.lane.serials]
            command = qemu_command(self.image, self.lane, self.work, serials)
            command += ["-qmp", f"unix:{self.work / 'qmp'}"]
            self.errors = self.logs / f"{self.lane.name}-qemu.log"
            errors = stack.enter_context(self.errors.open("wb"))
            self.started = time.monotonic()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
            stack.callback(self._end)
            self._selector = stack.enter_context(selectors.DefaultSelector())
            self.consoles = [self._console(stack, name, listeners[name]) for name in self.lane.serials]
            qmp = self._accept(stack, listeners["qmp"])
            qmp.settimeout(60)
            self._qmp = stack.enter_context(qmp.makefile("rw", encoding="utf-8", newline="\n"))
            self.qmp("qmp_capabilities")
            self._screen_at_power_on = self._screen()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _listen(self, stack: ExitStack, name: str) -> socket.socket:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.work / name))
        listener.listen(1)
        return listener

    def _accept(self, stack: ExitStack, listener: socket.socket) -> socket.socket:
        listener.settimeout(0.2)
        until = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < until:
            with suppress(TimeoutError):
                return stack.enter_context(listener.accept()[0])
        raise MachineFailure(f"QEMU did not start: {self.errors.read_text()}")

    def _console(self, stack: ExitStack, name: str, listener: socket.socket) -> Console:
        log = self.logs / f"{self.lane.name}-{name}.log"
        log.write_bytes(b"")
        console = Console(name, self._accept(stack, listener), log)
        self._selector.register(console.connection, selectors.EVENT_READ, console)
        return console

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command (QEMU's docs/interop/qmp-spec) and give what it returns."""
        with suppress(ConnectionError):
            print(json.dumps({"execute": command, "arguments": arguments}), file=self._qmp, flush=True)
            while line := self._qmp.readline():
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise MachineFailure(f"QMP {command}: {answer['error']['desc']}")
        raise MachineFailure(f"QEMU ended: {self.errors.read_text()}")

    def listen(self, seconds: float) -> None:
        """Take in what the consoles say, at most for `seconds`; returns as soon as something came."""
        for key, _events in self._selector.select(max(0.0, seconds)):
            if not key.data.take():
                self._selector.unregister(key.fileobj)
                raise self.failure("the machine went off")

    def wait_for_login(self, limit: float) -> float:
        """Wait for a login prompt on any serial line; gives the seconds since power-on.

        Raises MachineFailure after `limit` seconds since power-on, or at once when no prompt can come.
        """
        while True:
            for console in self.consoles:
                if LOGIN.search(console.text):
                    return time.monotonic() - self.started
                if lost := LOST.search(console.text):
                    raise self.failure(f"the boot is lost: {lost[0].decode(errors='replace')}")
            left = self.started + limit - time.monotonic()
            if left <= 0:
                raise self.failure(f"no login prompt after {limit:.0f} s")
            self.listen(left)

    def screenshot(self, path: Path) -> Path:
        """What the screen shows, as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.qmp("screendump", filename=str(path.resolve()), format="png")
        return path

    def _screen(self) -> bytes:
        """The screen as PPM: three lines of header, and three bytes a pixel (ppm(5))."""
        dump = self.work / "screen.ppm"
        self.qmp("screendump", filename=str(dump))
        return dump.read_bytes()

    def lit_pixels(self) -> int:
        """How many pixels are not of the first one's colour; 0 while the screen is as it was at power-on
        (then QEMU itself writes on it that the display is not active)."""
        screen = self._screen()
        if screen == self._screen_at_power_on:
            return 0
        pixels = memoryview(screen.split(b"\n", 3)[3])
        return sum(pixels[at : at + 3] != pixels[:3] for at in range(0, len(pixels), 3))

    def wait_for_picture(self, limit: float, pixels: int = 500) -> int:
        """Wait until the guest shows something: at least `pixels` lit ones, some 10 letters."""
        until = time.monotonic() + limit
        while (lit := self.lit_pixels()) < pixels:
            if time.monotonic() > until:
                raise self.failure(f"the screen is blank after {limit:.0f} s: {lit} pixels are lit")
            self.listen(1)
        return lit

    def failure(self, message: str) -> MachineFailure:
        """An error that ends with the last lines of every console, and of QEMU itself."""
        for console in self.consoles:
            lines = console.text.decode(errors="replace").replace("\r", "").splitlines()[-20:]
            message += "".join(f"\n  {console.name} | {line}" for line in lines)
        if said := self.errors.read_text(errors="replace").strip():
            message += f"\n  qemu | {said}"
        return MachineFailure(f"{message}\n  logs: {self.logs}")


def main() -> int:
    """Boot an image by hand, its serial line on this terminal."""
    parser = argparse.ArgumentParser(prog="python -m tests.image.machine", description=main.__doc__)
    parser.add_argument("image", type=Path, help="the image: .img or .img.xz; it is not changed")
    parser.add_argument("--lane", choices=sorted(LANES), default="virt", help="the board (default: %(default)s)")
    parser.add_argument("--display", default="none", help="QEMU's -display, such as gtk or vnc=127.0.0.1:1")
    given = parser.parse_args()
    lane = LANES[given.lane]
    with tempfile.TemporaryDirectory(prefix="mojo-") as work:
        try:
            shown = lane.serials[-1]
            serials = ["mon:stdio" if name == shown else "null" for name in lane.serials]
            command = qemu_command(given.image, lane, Path(work), serials, given.display)
        except (MachineFailure, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        print(f"{shown} of {lane.name}; end it with Ctrl-A X", file=sys.stderr)
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())

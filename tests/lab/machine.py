"""A machine that runs the shipped image in QEMU, to be looked at, typed at, unplugged and taken back.

    with Machine(Path("deploy/mojomail-village.img")) as node:
        node.start()
        node.wait_for_control(limit=600)
        node.succeed("systemctl is-system-running --wait", limit=300)
        node.screenshot(Path("screen.png"))

The image is only read: it lies below an overlay that is thrown away. Kernel, initramfs and command line come
from its own FAT partition, as the Pi's firmware would take them; the lab only adds to the command line.
"""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.lab import bundle, processes, qemu, screen
from tests.lab.card import Card
from tests.lab.console import DEAD, HALTED, LOGIN, LOST, Console
from tests.lab.control import Control, ControlError, kernel_arguments
from tests.lab.guest import EVERY, MachineFailure
from tests.lab.processes import LabError
from tests.lab.qemu import LANES, Lane
from tests.lab.qmp import Qmp, QmpError
from tests.lab.snapshots import Snapshots
from tests.lab.writelog import WriteLog

__all__ = ["LANES", "LabError", "Lane", "Machine", "MachineFailure"]

FIRST_PICTURE = "systemd.set_credential_binary=systemd.unit-dropin.mojomail-firstboot.service:" + (
    base64.b64encode(b"[Service]\nTimeoutStartSec=600").decode()
)
"""For the kernel's command line: emulated, the first picture may take longer than text would wait on a Pi
(systemd-debug-generator(8))."""


class Machine(Snapshots):
    """A machine with a card of its own. Leaving the `with` block ends QEMU and removes the card; `logs` stays.

    image       the raw image, or an .xz of it
    screen      pixels; only the lane "virt" has a choice
    work        a directory for the card and the sockets; a temporary one when None
    logs        a directory for console logs; inside `work` when None
    wires       the directory of the network cards' sockets (see qemu.network); inside `work` when None
    power_cuts  record every write, for power_cut(); such a machine has no snapshots
    append      to add to the kernel's command line
    control     False: no control channel, as shipped; the machine cannot be asked anything
    vnc         show the screen on a free port of 127.0.0.1, see `vnc_port`
    seed        noted in the failure bundle
    """

    def __init__(
        self,
        image: Path,
        lane: Lane = LANES["virt"],
        *,
        screen: tuple[int, int] = (1280, 720),
        work: Path | None = None,
        logs: Path | None = None,
        wires: Path | None = None,
        power_cuts: bool = False,
        append: str = "",
        control: bool = True,
        vnc: bool = False,
        name: str = "node",
        seed: int | None = None,
    ) -> None:
        self.image, self.lane, self.screen, self.name, self.seed = image, lane, screen, name, seed
        self.has_control, self.power_cuts, self.vnc = control, power_cuts, vnc
        self.silent = not control
        """While True, start() gives the machine nobody who could answer, though the port is there."""
        self._given = (work, logs, wires)
        self._append = append
        self._stack = ExitStack()
        self._running = ExitStack()
        self._snapshots = {}
        self._disk_is_full = False
        """Whether QEMU let the machine rest because the host had no room for what it wrote."""
        self.command: list[str] = []
        self.links: dict[str, bool] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        """When (time.monotonic()) the machine was last switched on or reset."""

    def __enter__(self) -> Machine:
        with ExitStack() as stack:
            work, logs, wires = self._given
            if work is not None:
                work.mkdir(parents=True, exist_ok=True)
                if any(work.iterdir()):
                    raise LabError(f"{work} is in use: rm -r {work}")
            # in it even when `work` is given, so that it is removed however we end; short, for a socket's path is
            self.work = stack.enter_context(processes.temporary_directory(place=work))
            self.logs = logs or self.work
            self.logs.mkdir(parents=True, exist_ok=True)
            self.wires = wires or self.work
            self.qemu_log = self.logs / f"{self.name}-qemu.log"
            self.qemu_log.write_bytes(b"")
            raw = qemu.raw_image(self.image, self.work)
            self._files = qemu.boot_files(raw, self.lane, self.work)
            self._card = Card(raw, self.work, logged=self.power_cuts)
            self.control = Control()
            self.consoles = [
                Console(name, self.logs / f"{self.name}-{name}.log", self.control.forget) for name in self.lane.serials
            ]
            for console in self.consoles:
                console.log.write_bytes(b"")
            stack.callback(self.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.image.name} on {self.lane.name}, {'on' if self.is_on else 'off'}>"

    # Power

    @property
    def is_on(self) -> bool:
        """Whether QEMU runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Switch the machine on, with the card as it is; nothing happens when it is on."""
        if not self.is_on:
            self._switch_on()
            self.qmp("cont")

    def _switch_on(self) -> None:
        self.stop()
        with ExitStack() as stack:
            names = [*(console.name for console in self.consoles), "qmp", *(["control"] if self.has_control else [])]
            listeners = {name: self._listen(stack, name) for name in names}
            self.command = self._command()
            with self.qemu_log.open("ab") as log:
                self.process = processes.start(self.command, stdout=log, stderr=log)
            stack.callback(self._end_qemu)
            ends = {name: self._accept(listener) for name, listener in listeners.items()}
            for console in self.consoles:
                console.attach(ends[console.name])
                stack.callback(console.close)
            if self.has_control:
                self.control.attach(ends["control"])
                stack.callback(self.control.close)
            self._qmp = Qmp(ends["qmp"], self._on_event)
            stack.callback(self._qmp.close)
            self._dark = screen.picture(self._qmp, self.work)
            self.links = dict.fromkeys(self.lane.cards, True)
            self._at_power_on = self._devices()
            self._power_on()
            self._running = stack.pop_all()

    def _power_on(self) -> None:
        for console in self.consoles:
            console.begin()
        self.control.forget()
        self._disk_is_full = False
        self.started = time.monotonic()

    def _command(self) -> list[str]:
        files, control = self._files, self.lane.control
        words = [files.command_line, self.lane.command_line, FIRST_PICTURE]
        if not self.silent:
            words.append(kernel_arguments(control, is_tty="tty" in control))
        line = " ".join(word for word in (*words, self._append) if word)
        if len(line) >= qemu.COMMAND_LINE_BYTES:
            raise LabError(
                f"the kernel's command line is too long, {len(line)} of {qemu.COMMAND_LINE_BYTES} bytes: append less"
            )
        command = ["qemu-system-aarch64", "-S", "-display", "none", "-name", self.name, *self.lane.board]
        command += ["-accel", "tcg,thread=multi,tb-size=512", "-kernel", str(files.kernel)]
        command += ["-initrd", str(files.initramfs), "-append", line]
        if files.device_tree:
            command += ["-dtb", str(files.device_tree)]
        if self.lane.screen:
            command += ["-device", self.lane.screen.format(width=self.screen[0], height=self.screen[1])]
        command += ["-drive", self._card.drive(self.lane)]
        command += qemu.network(self.lane, self.wires)
        if self.vnc:
            command += ["-vnc", "127.0.0.1:0,to=999"]
        for name in ("qmp", "control") if self.has_control else ("qmp",):
            command += ["-chardev", f"socket,id={name},path={self.work / name}"]
        if self.has_control:
            command += self.lane.control_chardev
        for name in self.lane.serials:
            command += ["-serial", f"unix:{self.work / name}"]
        return [*command, "-mon", "chardev=qmp,mode=control"]

    def _listen(self, stack: ExitStack, name: str) -> socket.socket:
        path = qemu.socket_path(self.work, name)
        path.unlink(missing_ok=True)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(1)
        return listener

    def _accept(self, listener: socket.socket) -> socket.socket:
        listener.settimeout(0.2)
        until = time.monotonic() + 60
        while self.is_on and time.monotonic() < until:
            with suppress(TimeoutError):
                connection = listener.accept()[0]
                connection.settimeout(None)
                return connection
        raise LabError(f"QEMU did not start: {self._qemu_said()}")

    def _end_qemu(self) -> None:
        if self.process is not None:
            processes.end(self.process)

    def _on_event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "RESET":
                self._power_on()
            case "BLOCK_IO_ERROR" if event["data"].get("nospace"):
                self._disk_is_full = True
                if self.control.is_ready:
                    self.control.resume()  # whoever waits for an answer gets none; it may go on when there is room
            case "RESUME":
                self._disk_is_full = False

    def stop(self) -> None:
        """Switch the machine off, as kill() does; nothing happens when it is off."""
        self.kill()

    def kill(self) -> None:
        """End QEMU by SIGKILL. All that the machine has sent to its card is there: as when its kernel panics."""
        with suppress(MachineFailure):  # it may be gone already, or hang
            self.qmp("stop")  # QEMU then writes what it holds of the card's map
        self._running.close()

    def reset(self) -> None:
        """Push the reset button; when this returns, the machine starts anew."""
        self.check_on("reset")
        since = self._qmp.count
        self.qmp("system_reset")
        try:
            self._qmp.wait_for(lambda event: event["event"] == "RESET", since, 60)
        except QmpError as error:
            raise self.failure(str(error)) from None

    def shutdown(self, limit: float = 120.0) -> None:
        """Have the machine power off by itself, or halt where it cannot (QEMU's Pi).

        Raises MachineFailure when it has not after `limit` seconds.
        """
        if self.control.is_ready:
            self.succeed("systemctl --no-block poweroff")
        else:
            self.qmp("system_powerdown")
        until = time.monotonic() + limit
        while self.is_on and not any(HALTED.search(console.data) for console in self.consoles):
            if time.monotonic() > until:
                raise self.failure(f"the machine is not off after {limit:g} s")
            self.consoles[-1].wait(EVERY, lambda: not self.is_on)
        self.kill()

    @property
    def write_log(self) -> WriteLog:
        """What the machine wrote since it was new or last lost its power (only with `power_cuts`)."""
        return self._card.write_log

    def power_cut(self, entry: int | None = None, seed: int | None = None) -> int:
        """Cut the power: the card then holds what had been flushed, and the next start() begins from that.

        entry   cut after so many entries of the write log, one of its flush_points; the last one when None
        seed    besides, a random half of the sectors written after that got there (see WriteLog.rebuild)

        Gives the number of entries that are on the card. Needs `power_cuts`.
        """
        if not self.power_cuts:
            raise LabError("this machine cannot lose its power: make it with power_cuts=True")
        self._running.close()
        return self._card.cut(entry, seed)

    def copy_card(self, target: Path) -> None:
        """Write what the card holds now to the raw file `target`; the machine rests meanwhile, and then goes on."""
        if not self.is_on:
            self._card.copy(target)
            return
        self.qmp("stop")
        try:
            self._card.copy(target)
        finally:
            self.qmp("cont")

    def copy_cut(self, target: Path, entry: int | None = None, seed: int | None = None) -> int:
        """Write the card that power_cut() would leave to the raw file `target`, while the machine goes on."""
        return self._card.copy_cut(target, entry, seed)

    # Waiting

    @property
    def console(self) -> Console:
        """The serial line that the login prompt is on."""
        return self.consoles[-1]

    def wait_for_login(self, limit: float) -> float:
        """Wait for a login prompt on a serial line; gives the seconds since power-on.

        Raises MachineFailure after `limit` seconds since power-on, or at once when no prompt can come.
        """
        self._wait_on_consoles(lambda: self._login() is not None, limit, "no login prompt")
        return self.boot_seconds

    def wait_for_control(self, limit: float) -> None:
        """Wait until the machine takes commands; limits as in wait_for_login()."""
        self._wait_on_consoles(lambda: self.control.is_ready, limit, "no control channel")
        try:
            self.control.greet(60)
        except ControlError as error:
            raise self.failure(str(error)) from None

    def _wait_on_consoles(self, until: Callable[[], bool], limit: float, what: str) -> None:
        while not until():
            self.check()
            left = self.started + limit - time.monotonic()
            if left <= 0:
                raise self.failure(f"{what} after {limit:g} s")
            self.consoles[-1].wait(min(left, EVERY), until)

    def check(self) -> None:
        """Raise MachineFailure when the machine is off, its boot is lost, its kernel dead or the host's disk full."""
        if not self.is_on:
            raise self.failure("the machine is off")
        if lost := self._why_lost():
            raise self.failure(lost)

    def _why_lost(self) -> str | None:
        """Why nothing more is to be expected of the machine, in one line; None when something is."""
        if self._disk_is_full:
            return f"the host's disk is full: {self.work} has no room, free some or set TMPDIR to where there is"
        pattern, what = (LOST, "the boot is lost") if self._login() is None else (DEAD, "the machine is lost")
        found = [match[0] for console in self.consoles if (match := pattern.search(console.data))]
        return f"{what}: {found[0].decode(errors='replace')}" if found else None

    def wait(self, seconds: float) -> None:
        """Let time pass between two looks, less when a console says something; raises as check() does."""
        self.check()
        self.consoles[-1].wait(seconds)

    def _login(self) -> float | None:
        return min((when for console in self.consoles if (when := console.find(LOGIN))), default=None)

    @property
    def boot_seconds(self) -> float:
        """Seconds from power-on or reset to the login prompt; raises MachineFailure when there is none yet."""
        when = self._login()
        if when is None:
            raise self.failure("there is no login prompt yet")
        return when - self.started

    # When it went wrong

    def failure(self, message: str) -> MachineFailure:
        """An error that ends with the last lines of every console, and of QEMU itself.

        It begins with why the machine is lost, when it is.
        """
        said, lost = self._qemu_said(), self._why_lost()
        words = [lost] if lost and lost != message else []
        words += [message, *(console.tail() for console in self.consoles)]
        words += [f"  qemu | {said}"] if said else []
        return MachineFailure("\n".join(word for word in (*words, f"  logs: {self.logs}") if word))

    def _qemu_said(self) -> str:
        return self.qemu_log.read_text(errors="replace").strip()[-2000:]

    def bundle(
        self, directory: str | Path, error: BaseException | str | None = None, notes: Mapping[str, Any] | None = None
    ) -> None:
        """Leave all that helps to understand a failure in `directory`; see bundle.write(). Never raises."""
        bundle.write(self, directory, error, notes)

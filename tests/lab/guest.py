"""What can be asked of a running machine over the control channel: commands, files, units, ports, screens' text."""

from __future__ import annotations

import json
import re
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.control import CommandLate, Control, ControlError, Result
from tests.lab.textscreen import TextScreen

LIMIT = 60.0
"""Seconds that a command may take when nothing else is said."""
LOOK = 15.0
"""Seconds that one look at a condition may take, even when its time is up meanwhile: a command has to start at all."""
EVERY = 0.5
"""Seconds between two looks at a condition."""
PIECE = 1 << 18
"""Bytes of a file that go over the channel at a time."""


class MachineFailure(Exception):
    """The machine did not do what was asked for; the message ends with the last lines of its console."""


class CommandFailed(MachineFailure):
    """A command ended otherwise than was expected."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class Guest(ABC):
    """A machine with a control channel."""

    control: Control

    @abstractmethod
    def failure(self, message: str) -> MachineFailure:
        """An error with what the consoles last said."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Let time pass between two looks; raises when the machine went off or its boot is lost."""

    def execute(self, command: str, limit: float = LIMIT, stdin: bytes = b"") -> Result:
        """Run a command by bash (with pipefail) as root, and give its exit code and what it printed.

        Raises MachineFailure when it takes longer than `limit` seconds (then it is killed), or no answer comes.
        """
        try:
            return self.control.run(command, limit, stdin)
        except CommandLate as late:
            raise self.failure(f"{command}\n  {late}{_printed(late.stdout, late.stderr)}") from None
        except ControlError as error:
            raise self.failure(f"{command}\n  {error}") from None

    def succeed(self, command: str, limit: float = LIMIT) -> str:
        """Run a command and give its stdout; raises CommandFailed when its exit code is not 0."""
        result = self.execute(command, limit)
        if result.code:
            raise self._wrong(command, result, f"exit code {result.code}")
        return result.stdout

    def fail(self, command: str, limit: float = LIMIT) -> str:
        """Run a command that must not succeed and give its stdout; raises CommandFailed when its exit code is 0."""
        result = self.execute(command, limit)
        if not result.code:
            raise self._wrong(command, result, "it succeeded")
        return result.stdout

    def _wrong(self, command: str, result: Result, what: str) -> CommandFailed:
        failure = self.failure(f"{command}\n  {what}{_printed(result.stdout, result.stderr)}")
        return CommandFailed(str(failure), result)

    def send_file(self, data: bytes, path: str | Path) -> None:
        """Write a file in the machine; raises MachineFailure when it cannot be written."""
        name = shlex.quote(str(path))
        for at in range(0, max(len(data), 1), PIECE):
            result = self.execute(f"cat {'>>' if at else '>'} {name}", stdin=data[at : at + PIECE])
            if result.code:
                raise self._wrong(f"write {path}", result, f"exit code {result.code}")

    def read_file(self, path: str | Path) -> bytes:
        """The bytes of a file in the machine; raises MachineFailure when it cannot be read."""
        result = self.execute(f"cat -- {shlex.quote(str(path))}")
        if result.code:
            raise self._wrong(f"read {path}", result, f"exit code {result.code}")
        return result.output

    def wait_until(self, condition: Callable[[], Any] | str, limit: float = LIMIT, what: str | None = None) -> Any:
        """Wait until a condition (a function, or a shell command that then succeeds) holds; give what it gave.

        Raises MachineFailure after `limit` seconds.
        """
        until = time.monotonic() + limit
        seen: Any = None
        while True:
            if isinstance(condition, str):
                result = self._try(condition, max(LOOK, until - time.monotonic()))
                if isinstance(result, Result) and not result.code:
                    return result.stdout
                code = f"exit code {result.code}" if isinstance(result, Result) else str(result)
                seen = f"{code}{_printed(result.stdout, result.stderr)}"
            elif seen := condition():
                return seen
            if time.monotonic() >= until:
                name = what or (condition if isinstance(condition, str) else _name(condition))
                raise self.failure(f"{name}: not after {limit:g} s; last: {seen}")
            self.wait(EVERY)

    def _try(self, command: str, limit: float) -> Result | CommandLate:
        try:
            return self.control.run(command, limit)
        except CommandLate as late:
            return late
        except ControlError as error:
            raise self.failure(f"{command}\n  {error}") from None

    def unit(self, name: str) -> dict[str, str]:
        """What systemd knows of a unit: ActiveState, SubState, Job, Result and LoadState."""
        shown = self.succeed(f"systemctl show -p ActiveState,SubState,Job,Result,LoadState -- {shlex.quote(name)}")
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def wait_for_unit(self, name: str, limit: float = 120.0) -> None:
        """Wait until a unit is active.

        Raises MachineFailure with its status and journal: at once when it has failed, is not there, or is
        inactive with no job that would start it; else after `limit` seconds.
        """
        until = time.monotonic() + limit
        while True:
            state = self.unit(name)
            active = state["ActiveState"]
            if active == "active":
                return
            if active == "failed":
                raise self._unit_failure(name, f"it has failed ({state['Result']})")
            if state["LoadState"] not in ("loaded", "merged"):
                raise self._unit_failure(name, f"it is {state['LoadState']}")
            if active == "inactive" and not state.get("Job"):
                raise self._unit_failure(name, "it is inactive, and no job is there to start it")
            if time.monotonic() >= until:
                raise self._unit_failure(name, f"it is {active} ({state['SubState']}) after {limit:g} s")
            self.wait(EVERY)

    def _unit_failure(self, name: str, what: str) -> MachineFailure:
        unit = shlex.quote(name)
        said = self.execute(
            f"systemctl status --no-pager --full -n 0 -- {unit}; journalctl --no-pager -b -n 30 -u {unit}"
        )
        return self.failure(f"{name}: {what}{_printed(said.stdout, said.stderr)}")

    def settle(self, limit: float = 600.0) -> None:
        """Wait until systemd has nothing left to start, and udev no device to find: screen, keyboard and cards work.

        A login prompt can be there minutes before that. Raises MachineFailure after `limit` seconds.
        """
        until = time.monotonic() + limit
        self.execute("systemctl is-system-running --wait", limit)
        left = max(LOOK, until - time.monotonic())
        self.succeed(f"udevadm settle --timeout={left:.0f}", left + LOOK)

    def wait_for_port(self, port: int, address: str = "127.0.0.1", limit: float = LIMIT) -> None:
        """Wait until something in the machine accepts a TCP connection; raises MachineFailure after `limit` seconds."""
        self.wait_until(f"exec 3<>/dev/tcp/{address}/{port}", limit, what=f"a connection to {address}:{port}")

    def tty_text(self, number: int = 1) -> str:
        """What the text screen /dev/tty`number` shows: its lines, without blanks at their ends."""
        return self.text_screen(number).text

    def text_screen(self, number: int = 1) -> TextScreen:
        """The text screen /dev/tty`number`, with its cursor."""
        cells = self.execute(f"od -An -tu1 -N4 /dev/vcsa{number} && cat /dev/vcs{number}")
        if cells.code:
            raise self._wrong(f"the text of tty{number}", cells, f"exit code {cells.code}")
        head, _, shown = cells.output.partition(b"\n")
        _rows, width, column, row = map(int, head.split())
        text = shown.decode("latin-1")
        return TextScreen(tuple(text[at : at + width] for at in range(0, len(text), width)), column, row)

    def active_tty(self) -> int:
        """The number of the text screen that is shown."""
        return int(self.succeed("cat /sys/class/tty/tty0/active").strip().removeprefix("tty"))

    def journal(self, priority: str | None = None, boot: int = 0) -> list[dict[str, Any]]:
        """The journal's entries of a boot (0 is this one, -1 the one before), of `priority` and worse."""
        wanted = f" -p {priority}" if priority else ""
        said = self.succeed(f"journalctl --no-pager -o json -b {boot}{wanted}", limit=180)
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    def idle_memory(self) -> int:
        """Bytes of memory that are in use: what the kernel has, without what it could give at once."""
        figures = dict(re.findall(r"^(\w+): +(\d+) kB", self.succeed("cat /proc/meminfo"), re.MULTILINE))
        return (int(figures["MemTotal"]) - int(figures["MemAvailable"])) * 1024


def _printed(stdout: str, stderr: str) -> str:
    return "".join(
        f"\n  {name} | {line}" for name, text in (("out", stdout), ("err", stderr)) for line in text.splitlines()[-60:]
    )


def _name(condition: Callable[[], Any]) -> str:
    name = getattr(condition, "__qualname__", "the condition")
    return "the condition" if "<lambda>" in name else name

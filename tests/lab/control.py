"""The control channel: commands run in the machine, over a port that only the lab's machine has.

The image knows nothing of it. The kernel's command line, to which the lab adds, carries a systemd credential
`systemd.extra-unit.*` with a unit, and `systemd.wants=` that starts it (systemd-debug-generator(8), systemd 256
and later). As the command line has room for 2048 bytes (COMMAND_LINE_SIZE of arm64's Linux), that unit is only
a loader: it asks for the agent (agent.pl) on the port, and runs it.
"""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PORT = "org.mojomail.control"
UNIT = "lab-control"
AGENT = Path(__file__).with_name("agent.pl")
GRACE = 15.0
"""Seconds that the channel itself may need beyond a command's own limit, under emulation."""


class ControlError(Exception):
    """The channel did not carry a command: no answer, or the machine began anew meanwhile."""


@dataclass(frozen=True)
class Result:
    """What a command did: its exit code (128 + n for signal n), and what it printed."""

    code: int
    stdout: str
    stderr: str
    output: bytes
    """stdout as it came."""


class CommandLate(ControlError):
    """A command was killed at its limit; what it had printed is in `stdout` and `stderr`."""

    def __init__(self, limit: float, stdout: str, stderr: str) -> None:
        super().__init__(f"killed after {limit:g} s")
        self.stdout = stdout
        self.stderr = stderr


def kernel_arguments(device: str, is_tty: bool) -> str:
    """What to add to the kernel's command line so that the channel's far end is at `device` of the machine."""
    raw = f'system"stty -F {device} raw -echo";' if is_tty else ""
    unit = (
        "[Unit]\nDefaultDependencies=no\nIgnoreOnIsolate=yes\nStartLimitIntervalSec=0\n"
        "[Service]\nRestart=always\nRestartSec=1\nOOMScoreAdjust=-999\n"
        f"""ExecStart=perl -e 'sleep 1 until-e($p=(glob"{device}")[0]);open F,"+<",$p or die;"""
        f"""{raw}syswrite F,"\\nload\\n";"""
        """while(<F>){eval pack"H*",$1 if/^agent (.+)/}'\n"""
    )
    packed = base64.b64encode(unit.encode()).decode()
    return f"systemd.set_credential_binary=systemd.extra-unit.{UNIT}.service:{packed} systemd.wants={UNIT}.service"


def line_of(*words: str) -> bytes:
    """One line of the channel, with its sum."""
    text = " ".join(words).encode()
    return b"\n%d %s\n" % (sum(text) & 0xFFFFFFFF, text)


def words_of(line: bytes) -> list[str]:
    """The words of one line; none when it is torn."""
    count, _, text = line.strip().partition(b" ")
    if not count.isdigit() or sum(text) & 0xFFFFFFFF != int(count):
        return []
    return text.decode(errors="replace").split(" ")


def pack(data: bytes) -> str:
    return data.hex() or "-"


def unpack(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(text)


class Control:
    """The near end of the channel. It may be used by several threads at once."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._sending = threading.Lock()
        self._connection: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._answers: dict[str, list[str]] = {}
        self._asked: set[str] = set()
        self._number = 0
        self._age = 0
        """Grows with every snapshot and restore; see agent.pl."""
        self._starts = 0
        """How often the far end has begun anew."""
        self._ready = False

    def attach(self, connection: socket.socket) -> None:
        """Use the port of a new QEMU."""
        self.forget()
        self._connection = connection
        self._reader = threading.Thread(target=self._read, args=(connection,), name="control", daemon=True)
        self._reader.start()

    def forget(self) -> None:
        """The machine starts anew: whoever waits for an answer gets none."""
        with self._news:
            self._ready = False
            self._starts += 1
            self._news.notify_all()

    def resume(self) -> None:
        """The machine is as it was in a snapshot, with the far end in it: whoever waits for an answer gets none."""
        with self._news:
            self._ready = True
            self._starts += 1
            self._news.notify_all()

    @property
    def is_ready(self) -> bool:
        """Whether the far end has said that it is there."""
        return self._ready and self._connection is not None

    def _read(self, connection: socket.socket) -> None:
        left = b""
        while True:
            try:
                data = connection.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, left = (left + data).split(b"\n") if b"\n" in data else ([left + data])
            for line in lines:
                self._take(line)
        with self._news:
            if self._connection is connection:
                self._connection = None
            self._news.notify_all()

    def _take(self, line: bytes) -> None:
        if line.strip() == b"load":
            self.forget()
            # the loader reads the agent as one line; nothing else is sent until that says it is ready
            threading.Thread(target=self._load, name="control-load", daemon=True).start()
            return
        match words_of(line):
            case ["ready"]:
                with self._news:
                    self._ready = True
                    self._news.notify_all()
            case ["here" | "done", number, *_] as words:
                with self._news:
                    if number in self._asked:  # else it is stale: from before a restore
                        self._answers[number] = words
                        self._news.notify_all()

    def _load(self) -> None:
        with suppress(ControlError):
            self._send(b"\nagent " + AGENT.read_bytes().hex().encode() + b"\n")

    def _send(self, data: bytes) -> None:
        with self._sending:
            connection = self._connection
            if connection is None:
                raise ControlError("the machine is off")
            try:
                connection.sendall(data)
            except OSError:
                raise ControlError("the machine went off") from None

    def wait_until_ready(self, limit: float) -> bool:
        """Wait until the far end is there: at most `limit` seconds, less when the machine goes off."""
        with self._news:
            self._news.wait_for(lambda: self._ready or self._connection is None, limit)
            return self.is_ready

    def _ask(self, limit: float, word: str, *words: str) -> list[str]:
        with self._news:
            self._number += 1
            number, starts = str(self._number), self._starts
            self._asked.add(number)
        try:
            if self._connection is None:
                raise ControlError("the machine is off")
            if not self._ready:
                raise ControlError("the control channel is not there (yet)")
            self._send(line_of(word, number, str(self._age), *words))

            def is_over() -> bool:
                return number in self._answers or self._starts != starts or self._connection is None

            with self._news:
                self._news.wait_for(is_over, limit)
                if number in self._answers:
                    return self._answers.pop(number)
                if self._connection is None:
                    raise ControlError("the machine went off")
                if self._starts != starts:
                    raise ControlError("the machine began anew")
                raise ControlError(f"no answer over the control channel after {limit:g} s")
        finally:
            with self._news:
                self._asked.discard(number)

    def begin_age(self, limit: float) -> None:
        """Before and after a snapshot, and after a restore: what was asked in another age is not done in this one.

        Raises ControlError when the far end does not answer within `limit` seconds.
        """
        with self._news:
            self._age += 1
        self._ask(limit, "begin")

    def greet(self, limit: float) -> None:
        """Raise ControlError unless the far end answers within `limit` seconds."""
        self._ask(limit, "hello")

    def run(self, command: str, limit: float, stdin: bytes = b"") -> Result:
        """Run a command by bash (with pipefail), as root, in a session of its own.

        Raises CommandLate when it was killed at its `limit` (seconds), ControlError when there was no answer.
        """
        _, _, code, out, err = self._ask(limit + GRACE, "run", f"{limit:g}", pack(command.encode()), pack(stdin))
        output, said = unpack(out), unpack(err).decode(errors="replace")
        if code == "late":
            raise CommandLate(limit, output.decode(errors="replace"), said)
        return Result(int(code), output.decode(errors="replace"), said, output)

    def close(self) -> None:
        """Give up the port."""
        connection, reader = self._connection, self._reader
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if reader is not None:
            reader.join(5)
        if connection is not None:
            connection.close()
        self._connection, self._ready = None, False

"""A serial line of the machine: what it said is kept, in memory and in a log, while nobody looks."""

from __future__ import annotations

import re
import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOGIN = re.compile(rb"^[\w.-]+ login: ", re.MULTILINE)
PANIC = re.compile(rb"Kernel panic - not syncing[^\r\n]*")
"""What the kernel says when it gives up."""

DEAD = re.compile(PANIC.pattern + rb"|systemd\[1\]: Freezing execution")
"""What says on a console that the machine goes on no more, at whatever time it comes."""

LOST = re.compile(
    DEAD.pattern + rb"|You are in (?:emergency|rescue) mode|Give root password for maintenance"
    rb"|\(initramfs\) |Press Enter for maintenance|Unable to mount root fs[^\r\n]*"
    rb"|Timed out waiting for device /dev/(?:disk|mmcblk|[vs]da)[^\r\n]*"
)
"""What says on a console that no login prompt will come. After one, somebody may have asked for it."""

HALTED = re.compile(rb"reboot: (?:Power down|Power off not available: System halted instead|System halted)")
"""What the kernel says last."""

_PANIC_BYTES = len("Kernel panic - not syncing")
_COLOURS = re.compile(r"\x1b(?:\[[0-9;?!]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
"""What a terminal would obey instead of showing it (ECMA-48)."""


class ConsoleError(Exception):
    """What was waited for did not come."""


class Console:
    """One serial line; `data` is all it said since the machine was last switched on or reset.

    on_panic    called when the kernel says that it gives up
    """

    def __init__(self, name: str, log: Path, on_panic: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.log = log
        self._on_panic = on_panic
        self._news = threading.Condition()
        self._data = bytearray()
        self._arrivals: list[tuple[int, float]] = []
        """After how many bytes of `_data`, and when (time.monotonic())."""
        self._changes = 0
        """How often `_data` has changed; not its length, which a new start takes back to 0."""
        self._connection: socket.socket | None = None
        self._reader: threading.Thread | None = None

    def attach(self, connection: socket.socket) -> None:
        """Listen to a new QEMU; the log goes on."""
        self.begin()
        self._connection = connection
        self._reader = threading.Thread(target=self._read, args=(connection,), name=self.name, daemon=True)
        self._reader.start()

    def _read(self, connection: socket.socket) -> None:
        with self.log.open("ab", buffering=0) as log:
            while True:
                try:
                    data = connection.recv(65536)
                except OSError:
                    data = b""
                if data:
                    log.write(data)
                panics = False
                with self._news:
                    if data:
                        self._data += data
                        panics = bool(PANIC.search(self._data, max(0, len(self._data) - len(data) - _PANIC_BYTES)))
                        self._arrivals.append((len(self._data), time.monotonic()))
                        self._changes += 1
                    elif self._connection is connection:
                        self._connection = None
                    self._news.notify_all()
                if panics:
                    self._on_panic()
                if not data:
                    return

    def begin(self) -> None:
        """Forget what was said so far: the machine starts anew."""
        with self._news:
            self._data.clear()
            self._arrivals.clear()
            self._changed()

    def keep(self) -> tuple[bytes, list[tuple[int, float]]]:
        """What was said so far, and when, for recall()."""
        with self._news:
            return bytes(self._data), list(self._arrivals)

    def recall(self, kept: tuple[bytes, list[tuple[int, float]]]) -> None:
        """The machine is as it was when this was kept."""
        with self._news:
            self._data[:], self._arrivals = kept[0], list(kept[1])
            self._changed()

    def _changed(self) -> None:
        self._changes += 1
        self._news.notify_all()

    @property
    def data(self) -> bytes:
        """What was said since the last start, as it came."""
        with self._news:
            return bytes(self._data)

    @property
    def text(self) -> str:
        """What was said since the last start, as text."""
        return self.data.decode(errors="replace").replace("\r", "")

    @property
    def is_open(self) -> bool:
        """Whether QEMU is still at the other end."""
        return self._connection is not None

    def find(self, pattern: re.Pattern[bytes]) -> float | None:
        """When (time.monotonic()) the first match of `pattern` was complete; None when there is none."""
        with self._news:
            if not (match := pattern.search(self._data)):
                return None
            return self._arrivals[bisect_left(self._arrivals, (match.end(), 0.0))][1]

    def wait(self, limit: float, until: Callable[[], bool] | None = None, since: int | None = None) -> None:
        """Wait until something new came (or `until` holds), at most `limit` seconds.

        `since`: the number of changes when the caller last looked, so that what came meanwhile is new; None: now.
        """
        with self._news:
            before = self._changes if since is None else since
            self._news.wait_for(lambda: self._changes > before or not self.is_open or bool(until and until()), limit)

    def wait_for(self, pattern: str | re.Pattern[str], limit: float) -> re.Match[str]:
        """Wait until the text since the last start has `pattern` (a regular expression, multiline).

        Raises ConsoleError after `limit` seconds, or at once when the line is closed.
        """
        pattern = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        until = time.monotonic() + limit
        while True:
            with self._news:
                text, is_open, changes = self.text, self.is_open, self._changes
            if match := pattern.search(text):
                return match
            left = until - time.monotonic()
            if left <= 0 or not is_open:
                why = f"not on {self.name} after {limit:.0f} s" if is_open else f"{self.name} is closed"
                raise ConsoleError(f"{pattern.pattern!r}: {why}\n{self.tail()}")
            self.wait(left, since=changes)

    def send(self, text: str) -> None:
        """Type `text` at the line; a return is "\\n"."""
        connection = self._connection
        if connection is None:
            raise ConsoleError(f"{self.name} is closed")
        connection.sendall(text.encode())

    def tail(self, lines: int = 20) -> str:
        """The last lines, each with the line's name before it; for an error's message."""
        return "\n".join(f"  {self.name} | {line}" for line in _COLOURS.sub("", self.text).splitlines()[-lines:])

    def close(self) -> None:
        """Stop listening. What was said stays."""
        connection, reader = self._connection, self._reader
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if reader is not None:
            reader.join(5)
        if connection is not None:
            connection.close()
        self._connection = None

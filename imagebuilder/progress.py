"""Steps that tell their story: what is going on, how long it took, how long it may still take.

`with step("Unpacking 325 packages"):` shows a live line on a terminal and plain lines elsewhere, times
itself, and leaves a `Timing` behind that the build report is made of.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TextIO

PLAIN_DEPTH = 3
"""Steps deeper than this are not announced in a log, only told when they took a second or more."""


@dataclass
class Timing:
    """How long one step took. `seconds` is wall time and includes the steps inside it."""

    name: str
    seconds: float = 0.0
    children: list[Timing] = field(default_factory=list)


class Progress:
    """Shows steps on `stream`; `expected` gives the seconds that steps took last time, by name."""

    def __init__(self, stream: TextIO | None = None, expected: Mapping[str, float] | None = None) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.expected = dict(expected or {})
        self.root = Timing("build")
        self.live = self.stream.isatty()
        self._stack: list[tuple[Timing, float]] = [(self.root, time.monotonic())]
        self._detail = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[Timing]:
        """Show and time one step; on an error the step is shown as failed and the error goes on."""
        timing = Timing(name)
        started = time.monotonic()
        with self._lock:
            self._stack[-1][0].children.append(timing)
            self._stack.append((timing, started))
            self._detail = ""
        if not self.live and len(self._stack) <= PLAIN_DEPTH + 1:
            self._print(f"{self._indent()}{name} ...")
        self._start_ticker()
        mark = "failed"
        try:
            yield timing
            mark = "done"
        finally:
            timing.seconds = time.monotonic() - started
            indent = self._indent()
            with self._lock:
                self._stack.pop()
                self._detail = ""
            if len(self._stack) == 1:
                self._stop_ticker()
            if self.live or timing.seconds >= 1 or mark == "failed":
                self._print(f"{indent}{name}: {mark} in {format_seconds(timing.seconds)}")

    def settle(self) -> Timing:
        """The whole so far, with the steps that still run given the time they have taken."""
        now = time.monotonic()
        with self._lock:
            for timing, started in self._stack:
                timing.seconds = now - started
        return self.root

    def detail(self, text: str) -> None:
        """What the innermost step is doing just now; only shown on a terminal."""
        with self._lock:
            self._detail = text

    def note(self, text: str) -> None:
        """A line that stays, below the step it belongs to."""
        self._print(f"{self._indent(1)}{text}")

    def _indent(self, more: int = 0) -> str:
        return "  " * max(0, len(self._stack) - 2 + more)

    def _print(self, line: str) -> None:
        with self._lock:
            if self.live:
                self.stream.write("\r\x1b[K")
            self.stream.write(line + "\n")
            self.stream.flush()

    def _start_ticker(self) -> None:
        if self.live and self._ticker is None:
            self._stop.clear()
            self._ticker = threading.Thread(target=self._tick, daemon=True, name="progress")
            self._ticker.start()

    def _stop_ticker(self) -> None:
        if self._ticker is not None:
            self._stop.set()
            self._ticker.join()
            self._ticker = None

    def _tick(self) -> None:
        import shutil

        while not self._stop.wait(0.25):
            with self._lock:
                if len(self._stack) > 1:
                    width = shutil.get_terminal_size((100, 24)).columns - 1
                    self.stream.write("\r\x1b[K" + self._line()[:width])
                    self.stream.flush()
        with self._lock:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def _line(self) -> str:
        timing, started = self._stack[-1]
        elapsed = time.monotonic() - started
        total = time.monotonic() - self._stack[0][1]
        text = f"[{format_seconds(total)}] {timing.name} {format_seconds(elapsed)}"
        expected = self.expected.get(timing.name)
        if expected is not None:
            text += f" of about {format_seconds(expected)}"
        return f"{text}  {self._detail}" if self._detail else text


_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def showing(progress: Progress) -> Iterator[Progress]:
    """Make `progress` the one that `step`, `detail` and `note` speak to."""
    token = _progress.set(progress)
    try:
        yield progress
    finally:
        _progress.reset(token)


@contextmanager
def step(name: str) -> Iterator[Timing]:
    """Show and time one step on the current Progress; without one, only time it."""
    progress = _progress.get()
    if progress is None:
        timing, started = Timing(name), time.monotonic()
        try:
            yield timing
        finally:
            timing.seconds = time.monotonic() - started
    else:
        with progress.step(name) as timing:
            yield timing


def detail(text: str) -> None:
    """What the current step is doing just now."""
    progress = _progress.get()
    if progress is not None:
        progress.detail(text)


def note(text: str) -> None:
    """A line that stays on the screen and in the log, such as a warning."""
    progress = _progress.get()
    if progress is not None:
        progress.note(text)
    else:
        print(text, file=sys.stderr)


def format_seconds(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"

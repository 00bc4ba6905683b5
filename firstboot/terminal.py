"""A screen of text: lines that go to it and come from it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

FIRST = Path("dev/tty1")
"""The virtual terminal that is on the screen."""
CLEAR = "\033[2J\033[H"
LIKE = str.maketrans({"–": "-", "—": "-", "‑": "-", "…": "...", "₹": "Rs", "“": '"', "”": '"', "’": "'"})
"""What a console's font has not, and what stands in for it."""
STRANGE = re.compile(r"[^\n\x20-\x7e\xa0-\u024f]+")
"""Letters that are not Latin: no console font has the scripts of India."""


def plain(text: str) -> str:
    """Text as a console's font can show it: one question mark stands for letters that it has not."""
    return STRANGE.sub("?", text.translate(LIKE))


@dataclass
class Terminal:
    """Where lines come from and go to."""

    ask: Callable[[str], str]
    """A line, after a prompt; EOFError at the end of all lines."""
    out: TextIO
    wait: Callable[[float], bool] = lambda seconds: True
    """Whether a line was entered, after so many seconds at most."""
    unseen: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """While it is held, what is typed is not shown."""

    @classmethod
    def over(cls, source: TextIO, out: TextIO) -> Terminal:
        """Lines from a file to a file. Not by input(), whose questions go to the journal with all of standard error."""

        def ask(prompt: str) -> str:
            print(prompt, end="", file=out, flush=True)
            line = source.readline()
            if not line:
                raise EOFError
            return line.removesuffix("\n")

        def wait(seconds: float) -> bool:
            return bool(select.select([source], [], [], seconds)[0])

        return cls(ask, out, wait, lambda: _without_echo(source.fileno()))

    @classmethod
    def standard(cls) -> Terminal:
        """Standard input and output."""
        return cls.over(sys.stdin, sys.stdout)

    def show(self, *lines: str) -> None:
        """Lines on an empty screen."""
        print(CLEAR + plain("\n".join(lines)), file=self.out, flush=True)


@contextlib.contextmanager
def first_terminal(root: Path) -> Iterator[Terminal]:
    """The first virtual terminal, for a program that has no terminal of its own. What was typed before is forgotten."""
    with _opened(root / FIRST, os.O_RDONLY) as source, _opened(root / FIRST, os.O_WRONLY) as out:
        with contextlib.suppress(termios.error):
            termios.tcflush(source.fileno(), termios.TCIFLUSH)
        yield Terminal.over(source, out)


def _opened(path: Path, flags: int) -> TextIO:
    """A terminal's end of one direction; the program does not become its own, and Ctrl-C does not end it."""
    file = os.fdopen(os.open(path, flags | os.O_NOCTTY | os.O_CLOEXEC), "wb" if flags & os.O_WRONLY else "rb")
    return io.TextIOWrapper(file, encoding="utf-8", errors="replace")


@contextlib.contextmanager
def _without_echo(descriptor: int) -> Iterator[None]:
    """What is typed meanwhile is not shown, where the lines come from a terminal."""
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error:
        yield
        return
    flags = before[3] & ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSAFLUSH, [*before[:3], flags, *before[4:]])
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)

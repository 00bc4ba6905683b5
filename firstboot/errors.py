"""Errors, told apart by who can mend them: the caller (exit 2), this machine (3), us (1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class SetupError(Exception):
    """An error with a message for a person. No message ever holds a secret: it may end in a log."""

    exit_code = 1


class InputError(SetupError):
    """What was given cannot be. Exit code 2."""

    exit_code = 2


class SystemFault(SetupError):
    """This machine or the far side does not do its part. Exit code 3."""

    exit_code = 3


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong at one place of a file; `line` and `column` count from 1, 0 is the file as a whole."""

    line: int
    column: int
    message: str
    hint: str = ""

    def place(self, file: str) -> str:
        """`file:line:column: message (hint)`."""
        where = file + (f":{self.line}" if self.line else "") + (f":{self.column}" if self.column else "")
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class FaultyFile(InputError):
    """Everything that is wrong with a file, by place, so that it can be mended in one go."""

    def __init__(self, file: str, faults: Iterable[Fault]) -> None:
        self.file = file
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line a fault."""
        return [fault.place(self.file) for fault in self.faults]

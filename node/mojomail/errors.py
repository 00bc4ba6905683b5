"""Errors, told apart by who can mend them: the caller (exit 2), the far side or the system (3), us (1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class MojoError(Exception):
    """An error with a message for a person and, where there is one, a hint that says what to do.

    No message ever holds a secret: it may end in a log.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class InputError(MojoError):
    """What was asked for cannot be: an address that is none, a login that is taken. Exit code 2."""

    exit_code = 2


class SystemFault(MojoError):
    """The far side, the link or this machine does not do its part. Exit code 3."""

    exit_code = 3


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong at one place of a file; `line` and `column` (of a table) count from 1, 0 is the whole."""

    line: int
    column: int
    message: str
    hint: str | None = None

    def place(self, file: str) -> str:
        """`file:line:column: message (hint)`."""
        where = file + (f":{self.line}" if self.line else "") + (f":{self.column}" if self.column else "")
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ProblemsError(InputError):
    """Every problem that was found in a file, by place, so that all can be mended in one go."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.line, p.column, p.message)))
        super().__init__("\n".join(problem.place(file) for problem in self.problems))

"""Errors, told apart by who can mend them: the caller (exit 2), the build or far side (3), us (1)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class MojoError(Exception):
    """An error with a message for a person and, where there is one, a hint that says what to do."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class InputError(MojoError):
    """The caller's input is wrong: profile, stage, command line, host set-up. Exit code 2."""

    exit_code = 2


class BuildError(MojoError):
    """The build, a package source or a device failed. Exit code 3."""

    exit_code = 3


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong at one place in a file; `line` and `column` count from 1, 0 means the whole file."""

    path: Path
    line: int
    column: int
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = str(self.path)
        if self.line:
            where += f":{self.line}:{self.column or 1}"
        text = f"{where}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class ProblemsError(InputError):
    """Every problem that a check found, sorted by place, so that all can be mended in one go."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.path, p.line, p.column, p.message)))
        count = len(self.problems)
        lines = "\n".join(str(problem) for problem in self.problems)
        super().__init__(f"{lines}\n{count} problem{'s' if count != 1 else ''} found")


class CommandFailed(BuildError):
    """A command ended with an exit code that was not expected.

    `cwd` is the directory that it ran in and `stdin` the file that it read, where they matter.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        returncode: int,
        tail: tuple[str, ...],
        log: Path | None,
        *,
        cwd: Path | None = None,
        stdin: Path | None = None,
    ) -> None:
        self.argv = argv
        self.returncode = returncode
        self.tail = tail
        self.log = log
        how = f"exit code {returncode}" if returncode >= 0 else f"signal {-returncode}"
        shown = "\n".join(f"  | {line}" for line in tail)
        message = f"command failed with {how}: {format_command(argv)}"
        if stdin is not None:
            message += f" < {shlex.quote(str(stdin))}"
        if cwd is not None:
            message += f"\n  in {cwd}"
        if shown:
            message += f"\n{shown}"
        if log is not None:
            message += f"\n  full log: {log}"
        super().__init__(message)


def format_command(argv: Iterable[str], limit: int = 300) -> str:
    """The command as it could be typed in a shell, without the variables that `env -i` sets, cut at `limit` characters.

    Those would be all that is seen of it; the log has them.
    """
    words = list(argv)
    if "-i" in words and words[words.index("-i") - 1].endswith("env"):
        first = last = words.index("-i") + 1
        while last < len(words) and re.match(r"\w+=", words[last]):
            last += 1
        words[first:last] = ["..."] if last > first else []
    text = shlex.join(words)
    return text if len(text) <= limit else text[: limit - 4] + " ..."

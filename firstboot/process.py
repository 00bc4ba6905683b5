"""The one way out to other programs. Secrets go by standard input, never in an argument."""

from __future__ import annotations

import logging
import shlex
import subprocess
from dataclasses import dataclass
from typing import Protocol

from .errors import SystemFault

PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
TAIL = 1000
"""Characters of its last output that a failed program shows."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """How a program ended: exit code, standard output, and the end of what it said about errors."""

    code: int
    output: str
    said: str = ""


class Runner(Protocol):
    """What starts programs; tests put a list of answers in its place."""

    def __call__(self, *argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done: ...


def run(*argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
    """Run a program to its end, `limit` seconds at most. A missing program or too long a run is code 127 or 124.

    `language` is that of its messages, where it has them in more than one.
    """
    environment = {"PATH": PATH, "LANG": f"{language}.UTF-8", "LC_ALL": f"{language}.UTF-8"}
    try:
        ended = subprocess.run(
            argv, input=stdin.encode(), capture_output=True, timeout=limit, env=environment, check=False
        )
    except FileNotFoundError:
        return Done(127, "", f"{argv[0]}: not installed")
    except subprocess.TimeoutExpired:
        log.warning("%s did not end in %.0f s", shlex.join(argv), limit)
        return Done(124, "", f"{argv[0]} did not end in {limit:.0f} seconds")
    said = ended.stderr.decode("utf-8", "replace")[-TAIL:].strip()
    if ended.returncode:
        log.info("%s: exit code %d: %s", shlex.join(argv), ended.returncode, said)
    return Done(ended.returncode, ended.stdout.decode("utf-8", "replace"), said)


def demand(runner: Runner, *argv: str, stdin: str = "", limit: float = 60.0) -> str:
    """The output of a program that has to succeed. Raises SystemFault with its last words."""
    done = runner(*argv, stdin=stdin, limit=limit)
    if done.code:
        raise SystemFault(f"{shlex.join(argv)} failed with exit code {done.code}: {done.said}")
    return done.output

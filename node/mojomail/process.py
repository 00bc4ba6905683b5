"""The one way out to other programs. Secrets go by standard input, never in an argument."""

from __future__ import annotations

import shlex
import shutil

from .errors import SystemFault

PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
TAIL = 2000
"""Characters of its last output that a failed program shows."""


def find_program(name: str) -> str | None:
    """The full path of a program, or None."""
    return shutil.which(name, path=PATH)


def run(*argv: str, stdin: bytes = b"", limit: float = 60.0, ok: tuple[int, ...] = (0,), secret: bool = False) -> bytes:
    """Run a program to its end and return its standard output.

    stdin    what it reads
    limit    seconds it may take
    ok       exit codes that do not raise
    secret   its output is no one's to see: a failure shows the exit code alone

    Raises SystemFault when it is not there, fails, or takes too long.
    """
    import subprocess

    program = find_program(argv[0])
    shown = shlex.join(argv)
    if program is None:
        raise SystemFault(f"program not found: {argv[0]}")
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            [program, *argv[1:]], input=stdin, capture_output=True, timeout=limit, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise SystemFault(f"{shown} did not end in {limit:.0f} seconds") from None
    except OSError as error:
        raise SystemFault(f"cannot start {program}: {error.strerror}") from None
    if done.returncode not in ok:
        said = "" if secret else "\n" + (done.stderr or done.stdout).decode("utf-8", "replace")[-TAIL:].strip()
        raise SystemFault(f"{shown} failed with exit code {done.returncode}{said}")
    return done.stdout

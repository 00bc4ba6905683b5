"""The one way out to other programs: `run()`, on top of `sh`.

Every command is logged with its output. On failure the error carries the command, its exit code, the
last lines it printed and the path of the full log. A command that is given a `Patience` cannot hang for ever.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import sh

from .errors import BuildError, CommandFailed

TAIL_LINES = 25
"""How many of its last lines a failed command shows."""


@dataclass(frozen=True)
class Patience:
    """When a command counts as hanging: it printed nothing for `seconds`, and no file in `places` grew meanwhile."""

    seconds: float
    places: tuple[Path, ...] = ()

    def sizes(self) -> dict[Path, int]:
        """The sizes in bytes of the files that lie in `places`."""
        found = {}
        for path in (path for place in self.places for path in place.glob("*")):
            with suppress(OSError):
                found[path] = path.stat().st_size
        return found


_log_path: ContextVar[Path | None] = ContextVar("log_path", default=None)
_last_log: Path | None = None


@contextmanager
def logging_to(path: Path) -> Iterator[Path]:
    """Append every command run inside the block, and all it prints, to the file at `path`."""
    global _last_log
    path.parent.mkdir(parents=True, exist_ok=True)
    _last_log = path
    token = _log_path.set(path)
    try:
        yield path
    finally:
        _log_path.reset(token)


def current_log() -> Path | None:
    """The file that commands are logged to at the moment."""
    return _log_path.get()


def last_log() -> Path | None:
    """The file that commands are or were last logged to, if they were."""
    return _last_log


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that does not depend on who builds: a C.UTF-8 locale, and only what tools need to run."""
    kept = ("PATH", "HOME", "TMPDIR", "TERM", "http_proxy", "https_proxy", "no_proxy", "GNUPGHOME")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    path = env.get("PATH", "/usr/bin:/bin").split(":")
    path += [d for d in ("/usr/local/sbin", "/usr/sbin", "/sbin") if d not in path]
    env |= {"PATH": ":".join(path), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    return env | dict(extra or {})


def find_program(name: str) -> str | None:
    """The full path of a program of the host, also in the sbin directories that users lack in PATH."""
    return shutil.which(name, path=clean_environment()["PATH"])


def run(
    *argv: str | os.PathLike[str],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | Path | None = None,
    stdout: Path | None = None,
    ok: tuple[int, ...] = (0,),
    on_line: Callable[[str], None] | None = None,
    quiet: bool = False,
    patience: Patience | None = None,
) -> str:
    """Run a command to its end and return its standard output as text.

    argv      program (found in PATH and the sbin directories) and its arguments
    env       the whole environment; `clean_environment()` when None
    stdin     text, bytes, or the path of a file to read from; nothing when None
    stdout    a file that gets the standard output instead of the log; then "" is returned
    ok        exit codes that do not raise
    on_line   called with each line of output, without its line end, as it comes
    quiet     do not put the output into the log (for large listings)
    patience  when to end the command because it hangs; never when None

    Raises CommandFailed (BuildError) on another exit code or a hanging command, BuildError when the program is
    not there or cannot be started, and what `on_line` or writing the log raised, once the command has ended.
    """
    words = tuple(os.fspath(word) for word in argv)
    environment = dict(env) if env is not None else clean_environment()
    program = shutil.which(words[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise BuildError(f"program not found: {words[0]}", hint="run 'make setup' to install what a build needs")

    log_path = _log_path.get()
    log: IO[bytes] | None = log_path.open("ab", buffering=0) if log_path else None
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    kept: list[str] = []
    started = heard = time.monotonic()

    # These run in threads of sh's, which stop reading when one raises: what goes wrong is told afterwards.
    trouble: list[Exception] = []

    def take(line: str) -> None:
        nonlocal heard
        heard = time.monotonic()
        bare = line.rstrip("\n")
        tail.append(bare)
        try:
            if log is not None and not quiet and not trouble:
                log.write(line.encode("utf-8", "surrogateescape"))
            if on_line is not None:
                on_line(bare)
        except Exception as error:
            trouble.append(error)

    def take_out(line: str) -> None:
        kept.append(line)
        take(line)

    ended = threading.Event()
    hung = threading.Event()

    def watch(process: int, patience: Patience) -> None:
        sizes, grew = patience.sizes(), started
        while not ended.wait(min(5, patience.seconds / 4)):
            now = patience.sizes()
            if now != sizes:
                sizes, grew = now, time.monotonic()
            if time.monotonic() - max(heard, grew) > patience.seconds:
                hung.set()
                kill_family(process)
                return

    source: IO[bytes] | None = None
    sink: IO[bytes] | None = None
    try:
        if log is not None:
            log.write(f"+ {shlex.join(words)}\n".encode("utf-8", "surrogateescape"))
        given: str | bytes | IO[bytes] | None = stdin if not isinstance(stdin, Path) else None
        if isinstance(stdin, Path) or stdin is None:
            source = (stdin if isinstance(stdin, Path) else Path(os.devnull)).open("rb")
            given = source
        if stdout is not None:
            sink = stdout.open("wb")
        command = sh.Command(program)
        try:
            running = command(
                *words[1:],
                _cwd=str(cwd) if cwd else None,
                _env=environment,
                _in=given,
                _out=sink if sink is not None else take_out,
                _err=take,
                _tty_in=False,
                _tty_out=False,
                _decode_errors="surrogateescape",
                _return_cmd=True,
                _new_session=False,
                _bg=True,
                _bg_exc=False,
            )
            if patience is not None:
                threading.Thread(target=watch, args=(running.pid, patience), daemon=True, name="patience").start()
            running.wait()
            code = running.exit_code or 0
        except sh.ErrorReturnCode as error:
            code = error.exit_code
        except sh.ForkException as error:
            why = re.search(r"\[Errno \d+\] ([^:]+)", str(error))
            raise BuildError(f"cannot start {program}: {why[1] if why else error}") from None
        if log is not None and not trouble:
            log.write(f"= {time.monotonic() - started:.1f} s\n".encode())
    finally:
        ended.set()
        for handle in (source, sink, log):
            if handle is not None:
                handle.close()
    if hung.is_set() and patience is not None:
        tail.append(f"(it said and fetched nothing for {patience.seconds / 60:g} min, and was ended)")
    if code not in ok:
        read = stdin if isinstance(stdin, Path) else None
        failed = CommandFailed(words, code, tuple(tail), log_path, cwd=cwd, stdin=read)
        raise failed from (trouble[0] if trouble else None)
    if trouble:
        raise trouble[0]
    return "".join(kept)


def run_on_terminal(*argv: str) -> int:
    """Run a command with the caller's own standard input and output; returns its exit code."""
    try:
        sh.Command(argv[0])(*argv[1:], _fg=True, _env=clean_environment())
    except sh.ErrorReturnCode as error:
        return int(error.exit_code)
    return 0


def kill_family(process: int) -> None:
    """End a process and all that descend from it, so that none holds its output open."""
    family = [process, *descendants(process)]
    for one in family:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def descendants(process: int) -> Iterable[int]:
    """The processes that a process started, and those that they did (proc_pid_stat(5): the fourth field)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(entry.name))
    waiting = [process]
    while waiting:
        waiting += (found := children.get(waiting.pop(), []))
        yield from found

"""The lab's one way out to other programs: children that end with us, however we end, and what they leave goes too.

A child gets SIGKILL when this process dies (prctl(2), PR_SET_PDEATHSIG). The kernel watches the parent's
*thread*, so all children are started by one thread that lives as long as the process.
"""

from __future__ import annotations

import ctypes
import os
import queue
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PACKAGES = {
    "chroot": "coreutils",
    "cp": "coreutils",
    "dd": "coreutils",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "e2undo": "e2fsprogs",
    "fsck.vfat": "dosfstools",
    "ip": "iproute2",
    "mcopy": "mtools",
    "mformat": "mtools",
    "mtype": "mtools",
    "nft": "nftables",
    "nsenter": "util-linux",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Programs that a host may lack, and the Debian package that has each."""

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
REMOVAL_LIMIT = 60.0
"""Seconds that a directory may take to be removed: processes that were killed may write into it until they are gone."""


class LabError(Exception):
    """The lab cannot do its work on this host; the message is one line that says what mends it."""


_libc = ctypes.PyDLL(None, use_errno=True)
_births: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
_midwife: threading.Thread | None = None
_lock = threading.Lock()


def _deliver() -> None:
    while True:
        birth, result = _births.get()
        try:
            result.set_result(birth())
        except BaseException as error:
            result.set_exception(error)


def _born(birth: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Run `birth` in the thread that never ends."""
    global _midwife
    with _lock:
        if _midwife is None or not _midwife.is_alive():  # it is not alive in a child made by fork
            _midwife = threading.Thread(target=_deliver, name="lab-children", daemon=True)
            _midwife.start()
    result: Future[subprocess.Popen[bytes]] = Future()
    _births.put((birth, result))
    return result.result()


def find_program(name: str) -> str:
    """The full path of a program of the host. Raises LabError with the command that installs it."""
    path = os.environ.get("PATH", os.defpath).split(":")
    found = shutil.which(name, path=":".join([*path, *(place for place in SBIN if place not in path)]))
    if found is None:
        raise LabError(f"{name} is missing: sudo apt-get install {PACKAGES.get(name, name)}")
    return found


def start(
    command: Sequence[str | Path],
    *,
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.DEVNULL,
    stderr: Any = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    outlives: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that a Ctrl-C at the terminal is ours alone.

    It gets SIGKILL when this process dies, unless it `outlives` us. Raises LabError when it is not there.
    """
    words = [str(word) for word in command]
    program, us = find_program(words[0]), os.getpid()

    def end_with_us() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # we may run in the background, where a shell has it ignored
        if os.getppid() != us:  # we died before the line above
            os._exit(1)

    return _born(
        lambda: subprocess.Popen(
            [program, *words[1:]],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env) if env is not None else None,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=None if outlives else end_with_us,
        )
    )


def run(*command: str | Path, limit: float = 120.0, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end, at most `limit` seconds, and give what it printed.

    Raises LabError with its last words when it fails, is not there or takes longer.
    """
    words = [str(word) for word in command]
    child = start(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    try:
        printed, said = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        with suppress(OSError):  # the session may have others in it, which would hold our pipes open
            os.killpg(child.pid, signal.SIGKILL)
        raise LabError(f"{shlex.join(words)}: not done after {limit:.0f} s") from None
    finally:
        end(child)
    if child.returncode:
        why = said.decode(errors="replace").strip() or f"exit code {child.returncode}"
        raise LabError(f"{shlex.join(words)}: {why}")
    return printed.decode(errors="replace")


def end(child: subprocess.Popen[bytes], patience: float = 0.0) -> None:
    """End a child: SIGTERM when there is `patience` (seconds) to wait, then SIGKILL; give back what it held."""
    if child.poll() is None and patience:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience)
    if child.poll() is None:
        child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


@contextmanager
def temporary_directory(prefix: str = "mojo-", place: Path | None = None) -> Iterator[Path]:
    """A directory that is gone after the block, and also after our own SIGKILL.

    A shell waits at a pipe that only we hold open; when it closes, because we left the block or died, the
    shell removes the directory. Raises LabError when it is still there after REMOVAL_LIMIT.
    """
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    removes = 'read -r _; left=$2; until rm -rf "$1"; do [ $((left -= 1)) -gt 0 ] || exit 1; sleep 0.2; done'
    words = ("sh", "-c", removes, "sh", path, str(round(REMOVAL_LIMIT / 0.2)))
    janitor = start(words, stdin=subprocess.PIPE, outlives=True)
    try:
        yield path
    finally:
        assert janitor.stdin is not None
        janitor.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            janitor.wait(REMOVAL_LIMIT)
        if janitor.returncode != 0:
            end(janitor)
            raise LabError(f"{path} could not be removed in {REMOVAL_LIMIT:.0f} s: sudo rm -r {path}")


@contextmanager
def short(path: Path) -> Iterator[str]:
    """For the block: a name of `path` that is short enough for any UNIX socket (unix(7)); its directory must exist."""
    place = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{place}/{path.name}"
    finally:
        os.close(place)

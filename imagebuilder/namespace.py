"""The user, mount and process namespace that a build runs in: root inside, an ordinary user outside.

The caller's uid becomes 0 inside and its subordinate ids (/etc/subuid, /etc/subgid) become 1..65535, so
files of a foreign root keep their owners without any right on the host. Real root maps the same ids to
themselves and runs the same code. When the process that entered the namespace ends, for whatever
reason, everything started inside ends with it (pid_namespaces(7)), and so do all mounts.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import BuildError, InputError
from .process import find_program, run

ID_COUNT = 65536
"""How many ids a root file system uses: 0 to 65535 (Debian Policy 9.2.2)."""

FIRST_SUBORDINATE = 100_000
"""Where Debian begins to give out subordinate ids (login.defs(5), SUB_UID_MIN)."""

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1

ALLOW = (
    "sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=63000 "
    "kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)"
)
"""What lets a user make namespaces. Ubuntu 24.04 lets everybody make one, and forbids its root what it is made for."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class IdMap:
    """One line of a uid_map: `count` ids from `outside` seen as ids from `inside` (user_namespaces(7))."""

    inside: int
    outside: int
    count: int


def user_name(uid: int) -> str:
    """The login name of a user, or the number when there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def subordinate_range(path: Path, user: str, uid: int) -> tuple[int, int] | None:
    """The first range of at least 65535 ids that `path` (/etc/subuid or /etc/subgid) gives to a user.

    Returns (first id, count), or None when there is none. Format: subuid(5).
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(":")
        if len(fields) == 3 and fields[0] in (user, str(uid)) and fields[1].isdigit() and fields[2].isdigit():
            first, count = int(fields[1]), int(fields[2])
            if count >= ID_COUNT - 1:
                return first, count
    return None


def free_range(path: Path) -> int:
    """The first id above every range that `path` (/etc/subuid or /etc/subgid) gives to anybody, 100000 at least."""
    first = FIRST_SUBORDINATE
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return first
    for line in lines:
        fields = line.split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            first = max(first, int(fields[1]) + int(fields[2]))
    return first


def id_maps(uid: int, gid: int) -> tuple[list[IdMap], list[IdMap]]:
    """The uid and gid maps for this caller; raises InputError when subordinate ids are missing."""
    if uid == 0:
        same = [IdMap(0, 0, ID_COUNT)]
        return same, same
    user = user_name(uid)
    maps = []
    for path, own in ((Path("/etc/subuid"), uid), (Path("/etc/subgid"), gid)):
        found = subordinate_range(path, user, uid)
        if found is None:
            first = max(free_range(Path("/etc/subuid")), free_range(Path("/etc/subgid")))
            last = first + ID_COUNT - 1
            raise InputError(
                f"{path} gives {user} no range of {ID_COUNT} subordinate ids",
                hint=f"sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {user}",
            )
        maps.append([IdMap(0, own, 1), IdMap(1, found[0], ID_COUNT - 1)])
    return maps[0], maps[1]


def inside() -> bool:
    """Whether this process runs in the build's namespace."""
    return os.environ.get("MOJOMAIL_NAMESPACE") == "1"


def enter(main: Callable[[], int]) -> int:
    """Run `main` as root of a new namespace and return its exit code.

    Raises InputError when the kernel or /etc/subuid does not allow the namespace.
    """
    uid_maps, gid_maps = id_maps(os.getuid(), os.getgid())
    # A key press that interrupts reaches all processes of the terminal. The build is to hear it and clean up;
    # those who wait for it are not, from before it can run.
    old_int = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _wait_for(_fork_root(main, uid_maps, gid_maps))
    finally:
        signal.signal(signal.SIGINT, old_int)


def _fork_root(main: Callable[[], int], uid_maps: list[IdMap], gid_maps: list[IdMap]) -> int:
    """Start the process that makes the namespace and runs `main` in it; returns its id."""
    ready_r, ready_w = os.pipe()
    mapped_r, mapped_w = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(ready_r)
        os.close(mapped_w)
        _become_root(main, ready_w, mapped_r)
    os.close(ready_w)
    os.close(mapped_r)
    try:
        _expect_ok(child, ready_r, "the kernel does not allow a user namespace")
        _write_maps(child, uid_maps, gid_maps)
        os.write(mapped_w, b"ok")
        _expect_ok(child, ready_r, "the kernel does not let us be root in a user namespace")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(ready_r)
        os.close(mapped_w)
    return child


def _expect_ok(child: int, ready: int, otherwise: str) -> None:
    """Read how a step went that the child has done; raises InputError with the kernel's reason when it failed."""
    answer = os.read(ready, 2)
    if answer == b"ok":
        return
    os.waitpid(child, 0)
    number = int((answer + os.read(ready, 64)) or b"0")
    raise InputError(f"{otherwise}: {os.strerror(number)}", hint=ALLOW)


def _wait_for(child: int) -> int:
    """Wait for a process to end and pass SIGTERM on to it; returns its exit code as a shell would."""
    old_term = signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(child, signal.SIGTERM))
    try:
        _, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGTERM, old_term)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _write_maps(pid: int, uid_maps: list[IdMap], gid_maps: list[IdMap]) -> None:
    for kind, maps in (("uid", uid_maps), ("gid", gid_maps)):
        if os.getuid() == 0:
            text = "".join(f"{m.inside} {m.outside} {m.count}\n" for m in maps)
            Path(f"/proc/{pid}/{kind}_map").write_text(text)
            continue
        program = find_program(f"new{kind}map")
        if program is None:
            raise InputError(f"new{kind}map is missing", hint="sudo apt-get install uidmap")
        words = [program, str(pid)] + [str(number) for m in maps for number in (m.inside, m.outside, m.count)]
        run(*words)


def _become_root(main: Callable[[], int], ready: int, mapped: int) -> None:
    """In the forked child: make the namespaces, wait for the id maps, and run `main` as process 1."""
    code = 1
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS
        if _libc.unshare(flags) != 0:
            os.write(ready, str(ctypes.get_errno() or errno.EPERM).encode())
            os._exit(1)
        os.write(ready, b"ok")
        if os.read(mapped, 2) != b"ok":
            os._exit(1)
        os.close(mapped)
        try:
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        except OSError as error:
            os.write(ready, str(error.errno).encode())
            os._exit(1)
        os.write(ready, b"ok")
        os.close(ready)
        first = os.fork()
        if first:
            code = _wait_for(first)
            os._exit(code)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
        os.environ["MOJOMAIL_NAMESPACE"] = "1"
        os.umask(0o022)
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); raises BuildError that names what could not be mounted where."""
    result = _libc.mount(source.encode(), os.fsencode(target), kind.encode() or None, flags, options.encode() or None)
    if result != 0:
        number = ctypes.get_errno()
        raise BuildError(f"cannot mount {kind or source} on {target}: {os.strerror(number)}")


def unmount(target: Path | str) -> None:
    """umount2(2) without detaching lazily; raises BuildError when the target is busy."""
    if _libc.umount2(os.fsencode(target), 0) != 0:
        number = ctypes.get_errno()
        raise BuildError(f"cannot unmount {target}: {os.strerror(number)}")


def mounts_below(directory: Path) -> list[Path]:
    """Mount points at and below a directory, the innermost and latest first (proc_pid_mountinfo(5))."""
    found = []
    real = directory.resolve()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        name = line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
        if Path(name) == real or real in Path(name).parents:
            found.append(Path(name))
    return found[::-1]


def unmount_below(directory: Path) -> None:
    """Undo every mount at and below a directory."""
    for target in mounts_below(directory):
        unmount(target)

"""What a build needs on its machine, looked for before any work: everything that is missing, and one command."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .indexes import DEBIAN_KEYRING, host_architecture
from .namespace import FIRST_SUBORDINATE, ID_COUNT, free_range, subordinate_range, user_name
from .process import find_program

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "mmtarfilter": "mmdebstrap",
    "arch-test": "arch-test",
    "apt-get": "apt",
    "apt-cache": "apt",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "gpg": "gpg",
    "quilt": "quilt",
    "bash": "bash",
    "mount": "mount",
    "umount": "mount",
    "mountpoint": "util-linux",
    "awk": "mawk",
    "chroot": "coreutils",
}
"""Programs of the host, and the packages they are from."""

BINFMT_IN_NAMESPACE = (6, 7)
"""Since this kernel a user namespace has a binfmt_misc of its own (binfmt_misc(5), Linux 6.7)."""


@dataclass(frozen=True)
class Host:
    """What was found on the build machine."""

    uid: int
    user: str
    kernel: tuple[int, int]
    missing_programs: frozenset[str]
    keyring: bool
    foreign: bool
    interpreter: str | None
    registered: bool
    subuid: bool
    subgid: bool
    free_id: int = FIRST_SUBORDINATE


def survey() -> Host:
    """Look at this machine."""
    uid = os.getuid()
    user = user_name(uid)
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    entry = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
    try:
        registered = "flags:" in (text := entry.read_text()) and "F" in text.split("flags:")[1].split()[0]
    except (OSError, IndexError):
        registered = False
    return Host(
        uid=uid,
        user=user,
        kernel=(int(release[1]), int(release[2])) if release else (0, 0),
        missing_programs=frozenset(name for name in PROGRAMS if find_program(name) is None),
        keyring=DEBIAN_KEYRING.exists(),
        foreign=host_architecture() != "arm64",
        interpreter=emulator(),
        registered=registered,
        subuid=uid == 0 or subordinate_range(Path("/etc/subuid"), user, uid) is not None,
        subgid=uid == 0 or subordinate_range(Path("/etc/subgid"), user, uid) is not None,
        free_id=max(free_range(Path("/etc/subuid")), free_range(Path("/etc/subgid"))),
    )


def emulator() -> str | None:
    """The path of the emulator for arm64 programs, which must be linked statically."""
    for name in ("qemu-aarch64-static", "qemu-aarch64"):
        found = find_program(name)
        if found is not None and _is_static(Path(found)):
            return found
    return None


def _is_static(program: Path) -> bool:
    """Whether a program needs no dynamic linker, whose path is in the first bytes of those that do (elf(5))."""
    with program.open("rb") as file:
        return b"/ld-linux" not in file.read(4096)


def check_host(host: Host) -> None:
    """Raise InputError that names everything missing, with the one command that mends it."""
    problems = []
    packages = set()
    commands = []
    for name in sorted(host.missing_programs):
        problems.append(f"the program {name} is missing")
        packages.add(PROGRAMS[name])
    if not host.keyring:
        problems.append(f"{DEBIAN_KEYRING} is missing")
        packages.add("debian-archive-keyring")
    if host.uid != 0 and find_program("newuidmap") is None:
        problems.append("the program newuidmap is missing")
        packages.add("uidmap")
    for there, name in ((host.subuid, "subuid"), (host.subgid, "subgid")):
        if not there:
            problems.append(f"/etc/{name} gives {host.user} no range of {ID_COUNT} ids")
            commands.append(f"usermod --add-{name}s {host.free_id}-{host.free_id + ID_COUNT - 1} {host.user}")
    if host.foreign:
        if host.interpreter is None:
            problems.append("there is no emulator for arm64 programs (qemu-aarch64-static)")
            packages.add("qemu-user-static")
        if not host.registered and host.kernel < BINFMT_IN_NAMESPACE:
            problems.append("the kernel does not know how to run arm64 programs (binfmt_misc: qemu-aarch64, flag F)")
            packages |= {"qemu-user-static", "binfmt-support"}
            commands.append("update-binfmts --enable qemu-aarch64")
    if not problems:
        return
    steps = [f"apt-get install -y {' '.join(sorted(packages))}"] if packages else []
    command = " && ".join(steps + commands)
    if host.uid != 0:
        command = f"sudo sh -c '{command}'"
    raise InputError("this machine cannot build yet:\n" + "\n".join(f"  - {p}" for p in problems), hint=command)

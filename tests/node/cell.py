"""A root directory of unpacked Debian packages, with the node's package in it, for its programs to run in.

In a user and mount namespace of its own; nothing is installed on the host, and what is written goes to a directory
of the test's. It has the host's network, so what listens in it takes a free port on the loopback interface.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from tests.lab.processes import LabError, end, start

HERE = Path(__file__).resolve()
PACKAGE = HERE.parents[2] / "node" / "mojomail"
INSIDE = "usr/lib/python3/dist-packages/mojomail"
EMPTY = ("run", "tmp", "srv", "var/lib", "var/log", "home", "root", "etc")
"""Directories that programs write to; each is the test's own."""
USERS = {"root": 0, "dovecot": 120, "dovenull": 121, "vmail": 5000}
FILES = {
    "passwd": "".join(f"{name}:x:{number}:{number}::/root:/bin/sh\n" for name, number in USERS.items()),
    "group": "".join(f"{name}:x:{number}:\n" for name, number in USERS.items()),
    "hosts": "127.0.0.1 localhost\n",
}


class Cell:
    """A tree with directories of the test's own mounted over those that programs write to."""

    def __init__(self, tree: Path, work: Path) -> None:
        self._tree, self._work = tree, work
        for name in EMPTY:
            (work / name).mkdir(parents=True, exist_ok=True)
        for name, text in FILES.items():
            (work / "etc" / name).write_text(text)

    def inside(self, path: str) -> Path:
        """Where we see what programs see at an absolute path below one of the directories of the test's own."""
        return self._work / path.lstrip("/")

    def _command(self, *words: str | Path) -> list[str]:
        root = shlex.quote(str(self._tree))
        lines = ["set -e"]
        for name in EMPTY:
            lines.append(f"mount --bind {shlex.quote(str(self._work / name))} {root}/{name}")
        lines.append(f"mount --rbind /dev {root}/dev")
        lines.append(f"mount --rbind /proc {root}/proc")
        lines.append(f"mount --bind {shlex.quote(str(PACKAGE))} {root}/{INSIDE}")
        lines.append(f"exec chroot {root} {shlex.join(str(word) for word in words)}")
        who = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
        return ["unshare", *who, "--mount", "--", "sh", "-c", "\n".join(lines)]

    def start(
        self, *words: str | Path, stdout: int = subprocess.DEVNULL, stderr: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start one of its programs, in a session of its own."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        return start(self._command(*words), stdout=stdout, stderr=stderr, env=environment)

    def run(self, *words: str | Path, limit: float = 60.0) -> str:
        """Run one of its programs to its end and give what it printed. Raises LabError when it fails."""
        child = self.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            printed, said = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise LabError(f"{words[0]}: not done after {limit:.0f} s") from None
        finally:
            end(child)
        if child.returncode:
            raise LabError(f"{words[0]}: exit code {child.returncode}: {said.decode(errors='replace')[-2000:]}")
        return printed.decode(errors="replace")


def prepare(tree: Path) -> None:
    """Make the places that a cell mounts things on."""
    for name in (*EMPTY, "dev", "proc", INSIDE):
        (tree / name).mkdir(parents=True, exist_ok=True)

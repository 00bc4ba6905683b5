"""The root directory the far side's daemons run in: the unpacked programs below, a file system in memory on top.

All that they write is gone with the namespace, except their logs, which are in the work directory. To be made in the
namespace, by the process that serves the far side.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from imagebuilder import namespace
from imagebuilder.errors import BuildError
from imagebuilder.overlay import mount_overlay
from tests.lab.daemontree import USERS
from tests.lab.packagetree import in_use
from tests.lab.processes import find_program, run, start

UNMOUNT_LIMIT = 5.0
"""Seconds that processes which were killed may take to be gone."""
DEVICES = ("null", "zero", "full", "random", "urandom")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
"""What its programs are started with, whatever the PATH of whoever runs the tests."""
MEMORY = "1g"
"""The most that mail and queues of all providers may take."""


class DaemonRoot:
    """A root directory for daemons. `path` is where it is mounted, `logs` where its /var/log is."""

    def __init__(self, work: Path, tree: Path) -> None:
        self.path = work / "root"
        self.logs = work / "logs"
        self._volatile = work / "volatile"
        self._tree = tree
        self._undo = ExitStack()
        self._network = work / "network"
        """The network namespace as a file (network_namespaces(7)): daemons live there, whoever starts them."""

    def mount(self) -> None:
        """Mount it; daemons started from now on live in the network namespace of the calling thread."""
        with ExitStack() as undo:
            undo.enter_context(in_use(self._tree))
            for directory in (self.path, self.logs, self._volatile):
                directory.mkdir(parents=True, exist_ok=True)
            self._mount(undo, "mail", self._volatile, "tmpfs", f"mode=755,size={MEMORY}")
            mount_overlay(
                self._tree.parent,
                [self._tree.name],
                self.path,
                self._volatile / "upper",
                self._volatile / "scratch",
            )
            undo.callback(_unmount, self.path)
            self._mount(undo, "proc", self.path / "proc", "proc")
            for name in DEVICES:
                device = self.path / "dev" / name
                device.touch()
                self._bind(undo, Path("/dev", name), device)
            self._bind(undo, self.logs, self.path / "var/log")
            self._network.touch()
            self._bind(undo, Path("/proc/thread-self/ns/net"), self._network)
            self._undo = undo.pop_all()

    def unmount(self) -> None:
        """Undo `mount`; the daemons must have ended."""
        self._undo.close()

    def _mount(self, undo: ExitStack, source: str, target: Path, kind: str, options: str = "") -> None:
        namespace.mount(source, target, kind, options=options)
        undo.callback(_unmount, target)

    def _bind(self, undo: ExitStack, source: Path, target: Path) -> None:
        namespace.mount(str(source), target, flags=namespace.MS_BIND)
        undo.callback(_unmount, target)

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file whole, at an absolute path as the daemons see it; they never see a part of it."""
        target = self.inside(path)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_text(content)
        partial.chmod(mode)
        partial.replace(target)

    def inside(self, path: str) -> Path:
        """Where we see what daemons see at an absolute path."""
        return self.path / path.lstrip("/")

    def directory(self, path: str, owner: str = "root", mode: int = 0o755, group: str | None = None) -> Path:
        """Make a directory with its parents, at an absolute path as the daemons see it."""
        made = self.inside(path)
        made.mkdir(parents=True, exist_ok=True)
        made.chmod(mode)
        os.chown(made, USERS[owner], USERS[group or owner])
        return made

    def on_network(self, *words: str) -> list[str]:
        """The words that start a program of the host in the daemons' network namespace."""
        return ["nsenter", f"--net={self._network}", find_program(words[0]), *words[1:]]

    def command(self, *words: str) -> list[str]:
        """The words that start one of its programs from outside of it."""
        return self.on_network("chroot", str(self.path), *words)

    def start(self, *words: str, env: dict[str, str] | None = None, **streams: Any) -> subprocess.Popen[bytes]:
        """Start one of its programs, in a session of its own."""
        return start(self.command(*words), env=ENVIRONMENT | (env or {}), **streams)

    def run(self, *words: str, limit: float = 30.0) -> str:
        """Run one of its programs to its end, at most `limit` seconds; raises LabError when it fails."""
        return run(*self.command(*words), limit=limit, env=ENVIRONMENT)


def _unmount(target: Path) -> None:
    """Unmount the root once the last of its processes is gone; raises BuildError when one stays."""
    deadline = time.monotonic() + UNMOUNT_LIMIT
    while True:
        try:
            return namespace.unmount(target)
        except BuildError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)

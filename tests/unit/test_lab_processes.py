"""Whatever becomes of the lab's own process, what it started and made is gone after it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import processes
from tests.lab.processes import LabError

ROOT = Path(__file__).resolve().parents[2]


def soon(condition: Callable[[], bool], limit: float = 10.0) -> bool:
    until = time.monotonic() + limit
    while not condition() and time.monotonic() < until:
        threading.Event().wait(0.02)
    return condition()


def lives(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return re.search(r"\) (\w)", Path(f"/proc/{pid}/stat").read_text())[1] not in "ZX"  # type: ignore[index]
    except FileNotFoundError:
        return False


def other_lab(code: str) -> tuple[subprocess.Popen[str], str]:
    """A process that runs `code` with `processes` at hand, and the first line it printed.

    It hears an interrupt also when a shell runs the tests in the background, where programs are born deaf to it.
    """
    program = "import signal, sys, threading, time\nfrom pathlib import Path\nfrom tests.lab import processes\n"
    program += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", program + textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def test_a_child_ends_when_its_parent_is_killed() -> None:
    parent, line = other_lab("print(processes.start(['sleep', '60']).pid, flush=True); time.sleep(60)")
    assert lives(int(line))
    parent.kill()
    parent.wait()
    assert soon(lambda: not lives(int(line)))


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    children: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: children.append(processes.start(["sleep", "60"])))
    thread.start()
    thread.join()
    try:
        assert not soon(lambda: children[0].poll() is not None, limit=0.3)
    finally:
        processes.end(children[0])
    assert children[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_temporary_directory_is_gone_however_its_maker_ends(how: signal.Signals) -> None:
    parent, line = other_lab(
        """
        with processes.temporary_directory() as path:
            (path / "file").write_text("x")
            print(path, flush=True)
            time.sleep(60)
        """
    )
    assert Path(line, "file").exists()
    os.kill(parent.pid, how)
    parent.wait()
    assert soon(lambda: not Path(line).exists())


def test_a_temporary_directory_is_gone_after_its_block() -> None:
    with processes.temporary_directory() as path:
        (path / "file").write_text("x")
    assert not path.exists()


def test_a_ctrl_c_is_not_for_the_children() -> None:
    child = processes.start(["sleep", "60"])
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        processes.end(child)


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(LabError, match=r"^no-such-tool is missing: sudo apt-get install no-such-tool$"):
        processes.find_program("no-such-tool")


def test_a_failed_program_shows_what_it_said() -> None:
    with pytest.raises(LabError, match="sorry"):
        processes.run("sh", "-c", "echo sorry >&2; exit 3")
    assert processes.run("sh", "-c", "echo good") == "good\n"


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(LabError, match="not done after"):
        processes.run("sleep", "60", limit=0.1)


def test_what_a_program_that_hangs_has_started_ends_with_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not done after"):
        processes.run("sh", "-c", 'sleep 60 & echo $! > "$0"; wait', tmp_path / "pid", limit=2.0)
    assert soon(lambda: not lives(int((tmp_path / "pid").read_text())))


STARTED = re.compile(
    r"""(?:processes\.(?:run|start)|find_program|\b_run)\(\s*\*?\(?"([a-z][\w.-]+)"|words = \[+"([a-z][\w.-]+)","""
)
"""Where the lab or a flow names a program of the host."""
ALWAYS_THERE = {"sh", "sleep", "bash"}
"""In packages that no system is without."""


def programs_started() -> set[str]:
    """The programs of the host that the lab and the tests around it name."""
    places = [path for folder in ("lab", "flows", "cuts") for path in (ROOT / "tests" / folder).glob("*.py")]
    return {one or other for path in places for one, other in STARTED.findall(path.read_text())}


def test_every_program_that_the_lab_starts_is_in_a_package_that_is_installed_for_tests() -> None:
    installed = re.split(
        r"\s+", " ".join(re.findall(r'^(?:build|test)="([^"]+)"', (ROOT / "setup/host").read_text(), re.M))
    )
    found = programs_started()
    assert {"qemu-img", "mcopy", "e2fsck", "mtype", "fsck.vfat", "nsenter", "unshare"} <= found, "the pattern is wrong"
    named = {name: processes.PACKAGES.get(name, name) for name in found - ALWAYS_THERE}
    assert {name: package for name, package in named.items() if package not in installed} == {}


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="not a Debian system")
@pytest.mark.parametrize(("program", "package"), processes.PACKAGES.items())
def test_a_program_comes_from_the_package_that_is_named(program: str, package: str) -> None:
    place = Path(processes.find_program(program))
    names = (
        place,
        Path("/usr") / place.relative_to("/"),
        str(place).removeprefix("/usr"),
    )  # as it was before usr-merge
    owners = subprocess.run(["dpkg", "-S", *names], capture_output=True, text=True)
    assert package in {line.partition(":")[0] for line in owners.stdout.splitlines()}, owners

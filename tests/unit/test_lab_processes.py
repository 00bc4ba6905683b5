"""Whatever becomes of the lab's own process, what it started and made is gone after it."""

from __future__ import annotations

import os
import re
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

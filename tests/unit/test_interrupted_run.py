"""A run of tests that is ended tidies up what it began, also in the background and with workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import os, time
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def machine():
    yield
    Path(os.environ["PLACE"], f"tidying-{os.getpid()}").touch()
    time.sleep(1)  # as a machine takes to end
    Path(os.environ["PLACE"], f"tidy-{os.getpid()}").touch()

@pytest.mark.parametrize("number", [1, 2])
def test_something(machine, number):
    Path(os.environ["PLACE"], f"busy-{os.getpid()}").touch()
    time.sleep(100)
"""
IN_THE_BACKGROUND = 'trap "" INT; "$@" & echo $! > "$PLACE/pid"; wait $!'
"""As tests/everything starts the parts of `make test`."""


def marks(place: Path, kind: str) -> set[str]:
    return {path.name.partition("-")[2] for path in place.glob(f"{kind}-*")}


def wait_for_both(place: Path, kind: str) -> None:
    end = time.monotonic() + 60
    while len(marks(place, kind)) < 2:
        assert time.monotonic() < end, (place / "output").read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("ways", [1, 2], ids=["by one signal", "by several at once"])
def test_workers_in_the_background_tidy_up_when_the_run_is_ended(ways: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n2"]
    words += ["-c", os.devnull, "--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "temporary"), "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PLACE": str(tmp_path)}
    with (tmp_path / "output").open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", IN_THE_BACKGROUND, "bash", *words],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_both(tmp_path, "busy")
        if ways == 2:
            os.killpg(shell.pid, signal.SIGINT)
            wait_for_both(tmp_path, "tidying")
            os.killpg(shell.pid, signal.SIGINT)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        shell.wait(60)
        assert marks(tmp_path, "tidy") == marks(tmp_path, "busy"), (tmp_path / "output").read_text()
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()

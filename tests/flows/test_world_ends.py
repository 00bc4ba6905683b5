"""Nothing of a world is left when its test is killed, interrupted or fails; and why there can be none is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.leftovers import command_of, descendants, still_there, wait_until
from tests.lab import browser, processes
from tests.lab.processes import LabError
from tests.lab.world import ROOT, World

TEST = """
import json, os, signal
from pathlib import Path
from tests.lab.world import World

def test_something(tmp_path):
    with World(tmp_path / "world") as world, world.village.browser() as page, world.internet_socket() as far:
        page.set_content("<p>here")
        holder = Path(f"/proc/{world.village.holder}")
        found = {
            "wires": str(world.wires),
            "namespaces": [str((holder / "ns" / name).readlink()) for name in ("user", "net", "pid", "mnt")],
        }
        Path(os.environ["READY"] + ".partial").write_text(json.dumps(found))
        Path(os.environ["READY"] + ".partial").rename(os.environ["READY"])
        ENDING
"""


@pytest.mark.parametrize(
    ("ending", "stop"),
    [
        pytest.param("signal.pause()", signal.SIGKILL, id="killed"),
        pytest.param("signal.pause()", signal.SIGINT, id="interrupted"),
        pytest.param("assert False, 'as meant'", None, id="failed"),
    ],
)
def test_nothing_is_left_of_the_world_of_a_test(tmp_path: Path, ending: str, stop: int | None) -> None:
    script, ready = tmp_path / "test_something.py", tmp_path / "ready"
    # The failing test waits for us to look around before it fails.
    look = f"open({str(tmp_path / 'looked')!r}).read()\n        " if stop is None else ""
    script.write_text(TEST.replace("ENDING", look + ending))
    os.mkfifo(tmp_path / "looked")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path]
    words += ["--basetemp", tmp_path / "temporary", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "READY": str(ready)}
    with (tmp_path / "output").open("wb") as output:
        test = processes.start(words, stdout=output, stderr=output, env=environment)
    try:
        wait_until(lambda: ready.exists() or test.poll() is not None, 300)
        assert ready.exists(), (tmp_path / "output").read_text()
        found = json.loads(ready.read_text())
        family = descendants(test.pid)
        commands = " ".join(command_of(number) for number in family)
        assert "tests.lab.inside" in commands and "chromium" in commands
        assert len(still_there({}, found["namespaces"][1:])) > 2, "the world's processes are not seen"
        if stop is None:
            (tmp_path / "looked").write_text("yes")
        else:
            os.killpg(test.pid, stop)
        test.wait(120)
        wait_until(lambda: not still_there(family, found["namespaces"]), 90)
        wait_until(lambda: not Path(found["wires"]).exists(), 90)
        said = (tmp_path / "output").read_text()
        assert stop is not None or "as meant" in said
        assert stop != signal.SIGINT or "KeyboardInterrupt" in said
    finally:
        processes.end(test)


def test_a_host_that_forbids_namespaces_is_told_what_mends_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.lab.world import World; from tests.lab.processes import LabError\n"
        "Path('/proc/sys/user/max_user_namespaces').write_text('0')\n"
        "try:\n    World(Path(sys.argv[1])).__enter__()\n"
        "except LabError as error:\n    print(error)\n"
    )
    words = ["unshare", "--user", "--map-root-user", sys.executable, "-c", program, str(tmp_path)]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert said.stdout.startswith("no world can be made on this host: "), said
    assert "sudo" in said.stdout and said.stdout.count("\n") == 1


@pytest.mark.parametrize(("program", "package"), [("nsenter", "util-linux"), ("chromium", "chromium")])
def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, package: str
) -> None:
    monkeypatch.setattr(processes, "SBIN", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    for other in {"nsenter", "setpriv", "chromium"} - {program}:
        (tmp_path / other).touch(0o755)
    with pytest.raises(LabError, match=f"{program} is missing: sudo apt-get install {package}"):
        browser.wrapper(tmp_path, 1)


def test_a_missing_playwright_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(LabError, match=r"Playwright is missing: .*pip install"), browser.playwright():
        pass


def test_a_second_world_stands_beside_the_first(tmp_path: Path) -> None:
    with (
        World(tmp_path / "one") as one,
        World(tmp_path / "two") as two,
        one.internet_socket() as server,
        two.abroad.socket() as caller,
    ):
        server.bind(("192.0.2.1", 80))
        server.listen()
        with pytest.raises(ConnectionRefusedError):
            caller.connect(("192.0.2.1", 80))


def test_a_world_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        family = descendants(world.process.pid)
        assert world.village.holder in family, "the innermost of the world's processes is not seen"
        world.process.kill()
        world.process.wait()
        wait_until(lambda: not still_there(family, []), 90)
    assert not world.wires.exists()

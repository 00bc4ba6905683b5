"""How a world says that it cannot be made on a host, and that something went wrong in it later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import inside, processes
from tests.lab.world import ROOT
from tests.unit.test_namespace import needs_namespace

PROGRAM = """
import errno, sys
from tests.lab import inside, netns, remote
def fail(*_, **__):
    raise {error}
{where} = fail
sys.argv = ["inside", sys.argv[1], "--seed", "1"]
sys.exit(inside.main())
"""


def ended(where: str, error: str, place: Path) -> tuple[int, list[str]]:
    """The exit code of a world in which a function fails, and the lines that it printed."""
    words = [sys.executable, "-c", PROGRAM.format(where=where, error=error), str(place)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    world = processes.start(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        assert world.stderr is not None
        said = world.stderr.read().decode()  # its standard input is open meanwhile, for its life hangs on that
        return world.wait(60), said.splitlines()
    finally:
        processes.end(world)


@needs_namespace
@pytest.mark.parametrize(
    ("where", "error", "told", "mended"),
    [
        ("netns.leave", 'PermissionError(errno.EPERM, "Operation not permitted")', "Operation not permitted", True),
        ("inside.namespace.mount", 'inside.MojoError("cannot mount: Operation not permitted")', "cannot mount", True),
        ("netns.open_tap", 'inside.LabError("no tun: sudo modprobe tun")', "no tun: sudo modprobe tun", False),
        ("netns.open_tap", 'OSError(errno.ENODEV, "No such device")', "No such device", False),
    ],
)
def test_a_world_that_cannot_be_made_says_why_in_a_line(
    where: str, error: str, told: str, mended: bool, tmp_path: Path
) -> None:
    code, said = ended(where, error, tmp_path)
    assert code == inside.CANNOT
    assert len(said) == 1 and told in said[0]
    assert ("kernel.apparmor_restrict_unprivileged_userns=0" in said[0]) is mended


@needs_namespace
def test_what_goes_wrong_later_is_not_put_on_the_host(tmp_path: Path) -> None:
    code, said = ended("inside.socket.socket.accept", 'OSError(errno.EMFILE, "Too many open files")', tmp_path)
    assert code == 1
    assert said[0].startswith("Traceback") and said[-1].endswith("Too many open files")

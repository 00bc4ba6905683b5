"""What the state socket tells: one screen with what stands on that screen, and always an answer."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from firstboot.statesocket import SOCKET, StateSocket
from tests.unit.test_firstboot_pictures import PYTHON, drawing_is_possible

REPOSITORY = Path(__file__).parents[2]
BETWEEN = """
import json, sys, types
from pathlib import Path
from firstboot.screens import Choice, Screen
from firstboot.service import _told
from firstboot.tv import front

MANY = tuple(Choice(value, value) for value in ("first", "second", "third"))
SCREENS = {
    "choice": Screen("keyboard", "choice", "", 0, 1, "?", choices=MANY, value="third"),
    "fewer": Screen("keyboard", "choice", "", 0, 1, "?", choices=MANY[:1], value="first"),
    "text": Screen("name", "text", "", 0, 1, "?", value="rampur"),
}
before, after = (SCREENS[name] for name in sys.argv[1:])
wizard = types.SimpleNamespace(listen=lambda call: None, screen=lambda: before)
devices = types.SimpleNamespace(wake=lambda: None)
television = front.Television(wizard, devices, None, None, aside=lambda: None)
told = []


def note(call):
    def noting(*words, **given):
        told.append(_told(*television.shown))
        return call(*words, **given)
    return noting


front.entry_for, front.replace = note(front.entry_for), note(front.replace)
wizard.screen = lambda: after
assert television._changed()
told.append(_told(*television.shown))
print(json.dumps([[one["screen"], one["value"], len(one["choices"])] for one in told]))
"""
"""Asks at each step on the way from one screen to the next, as another thread may."""


@pytest.mark.skipif(not drawing_is_possible(), reason="the TV needs python3-gi-cairo")
@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ("text", "choice", [["name", "rampur", 0], ["keyboard", "third", 3]]),
        ("choice", "text", [["keyboard", "third", 3], ["name", "rampur", 0]]),
        ("choice", "fewer", [["keyboard", "third", 3], ["keyboard", "first", 1]]),
    ],
)
def test_a_screen_is_told_with_what_stands_on_it_at_every_moment(
    before: str, after: str, pairs: list[list[object]]
) -> None:
    done = subprocess.run(
        [PYTHON, "-c", BETWEEN, before, after], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) > 2 and list(dict.fromkeys(map(str, told))) == list(map(str, pairs))


@pytest.mark.parametrize("error", [IndexError("list index out of range"), OSError("no such file"), ValueError("x")])
def test_an_error_while_telling_costs_one_answer_and_not_the_socket(tmp_path: Path, error: Exception) -> None:
    failing = [error]

    def state() -> dict[str, object]:
        if failing:
            raise failing.pop()
        return {"screen": "language"}

    def ask() -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(5)
            asker.connect(str(tmp_path / SOCKET))
            return asker.makefile("rb").read()

    told = StateSocket(tmp_path, state)
    try:
        assert ask() == b""
        assert json.loads(ask()) == {"screen": "language"}
    finally:
        told.close()

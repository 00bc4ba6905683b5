"""What is typed at a text screen is seen to have arrived, or not to have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab import keyboard
from tests.lab.control import Control
from tests.lab.guest import MachineFailure
from tests.lab.hands import Hands
from tests.lab.textscreen import TextScreen

WIDTH, ROWS = 10, 4


class Screen:
    """A text screen of 10 x 4 letters, as the kernel's: it wraps with the letter after the last column, and scrolls."""

    def __init__(self, said: str = "") -> None:
        self._lines = [" " * WIDTH] * ROWS
        self._row = self._column = 0
        self.say(said)

    def say(self, text: str) -> None:
        for letter in text:
            if letter == "\n" or self._column == WIDTH:
                self._row, self._column = self._row + 1, 0
            if self._row == ROWS:
                self._lines, self._row = [*self._lines[1:], " " * WIDTH], ROWS - 1
            if letter != "\n":
                line = self._lines[self._row]
                self._lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
                self._column += 1

    def look(self) -> TextScreen:
        return TextScreen(tuple(self._lines), min(self._column, WIDTH - 1), self._row)


class Keys:
    """A keyboard in place of QMP: what arrives of each letter is up to `arrives`."""

    def __init__(self, screen: Screen, arrives: Callable[[str], str]) -> None:
        self._screen, self._arrives = screen, arrives

    def command(self, name: str, **arguments: Any) -> None:
        keys = [key["data"] for key in arguments["keys"]]
        letter = {"spc": " ", "ret": "\n"}.get(keys[-1], keys[-1])
        self._screen.say(self._arrives(letter))


class Node(Hands):
    """A machine that is this screen and its keyboard."""

    def __init__(self, screen: Screen, arrives: Callable[[str], str] = str) -> None:
        self.screen = screen
        self.control = Control()
        self._qmp = Keys(screen, arrives)  # type: ignore[assignment]

    @property
    def is_on(self) -> bool:
        return True

    def failure(self, message: str) -> MachineFailure:
        return MachineFailure(message)

    def wait(self, seconds: float) -> None:
        return

    def active_tty(self) -> int:
        return 1

    def text_screen(self, number: int = 1) -> TextScreen:
        return self.screen.look()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyboard, "PACE", 0.0)


def nothing(_letter: str) -> str:
    return ""


SCREENS = {
    "empty": "",
    "a prompt": "login: ",
    "it stands there already": "login: abc",
    "at the last column": "123456789",
    "after the last column": "1234567890",
    "in the last line": "a\nb\nc\nlogin: ",
    "in the last line already": "a\nb\nc\nlogin: abc",
    "at the end of the last line": "a\nb\nc\n123456789",
    "after the end of the last line": "a\nb\nc\n1234567890",
    "in the last line of four alike": "login: abc\nlogin: abc\nlogin: abc\nlogin: abc",
}
TEXTS = ["abc", "a", "abcdefghij", "abcdefghijklmnopqrstuvwxyzabcdefghij", "ab cd"]
"""The longest wraps three times, and takes all but the last line of what was there."""


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("said", SCREENS.values(), ids=SCREENS)
def test_what_is_typed_is_seen_where_it_wraps_and_scrolls(said: str, text: str) -> None:
    Node(Screen(said)).type(text, limit=0)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("said", SCREENS.values(), ids=SCREENS)
def test_what_does_not_arrive_is_an_error_whatever_stood_there(said: str, text: str) -> None:
    with pytest.raises(MachineFailure, match=f"typed '{text}', but there is '"):
        Node(Screen(said), nothing).type(text, limit=0)


@pytest.mark.parametrize("arrives", [lambda a: a * 2, lambda a: a.replace("b", ""), lambda a: a.replace("b", "v")])
@pytest.mark.parametrize("said", SCREENS.values(), ids=SCREENS)
def test_another_text_is_an_error_too(said: str, arrives: Callable[[str], str]) -> None:
    with pytest.raises(MachineFailure, match="typed 'abc', but there is '"):
        Node(Screen(said), arrives).type("abc", limit=0)


def test_lines_are_seen_one_after_the_other_though_the_machine_answers_between_them() -> None:
    node = Node(Screen("$ "), lambda letter: "\n..\n$ " if letter == "\n" else letter)
    node.type("abc\nd", limit=0)
    assert node.screen.look().text == "$ abc\n..\n$ d"


def test_what_the_machine_writes_before_the_text_is_no_hindrance() -> None:
    node = Node(Screen("last"), lambda letter: f"\n$ {letter}" if letter == "a" else letter)
    node.type("abc", limit=0)
    assert node.screen.look().text == "last\n$ abc"


@pytest.mark.parametrize("held", ["", "abc"])
def test_a_field_must_have_more_than_it_held(held: str) -> None:
    fields = [held, held + "abc"]
    Node(Screen()).type("abc", check=lambda: fields.pop(0), limit=0)
    with pytest.raises(MachineFailure, match=f"typed 'abc', but there is '{held}'"):
        Node(Screen()).type("abc", check=lambda: held, limit=0)


def test_a_password_is_not_looked_for() -> None:
    Node(Screen(), nothing).type("abc\n", None, limit=0)

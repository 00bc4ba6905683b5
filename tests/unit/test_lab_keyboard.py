"""Keys of a US keyboard."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest

from tests.lab import keyboard


class Keys:
    """A QMP that notes what is pressed, and when."""

    def __init__(self) -> None:
        self.pressed: list[str] = []
        self.times: list[float] = []

    def command(self, name: str, **arguments: Any) -> None:
        assert name == "send-key"
        self.pressed.append("-".join(key["data"] for key in arguments["keys"]))
        self.times.append(time.monotonic())


def test_every_printable_ascii_character_has_a_chord_of_its_own() -> None:
    characters = string.ascii_letters + string.digits + string.punctuation + " \n\t"
    chords = [tuple(keyboard.keys_of(character)) for character in characters]
    assert len(set(chords)) == len(chords) == 97


@pytest.mark.parametrize(
    ("character", "keys"),
    [("a", "a"), ("A", "shift-a"), ("7", "7"), ("&", "shift-7"), ("_", "shift-minus"), ("~", "shift-grave_accent")],
)
def test_a_character_is_pressed_as_on_a_us_keyboard(character: str, keys: str) -> None:
    assert "-".join(keyboard.keys_of(character)) == keys


@pytest.mark.parametrize(
    ("name", "keys"), [("ctrl-alt-f2", ["ctrl", "alt", "f2"]), ("ret", ["ret"]), ("-", ["minus"]), ("alt-A", None)]
)
def test_a_chord_is_named_by_its_keys(name: str, keys: list[str] | None) -> None:
    assert keyboard.chord(name) == (keys or ["alt", "shift", "a"])


def test_nothing_is_typed_when_a_character_cannot_be() -> None:
    keys = Keys()
    with pytest.raises(ValueError, match="'é' is not on a US keyboard"):
        keyboard.strike(keys, "café")  # type: ignore[arg-type]
    assert not keys.pressed


def test_typing_is_paced() -> None:
    keys = Keys()
    keyboard.strike(keys, "a B\n")  # type: ignore[arg-type]
    assert keys.pressed == ["a", "spc", "shift-b", "ret"]
    assert all(after - before >= keyboard.PACE * 0.9 for before, after in zip(keys.times, keys.times[1:], strict=False))

"""Somebody at the TV types no faster than a starved machine can take, whose keyboard forgets what is too much."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.control import Result
from tests.lab.keyboard import keys_of
from tests.lab.room import AHEAD, WizardRoom, pieces

QUEUE = 16
CHOICES = [f"choice {number}" for number in range(30)]


class Starved:
    """A machine that takes no key until it is looked at, and whose keyboard keeps QUEUE of them going down or up."""

    def __init__(self, field: str, value: str = "", suggested: bool = False) -> None:
        self.told: dict[str, Any] = {"screen": "name", "field": field, "suggested": suggested, "value": value}
        self.told |= {"choices": CHOICES if field == "choice" else [], "problem": ""}
        self.waiting: list[str] = []
        self.events = 0

    def key(self, name: str) -> None:
        events = 2 * (len(keys_of(name)) if len(name) == 1 else 1)
        if self.events + events <= QUEUE:
            self.waiting.append(name)
            self.events += events

    def type(self, text: str, check: object) -> None:
        for character in text:
            self.key(character)

    def execute(self, command: str) -> Result:
        told = self.told
        for name in self.waiting:
            if told["field"] == "choice":
                told["value"] = CHOICES[CHOICES.index(told["value"]) + {"down": 1, "up": -1}[name]]
            elif name == "backspace":
                told["value"] = "" if told["suggested"] else told["value"][:-1]
            else:
                told["value"] = name if told["suggested"] else told["value"] + name
            told["suggested"] = False
        self.waiting, self.events = [], 0
        seen = told | {"letters": len(told["value"])} | ({"value": ""} if told["field"] == "secret" else {})
        assert len(shlex.split(command)) > 2
        return Result(0, json.dumps(seen), "", b"")

    def wait_until(self, condition: Callable[[], Any], _limit: float, what: str) -> Any:
        for _look in range(3):
            if found := condition():
                return found
        raise TimeoutError(what)


@pytest.mark.parametrize(
    ("field", "before", "suggested", "value"),
    [
        ("text", "", False, "asha.devi@gmail.com"),
        ("text", "A Long Name Of Before", False, "Grama Panchayat, Kote!"),
        ("text", "as suggested", True, "something else"),
        ("text", "as suggested", True, ""),
        ("text", "A Long Name Of Before", False, ""),
        ("secret", "", False, "ABCD-efgh-IJKL-mnop"),
        ("choice", CHOICES[2], False, CHOICES[28]),
        ("choice", CHOICES[28], False, CHOICES[9]),
        ("choice", CHOICES[5], False, CHOICES[5]),
    ],
)
def test_what_is_put_in_is_there(field: str, before: str, suggested: bool, value: str) -> None:
    node: Any = Starved(field, before, suggested)
    room = WizardRoom(node)
    room.put_in(room.told(), value)
    assert node.told["value"] == value


def test_pieces_are_the_text_and_short_enough() -> None:
    text = "Grama Panchayat, Kote! asha.devi@gmail.com"
    parts = list(pieces(text))
    assert "".join(parts) == text
    assert all(sum(2 * len(keys_of(character)) for character in part) <= AHEAD < QUEUE for part in parts)
    assert list(pieces("")) == []

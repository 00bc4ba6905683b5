"""Runs the state screen on a made-up TV while things change around it; run by /usr/bin/python3, which has Pango.

Prints, for each look, what was drawn since the look before: the texts, and whether the TV's pixels are others now.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from firstboot.answers import Answers
from firstboot.journal import State
from firstboot.status import STATUS, Status, read_status
from firstboot.tv import statefront
from firstboot.tv.canvas import Canvas
from firstboot.tv.devices import Input
from firstboot.tv.framebuffer import Mode
from firstboot.tv.layouts import ENTER
from firstboot.tv.output import Output
from tests.unit.firstboot_machine import MadeUp, journal_at
from tests.unit.firstboot_typing import MemoryScreen

ANSWERS = Answers(
    {
        "language": "en",
        "name": "rampur",
        "network": {"kind": "ethernet", "ethernet": {"kind": "join"}},
    }
)


class Node(MadeUp):
    """A node whose network, link and queue a test changes."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root, self.number, self.free = root, "192.168.1.20", 7_200_000_000

    def addresses(self) -> dict[str, str]:
        return {"eth0": self.number} if self.number else {}

    def tell(self, *, up: bool, waiting: int, hours: int = 2) -> None:
        """What mojomaild writes."""
        path = self.root / STATUS
        path.parent.mkdir(parents=True, exist_ok=True)
        contact = time.time() - hours * 3600
        path.write_text(json.dumps({"link": {"up": up, "contact": contact}, "waiting": waiting}))

    def forget(self) -> None:
        """Nobody tells anything any more."""
        (self.root / STATUS).unlink()

    def fill(self, free: int) -> None:
        """The card has so many bytes left."""
        self.free = free

    def status(self, root: Path) -> Status:
        """What is read, on a card of which nobody else takes anything meanwhile."""
        return replace(read_status(root), free=self.free)

    def move(self, number: str) -> None:
        """The router gives another address, or none."""
        self.number = number


class Screen(Output):
    """A screen that is a file, and keeps what was drawn."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.file, self.drawn = root / "fb", list[list[str]]()
        self._framebuffer = MemoryScreen(self.file, Mode(720, 576, 32, 720 * 4))

    def present(self, *, all_of_it: bool = False) -> None:
        assert isinstance(self.canvas, Canvas)
        self.drawn.append([one.text for one in self.canvas.inked])
        super().present(all_of_it=all_of_it)


class Hands:
    """Devices that nobody touches while the changes come, one before each look; Enter at the end."""

    def __init__(self, changes: list[Callable[[], None]], screen: Screen) -> None:
        self.changes, self.screen = changes, screen
        self.looks: list[dict[str, object]] = []
        self.pixels = b""

    def wait(self, limit: float | None) -> list[Input]:
        pixels = self.screen.file.read_bytes()
        self.looks.append({"drawn": list(self.screen.drawn), "others": pixels != self.pixels})
        self.pixels = pixels
        self.screen.drawn.clear()
        if not self.changes:
            return [Input("key", code=ENTER, value=1)]
        self.changes.pop(0)()
        return []

    def close(self) -> None:
        """Nothing is open."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        node, ready = Node(root), list[bool]()
        node.tell(up=False, waiting=3)
        changes: list[Callable[[], None]] = [
            lambda: None,
            lambda: node.tell(up=True, waiting=3),
            lambda: node.tell(up=True, waiting=0, hours=0),
            lambda: node.move("192.168.7.4"),
            lambda: node.move(""),
            lambda: node.fill(100_000_000),
            node.forget,
        ]
        screen = Screen(root)
        hands = Hands(changes, screen)
        statefront.Output = lambda root: screen  # type: ignore[assignment,misc]
        statefront.Devices = lambda root: hands  # type: ignore[assignment,misc]
        statefront.read_status = node.status
        journal_at(root).save(State(at="done", left=("trust",)))
        statefront.StateFront(root, node, ANSWERS, ready=lambda: ready.append(bool(screen.drawn))).run()
        print(json.dumps({"looks": hands.looks, "ready": ready}))


if __name__ == "__main__":
    main()

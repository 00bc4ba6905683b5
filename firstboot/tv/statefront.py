"""The state screen, kept up to date; nothing is drawn while nothing changes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from ..answers import Answers
from ..join import Join
from ..statesocket import StateSocket
from ..status import Status, facts, read_status, told
from ..surroundings import Surroundings
from ..texts import texts
from .console import Console
from .devices import Devices
from .layouts import ENTER, KEYPAD_ENTER
from .output import Output
from .stateview import StateView

LOOK_AGAIN = 5.0
"""Seconds between two looks."""


class StateFront:
    """Shows the node's state until somebody presses Enter or clicks.

    Raises SystemFault where the screen can show no picture.
    """

    def __init__(self, root: Path, around: Surroundings, answers: Answers, *, ready: Callable[[], None]) -> None:
        self._root, self._around, self._answers, self._ready = root, around, answers, ready
        self._language = answers.get("language") or "en"

    def run(self) -> None:
        """Until somebody wants the keeper's menu."""
        root = self._root
        with contextlib.ExitStack() as held:
            held.enter_context(contextlib.closing(StateSocket(root, lambda: told(root, self._language))))
            console = held.enter_context(Console(root=root))
            devices = held.enter_context(contextlib.closing(Devices(root)))
            self._loop(console, devices, held.enter_context(contextlib.closing(Output(root))))

    def _loop(self, console: Console, devices: Devices, output: Output) -> None:
        shown: object = None
        ready: list[Callable[[], None]] = [self._ready]
        was_active = True
        while True:
            active = console.active()
            new = output.look() if active else False
            status, now = read_status(self._root), time.time()
            join = Join.from_answers(self._answers, self._around)
            picture = (facts(status, now, texts(self._language)), join)
            came_back, was_active = active and not was_active, active
            if active and (picture != shown or new or came_back):
                self._draw(output, join, status, now, all_of_it=new or came_back)
                shown = picture
            if ready:
                ready.pop()()
            for done in devices.wait(LOOK_AGAIN):
                pressed = done.kind == "key" and done.code in (ENTER, KEYPAD_ENTER) and done.value == 1
                if active and (pressed or done.kind == "click"):
                    return

    def _draw(self, output: Output, join: Join, status: Status, now: float, *, all_of_it: bool) -> None:
        output.refill()
        if output.canvas is not None:
            name = self._answers.get("name") or os.uname().nodename
            StateView(output.canvas).paint(name, join, status, now, self._language)
            output.present(all_of_it=all_of_it)
        output.rest()

"""The wizard on the TV: draws its screens, and does what keys and mouse say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..answers import Answers
from ..aside import Aside
from ..patience import Patience
from ..phases import DONE
from ..screens import Screen
from ..texts import texts
from .console import Console
from .devices import Devices, Input
from .drawing import Painter, Spots
from .editing import Deed, Entry, clicked, entry_for, pressed
from .layouts import Typist
from .output import Output

REFRESH = 30.0
"""Seconds after which the screen is looked at again, though nothing has happened."""


class Asking(Protocol):
    """What the TV shows: the wizard, or the keeper's menu."""

    @property
    def at(self) -> str: ...

    @property
    def answers(self) -> Answers: ...

    def screen(self) -> Screen: ...

    def answer(self, at: str, value: str) -> bool: ...

    def back(self, at: str) -> bool: ...

    def listen(self, call: Callable[[], None]) -> None: ...


class Television:
    """One TV, for as long as the wizard runs, or until nobody is there. `on_frame` is called after each picture."""

    def __init__(
        self,
        wizard: Asking,
        devices: Devices,
        console: Console,
        output: Output,
        *,
        aside: Callable[[], Aside],
        on_frame: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> None:
        self.wizard, self.devices, self.console, self.output = wizard, devices, console, output
        self._aside, self._on_frame = aside, on_frame
        self._patience = patience or Patience()
        self._drawn: Aside | None = None
        self._typist = Typist()
        self._spots = Spots()
        self._was_active = True
        self._stopping = False
        screen = wizard.screen()
        self.shown: tuple[Screen, Entry] = (screen, entry_for(screen))
        """The screen and what is typed or chosen on it: replaced together, since other threads ask for both."""
        wizard.listen(devices.wake)

    @property
    def screen(self) -> Screen:
        """The screen that is shown."""
        return self.shown[0]

    @property
    def entry(self) -> Entry:
        """What is typed or chosen on it so far."""
        return self.shown[1]

    def stop(self) -> None:
        """End run(), from any thread."""
        self._stopping = True
        self.devices.wake()

    def run(self) -> None:
        """Until the wizard is done, or nobody is there any more."""
        self._draw()
        while self.wizard.at != DONE and not self._stopping:
            dirty = False
            for done in self.devices.wait(REFRESH):
                dirty |= self._do(done)
                if _by_hand(done):
                    self._patience.renew()
            active = self.console.active()
            if active and not self._was_active:
                self._typist.forget()
                self.console.resume()
            came_back, self._was_active = active and not self._was_active, active
            new = self.output.look() if active else False
            if active and (self._changed() or dirty or came_back or new or self._beside() != self._drawn):
                self._draw(all_of_it=came_back or new)
            if self._patience.gone(self.screen):
                return

    def _changed(self) -> bool:
        """Take up the wizard's screen; a place that is another one begins with an entry of its own.

        So does a place at which somebody else stands now, since an answer from a phone took a person off the list.
        """
        screen = self.wizard.screen()
        if screen == self.screen:
            return False
        moved = screen.value != self.screen.value and not screen.problem
        fresh = moved or screen.at != self.screen.at or screen.choices != self.screen.choices
        entry = entry_for(screen) if fresh else self.entry
        self.shown = (screen, replace(entry, chosen=min(entry.chosen, max(0, len(screen.choices) - 1))))
        return True

    def _do(self, done: Input) -> bool:
        """What one input does; whether the picture is another one now."""
        if done.kind == "gone":
            self._typist.forget()
        if done.kind in ("wake", "gone"):
            return True
        if not self.console.active():
            return False
        if done.kind == "key":
            return self._key(done)
        if done.kind in ("move", "place"):
            self._point(done)
            return False
        if done.kind == "wheel":
            return self._act(pressed(self.screen, self.entry, "up" if done.value > 0 else "down"))
        if done.kind == "back":
            return self._act(pressed(self.screen, self.entry, "back"))
        at = self.output.pointer
        return at is not None and self._act(clicked(self.screen, self.entry, self._spots.at(*at)))

    def _key(self, done: Input) -> bool:
        self._typist.layout = self.wizard.answers.get("keyboard") or "us"
        what = self._typist.event(done.code, done.value)
        if what.startswith("vt"):
            self.console.activate(int(what[2:]))
            return False
        repeats = done.value == 2 and what in ("next", "back", "show")
        return bool(what) and not repeats and self._act(pressed(self.screen, self.entry, what))

    def _act(self, deed: Deed) -> bool:
        self.shown = (self.screen, deed.entry)
        if deed.back:
            self.wizard.back(self.screen.at)
        elif deed.answer is not None and self.wizard.answer(self.screen.at, deed.answer):
            screen = self.wizard.screen()  # begun anew also at the same place, where the next of a list may be by now
            self.shown = (screen, entry_for(screen))
        elif deed.answer is not None:
            self.shown = (self.screen, replace(self.entry, touched=True))
        return True

    def _point(self, done: Input) -> None:
        canvas = self.output.canvas
        if canvas is None:
            return
        if done.kind == "place":
            self.output.point(done.x * canvas.width, done.y * canvas.height)
            return
        x, y = self.output.pointer or (canvas.width / 2, canvas.height / 2)
        self.output.point(x + done.x * canvas.height, y + done.y * canvas.height)

    def _draw(self, *, all_of_it: bool = False) -> None:
        self._drawn = self._beside()
        if self.output.canvas is not None:
            self._spots = Painter(self.output.canvas).paint(self.screen, self.entry, self._drawn)
            self.output.present(all_of_it=all_of_it)
        self._on_frame()

    def _beside(self) -> Aside:
        """What stands beside the question; minutes go by in it though nobody does anything."""
        aside = self._aside()
        if self.devices.has_keyboard:
            return aside
        return replace(aside, warning=texts(self.screen.language).say("keys|no_keyboard"))


def _by_hand(done: Input) -> bool:
    """Whether somebody must be there: a mouse may tremble, and a key be held down by what lies on it."""
    return done.kind in ("click", "back", "wheel") or (done.kind == "key" and done.value == 1)

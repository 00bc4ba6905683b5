"""Questions as plain lines of text, for a screen that pictures cannot be shown on. English: no console font has the
scripts of India.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Protocol

from .answers import Answers
from .patience import Patience
from .phases import DONE
from .screens import Screen
from .terminal import Terminal, plain

LANGUAGE = "en"
BACK, EMPTY = "<", "-"
PAUSE = 1.0
MOST_CHOICES = 40
"""Choices of which a screen of text shows the labels; of more, the value is typed."""
LISTED = re.compile(r"people\.\d+\.(?:name|accounts\.\d+\.(address))")
"""Answers that take a person, or an address, off the list when they are empty."""


class Asking(Protocol):
    """What is asked: the wizard, or the keeper's menu."""

    @property
    def at(self) -> str: ...

    @property
    def answers(self) -> Answers: ...

    def answer(self, at: str, value: str) -> bool: ...

    def back(self, at: str) -> bool: ...


class PlainText:
    """Asks on a terminal, line by line: a number or a text and Enter, "<" goes back, "-" empties what may be empty.

    `look` gives the screen that is shown now, in LANGUAGE, whatever was chosen.
    """

    def __init__(
        self,
        asking: Asking,
        look: Callable[[], Screen],
        terminal: Terminal,
        aside: Callable[[], str],
        pause: Callable[[], None],
        patience: Patience | None = None,
    ) -> None:
        self.asking, self.terminal = asking, terminal
        self._patience = patience or Patience()
        self._look, self._aside, self._pause = look, aside, pause

    def run(self) -> None:
        """Until everything is answered, or nobody is there any more."""
        if self.asking.answers.get("language") is None and self.asking.at == "language":
            self.asking.answer("language", LANGUAGE)
        shown = None
        while self.asking.at != DONE:
            screen = self._look()
            if self._patience.gone(screen):
                return
            if screen.look == "busy":
                if screen != shown:
                    self._show(screen)
                shown = screen
                self._pause()
                continue
            self._show(screen)
            shown = screen
            self._ask(screen)

    def _show(self, screen: Screen) -> None:
        lines = [screen.chapter, "", screen.title, *([screen.help] if screen.help else []), ""]
        lines += [f"! {screen.problem}", ""] if screen.problem else []
        marks = {"ok": "[ok]", "trouble": "[!!]", "wait": "[..]", "running": "[->]", "": ""}
        lines += [f"{marks[line.mark]} {line.label}  {line.value}".strip() for line in screen.lines]
        for number, choice in enumerate(screen.choices[:MOST_CHOICES], 1):
            readable = any(letter.isalnum() for letter in plain(choice.label))
            lines.append(f"  {number}. {choice.label if readable else choice.value}")
        if len(screen.choices) > MOST_CHOICES:
            lines.append("  ... or type it")
        lines += ["", screen.aid] if screen.aid else []
        self.terminal.show(*lines, "", self._aside())

    def _ask(self, screen: Screen) -> None:
        unseen = screen.look == "secret" and not screen.suggested
        with self.terminal.unseen() if unseen else contextlib.nullcontext():
            print(_prompt(screen), end="", file=self.terminal.out, flush=True)
            while not self.terminal.wait(PAUSE):
                # a phone has answered, nobody needs to any more, or nobody is there
                if self.asking.at != screen.at or self._patience.over():
                    return
            try:
                typed = self.terminal.ask("")
            except EOFError:
                self._pause()
                return
        if unseen:
            print(file=self.terminal.out, flush=True)
        self._patience.renew()
        if typed.strip() == BACK and screen.can_go_back:
            self.asking.back(screen.at)
            return
        if screen.choices and typed.strip().isdigit() and 0 < int(typed) <= len(screen.choices):
            typed = screen.choices[int(typed) - 1].value
        if screen.optional and typed.strip() == EMPTY:
            self.asking.answer(screen.at, "")
        else:
            self.asking.answer(screen.at, typed if typed else screen.value)


def _prompt(screen: Screen) -> str:
    """What stands before the line that is typed: the answer that Enter gives, and the signs that do something."""
    shown = f" [{screen.value}]" if screen.value and (screen.look != "secret" or screen.suggested) else ""
    signs = [f"{BACK} goes back"] if screen.can_go_back else []
    if screen.optional and screen.value:
        listed = LISTED.fullmatch(screen.at)
        what = f"takes the {listed[1] or 'person'} off the list" if listed else "leaves it empty"
        signs.append(f"{EMPTY} {what}")
    return plain(f"{shown} ({', '.join(signs)}) > " if signs else f"{shown} > ")


def tell_fault(why: str, terminal: Terminal) -> None:
    """Say that there is nothing to ask yet, since the card or the system does not do its part."""
    terminal.show(
        *("The set-up cannot begin:", "", f"! {why}", ""),
        "This is tried again by itself. If it does not go away, switch off and on again.",
        "If that does not help, write the card anew, or take another card.",
    )

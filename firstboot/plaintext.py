"""Questions as plain lines of text, for a screen that pictures cannot be shown on. English: no console font has the
scripts of India.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .answers import Answers
from .phases import DONE
from .screens import Screen
from .terminal import Terminal, plain

LANGUAGE = "en"
BACK = "<"
PAUSE = 1.0
MOST_CHOICES = 40
"""Choices of which a screen of text shows the labels; of more, the value is typed."""


class Asking(Protocol):
    """What is asked: the wizard, or the keeper's menu."""

    @property
    def at(self) -> str: ...

    @property
    def answers(self) -> Answers: ...

    def answer(self, at: str, value: str) -> bool: ...

    def back(self, at: str) -> bool: ...


class PlainText:
    """Asks on a terminal, line by line: a number or a text and Enter, "<" goes back.

    `look` gives the screen that is shown now, in LANGUAGE, whatever was chosen.
    """

    def __init__(
        self,
        asking: Asking,
        look: Callable[[], Screen],
        terminal: Terminal,
        aside: Callable[[], str],
        pause: Callable[[], None],
    ) -> None:
        self.asking, self.terminal = asking, terminal
        self._look, self._aside, self._pause = look, aside, pause

    def run(self) -> None:
        """Until everything is answered."""
        if self.asking.answers.get("language") is None and self.asking.at == "language":
            self.asking.answer("language", LANGUAGE)
        shown = None
        while self.asking.at != DONE:
            screen = self._look()
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
        shown = f" [{screen.value}]" if screen.value and (screen.look != "secret" or screen.suggested) else ""
        prompt = plain(f"{shown} ({BACK} goes back) > " if screen.can_go_back else f"{shown} > ")
        unseen = screen.look == "secret" and not screen.suggested
        if not unseen:
            print(prompt, end="", file=self.terminal.out, flush=True)
            while not self.terminal.wait(PAUSE):
                if self.asking.at != screen.at:  # a phone has answered, or nobody needs to any more
                    return
        try:
            typed = self.terminal.ask_unseen(prompt) if unseen else self.terminal.ask("")
        except EOFError:
            self._pause()
            return
        if typed.strip() == BACK and screen.can_go_back:
            self.asking.back(screen.at)
            return
        if screen.choices and typed.strip().isdigit() and 0 < int(typed) <= len(screen.choices):
            typed = screen.choices[int(typed) - 1].value
        self.asking.answer(screen.at, typed if typed else screen.value)


def tell_fault(why: str, terminal: Terminal) -> None:
    """Say that there is nothing to ask yet, since the card or the system does not do its part."""
    terminal.show(
        *("The set-up cannot begin:", "", f"! {why}", ""),
        "This is tried again by itself. If it does not go away, switch off and on again.",
        "If that does not help, write the card anew, or take another card.",
    )

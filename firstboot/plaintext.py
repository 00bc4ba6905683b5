"""The wizard as plain lines of text, for a screen that pictures cannot be shown on. English: no console font has
the scripts of India.
"""

from __future__ import annotations

import getpass
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from .phases import DONE
from .screens import Screen
from .wizard import Wizard

BACK = "<"
CLEAR = "\033[2J\033[H"
PAUSE = 1.0
PLAIN = str.maketrans({"–": "-", "…": "...", "₹": "Rs", "“": '"', "”": '"', "’": "'"})
"""What a console's font has not, and what stands in for it."""


@dataclass
class Terminal:
    """Where lines come from and go to."""

    ask: Callable[[str], str]
    ask_unseen: Callable[[str], str]
    out: TextIO
    wait: Callable[[float], bool] = lambda seconds: True
    """Whether a line was entered, after so many seconds at most."""

    @classmethod
    def standard(cls) -> Terminal:
        """Standard input and output. Not by input(), whose questions go to the journal with all of standard error."""

        def ask(prompt: str) -> str:
            print(prompt, end="", flush=True)
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.removesuffix("\n")

        def wait(seconds: float) -> bool:
            return bool(select.select([sys.stdin], [], [], seconds)[0])

        return cls(ask, getpass.getpass, sys.stdout, wait)


class PlainText:
    """Asks on a terminal, line by line: a number or a text and Enter, "<" goes back."""

    def __init__(self, wizard: Wizard, terminal: Terminal, aside: Callable[[], str], pause: Callable[[], None]) -> None:
        self.wizard, self.terminal = wizard, terminal
        self._aside, self._pause = aside, pause

    def run(self) -> None:
        """Until the wizard is done."""
        if self.wizard.answers.get("language") is None and self.wizard.at == "language":
            self.wizard.answer("language", "en")
        shown = None
        while self.wizard.at != DONE:
            screen = self.wizard.screen()
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
        lines = [CLEAR + screen.chapter, "", screen.title, *([screen.help] if screen.help else []), ""]
        lines += [f"! {screen.problem}", ""] if screen.problem else []
        marks = {"ok": "[ok]", "trouble": "[!!]", "wait": "[..]", "running": "[->]", "": ""}
        lines += [f"{marks[line.mark]} {line.label}  {line.value}".strip() for line in screen.lines]
        lines += [f"  {number}. {choice.label}" for number, choice in enumerate(screen.choices[:40], 1)]
        if len(screen.choices) > 40:
            lines.append("  ... or type it")
        lines += ["", self._aside()]
        print("\n".join(lines).translate(PLAIN), file=self.terminal.out, flush=True)

    def _ask(self, screen: Screen) -> None:
        shown = f" [{screen.value}]" if screen.value and (screen.look != "secret" or screen.suggested) else ""
        prompt = f"{shown} ({BACK} goes back) > " if screen.can_go_back else f"{shown} > "
        unseen = screen.look == "secret" and not screen.suggested
        if not unseen:
            print(prompt, end="", file=self.terminal.out, flush=True)
            while not self.terminal.wait(PAUSE):
                if self.wizard.at != screen.at:  # a phone has answered, or nobody needs to any more
                    return
        try:
            typed = self.terminal.ask_unseen(prompt) if unseen else self.terminal.ask("")
        except EOFError:
            self._pause()
            return
        if typed.strip() == BACK and screen.can_go_back:
            self.wizard.back(screen.at)
            return
        if screen.choices and typed.strip().isdigit() and 0 < int(typed) <= len(screen.choices):
            typed = screen.choices[int(typed) - 1].value
        self.wizard.answer(screen.at, typed if typed else screen.value)


def tell_fault(why: str, out: TextIO) -> None:
    """Say that there is nothing to ask yet, since the card or the system does not do its part."""
    lines = [
        *(f"{CLEAR}The set-up cannot begin:", "", f"! {why}", ""),
        "This is tried again by itself. If it does not go away, switch off and on again.",
        "If that does not help, write the card anew, or take another card.",
    ]
    print("\n".join(lines).translate(PLAIN), file=out, flush=True)


def on_terminal(number: int) -> None:
    """Make a virtual terminal this process's standard input and output."""
    descriptor = os.open(f"/dev/tty{number}", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(descriptor, standard)

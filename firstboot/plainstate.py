"""The node's state as plain lines of text, for a screen that pictures cannot be shown on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from .answers import Answers
from .join import Join
from .plaintext import LANGUAGE
from .status import facts, read_status
from .surroundings import Surroundings
from .terminal import Terminal
from .texts import texts

LOOK_AGAIN = 5.0
"""Seconds between two looks."""


class PlainState:
    """Says the node's state, and says it anew when it changes, until somebody presses Enter."""

    def __init__(self, root: Path, around: Surroundings, answers: Answers, terminal: Terminal) -> None:
        self._root, self._around, self._answers, self._terminal = root, around, answers, terminal

    def run(self, over: Callable[[], bool]) -> bool:
        """True once somebody wants the keeper's menu; False once it is `over`, since pictures can be shown now."""
        shown: list[str] = []
        while not over():
            lines = self._lines()
            if lines != shown:
                self._terminal.show(*lines)
                shown = lines
            if self._terminal.wait(LOOK_AGAIN):
                try:
                    self._terminal.ask("")
                except EOFError:  # Ctrl-D, or the terminal was taken away for a moment
                    time.sleep(LOOK_AGAIN)
                    continue
                return True
        return False

    def _lines(self) -> list[str]:
        said = texts(LANGUAGE)
        join = Join.from_answers(self._answers, self._around)
        told = facts(read_status(self._root), time.time(), said)
        lines = [said.say("state|title"), self._answers.get("name") or os.uname().nodename, ""]
        lines += [f"{'[!!] ' if wrong else ''}{label}: {value}" for label, value, wrong in told]
        lines.append("")
        if join.wifi:
            lines.append(f"{said.say('state|join')}: {join.wifi}")
            lines.append(f"{said.say('state|password')}: {join.passphrase}")
        addresses = [address for address in (join.address, join.plain_address) if address]
        lines += [f"{said.say('state|open')}: {'  '.join(addresses)}", "", said.say("state|keeper")]
        return lines

"""The program that shows: the state screen. It loads no more than that takes, since it stays for years."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from .answers import Answers
from .journal import Journal
from .phases import APPLY
from .pictures import shown_in_pictures
from .process import run
from .readiness import notify
from .seal import CredentialSeal
from .surroundings import Surroundings

ROOT = Path("/")
MENU = ("systemctl", "start", "--no-block", "mojomail-later.service")


def run_state() -> int:
    """`firstboot state`: the state screen, until somebody presses Enter for the keeper's menu."""
    journal = Journal(ROOT, CredentialSeal())
    state = journal.load()
    if journal.begun_anew(state) or (state.at == APPLY and state.chapter):
        notify("READY=1")  # what a power cut has stopped goes on first, by the program of the menu
    else:
        show_state(ROOT, Surroundings(ROOT), state.answers, ready=lambda: notify("READY=1"))
    run(*MENU)
    return 0


def show_state(root: Path, around: Surroundings, answers: Answers, *, ready: Callable[[], None]) -> None:
    """Until somebody wants the menu: in pictures, or as text for as long as these cannot be shown."""

    def draw() -> None:
        from .tv.statefront import StateFront

        StateFront(root, around, answers, ready=ready).run()

    while not shown_in_pictures(draw):
        if _say_state(root, around, answers, ready):
            return


def _say_state(root: Path, around: Surroundings, answers: Answers, ready: Callable[[], None]) -> bool:
    """True once somebody wants the menu; False once another screen is there, which shows pictures."""
    from .plainstate import PlainState
    from .plaintext import LANGUAGE
    from .statesocket import StateSocket
    from .status import told
    from .terminal import first_terminal
    from .tv.framebuffer import can_show_pictures

    strange = not can_show_pictures(root)
    with first_terminal(root) as terminal, contextlib.closing(StateSocket(root, lambda: told(root, LANGUAGE))):
        ready()
        return PlainState(root, around, answers, terminal).run(lambda: strange and can_show_pictures(root))

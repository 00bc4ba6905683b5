"""The program that shows: the state screen. It loads no more than that takes, since it stays for years."""

from __future__ import annotations

from pathlib import Path

from .journal import Journal
from .phases import APPLY
from .process import run
from .readiness import notify
from .seal import CredentialSeal
from .surroundings import Surroundings
from .tv.statefront import StateFront

ROOT = Path("/")
MENU = ("systemctl", "start", "--no-block", "mojomail-later.service")


def run_state() -> int:
    """`firstboot state`: the state screen, until somebody presses Enter for the keeper's menu."""
    journal = Journal(ROOT, CredentialSeal())
    state = journal.load()
    if journal.begun_anew(state) or (state.at == APPLY and state.chapter):
        notify("READY=1")  # what a power cut has stopped goes on first, by the program of the menu
    else:
        StateFront(ROOT, Surroundings(ROOT), state.answers, state.left, ready=lambda: notify("READY=1")).run()
    run(*MENU)
    return 0

"""How long the keeper's menu and its chapters wait for somebody who may have gone away."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

from .errors import SetupError
from .phases import APPLY, DONE, JOIN, TEST, TROUBLE
from .screens import Screen

MENU_WAITS = 120.0
"""Seconds without a key until the menu, or its question for the password, is closed."""
CHAPTER_WAITS = 600.0
"""The same for a chapter: a password may have to be looked up, and written down."""

log = logging.getLogger(__name__)


class Asking(Protocol):
    """What waits: the keeper's menu, or one of its chapters."""

    @property
    def at(self) -> str: ...

    def answer(self, at: str, value: str) -> bool: ...

    def back(self, at: str) -> bool: ...


class Patience:
    """Counts the seconds since somebody has done something; once there are too many, `leave` is called.

    `leave` tells whether the screen is to be given up. Without arguments, patience has no end.
    """

    def __init__(
        self,
        seconds: float = math.inf,
        leave: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._leave, self._clock = seconds, leave, clock
        self._since = clock()

    def renew(self) -> None:
        """Somebody is there."""
        self._since = self._clock()

    def over(self) -> bool:
        """Whether nobody has done anything for too long."""
        return self._clock() - self._since >= self._seconds

    def gone(self, screen: Screen) -> bool:
        """Whether the screen is to be given up, since nobody is there; work that is under way is waited for."""
        if screen.look == "busy":
            self.renew()
        if not self.over():
            return False
        self.renew()
        return self._leave()


def leave(asking: Asking) -> bool:
    """Close the menu or a chapter in the keeper's place; whether its screen is to be given up.

    What is not yet confirmed is forgotten, what is in force and tried out is finished, and trouble stays on the screen.
    Where an answer was being mended after that, what is on the card goes on as after a power cut.
    """
    try:
        if asking.at == TEST:
            asking.answer(TEST, "onward")
        if asking.at == JOIN:
            asking.answer(JOIN, "finish")
        if asking.at in (APPLY, TROUBLE, TEST, JOIN):
            return False
        while asking.at != DONE and asking.back(asking.at):
            pass
    except (OSError, SetupError) as error:
        log.error("%s", error)
        return False
    return True

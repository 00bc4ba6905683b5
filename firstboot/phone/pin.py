"""The six digits that open the phone pages: five tries, then a wait."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable

TRIES = 5
WAIT = 15 * 60
"""Seconds."""


class Gate:
    """Who may answer from a phone. The tries are counted for all phones together: a million PINs are few."""

    def __init__(self, pin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.pin = pin
        self._clock = clock
        self._wrong = 0
        self._until = 0.0
        self._sessions: set[str] = set()
        self._lock = threading.Lock()

    def locked(self) -> int:
        """Minutes that the gate stays shut, 0 when it is not."""
        left = self._until - self._clock()
        return int(-(-left // 60)) if left > 0 else 0

    def left(self) -> int:
        """Tries that are left."""
        return TRIES - self._wrong

    def enter(self, pin: str) -> str:
        """A session for the right PIN, "" for a wrong one or a shut gate."""
        with self._lock:
            if self.locked():
                return ""
            if self._until:
                self._wrong, self._until = 0, 0.0
            if not hmac.compare_digest("".join(pin.split()).encode(), self.pin.encode()):
                self._wrong += 1
                if self._wrong >= TRIES:
                    self._until = self._clock() + WAIT
                return ""
            self._wrong = 0
            session = secrets.token_urlsafe(24)
            self._sessions.add(session)
            return session

    def knows(self, session: str) -> bool:
        """Whether a session is one of ours."""
        return any(hmac.compare_digest(session.encode(), known.encode()) for known in self._sessions)

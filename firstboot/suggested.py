"""What was made up for the questions so far: a screen that is shown again shows the same."""

from __future__ import annotations

from .answers import Answers
from .suggestions import suggest
from .surroundings import Surroundings

KEPT = ("password", "passphrase")
"""Words of questions whose answers are made of nothing else: Back does not change them."""


class Suggested:
    """Suggestions by the path of their question."""

    def __init__(self) -> None:
        self._made: dict[str, str] = {}

    def get(self, path: str) -> str | None:
        """What was made up for a question; None where nothing was."""
        return self._made.get(path)

    def make(self, what: str, path: str, answers: Answers, around: Surroundings) -> str:
        """What is suggested at `path`, made up by the name `what` unless it was already."""
        if path not in self._made:
            self._made[path] = suggest(what, path, answers, around)
        return self._made[path]

    def forget(self) -> None:
        """What was made up, nobody has seen: it is made up anew, from what there is by then."""
        self._made.clear()

    def forget_outdated(self) -> None:
        """What was made up from earlier answers is made up anew."""
        self._made = {path: made for path, made in self._made.items() if path.rpartition(".")[2] in KEPT}

    def forget_under(self, path: str) -> None:
        """Nothing that was made up for somebody else is suggested to whoever is at that place of a list now."""
        self._made = {at: made for at, made in self._made.items() if not at.startswith(f"{path}.")}

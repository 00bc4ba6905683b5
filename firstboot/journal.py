"""Where the set-up stands, on the card: written as a whole after each answer, read after a power cut."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .answers import Answers
from .durable import DISK, Disk, make_directories, remove_file, write_file
from .errors import SystemFault
from .seal import Seal, is_secret

FOLDER = Path("var/lib/mojomail/firstboot")
VERSION = 1


@dataclass(frozen=True)
class State:
    """Where the set-up stands.

    at          the question or the phase that is next
    answers     all answers so far
    given       paths that a file has answered, so that they are not asked unless somebody goes back
    preset      the name of the file they came from; its secrets go from the card
    unattended  nobody is asked anything
    returning   the summary follows the chapter that is being changed
    chapter     the one chapter that is open, after the set-up
    erase       everybody and all mail go before the first question
    left        groups of actions that may stay undone for now; once all is applied, those that have
    """

    at: str = ""
    answers: Answers = field(default_factory=Answers)
    given: tuple[str, ...] = ()
    preset: str = ""
    unattended: bool = False
    returning: bool = False
    chapter: str = ""
    erase: bool = False
    left: tuple[str, ...] = ()


class Journal:
    """The state on the card, below `root`; `done` is a file of its own, which units look at."""

    def __init__(self, root: Path, seal: Seal, disk: Disk = DISK) -> None:
        self.folder = root / FOLDER
        self._seal, self._disk = seal, disk
        self._sealed: dict[tuple[str, str], str] = {}

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.folder / "journal.json"

    @property
    def marker(self) -> Path:
        """The file that says that the set-up is done."""
        return self.folder / "done"

    def done(self) -> bool:
        """Whether this node is set up."""
        return self.marker.exists()

    def load(self) -> State:
        """The state on the card; a fresh one where there is none. Raises SystemFault for one that cannot be read."""
        try:
            loaded = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return State()
        except (OSError, ValueError) as error:
            raise SystemFault(f"{self.path}: {error}") from None
        version = loaded.get("version") if isinstance(loaded, dict) else None
        if version != VERSION:
            raise SystemFault(f"{self.path}: version {version}, not {VERSION}")
        return State(
            at=loaded["at"],
            answers=Answers(self._opened(loaded["answers"], "")),
            given=tuple(loaded["given"]),
            preset=loaded["preset"],
            unattended=loaded["unattended"],
            returning=loaded["returning"],
            chapter=loaded["chapter"],
            erase=loaded["erase"],
            left=tuple(loaded["left"]),
        )

    def save(self, state: State) -> None:
        """Bring the state to the card."""
        tree = {
            "version": VERSION,
            "at": state.at,
            "answers": self._closed(state.answers.tree, ""),
            "given": state.given,
            "preset": state.preset,
            "unattended": state.unattended,
            "returning": state.returning,
            "chapter": state.chapter,
            "erase": state.erase,
            "left": state.left,
        }
        make_directories(self.folder, 0o700, self._disk)
        write_file(self.path, json.dumps(tree, ensure_ascii=False, indent=1).encode(), 0o600, self._disk)

    def finish(self, state: State) -> State:
        """Say that the node is set up, and forget people and secrets that are in their own places by now.

        The marker comes last: who finds such a state without it, after a cut, has only mark_done() left to do.
        """
        kept = state.answers
        for gone in ("people", "keeper", "secret", "further"):
            kept = kept.without(gone)
        finished = State(at=state.at, answers=kept, preset=state.preset, left=state.left)
        self.save(finished)
        self.mark_done()
        return finished

    def mark_done(self) -> None:
        """Say that the node is set up, where that is not said yet."""
        if not self.done():
            write_file(self.marker, b"", 0o644, self._disk)

    def begin_anew(self, state: State) -> None:
        """Ask everything again, from the given state, which comes first: what a cut leaves is begun_anew()."""
        self.save(state)
        remove_file(self.marker, self._disk)

    def begun_anew(self, state: State) -> bool:
        """Whether a cut has stopped begin_anew() before the marker went; it is to be done again with that state."""
        return self.done() and self.path.exists() and (not state.at or state.erase)

    def _closed(self, at: Any, path: str) -> Any:
        if isinstance(at, Mapping):
            return {key: self._closed(value, f"{path}.{key}" if path else key) for key, value in at.items()}
        if isinstance(at, list):
            return [self._closed(value, f"{path}.{index}") for index, value in enumerate(at)]
        if not at or not is_secret(path):
            return at
        if (path, at) not in self._sealed:
            self._sealed[path, at] = self._seal.close(path, at)
        return {"sealed": self._sealed[path, at]}

    def _opened(self, at: Any, path: str) -> Any:
        if isinstance(at, dict) and set(at) == {"sealed"}:
            text = self._seal.open(path, at["sealed"])
            self._sealed[path, text] = at["sealed"]
            return text
        if isinstance(at, dict):
            return {key: self._opened(value, f"{path}.{key}" if path else key) for key, value in at.items()}
        if isinstance(at, list):
            return [self._opened(value, f"{path}.{index}") for index, value in enumerate(at)]
        return at


def left_for_later(root: Path) -> tuple[str, ...]:
    """Groups of actions that were left for later, without opening what is sealed; none where that cannot be read."""
    try:
        return tuple(json.loads((root / FOLDER / "journal.json").read_bytes())["left"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()

"""What this set-up has made of people and addresses, so that what a corrected answer has left behind can go.

Noted before it is made: a cut in between leaves a note too many, of something that is not there. What was there before
is never noted, so it never goes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .durable import DISK, Disk, make_directories, remove_file, write_file
from .journal import FOLDER

FILE = "made.json"
JOURNAL = "journal.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """Logins, and addresses in small letters, that were not there before."""

    logins: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


class MadeList:
    """The list on the card, below `root`, beside the journal."""

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self._folder, self._disk = root / FOLDER, disk

    @property
    def path(self) -> Path:
        """The list's file."""
        return self._folder / FILE

    def begin(self) -> None:
        """Forget what an earlier set-up has left, when a program starts.

        The journal knows no people and no further address then: they go from it when a set-up, or a point of the
        keeper's menu, is done, and come back with new answers.
        """
        if self.path.exists() and not self._under_way():
            try:
                remove_file(self.path, self._disk)
            except OSError as error:
                log.warning("%s: %s", self.path, error)

    def _under_way(self) -> bool:
        try:
            answers = json.loads((self._folder / JOURNAL).read_bytes())["answers"]
            return bool(answers.get("people") or answers.get("further"))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return False

    def read(self) -> Made:
        """What was noted; nothing where no list can be read."""
        try:
            told = json.loads(self.path.read_bytes())
            return Made(frozenset(map(str, told["logins"])), frozenset(map(str, told["addresses"])))
        except (OSError, ValueError, LookupError, TypeError):
            return Made()

    def note(self, *, logins: Iterable[str] = (), addresses: Iterable[str] = ()) -> None:
        """Bring more to the card."""
        made = self.read()
        self._write(Made(made.logins.union(logins), made.addresses.union(address.lower() for address in addresses)))

    def forget(self, *, logins: Iterable[str] = (), addresses: Iterable[str] = ()) -> None:
        """Take away what is gone."""
        made = self.read()
        self._write(Made(made.logins.difference(logins), made.addresses.difference(addresses)))

    def _write(self, made: Made) -> None:
        if made == self.read():
            return
        make_directories(self._folder, 0o700, self._disk)
        tree = {"logins": sorted(made.logins), "addresses": sorted(made.addresses)}
        write_file(self.path, json.dumps(tree).encode(), 0o600, self._disk)

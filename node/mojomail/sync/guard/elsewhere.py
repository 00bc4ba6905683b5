"""A person's mails that lie in one of the own folders and under no provider's UID, wherever their reader put them.

Two questions need more than the one folder whose turn it is. A mail that is gone from INBOX may have been moved, and is
then no deletion to be passed on. And a neighbour's mail lies in the first account's INBOX, or where its reader filed
it, whichever of the person's addresses it was sent to: the copy that comes back from any provider is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mojomail.sync.guard.identity import header_of, key_of, posted_here
from mojomail.sync.guard.memory import VILLAGE, Header, Memory, marked_by_others

TRIES = 3
"""How often all folders are looked through while their reader keeps moving mail about."""


class Restless(Exception):
    """A mail went from one folder to another each time all were looked through."""


@dataclass(frozen=True)
class Apart:
    """A mail without a UID of a provider's."""

    folder: str
    header: Header


class Elsewhere:
    """All folders of the person whose account's memory lies in `state`, as the engine lays them out."""

    def __init__(self, state: Path, memory: Memory) -> None:
        self._memory = memory
        self._state, self._maildir = state, state.parent.parent / "Maildir"

    @cached_property
    def village(self) -> set[str]:
        """The keys of mails that were delivered to this person by neighbours, as any account's run has seen them.

        Looked up once in a run, before it gives UIDs to any of them.
        """
        try:
            found = {mail.header.key for mail in self._mails() if mail.header.posted_here}
        except Restless:
            found = set()  # the next run sees what this one missed
        self._memory.mark("", VILLAGE, found)
        return self._memory.marked("", VILLAGE) | marked_by_others(self._state, VILLAGE)

    def kept(self) -> set[str]:
        """The keys of mails that lie here alone and were not thrown away. Raises Restless."""
        return {mail.header.key for mail in self._mails() if Path(mail.folder).name != "Trash"}

    def _mails(self) -> list[Apart]:
        """All mails; none that is moved or read meanwhile is missed. Raises Restless."""
        for _ in range(TRIES):
            try:
                return self._look_through()
            except FileNotFoundError:
                continue
        raise Restless

    def _look_through(self) -> list[Apart]:
        known, seen = self._memory.headers(), {}
        mails = []
        for folder in _folders(self._maildir):
            for path in _without_uid(folder):
                name = path.name.partition(":")[0].encode("ascii", "backslashreplace").decode()
                if (header := known.get(name)) is None:
                    text = header_of(path)
                    header = Header(key_of(text), posted_here(text))
                seen[name] = header
                mails.append(Apart(str(folder.relative_to(self._maildir)), header))
        self._memory.keep_headers(seen)
        return mails


def _folders(directory: Path) -> Iterator[Path]:
    """The Maildirs below a directory."""
    for each in sorted(directory.iterdir()):
        if each.is_dir() and each.name not in ("cur", "new", "tmp"):
            if (each / "cur").is_dir():
                yield each
            yield from _folders(each)


def _without_uid(folder: Path) -> Iterator[Path]:
    # A mail goes from "new" to "cur": in this order it is seen once at least.
    for place in ("new", "cur"):
        for path in (folder / place).iterdir() if (folder / place).is_dir() else ():
            if not path.name.startswith(".") and ",U=" not in path.name:
                yield path

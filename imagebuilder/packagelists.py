"""What a root file system knows as /var/lib/apt/lists: package indexes of its own, one set for each set of sources.

A stage may add a source and call `apt-get update`. What that fetches must be there for the stages above, also
when they alone are built again, and must not get among the indexes that tell whether a layer is out of date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .layers import digest_of, remove_tree


class PackageLists:
    """The lists of all roots that are made from one state of the package indexes; those of another are dropped.

    place     where they are kept
    indexes   the lists that each begins with
    state     a name for the state of the indexes
    """

    def __init__(self, place: Path, indexes: Path, state: str) -> None:
        self.place = place
        self.path = place / state
        self.indexes = indexes

    @property
    def made(self) -> Path:
        """Where apt keeps what it makes of the lists, which takes it long. It sees itself when that is out of date."""
        path = self.path / "made"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def of(self, rootfs: Path) -> Iterator[Path]:
        """The directory for the root at `rootfs`; what is fetched into it belongs to the sources it has in the end."""
        before = self.path / sources_digest(rootfs)
        if not before.exists():
            self._begin(before)
        yield before
        after = self.path / sources_digest(rootfs)
        if after != before:
            remove_tree(after)
            before.rename(after)

    def _begin(self, place: Path) -> None:
        if not self.path.exists():
            remove_tree(self.place)
        partial = place.with_suffix(".partial")
        remove_tree(partial)
        (partial / "partial").mkdir(parents=True)
        for file in self.indexes.iterdir() if self.indexes.is_dir() else ():
            if file.is_file() and file.name != "lock":
                # apt replaces files, and never changes one.
                (partial / file.name).hardlink_to(file)
        partial.rename(place)


def sources_digest(rootfs: Path) -> str:
    """A name for the package sources that are set in a root file system."""
    apt = rootfs / "etc/apt"
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*"), key=os.fsencode)]
    found = [f"{file.name}\0{file.read_bytes().decode(errors='replace')}" for file in files if file.is_file()]
    return digest_of(found)[:16]

"""Programs of Debian packages of this machine's architecture, unpacked into the cache; nothing is installed.

A tree is made once for each set of package indexes, where the package sources can be reached: so before the network
namespaces of the lab.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.archives import download, resolve, unpack
from imagebuilder.cache import Cache, default_cache
from imagebuilder.durable import sync_filesystem
from imagebuilder.errors import MojoError
from imagebuilder.indexes import Indexes, debian_sources, host_architecture
from imagebuilder.layers import digest_of, remove_tree
from imagebuilder.settings import AptSettings
from tests.lab.processes import LabError, run

RELEASE = "trixie"
KEY = re.compile(r"[0-9a-f]{16}")


def indexes_of(cache: Cache, *, ask: bool = True) -> Indexes:
    """The package indexes that images are built from, for those who build with the default sources.

    ask   False: nobody is asked which sources those are; indexes of sources that nobody knows are not `present`
    """
    settings = AptSettings()
    named = [os.environ.get(f"MOJOMAIL_APT_{name}") for name in ("MIRROR", "SECURITY_MIRROR")]
    return Indexes(cache, debian_sources(cache, RELEASE, settings.components, *named, ask=ask))


@dataclass(frozen=True)
class PackageTree:
    """A tree of programs.

    name       of the directory in the cache that such trees are in
    module     that makes it when it is run
    packages   what is unpacked, with all they depend on
    recipe     whatever else decides how it comes out
    complete   writes what the packages' own scripts would have
    """

    name: str
    module: str
    packages: tuple[str, ...]
    recipe: object
    complete: Callable[[Path], None]

    def find(self, cache: Cache | None = None) -> Path:
        """The tree, which must have been made. Raises LabError that says how to."""
        cache = cache or default_cache()
        indexes = indexes_of(cache, ask=False)
        if not indexes.present or not (tree := self._place(cache, indexes)).exists():
            raise LabError(f"programs for the tests are not in the cache: .venv/bin/python -m {self.module}")
        return tree

    def make(self, cache: Cache | None = None) -> Path:
        """The tree for the newest indexes in the cache, unpacked now if it is not there.

        To be called in the namespace, with the host's network. Raises BuildError when packages cannot be fetched.
        """
        cache = cache or default_cache()
        cache.create()
        place = cache.path / self.name
        place.mkdir(exist_ok=True)
        # Not the lock of builds, which can take an hour: nothing here gets in their way.
        # One for all trees, as they share the downloads.
        with (cache.path / "trees.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            indexes = indexes_of(cache)
            if not indexes.present:
                with cache.locked():
                    indexes.refresh()
            final = self._place(cache, indexes)
            if not final.exists():
                self._unpack_into(cache, indexes, final)
                _remove_old(final)
        return final

    def ensure(self) -> Path:
        """The tree, made first if it has to be; for those who are not in the namespace. Raises LabError."""
        try:
            return self.find()
        except LabError:
            run(sys.executable, "-m", self.module, limit=1800)
            return self.find()

    def main(self) -> int:
        """Make the tree ahead of time: what `module` does when it is run. Returns the exit code."""
        return _in_one_line(lambda: namespace.enter(lambda: _in_one_line(self._print)))

    def _print(self) -> int:
        print(self.make())
        return 0

    def _place(self, cache: Cache, indexes: Indexes) -> Path:
        key = digest_of([self.recipe, self.packages, host_architecture(), indexes.digest])[:16]
        return cache.path / self.name / key

    def _unpack_into(self, cache: Cache, indexes: Indexes, final: Path) -> None:
        partial = final.with_suffix(".partial")
        remove_tree(partial)
        partial.mkdir(parents=True)
        request = ["install", *self.packages]
        debs = resolve(indexes, host_architecture(), request)
        download(cache, indexes, host_architecture(), request)
        unpack(cache, debs, partial)
        self.complete(partial)
        sync_filesystem(partial)
        partial.rename(final)


def _in_one_line(work: Callable[[], int]) -> int:
    """Do it; an error is one line that says what mends it, for whoever started us to show."""
    try:
        return work()
    except MojoError as error:
        print(str(error).replace("\n  hint: ", ": ").replace("\n", " "), file=sys.stderr)
        return error.exit_code


def _remove_old(current: Path) -> None:
    """Remove trees of older indexes that nobody runs from."""
    for other in current.parent.iterdir():
        if other == current or not KEY.fullmatch(other.name):
            continue
        with other.with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            remove_tree(other)


@contextmanager
def in_use(tree: Path) -> Iterator[None]:
    """Keep a tree from being removed while somebody runs from it."""
    with tree.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield

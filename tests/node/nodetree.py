"""The programs that the node's own tests run, unpacked into the cache: python3 -m tests.node.nodetree makes them."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.archives import download, resolve, unpack
from imagebuilder.cache import Cache, default_cache
from imagebuilder.indexes import Indexes, host_architecture
from imagebuilder.layers import digest_of, remove_tree, sync_filesystem
from tests.lab.daemontree import indexes_of
from tests.lab.processes import run
from tests.node.cell import prepare

PACKAGES = (
    "coreutils",
    "dash",
    "dbus-daemon",
    "dovecot-imapd",
    "gir1.2-glib-2.0",
    "libc-bin",
    "offlineimap3",
    "python3",
    "python3-gi",
)
RECIPE = 1
"""Raised when a tree of the same packages would come out otherwise."""


def place_of(cache: Cache, indexes: Indexes) -> Path:
    """Where the tree for these indexes is, or will be."""
    key = digest_of([RECIPE, PACKAGES, host_architecture(), indexes.digest])[:16]
    return cache.path / "nodetree" / key


def make_tree() -> Path:
    """The tree for the newest indexes in the cache, unpacked now if it is not there; in the namespace."""
    cache = default_cache()
    cache.create()
    place = cache.path / "nodetree"
    place.mkdir(exist_ok=True)
    with (place / "making.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        indexes = indexes_of(cache)
        if not indexes.present:
            with cache.locked():
                indexes.refresh()
        final = place_of(cache, indexes)
        if not final.exists():
            partial = final.with_suffix(".partial")
            remove_tree(partial)
            partial.mkdir(parents=True)
            request = ["install", *PACKAGES]
            debs = resolve(indexes, host_architecture(), request)
            download(cache, indexes, host_architecture(), request)
            unpack(cache, debs, partial)
            prepare(partial)
            sync_filesystem(partial)
            partial.rename(final)
    return final


def ensure_tree() -> Path:
    """The tree, made first if it has to be. Raises LabError when that cannot be."""
    cache = default_cache()
    indexes = indexes_of(cache)
    if not indexes.present or not place_of(cache, indexes).exists():
        run(sys.executable, "-m", "tests.node.nodetree", limit=1800)
    return place_of(cache, indexes_of(cache))


def main() -> int:
    """Make the tree ahead of time."""
    print(make_tree())
    return 0


if __name__ == "__main__":
    sys.exit(namespace.enter(main))

"""The programs the far side runs: Debian packages of this machine's architecture, unpacked into the cache.

Nothing is installed on the host. The tree is made once for each set of package indexes, in the namespace and where
the package sources can be reached, so before the network namespaces of the lab: `make_tree()`.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.archives import download, resolve, unpack
from imagebuilder.cache import Cache, default_cache
from imagebuilder.durable import sync_filesystem
from imagebuilder.indexes import Indexes, debian_sources, host_architecture
from imagebuilder.layers import digest_of, remove_tree
from imagebuilder.settings import AptSettings
from tests.lab.processes import LabError, run

RELEASE = "trixie"
PACKAGES = ("dovecot-imapd", "dovecot-lmtpd", "dovecot-sieve", "dovecot-auth-lua", "postfix", "dnsmasq-base", "openssl")

RECIPE = 1
"""Raised when a tree of the same packages would come out otherwise."""

USERS = {
    "root": 0,
    "dnsmasq": 101,
    "postfix": 110,
    "postdrop": 111,
    "dovecot": 120,
    "dovenull": 121,
    "vmail": 5000,
    "nobody": 65534,
}
"""Users of the tree, each with a group of the same name and number."""


def indexes_of(cache: Cache) -> Indexes:
    """The package indexes that images are built from, for those who build with the default sources."""
    settings = AptSettings()
    named = [os.environ.get(f"MOJOMAIL_APT_{name}") for name in ("MIRROR", "SECURITY_MIRROR")]
    return Indexes(cache, debian_sources(cache, RELEASE, settings.components, *named))


def place_of(cache: Cache, indexes: Indexes) -> Path:
    """Where the tree for these indexes is, or will be."""
    key = digest_of([RECIPE, PACKAGES, USERS, host_architecture(), indexes.digest])[:16]
    return cache.path / "farside" / key


def find_tree(cache: Cache | None = None) -> Path:
    """The tree of programs, which must have been made. Raises LabError that says how to."""
    cache = cache or default_cache()
    indexes = indexes_of(cache)
    tree = place_of(cache, indexes)
    if not indexes.present or not tree.exists():
        raise LabError("the far side's programs are not in the cache: .venv/bin/python -m tests.lab.daemontree")
    return tree


def make_tree(cache: Cache | None = None) -> Path:
    """The tree of programs for the newest indexes in the cache, unpacked now if it is not there.

    To be called in the namespace, with the host's network. Raises BuildError when packages cannot be fetched.
    """
    cache = cache or default_cache()
    cache.create()
    place = cache.path / "farside"
    place.mkdir(exist_ok=True)
    # Not the lock of builds, which can take an hour: nothing here gets in their way.
    with (place / "making.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        indexes = indexes_of(cache)
        if not indexes.present:
            with cache.locked():
                indexes.refresh()
        final = place_of(cache, indexes)
        if not final.exists():
            _unpack_into(cache, indexes, final)
            _remove_old(final)
    return final


def _unpack_into(cache: Cache, indexes: Indexes, final: Path) -> None:
    partial = final.with_suffix(".partial")
    remove_tree(partial)
    partial.mkdir(parents=True)
    request = ["install", *PACKAGES]
    debs = resolve(indexes, host_architecture(), request)
    download(cache, indexes, host_architecture(), request)
    unpack(cache, debs, partial)
    _complete(partial)
    sync_filesystem(partial)
    partial.rename(final)


def _complete(tree: Path) -> None:
    """Write what the packages' own scripts would have: users, and how names are looked up."""
    for place in ("dev", "proc", "run", "srv/mail", "tmp", "root", "var/log", "var/spool", "etc"):
        (tree / place).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    files = {
        "passwd": "".join(f"{name}:x:{number}:{number}::/nonexistent:/bin/false\n" for name, number in USERS.items()),
        "group": "".join(f"{name}:x:{number}:\n" for name, number in USERS.items()),
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
        "hosts": "127.0.0.1 localhost\n",
        "resolv.conf": "nameserver 192.0.2.1\n",
    }
    for name, content in files.items():
        (tree / "etc" / name).write_text(content)


def _remove_old(current: Path) -> None:
    """Remove trees of older indexes that no lab runs from."""
    for other in current.parent.iterdir():
        if other == current or not (other / "usr/lib/postfix").exists():
            continue
        with other.with_suffix(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            remove_tree(other)


@contextmanager
def in_use(tree: Path) -> Iterator[None]:
    """Keep a tree from being removed while a lab runs from it."""
    with tree.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def ensure_tree() -> Path:
    """The tree, made first if it has to be; for those who are not in the namespace. Raises LabError."""
    try:
        return find_tree()
    except LabError:
        run(sys.executable, "-m", "tests.lab.daemontree", limit=1800)
        return find_tree()


def main() -> int:
    """Make the tree ahead of time: python3 -m tests.lab.daemontree."""
    print(make_tree())
    return 0


if __name__ == "__main__":
    sys.exit(namespace.enter(main))

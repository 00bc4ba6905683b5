"""Where builds keep what later builds can use again, and the lock that lets one build at a time use it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .progress import note


@dataclass(frozen=True)
class Cache:
    """The directories of one cache, `~/.cache/mojomail` unless MOJOMAIL_CACHE or --cache says otherwise."""

    path: Path

    @property
    def layers(self) -> Path:
        """Finished layers, one directory each, named by their ids."""
        return self.path / "layers"

    @property
    def debs(self) -> Path:
        """Downloaded packages (apt's archives directory), shared by all builds."""
        return self.path / "debs"

    @property
    def indexes(self) -> Path:
        """Package indexes, one apt directory for each set of sources."""
        return self.path / "indexes"

    @property
    def tools(self) -> Path:
        """Trees of programs of the build machine's own architecture."""
        return self.path / "tools"

    @property
    def work(self) -> Path:
        """Stage work directories and mount points (pi-gen's WORK_DIR), one for each profile."""
        return self.path / "work"

    @property
    def images(self) -> Path:
        """Assembled images, named by what they were made of."""
        return self.path / "images"

    @property
    def logs(self) -> Path:
        """Full logs of builds."""
        return self.path / "logs"

    @property
    def reports(self) -> Path:
        """Reports of finished builds, for expected times."""
        return self.path / "reports"

    @property
    def twice(self) -> Cache:
        """A second cache inside this one, for what is built twice to be compared."""
        return Cache(self.path / "twice")

    def create(self) -> None:
        """Make the directories; raises InputError when the place cannot be written to."""
        try:
            for directory in (
                self.layers,
                self.debs / "partial",
                self.indexes,
                self.tools,
                self.work,
                self.images,
                self.logs,
                self.reports,
            ):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write to the cache {self.path}: {error.strerror}",
                hint="name another place with MOJOMAIL_CACHE=DIR or --cache DIR",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the cache for one build; a second build waits here and says so."""
        self.create()
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                note(f"waiting: the cache {self.path} is in use by {holder}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            lock.truncate()
            lock.write(f"process {os.environ.get('MOJOMAIL_PID', os.getpid())}")
            lock.flush()
            yield


def default_cache() -> Cache:
    """The cache named by MOJOMAIL_CACHE, else `mojomail` in XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("MOJOMAIL_CACHE")
    if named:
        return Cache(Path(named).absolute())
    base = os.environ.get("XDG_CACHE_HOME")
    return Cache((Path(base) if base else Path.home() / ".cache") / "mojomail")

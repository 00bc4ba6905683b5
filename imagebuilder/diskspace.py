"""Room on the disk: asked for before much is written, and named when that is why something failed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BuildError

MIB = 1 << 20

HINT = "a build needs about 6 GB; 'build.py clean' shows and frees what the cache holds, --cache names another place"

SIGNS = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded|don't have enough free space")
"""What programs say when a disk is full, the last of them apt before it fetches packages."""

NEARLY_FULL = 4 * MIB
"""With less room than this programs fail in ways of their own; some, such as apt, then wait for ever."""


class DiskFull(BuildError):
    """There is no room; the message says where, what is left, and what is needed if that is known."""

    def __init__(self, place: Path, message: str) -> None:
        super().__init__(f"the disk is full: {free_space(place) // MIB} MiB are left in {place}{message}", hint=HINT)


def free_space(place: Path) -> int:
    """Bytes that may still be written below `place`. Raises OSError."""
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def require(place: Path, need: int, purpose: str) -> None:
    """Raise DiskFull unless `need` bytes may be written below `place`."""
    if free_space(place) < need:
        raise DiskFull(place, f", {purpose} need about {need // MIB} MiB")


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Raise DiskFull instead of what failed inside because there was no room left below `place`."""
    try:
        yield
    except DiskFull:
        raise
    except (OSError, BuildError) as error:
        text = error.message if isinstance(error, BuildError) else str(error)
        with contextlib.suppress(OSError):
            if SIGNS.search(text) or free_space(place) < NEARLY_FULL:
                wanted = re.search(r"Need to get (?:[^\n]*/)?([\d.,]+ \w*B) of archives", text)
                needed = f", packages of {wanted[1]} are to be fetched" if wanted else ""
                raise DiskFull(place, f"{needed}\n{text}") from error
        raise

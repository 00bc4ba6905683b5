"""A disk without room is named as the reason, with what is left and what is needed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from imagebuilder.diskspace import MIB, DiskFull, explained, free_space, require
from imagebuilder.errors import BuildError

APT = """command failed with exit code 100: apt-get -q install mc
  | Need to get 512 kB/1,234 kB of archives.
  | E: You don't have enough free space in /var/cache/apt/archives/."""


def test_room_that_is_there_is_enough(tmp_path: Path) -> None:
    require(tmp_path, 1, "the package indexes")


def test_room_that_is_missing_is_told_with_place_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    need = free_space(tmp_path) + (100 << 30)
    with pytest.raises(DiskFull) as told:
        require(tmp_path, need, "the package indexes")
    text = f"MiB are left in {tmp_path}, the package indexes need about {need // MIB} MiB"
    assert told.value.message.startswith("the disk is full: ")
    assert text in told.value.message
    assert "build.py clean" in (told.value.hint or "")


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/file"), "/a/file"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/a/file"), "/a/file"),
        (BuildError("  | tar: write error: No space left on device"), "tar: write error"),
        (BuildError(APT), ", packages of 1,234 kB are to be fetched\n"),
    ],
    ids=["file", "quota", "program", "apt"],
)
def test_failure_for_want_of_room_says_so(error: Exception, also: str, tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="the disk is full: ") as told, explained(tmp_path):
        raise error
    assert also in told.value.message
    assert told.value.message.count("the disk is full") == 1


def test_failure_on_a_nearly_full_disk_is_for_want_of_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagebuilder.diskspace.free_space", lambda _: 3 * MIB)
    with pytest.raises(DiskFull, match="3 MiB are left"), explained(tmp_path):
        raise BuildError("it failed in a way of its own")


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    for error in (BuildError("a package is broken"), FileNotFoundError(2, "none"), DiskFull(tmp_path, ", as I said")):
        with pytest.raises(type(error)) as same, explained(tmp_path):
            raise error
        assert same.value is error

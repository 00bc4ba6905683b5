"""What is kept of a walk through a write log that found something wrong; replay itself is tried on whole cards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cuts.replay import kept_if_it_fails


@pytest.fixture
def replay(tmp_path: Path) -> Any:
    """A walk that has come to the third of four flushes."""
    work = tmp_path / "work"
    work.mkdir()
    for name in ("root.part", "boot.part", "writes.log"):
        (work / name).write_bytes(name.encode() * 1000)
    log = SimpleNamespace(path=work / "writes.log", flush_points=(0, 10, 25, 40))
    return SimpleNamespace(root=work / "root.part", boot=work / "boot.part", log=log, at=25)


def test_a_walk_that_fails_leaves_its_flush_its_seed_the_card_and_the_log(replay: Any, tmp_path: Path) -> None:
    place = tmp_path / "failures/walk"
    place.mkdir(parents=True)
    (place / "old").touch()
    with pytest.raises(AssertionError), kept_if_it_fails(replay, place, "MOJOMAIL_SEED=7"):
        raise AssertionError("the card is not whole")
    told = (place / "walk.txt").read_text()
    for words in ("flush 2 of 3, after 25 entries", "MOJOMAIL_SEED=7", "the card is not whole", "e2fsck -fn root.part"):
        assert words in told
    for part in (replay.root, replay.boot, replay.log.path):
        assert (place / part.name).read_bytes() == part.read_bytes()
    assert not (place / "old").exists(), "what an earlier run left is gone"


def test_a_walk_that_finds_nothing_leaves_nothing(replay: Any, tmp_path: Path) -> None:
    with kept_if_it_fails(replay, tmp_path / "failures/walk", "MOJOMAIL_SEED=7"):
        pass
    assert not (tmp_path / "failures").exists()

"""What a power cut leaves of a card, from logs made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.lab.writelog import DISCARD, FLUSH, FUA, MAGIC, WriteLog, WriteLogError, copy_sparse

SECTOR = 512


def fill(letter: str, sectors: int = 1) -> bytes:
    return letter.encode() * (SECTOR * sectors)


def write_log(path: Path, entries: list[tuple[int, bytes | int, int]], counted: int) -> WriteLog:
    """A log of (sector, data or number of discarded sectors, flags), as QEMU writes one."""
    log = struct.pack("<QQQI", MAGIC, 1, counted, SECTOR).ljust(SECTOR, b"\0")
    for sector, data, flags in entries:
        count, bytes_ = (data, b"") if isinstance(data, int) else (len(data) // SECTOR, data)
        log += struct.pack("<QQQQ", sector, count, flags, 0).ljust(SECTOR, b"\0") + bytes_
    path.write_bytes(log)
    return WriteLog(path)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(fill(".", 8))
    return path


def card(log: WriteLog, image: Path, upto: int, seed: int | None = None, size: int | None = None) -> str:
    """One letter a sector."""
    target = image.with_name("card")
    log.rebuild(image, upto, target, seed=seed, size=size)
    data = target.read_bytes()
    return "".join(chr(data[at] or ord("0")) for at in range(0, len(data), SECTOR))


def test_only_what_was_flushed_survives(tmp_path: Path, image: Path) -> None:
    entries = [(0, fill("A"), 0), (1, fill("B"), 0), (0, b"", FLUSH), (2, fill("C"), 0), (0, fill("X"), 0)]
    log = write_log(tmp_path / "log", entries, counted=3)
    assert len(log.entries) == 5
    assert log.flush_points == (0, 3)
    assert card(log, image, log.flush_points[-1]) == "AB......"


def test_a_cut_at_an_earlier_flush_gives_the_card_of_then(tmp_path: Path, image: Path) -> None:
    entries = [(0, fill("A"), 0), (0, b"", FLUSH), (0, fill("B", 2), 0), (0, b"", FLUSH)]
    log = write_log(tmp_path / "log", entries, counted=4)
    assert [card(log, image, point) for point in log.flush_points] == ["........", "A.......", "BB......"]


def test_a_write_through_survives_without_a_flush(tmp_path: Path, image: Path) -> None:
    entries = [(0, b"", FLUSH), (3, fill("N"), 0), (4, fill("F"), FUA)]
    log = write_log(tmp_path / "log", entries, counted=1)
    assert card(log, image, 1) == "....F..."


def test_a_discard_makes_zeros_and_carries_no_data(tmp_path: Path, image: Path) -> None:
    entries = [(2, 3, DISCARD), (0, fill("A"), 0), (0, b"", FLUSH)]
    log = write_log(tmp_path / "log", entries, counted=3)
    assert card(log, image, 3) == "A.000..."


def test_a_flush_that_the_superblock_does_not_count_has_not_happened(tmp_path: Path, image: Path) -> None:
    entries = [(0, fill("A"), 0), (0, b"", FLUSH), (1, fill("B"), 0), (0, b"", FLUSH)]
    assert write_log(tmp_path / "log", entries, counted=2).flush_points == (0, 2)


def test_a_torn_cut_takes_some_unflushed_sectors_and_no_other(tmp_path: Path, image: Path) -> None:
    entries = [(0, fill("A"), 0), (0, b"", FLUSH), (2, fill("B", 6), 0)]
    log = write_log(tmp_path / "log", entries, counted=2)
    cards = {card(log, image, 2, seed=seed) for seed in range(40)}
    assert all(found.startswith("A.") and set(found[2:]) <= {"B", "."} for found in cards)
    assert len(cards) > 10
    assert card(log, image, 2, seed=7) == card(log, image, 2, seed=7)


def test_a_torn_cut_in_the_middle_reaches_only_to_the_next_flush(tmp_path: Path, image: Path) -> None:
    entries = [(0, b"", FLUSH), (0, fill("A", 4), 0), (0, b"", FLUSH), (4, fill("B", 4), 0), (0, b"", FLUSH)]
    log = write_log(tmp_path / "log", entries, counted=5)
    assert all(card(log, image, 1, seed=seed).endswith("....") for seed in range(20))


def test_the_card_may_be_larger_than_the_image(tmp_path: Path, image: Path) -> None:
    log = write_log(tmp_path / "log", [(9, fill("A"), 0), (0, b"", FLUSH)], counted=2)
    assert card(log, image, 2, size=10 * SECTOR) == "........0A"


def test_the_image_is_not_changed(tmp_path: Path, image: Path) -> None:
    log = write_log(tmp_path / "log", [(0, fill("A"), 0), (0, b"", FLUSH)], counted=2)
    card(log, image, 2, seed=1)
    assert image.read_bytes() == fill(".", 8)


def test_a_log_that_nothing_was_written_to_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    assert WriteLog(path).flush_points == (0,)


def test_a_log_that_was_never_flushed_shows_its_writes(tmp_path: Path, image: Path) -> None:
    log = write_log(tmp_path / "log", [(0, fill("A"), 0)], counted=0)
    data = log.path.read_bytes()
    log.path.write_bytes(bytes(SECTOR) + data[SECTOR:])
    log = WriteLog(log.path)
    assert (len(log.entries), log.counted, card(log, image, 0)) == (1, 0, "........")


@pytest.mark.parametrize(("start", "said"), [(b"x" * 600, "no write log"), (b"x", "too short")])
def test_another_file_is_no_write_log(tmp_path: Path, start: bytes, said: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(start)
    with pytest.raises(WriteLogError, match=said):
        WriteLog(path)


BEGUN = [(0, fill("A"), 0), (0, b"", FLUSH)]
"""What is in a log before QEMU is killed; 3 sectors besides the superblock."""


@pytest.mark.parametrize("counted", [3, 5], ids=["one", "three"])
@pytest.mark.parametrize("kept", [0, 1, 3], ids=["nothing of it", "its header", "half of its data"])
def test_an_entry_that_was_counted_and_under_way_when_qemu_was_killed_is_left_out(
    tmp_path: Path, image: Path, counted: int, kept: int
) -> None:
    path = tmp_path / "log"
    write_log(path, [*BEGUN, (2, fill("B", 4), 0)], counted=3)
    data = path.read_bytes()
    sound = (1 + 3) * SECTOR
    path.write_bytes(struct.pack("<QQQI", MAGIC, 1, counted, SECTOR).ljust(SECTOR, b"\0") + data[SECTOR:sound])
    with path.open("ab") as file:
        file.write(data[sound : sound + kept * SECTOR])
    log = WriteLog(path)
    assert (len(log.entries), log.counted, log.flush_points) == (2, 2, (0, 2))
    assert card(log, image, 2) == "A......."


def gap(path: Path, behind: list[tuple[int, bytes | int, int]], counted: int) -> WriteLog:
    """A log with an entry that did not get there, though what is `behind` it did."""
    write_log(path, [*BEGUN, (2, fill("B"), 0), *behind], counted)
    with path.open("r+b") as file:
        file.seek((1 + 3) * SECTOR)
        file.write(bytes(2 * SECTOR))
    return WriteLog(path)


def test_a_write_behind_a_gap_was_not_flushed_and_is_left_out(tmp_path: Path, image: Path) -> None:
    log = gap(tmp_path / "log", [(4, fill("C"), 0)], counted=4)
    assert (len(log.entries), log.flush_points, card(log, image, 2)) == (2, (0, 2), "A.......")


def test_a_flush_behind_a_gap_says_of_writes_there_that_they_are_on_the_card(tmp_path: Path) -> None:
    with pytest.raises(WriteLogError, match="has 2 entries, its superblock counts 5"):
        gap(tmp_path / "log", [(4, fill("C"), 0), (0, b"", FLUSH)], counted=5)


def test_a_log_with_less_than_it_counts_and_could_be_under_way_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(WriteLogError, match="has 1 entries, its superblock counts 300"):
        write_log(tmp_path / "log", [(0, b"", FLUSH)], counted=300)


def test_a_log_with_something_else_in_it_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_log(path, [*BEGUN, (2, fill("B"), 0)], counted=3)
    with path.open("r+b") as file:
        file.seek((1 + 3) * SECTOR)
        file.write(b"x" * SECTOR)
    with pytest.raises(WriteLogError, match="has 2 entries, its superblock counts 3"):
        WriteLog(path)


def test_there_is_no_cut_after_the_last_entry(tmp_path: Path, image: Path) -> None:
    log = write_log(tmp_path / "log", [(0, b"", FLUSH)], counted=1)
    with pytest.raises(WriteLogError, match="no entry 2"):
        card(log, image, 2)


def test_a_sparse_copy_keeps_holes_and_data(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for at in (0, 40 << 20):
            file.seek(at)
            file.write(b"data" * 1024)
        file.truncate(64 << 20)
    copy_sparse(source, target, 128 << 20)
    copied = target.read_bytes()
    assert copied[: 64 << 20] == source.read_bytes()
    assert copied[64 << 20 :] == bytes(64 << 20)
    assert target.stat().st_blocks * 512 < 1 << 20

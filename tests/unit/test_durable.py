"""What is written durably is there whole, and flushing says when it fails."""

from pathlib import Path

import pytest

from imagebuilder.durable import sync_filesystem, sync_path, write_whole


def test_file_is_replaced_in_one_go(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "one\n")
    write_whole(path, "ಎರಡು\n")
    assert path.read_text(encoding="utf-8") == "ಎರಡು\n"
    assert list(tmp_path.iterdir()) == [path]


def test_files_directories_and_file_systems_are_flushed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sync_path(tmp_path / "file")
    sync_path(tmp_path)
    sync_filesystem(tmp_path)
    for flush in (sync_path, sync_filesystem):
        with pytest.raises(FileNotFoundError):
            flush(tmp_path / "none")

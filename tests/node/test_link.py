"""The link as NetworkManager tells it, over a real D-Bus."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.node.cell import Cell


def test_a_link_that_comes_and_goes_is_noticed_by_signals(tree: Path, tmp_path: Path) -> None:
    cell = Cell(tree, tmp_path)
    shutil.copy(Path(__file__).with_name("fake_networkmanager.py"), cell.inside("/tmp"))
    words = ("dbus-run-session", "--", "python3", "/tmp/fake_networkmanager.py")
    assert cell.run(*words, limit=30).splitlines() == ["dongle True", "none False"]

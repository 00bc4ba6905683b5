"""The terminal that the pictures are on: firstboot/tv/console.py, with the kernel's calls written down."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from firstboot.tv.console import ACTIVATE, GRAPHICS, SET_KEYBOARD, SET_MODE, TEXT, Console


def test_a_terminal_is_left_as_text_since_the_kernel_leaves_none_with_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/tty1").touch()
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda _descriptor, request, value: calls.append((request, value)))
    with Console(root=tmp_path) as console:
        calls.clear()
        console.activate(2)
        assert calls == [(SET_MODE, TEXT), (ACTIVATE, 2)]
        calls.clear()
        console.resume()
        assert calls == [(SET_MODE, GRAPHICS)]
        calls.clear()
    assert (SET_MODE, TEXT) in calls and any(request == SET_KEYBOARD for request, _ in calls)

"""The screen: one that can show no picture is not taken for none, and none is no fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstboot.errors import SystemFault
from firstboot.tv.framebuffer import Framebuffer, Mode, NoScreen


def screen(root: Path) -> Path:
    """A file where the framebuffer is; it knows none of a framebuffer's calls."""
    (root / "dev").mkdir()
    (root / "dev/fb0").write_bytes(bytes(64))
    return root


def test_a_machine_without_a_screen_has_none(tmp_path: Path) -> None:
    with pytest.raises(NoScreen):
        Framebuffer(tmp_path)


def test_a_screen_that_answers_strangely_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SystemFault, match="dev/fb0: ") as caught:
        Framebuffer(screen(tmp_path))
    assert not isinstance(caught.value, NoScreen)


@pytest.mark.parametrize("bits", [1, 8, 24])
def test_a_screen_of_other_pixels_is_a_fault(tmp_path: Path, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Framebuffer, "read_mode", lambda framebuffer: Mode(64, 1, bits, 64))
    with pytest.raises(SystemFault, match=f"{bits} bits a pixel") as caught:
        Framebuffer(screen(tmp_path))
    assert not isinstance(caught.value, NoScreen)

"""The lab's prompt, as far as it goes without a machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.lab import prompt


def test_a_missing_image_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prompt.main([str(tmp_path / "none.img"), "--alone"]) == 2
    said = capsys.readouterr()
    assert said.err == f"there is no image at {tmp_path / 'none.img'}: run 'make image'\n"
    assert not said.out


@pytest.mark.parametrize("size", ["1280", "x", "1280x720x3", "wide"])
def test_a_screen_is_width_x_height(size: str) -> None:
    assert prompt.screen_size("720x576") == (720, 576)
    with pytest.raises(SystemExit) as ended:
        prompt.main(["--screen", size])
    assert ended.value.code == 2


def test_everything_has_its_place_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = SimpleNamespace(
        vnc=True,
        vnc_port=5903,
        screen=(720, 576),
        console=SimpleNamespace(log=tmp_path / "serial.log"),
        lane=SimpleNamespace(seconds_to_boot=90),
    )
    prompt.announce(node, SimpleNamespace(webmail="https://mail.home.arpa/"))  # type: ignore[arg-type]
    said = capsys.readouterr().out
    for place in ("vnc://127.0.0.1:5903", str(tmp_path / "serial.log"), "https://mail.home.arpa/", "Ctrl-D"):
        assert place in said

"""The shipped image boots, on QEMU's own board and on the Pi's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.machine import LANES, Machine

LIMITS = {"virt": 400, "raspi3b": 900}
"""Seconds from power-on to the login prompt, under emulation on two cores: about four times what it takes."""


@pytest.mark.parametrize("lane", LANES)
def test_boots_to_a_login_prompt(
    image: Path, out: Path, lane: str, record_property: Callable[[str, object], None]
) -> None:
    with Machine(image, LANES[lane], logs=out) as machine:
        seconds = machine.wait_for_login(LIMITS[lane])
        print(f"{lane}: login prompt after {seconds:.0f} s")
        record_property(f"boot_seconds_{lane}", round(seconds, 1))
        machine.screenshot(out / f"boot-{lane}.png")


def test_shows_the_boot_on_the_screen(image: Path, out: Path) -> None:
    with Machine(image, LANES["virt"], logs=out) as machine:
        machine.wait_for_picture(LIMITS["virt"])
        machine.screenshot(out / "screen-virt.png")

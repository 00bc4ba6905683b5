"""The shipped image boots, on QEMU's own board and on the Pi's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.image.machine import LANES, LOGIN, LOST, Machine

LIMITS = {"virt": 400, "raspi3b": 800}
"""Seconds from power-on to the login prompt, under emulation on two cores: about four times what it takes."""


@pytest.fixture(scope="module")
def virt(image: Path, out: Path) -> Iterator[Machine]:
    with Machine(image, LANES["virt"], logs=out) as machine:
        yield machine


Record = Callable[[str, object], None]


def test_virt_boots_to_a_login_prompt(virt: Machine, record_property: Record) -> None:
    record_property("boot_seconds_virt", round(virt.wait_for_login(LIMITS["virt"]), 1))


def test_virt_shows_its_console_on_the_screen(virt: Machine, out: Path) -> None:
    virt.wait_for_login(LIMITS["virt"])
    virt.wait_for_picture(limit=60)
    assert virt.screenshot(out / "boot-virt.png").stat().st_size > 0


def test_raspi3b_boots_to_a_login_prompt(image: Path, out: Path, record_property: Record) -> None:
    """On the serial line only: QEMU has the old frame buffer, Debian's kernel drives the GPU that QEMU lacks."""
    with Machine(image, LANES["raspi3b"], logs=out) as machine:
        record_property("boot_seconds_raspi3b", round(machine.wait_for_login(LIMITS["raspi3b"]), 1))


@pytest.mark.parametrize(
    "line",
    [
        b"[    4.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
        b'You are in emergency mode. After logging in, type "journalctl -xb"\r\n',
        b"Press Enter for maintenance\r\n(or press Control-D to continue): ",
        b"(initramfs) ",
        b"[ TIME ] Timed out waiting for device /dev/disk/by-label/mojoroot.\r\n",
    ],
)
def test_lost_boot_is_seen_at_once(line: bytes) -> None:
    assert LOST.search(b"[    1.0] Linux\r\n" + line)
    assert not LOGIN.search(line)


def test_login_prompt_is_told_from_talk_of_logins() -> None:
    assert LOGIN.search(b"Debian GNU/Linux 13 mojomail ttyAMA0\r\n\r\nmojomail login: ")
    assert not LOGIN.search(b"[  OK  ] Started systemd-logind.service - User Login Management.\r\n")

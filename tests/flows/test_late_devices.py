"""A node that is switched on with no keyboard, and with its TV off: a phone does, until both are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.flows.conftest import LIMITS, bundle_if_it_fails
from tests.flows.goodnode import PAINTED
from tests.lab.inside import NODE_ADDRESS
from tests.lab.machine import LANES, Machine
from tests.lab.room import ANSWERED, WizardRoom
from tests.lab.world import World

DRIVER = "virtio_gpu"
"""What drives the screen. Left out at the boot there is none, as on a Pi whose TV is off: QEMU has no TV to plug in."""


def without_a_keyboard(board: tuple[str, ...]) -> tuple[str, ...]:
    """The board's -device options, but for the keyboard's."""
    at = board.index("usb-kbd")
    return board[: at - 1] + board[at + 1 :]


@pytest.mark.long
def test_the_wizard_waits_for_keyboard_and_tv_and_a_phone_does_without_them(
    image: Path, own_world: World, out: Path
) -> None:
    lane = replace(LANES["virt"], board=without_a_keyboard(LANES["virt"].board))
    wires, logs = own_world.wires, out / "late"
    append = f"modprobe.blacklist={DRIVER}"
    machine = Machine(image, lane, wires=wires, append=append, logs=logs, name="late", seed=SEED)
    with machine as node, bundle_if_it_fails(machine):
        node.start()
        node.wait_for_login(LIMITS["virt"])
        node.wait_for_control(LIMITS["virt"])
        node.settle()
        room = WizardRoom(node)
        told = room.wait_for_screen("language", LIMITS["virt"])
        assert not told["keyboard"]
        assert node.execute("test -e /dev/fb0").code == 1, "the TV is off"
        pin = room.pin()
        with own_world.village.browser() as page:
            page.goto(f"http://{NODE_ADDRESS}:8080/")
            page.fill("input[name=pin]", pin)
            page.click("button.next")
            assert page.input_value("input[name=at]") == "language"
            page.check("input[type=radio][value='kn']")
            page.click("button.next")
            assert page.input_value("input[name=at]") != "language"
        told = room.wait_for("the next question", lambda now: now["screen"] != "language")
        assert told["language"] == "kn"
        node.succeed(f"modprobe {DRIVER}", limit=120)
        node.wait_until("test -e /dev/fb0", limit=60)
        node.wait_for_picture(ANSWERED, PAINTED)
        node.screenshot(out / "late/tv-without-keyboard.png")
        node.plug_keyboard()
        room.wait_for("the keyboard to be seen", lambda now: now["keyboard"])
        assert room.enter()["screen"] != told["screen"]
        node.screenshot(out / "late/tv-with-keyboard.png")

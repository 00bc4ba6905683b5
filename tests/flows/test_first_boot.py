"""The shipped image starts for the first time: on QEMU's own board, on the Pi's, with a link and with none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.flows.conftest import LIMITS, HardTime, bundle_if_it_fails, console_says
from tests.flows.goodnode import (
    ALIKE,
    LISTENING,
    SECRETS,
    WIZARD,
    assert_nobody_has_a_password,
    assert_picture_fits,
    assert_root_has_grown,
    assert_up,
    listeners,
    private_files,
)
from tests.lab import control
from tests.lab.machine import Machine
from tests.lab.room import WizardRoom


@pytest.fixture(params=["second", pytest.param("raspi3b", marks=pytest.mark.raspi3b)])
def up(request: pytest.FixtureRequest) -> Machine:
    """Each card: the one that had a hard time, and the one on the Pi's board; test_new_node.py has an easy one."""
    machine: Machine = request.getfixturevalue(request.param)
    return machine


def test_no_unit_fails_and_the_journal_has_no_unexplained_error(up: Machine) -> None:
    assert_up(up)


def test_root_has_grown_over_the_whole_card(up: Machine) -> None:
    assert_root_has_grown(up)


@pytest.mark.raspi3b
def test_two_cards_of_one_image_have_no_secret_in_common(second: Machine, raspi3b: Machine) -> None:
    one, other = private_files(second), private_files(raspi3b)
    assert set(SECRETS) <= set(one), "a card has not made what it keeps to itself"
    assert {path for path in one if one[path] == other.get(path)} <= set(ALIKE)


def test_nobody_has_a_password_on_a_new_card(up: Machine) -> None:
    assert_nobody_has_a_password(up)


def test_listening_sockets_are_exactly_the_expected_ones(up: Machine) -> None:
    assert listeners(up) == LISTENING | WIZARD


def test_node_without_any_link_works_at_its_own_television(second: Machine) -> None:
    assert second.succeed("nmcli -g STATE general").strip() == "disconnected"
    room = WizardRoom(second)
    assert room.wait_for_screen("language")["problem"] == ""
    assert room.enter()["screen"] != "language"
    assert room.back()["screen"] == "language"


def test_reset_in_the_middle_of_the_first_boot_leaves_no_half_made_file(second: Machine, hard_time: HardTime) -> None:
    assert console_says(hard_time.at_reset, "Starting", hard_time.half_made)
    assert not console_says(hard_time.at_reset, "Finished", hard_time.half_made), "the reset came too late"
    assert "login:" not in hard_time.at_reset, "the reset came too late"
    assert "FAILED" not in second.console.text, "and what was half-made is no trouble in the boot after it"
    rests = second.succeed("find /etc /var/lib /boot/firmware -xdev -name '*.new' -o -xdev -name '.first-secrets'")
    assert rests == ""
    second.succeed("ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key | grep -q '^ssh-ed25519 '")


def test_old_television_shows_the_node_in_its_own_size(second: Machine, out: Path) -> None:
    assert_picture_fits(second, (720, 576), out)


def test_shipped_image_has_no_control_channel(image: Path, out: Path, hard_time: HardTime) -> None:
    """Nobody speaks at the lab's port where the kernel's command line does not ask for it; see also tests/image."""
    with Machine(image, logs=out / "shipped", name="shipped", seed=SEED) as machine, bundle_if_it_fails(machine):
        machine.silent = True
        machine.start()
        machine.wait_for_login(LIMITS["virt"])
        assert not machine.control.is_ready
    assert hard_time.answers, "where it is asked for, somebody has spoken by then: silence says something"
    unit = hard_time.machine.succeed(f"systemctl show -P FragmentPath {control.UNIT}.service").strip()
    assert unit.startswith("/run/"), "the lab's unit comes from the kernel's command line alone"

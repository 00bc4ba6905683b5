"""The shipped image starts for the first time: on QEMU's own board, on the Pi's, with a link and with none."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_reset_in_the_middle_of_the_first_boot_leaves_no_half_made_file(second: Machine) -> None:
    rests = second.succeed("find /etc /var/lib /boot/firmware -xdev -name '*.new' -o -xdev -name '.first-secrets'")
    assert rests == ""
    second.succeed("ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key | grep -q '^ssh-ed25519 '")


def test_old_television_shows_the_node_in_its_own_size(second: Machine, out: Path) -> None:
    assert_picture_fits(second, (720, 576), out)


def test_shipped_image_has_no_control_channel(second: Machine) -> None:
    """Nobody answered at the port while the machine ran as shipped: see `second`; see also tests/image."""
    unit = second.succeed(f"systemctl show -P FragmentPath {control.UNIT}.service").strip()
    assert unit.startswith("/run/"), "the lab's unit comes from the kernel's command line alone"

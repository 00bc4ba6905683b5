"""A new node with its links, as it is when it has come up for the first time; it serves the other tests, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Measure
from tests.flows.goodnode import (
    LISTENING,
    WIZARD,
    assert_nobody_has_a_password,
    assert_picture_fits,
    assert_root_has_grown,
    assert_up,
    listeners,
)
from tests.lab.machine import Machine


@pytest.fixture(scope="module")
def up(booted: Machine) -> Machine:
    booted.restore("booted")
    return booted


def test_no_unit_fails_and_the_journal_has_no_unexplained_error(up: Machine) -> None:
    assert_up(up)


def test_root_has_grown_over_the_whole_card(up: Machine) -> None:
    assert_root_has_grown(up)


def test_nobody_has_a_password(up: Machine) -> None:
    assert_nobody_has_a_password(up)


def test_listening_sockets_are_exactly_the_expected_ones(up: Machine) -> None:
    assert listeners(up) == LISTENING | WIZARD


def test_television_shows_the_node_in_its_own_size(up: Machine, out: Path) -> None:
    assert_picture_fits(up, (1280, 720), out)


def test_idle_memory_leaves_room_on_a_pi(up: Machine, measure: Measure) -> None:
    used = up.idle_memory()
    measure("idle memory", used / 1e6, "MB", lane="virt")
    assert used < 250e6

"""A new node's TV, at its first question, for each test anew."""

from __future__ import annotations

import pytest

from tests.flows.conftest import bundle_if_it_fails
from tests.lab.machine import Machine
from tests.lab.room import WizardRoom
from tests.lab.world import World


@pytest.fixture(scope="session")
def unasked(booted: Machine, world: World) -> Machine:
    """The booted node at the wizard's first question; it trusts the lab's authority. Its snapshot is "unasked"."""
    with world.silence():
        booted.restore("booted")
        world.internet.clear()
    with bundle_if_it_fails(booted):
        WizardRoom(booted).wait_for_screen("language")
        world.trusted_by(booted)
        booted.snapshot("unasked")
    return booted


@pytest.fixture
def tv(unasked: Machine, world: World) -> WizardRoom:
    """The TV of a new node, at its first question, with good links and providers as they were."""
    with world.silence():
        unasked.restore("unasked")
        world.internet.clear()
    return WizardRoom(unasked)

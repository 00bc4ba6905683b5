"""Whole set-ups with every write of the card recorded: one from a preset file, one typed on the TV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SEED
from tests.cuts.replay import partitions
from tests.cuts.setups import ADDRESS, KINDS, PRESET, SECRET, TYPED, Run
from tests.flows.conftest import LIMITS, bundle_if_it_fails
from tests.flows.mailoffice import letter
from tests.lab import processes
from tests.lab.daemontree import ensure_tree
from tests.lab.machine import LANES, Machine
from tests.lab.room import APPLIED, WizardRoom
from tests.lab.world import World
from tests.lab.writelog import copy_sparse

pytest.register_assert_rewrite("tests.cuts.goodcard")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two workers: each takes one set-up, and all that is cut out of it."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next(kind for kind in KINDS if kind in nodeid.partition("[")[2])

    return ByRun(config, log)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The internet and the village around every card."""
    ensure_tree()
    with World(tmp_path_factory.mktemp("world"), seed=SEED) as made:
        made.internet.providers()
        yield made


@pytest.fixture(scope="session")
def far_mail(world: World) -> str:
    """The subject of a mail that waits at the provider."""
    world.internet.add_account(ADDRESS, SECRET)
    world.internet.put(ADDRESS, letter("friend@far.example", ADDRESS, subject="the first mail").as_bytes())
    return "the first mail"


@pytest.fixture(scope="session")
def preset_card(image: Path, world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new card with a preset file on its FAT partition."""
    place = tmp_path_factory.mktemp("preset")
    card, file = place / "preset.img", place / "mojomail.yaml"
    copy_sparse(image, card)
    pem = world.internet.authority_pem().replace("\n", "\n  ").rstrip()
    file.write_text(f"{PRESET}extra_ca: |\n  {pem}\n")
    processes.run("mcopy", "-i", f"{card}@@{partitions(card)[0]}", file, "::/mojomail.yaml")
    return card


@pytest.fixture(scope="session", params=KINDS)
def run(request: pytest.FixtureRequest, image: Path, world: World, far_mail: str, out: Path) -> Iterator[Run]:
    """A set-up from the first power-on to the state screen."""
    kind = request.param
    began: Path = request.getfixturevalue("preset_card") if kind == "preset" else image
    machine = Machine(
        began, LANES["virt"], wires=world.wires, power_cuts=True, logs=out / "cuts", name=f"cut-{kind}", seed=SEED
    )
    with machine as node:
        room = WizardRoom(node)
        with bundle_if_it_fails(node):
            node.start()
            node.wait_for_control(LIMITS["virt"])
            if kind == "typed":
                room.wait_for_screen("language", LIMITS["virt"])
                world.trusted_by(node)
                room.go_through(TYPED)
                room.set_up()
                room.finish()
            else:
                room.wait_for_state_screen(LIMITS["virt"] + APPLIED)
            node.kill()
        yield Run(kind, began, node.write_log, room.seen)

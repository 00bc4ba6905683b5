"""One boot serves many tests: it is snapshotted when it is up, and each test begins from there.

A test that fails leaves a bundle under tests/out/failures: screen, consoles, journal, state, seed, versions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FAILURES, SEED, Measure, folder_of
from tests.flows.mailoffice import MailOffice, set_up
from tests.imagefiles import has, root_of
from tests.lab.daemontree import ensure_tree
from tests.lab.machine import LANES, Machine
from tests.lab.qemu import CARDS
from tests.lab.world import World

pytest.register_assert_rewrite("tests.flows.goodnode", "tests.lab.room")

LIMITS = {"virt": 1500.0, "raspi3b": 2000.0}
"""Seconds from power-on to the login prompt, with other machines on the same cores; a lost boot is seen at once."""

GROUPS = {
    "test_new_node": "village",
    "test_mail": "village",
    "test_slow_link": "village",
    "test_webmail": "village",
    "test_wizard": "village",
    "test_story": "village",
    "test_radio": "village",
    "test_dongle": "village",
    "test_links": "village",
    "test_machine": "village",
    "test_first_boot": "cards",
    "test_power_cut": "cards",
}
"""Test modules that share a machine, and so a worker; others stand for themselves. The longest group comes first."""

WIZARD = {"test_wizard", "test_story", "test_radio", "test_dongle", "test_late_devices", "test_first_screen"}
"""Test modules that need the wizard in the image."""

MAKERS = ("grow-root", "first-secrets", "certificate", "prepare")
"""The units mojomail-* that make on the first boot what a card has of its own."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        add_machines(item, report.when, report.longreprtext)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest; and tests of the wizard need one."""
    for item in items:
        if item.path.stem in WIZARD and isinstance(item, pytest.Function):
            item.fixturenames.insert(0, "wizard_in_the_image")
    order = list(GROUPS)
    items.sort(key=lambda item: order.index(item.path.stem) if item.path.stem in order else len(order))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let two workers boot two machines side by side, and none boot what the other has booted."""
    from xdist.scheduler import LoadScopeScheduling

    class ByMachine(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = Path(nodeid.partition("::")[0]).stem
            return GROUPS.get(module, module)

    return ByMachine(config, log)


def add_machines(item: pytest.Item, when: str, said: str) -> None:
    """Keep what every machine and the world of a failed test show, beside what it said. Never raises."""
    place = folder_of(item.nodeid, when)
    for value in {id(value): value for value in getattr(item, "funcargs", {}).values()}.values():
        try:
            if isinstance(value, Machine):
                value.bundle(place / value.name, error=said)
            elif isinstance(value, World):
                value.bundle(place / "world")
        except Exception as error:
            with suppress(OSError):
                (place / "missing.txt").write_text(f"{type(value).__name__}: {error}\n")


@contextmanager
def bundle_if_it_fails(machine: Machine) -> Iterator[None]:
    """Keep what a machine shows that does not come up: no test has it yet."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        machine.bundle(FAILURES / f"boot-of-{machine.name}", error=error)
        raise


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The far internet and the village, one for all tests; `node` gives it anew to each."""
    ensure_tree()  # here, for the world has no way to a package archive
    with World(tmp_path_factory.mktemp("world"), seed=SEED) as made:
        made.internet.providers()  # it is there from now on, and with it DHCP and DNS on the uplink
        yield made


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """A world for one test alone, whose machine is not the one that all share."""
    ensure_tree()
    with World(tmp_path / "world", seed=SEED) as made:
        made.internet.providers()
        yield made


@pytest.fixture(scope="session")
def wizard_in_the_image(image: Path) -> None:
    """Tests of the wizard need an image that has it: a profile with stage `firstboot`."""
    if not has(root_of(image), "/usr/lib/systemd/system/mojomail-firstboot.service"):
        pytest.skip("the image has no wizard: its profile has no stage firstboot")


@pytest.fixture(scope="session")
def booted(image: Path, world: World, out: Path, measure: Measure) -> Iterator[Machine]:
    """The shipped image, booted for the first time with the world around it; its snapshot is "booted"."""
    with Machine(image, LANES["virt"], wires=world.wires, logs=out / "virt", name="virt", seed=SEED) as machine:
        with bundle_if_it_fails(machine):
            machine.start()
            machine.wait_for_login(LIMITS["virt"])
            machine.wait_for_control(LIMITS["virt"])
            measure("boot", machine.boot_seconds, "s", lane="virt")
            machine.settle()
            for card, network in (("eth0", "10.77.0."), ("eth1", "192.0.2.")):
                machine.wait_until(f"ip -4 -brief address show dev {card} | grep -qF ' {network}'", limit=120)
            machine.snapshot("booted")
        yield machine


@pytest.fixture
def node(booted: Machine, world: World) -> Machine:
    """The booted node as it was when it had come up, with good links and providers as they were."""
    with world.silence():
        booted.restore("booted")
        world.internet.clear()
    return booted


@pytest.fixture(scope="session")
def villagers(booted: Machine, world: World, tmp_path_factory: pytest.TempPathFactory) -> MailOffice:
    """The booted node set up, with everybody's accounts fetched once; its snapshot is "office"."""
    with world.silence():
        booted.restore("booted")
        world.internet.clear()
    with bundle_if_it_fails(booted):
        office = set_up(booted, world, tmp_path_factory.mktemp("office"))
        booted.snapshot("office")
        world.internet.keep()
    return office


@pytest.fixture
def office(villagers: MailOffice, world: World) -> MailOffice:
    """The node with its people as they were when they had been taken in, and empty mailboxes at the providers."""
    villagers.hang_up()
    with world.silence():
        villagers.node.restore("office")
        world.internet.take_back()
    return villagers


@dataclass(frozen=True)
class HardTime:
    """What a card went through before it is `second`, and what was seen of that; tests say what it should have been.

    half_made     the unit mojomail-* that was at work when somebody pressed reset
    at_reset      what the console had said by then
    answers       whether it took commands when it had come to the login prompt again
    """

    machine: Machine
    half_made: str
    at_reset: str
    answers: bool


@pytest.fixture(scope="session")
def hard_time(image: Path, out: Path) -> Iterator[HardTime]:
    """Another card of the same image, with no link at all and an old television; its writes are recorded.

    On its first boot somebody presses reset while something is made that a card has of its own. What is looked at is
    the boot straight after that.
    """
    screen, chance = (720, 576), random.Random(f"reset {SEED}")
    lane, logs = LANES["virt"], out / "second"
    with Machine(image, lane, screen=screen, power_cuts=True, logs=logs, name="second", seed=SEED) as machine:
        with bundle_if_it_fails(machine):
            machine.start()
            pull_cables(machine)
            half_made = chance.choice(MAKERS)
            at_reset = reset_half_way(machine, half_made, chance.randrange(3))
            machine.wait_for_login(LIMITS["virt"])
            answers = machine.control.is_ready
            wait_for_commands(machine)
        yield HardTime(machine, half_made, at_reset, answers)


@pytest.fixture(scope="session")
def second(hard_time: HardTime) -> Machine:
    """A card that had a hard time, up and with no link at all."""
    return hard_time.machine


def console_says(text: str, what: str, maker: str) -> bool:
    """Whether systemd says on a console that a unit mojomail-* is "Starting" or "Finished"."""
    return re.search(rf"{what} \S*mojomail-{maker}\.s", text) is not None


def reset_half_way(machine: Machine, maker: str, flushes: int) -> str:
    """Press reset when a unit of the first boot is at work, and its card was flushed so many times more.

    Gives what the console has said by then.
    """
    machine.wait_until(lambda: console_says(machine.console.text, "Starting", maker), 900, f"mojomail-{maker} to begin")
    enough = len(machine.write_log.flush_points) + flushes
    machine.wait_until(
        lambda: len(machine.write_log.flush_points) >= enough or console_says(machine.console.text, "Finished", maker),
        300,
        f"mojomail-{maker} to go on",
    )
    machine.qmp("stop")  # it goes no further between this look and the reset
    said = machine.console.text
    machine.reset()
    machine.qmp("cont")
    return said


def start_without_cables(machine: Machine) -> None:
    """Switch on a machine that is connected with nothing."""
    machine.start()
    pull_cables(machine)
    wait_for_commands(machine)


def wait_for_commands(machine: Machine) -> None:
    """Wait until a machine has come up and takes commands."""
    machine.wait_for_login(LIMITS["virt"])
    machine.wait_for_control(LIMITS["virt"])
    machine.settle()


def pull_cables(machine: Machine) -> None:
    """Unplug the machine from everything."""
    for card in CARDS:
        machine.link(False, card)


@pytest.fixture(scope="module")
def raspi3b(image: Path, out: Path, measure: Measure) -> Iterator[Machine]:
    """The shipped image on QEMU's Pi 3, with the Pi's own device tree, SD controller and USB."""
    with Machine(image, LANES["raspi3b"], logs=out / "raspi3b", name="raspi3b", seed=SEED) as machine:
        with bundle_if_it_fails(machine):
            machine.start()
            machine.wait_for_login(LIMITS["raspi3b"])
            machine.wait_for_control(LIMITS["raspi3b"])
            measure("boot", machine.boot_seconds, "s", lane="raspi3b")
            machine.settle()
        yield machine

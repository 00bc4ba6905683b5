"""The power goes at each flush of a whole set-up: the card is whole, and the set-up goes on where it was."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from tests.conftest import SEED, Measure
from tests.cuts.goodcard import SEALING_KEY, assert_in_force, assert_no_secret_is_lost, state_on
from tests.cuts.replay import Replay, kept_if_it_fails
from tests.cuts.setups import ADDRESS, KEEPER, OWN, PERSON, SECRET, TYPED, Run
from tests.flows.conftest import FAILURES, LIMITS, bundle_if_it_fails
from tests.flows.goodnode import assert_up
from tests.flows.mailoffice import MailOffice
from tests.lab import qemu
from tests.lab.machine import LANES, Machine
from tests.lab.room import APPLIED, WizardRoom
from tests.lab.world import World

BOOTED = int(os.environ.get("MOJOMAIL_CUTS", "20"))
"""Points of each set-up that are booted."""
PHASES = ["ready", "apply", "join"]
LOOKED = 300.0
"""Seconds until a node has looked for mail, when a run has to begin for it."""


def test_a_cut_at_any_flush_leaves_a_whole_card_and_a_state_to_go_on_from(
    run: Run, tmp_path: Path, measure: Measure
) -> None:
    replay = Replay(run.image, run.log, tmp_path)
    with kept_if_it_fails(replay, FAILURES / f"walk-of-{run.kind}", f"MOJOMAIL_SEED={SEED}"):
        go_through_all_flushes(run, replay, tmp_path)
        if run.kind == "preset":
            assert not [secret for secret in (KEEPER, OWN, SECRET) if secret.encode() in replay.boot.read_bytes()]
    measure("cuts looked at", len(run.log.flush_points), "flushes", run=run.kind)


def go_through_all_flushes(run: Run, replay: Replay, work: Path) -> None:
    """Look at the card as each flush left it."""
    way = [*run.seen, *PHASES]
    furthest, was_done, seal = -1, False, b""
    for number, point in enumerate(run.log.flush_points):
        replay.advance(point)
        with replay.look() as look:
            look.check()
            journal, done = state_on(look)
            at = journal["at"] if journal else None
            assert journal is not None or furthest == -1, "a state that was there is not lost"
            assert done or not was_done, "and a node that is set up stays so"
            if at is not None:
                assert way.index(at) >= furthest, f"after {way[furthest]} comes {at} at flush {number}"
                furthest = way.index(at)
            if at == "join" and not done:
                run.unmarked.append(point)
            if done:
                was_done = True
                assert journal is not None and "people" not in journal["answers"], "no secret stays behind"
                assert_in_force(look, work)
            key = look.read(SEALING_KEY) or b""
            assert not seal or key == seal, "what is sealed can be opened as long as it is there"
            seal = key
            if run.kind == "preset":
                assert_no_secret_is_lost(look, journal, work)
    assert was_done and run.unmarked, "the mark is a write of its own"


@pytest.mark.parametrize("end", [0, -1], ids=["first", "last"])
def test_a_card_that_was_cut_just_before_the_mark_is_done_at_the_next_start(
    end: int, run: Run, world: World, far_mail: str, tmp_path: Path, out: Path
) -> None:
    if not run.unmarked:
        pytest.skip("these flushes are found by the test that looks at all of them")
    card = tmp_path / "cut.img"
    run.log.rebuild(run.image, run.unmarked[end], card, size=qemu.DISK_BYTES)
    boot_to_a_working_node(card, f"unmarked-{run.kind}-{end}", run, world, far_mail, out)
    card.unlink()


@pytest.mark.parametrize("number", range(BOOTED))
def test_a_card_that_was_cut_goes_on_to_a_working_node(
    number: int, run: Run, world: World, far_mail: str, tmp_path: Path, out: Path
) -> None:
    chance = random.Random(f"{SEED} {run.kind} {number}")
    point, card = chance.choice(run.log.flush_points), tmp_path / "cut.img"
    run.log.rebuild(run.image, point, card, seed=chance.randrange(1 << 30), size=qemu.DISK_BYTES)
    boot_to_a_working_node(card, f"cut-{run.kind}-{number}", run, world, far_mail, out)
    card.unlink()


def boot_to_a_working_node(card: Path, name: str, run: Run, world: World, far_mail: str, out: Path) -> None:
    """Start a card that was cut, answer what is left to be answered, and see that mail gets to it."""
    with Machine(card, LANES["virt"], wires=world.wires, logs=out / "cuts", name=name, seed=SEED) as node:
        room = WizardRoom(node)
        with bundle_if_it_fails(node):
            node.start()
            node.wait_for_control(LIMITS["virt"])
            told = room.wait_for("the TV", lambda now: now["field"] != "busy" or run.kind == "preset", LIMITS["virt"])
            if run.kind == "typed":
                world.trusted_by(node)
                if told["screen"] != "state":
                    go_on(room)
            room.wait_for_state_screen(LIMITS["virt"])
            (person,) = json.loads(node.succeed("mojomail person list --json"))
            assert person["login"] == PERSON.login
            assert_mail_comes_once(node, world, far_mail)
            assert_up(node)


def assert_mail_comes_once(node: Machine, world: World, subject: str) -> None:
    """The mail that waits at the provider comes here, once, and is left alone there."""
    holds = f"grep -rlsF 'Subject: {subject}' /srv/mail"
    node.wait_until(holds, LOOKED)
    office = MailOffice(node, world, Path("none"))
    for _ in ("the run that brought it ends", "and one more has its turn"):
        office.fetch(PERSON, LOOKED)
    assert len(node.succeed(holds).splitlines()) == 1, "nobody sees a mail twice"
    assert [mail.subject for mail in world.internet.messages(ADDRESS)] == [subject], "nothing goes at the provider"


def go_on(room: WizardRoom) -> None:
    """Answer what is left to be answered, wherever the set-up is."""
    told = room.wait_for("a screen to answer", lambda now: now["field"] != "busy", APPLIED)
    if told["screen"] not in ("test", "join"):
        asked = {name: value for name, value in TYPED.items() if name not in room.answered()}
        room.go_through(asked)
        room.set_up()
    room.finish()

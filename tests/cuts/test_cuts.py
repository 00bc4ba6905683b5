"""The power goes at each flush of a whole set-up: the card is whole, and the set-up goes on where it was."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SEED, Measure
from tests.cuts.replay import Look, Replay
from tests.cuts.setups import ADDRESS, KEEPER, OWN, SECRET, TYPED, Run
from tests.flows.conftest import LIMITS, bundle_if_it_fails
from tests.lab import qemu
from tests.lab.machine import LANES, Machine
from tests.lab.room import APPLIED, WizardRoom
from tests.lab.world import World

BOOTED = int(os.environ.get("MOJOMAIL_CUTS", "20"))
"""Points of each set-up that are booted."""
FOLDER = "/var/lib/mojomail/firstboot"
DATABASE = "/var/lib/mojomail/mojomail.db"
PHASES = ["ready", "apply", "join"]
CONNECTIONS = "/etc/NetworkManager/system-connections"
WHOLE = ["/var/lib/mojomail/keeper", f"{CONNECTIONS}/mojomail-lan-cable.nmconnection"]
"""What each of the two set-ups leaves besides people and their accounts."""


def state_on(look: Look) -> tuple[dict[str, Any] | None, bool]:
    """The wizard's journal, None where there is none, and whether it is done."""
    written = look.read(f"{FOLDER}/journal.json")
    return (None if written is None else json.loads(written)), look.read(f"{FOLDER}/done") is not None


def people_on(look: Look, place: Path) -> list[tuple[str, str]]:
    """The logins in the mail office's database, each with an address."""
    for ending in ("", "-wal", "-journal"):
        copy = place / f"people.db{ending}"
        copy.unlink(missing_ok=True)
        if (found := look.read(f"{DATABASE}{ending}")) is not None:
            copy.write_bytes(found)
    with sqlite3.connect(place / "people.db") as database:
        return list(database.execute("SELECT login, address FROM person LEFT JOIN account USING (uid)"))


def test_a_cut_at_any_flush_leaves_a_whole_card_and_a_state_to_go_on_from(
    run: Run, tmp_path: Path, measure: Measure
) -> None:
    way = [*run.seen, *PHASES]
    replay = Replay(run.image, run.log, tmp_path)
    furthest, was_done = -1, False
    points = run.log.flush_points
    for number, point in enumerate(points):
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
                assert people_on(look, tmp_path) == [("asha", ADDRESS)], "a node is not done before it is whole"
                for path in WHOLE:
                    assert look.read(path), f"{path} is a part of it"
            if run.kind == "preset":
                assert_the_file_or_the_journal_has_the_secrets(look, journal)
    assert was_done and run.unmarked, "the mark is a write of its own"
    measure("cuts looked at", len(points), "flushes", run=run.kind)
    if run.kind == "preset":
        assert not [secret for secret in (KEEPER, OWN, SECRET) if secret.encode() in replay.boot.read_bytes()]


def assert_the_file_or_the_journal_has_the_secrets(look: Look, journal: dict[str, Any] | None) -> None:
    """They leave the FAT partition only when they are on the node."""
    text = look.read_boot("mojomail.yaml") or b""
    assert journal is not None or all(secret.encode() in text for secret in (KEEPER, OWN, SECRET))


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
            assert person["login"] == "asha"
            node.wait_until(f"grep -rqs 'Subject: {far_mail}' /srv/mail", limit=300)


def go_on(room: WizardRoom) -> None:
    """Answer what is left to be answered, wherever the set-up is."""
    told = room.wait_for("a screen to answer", lambda now: now["field"] != "busy", APPLIED)
    if told["screen"] not in ("test", "join"):
        asked = {name: value for name, value in TYPED.items() if name not in room.answered()}
        room.go_through(asked)
        room.set_up()
    room.finish()

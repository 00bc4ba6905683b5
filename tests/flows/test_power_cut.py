"""A power cut leaves on the card what was flushed to it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.conftest import SEED
from tests.cuts.replay import Replay
from tests.flows.conftest import LIMITS, bundle_if_it_fails, start_without_cables
from tests.flows.mailoffice import ARRIVES, ASHA, FRIEND, RAVI, letter, letters, set_up
from tests.imagefiles import mended_root, read
from tests.lab.machine import LANES, Machine
from tests.lab.room import APPLIED, WizardRoom
from tests.lab.world import World
from tests.lab.writelog import WriteLog


def test_a_cut_card_has_a_file_system_that_mends_itself(second: Machine, tmp_path: Path) -> None:
    """As it is after the last flush, and with some of the writes since."""
    second.succeed(
        "for n in 1 2 3; do cp -r /etc /root/copy-$n; sync /root/copy-$n/passwd; done; rm -r /root/copy-*", limit=300
    )
    points = second.write_log.flush_points
    for seed in (None, 1, 2):
        card = tmp_path / f"cut-{seed}.img"
        second.copy_cut(card, points[-2], seed=seed)
        assert read(mended_root(card, tmp_path / "root"), "/etc/hostname")
        card.unlink()


def test_a_power_cut_takes_what_was_not_flushed_and_nothing_else(second: Machine, tmp_path: Path) -> None:
    """Read from the card; a machine starts from one below."""
    # what nobody asks to be flushed stays in memory, however long this takes (the kernel's admin-guide/sysctl/vm.rst)
    second.succeed(
        "cd /proc/sys/vm; cat dirty_writeback_centisecs dirty_expire_centisecs > /run/were"
        "; echo 0 > dirty_writeback_centisecs; echo 360000 > dirty_expire_centisecs"
    )
    before = second.write_log.flush_points[-1]
    second.succeed("echo lost > /root/lost; echo kept > /root/kept; sync /root/kept")
    kept = second.write_log.flush_points[-1]
    second.succeed(
        "cd /proc/sys/vm; { read a; read b; } < /run/were; echo $a > dirty_writeback_centisecs"
        "; echo $b > dirty_expire_centisecs"
    )
    assert kept > before
    card = tmp_path / "cut.img"
    assert second.copy_cut(card, kept) == kept
    root = mended_root(card, tmp_path / "root")
    assert read(root, "/root/kept") == "kept\n"
    assert not read(root, "/root/lost")


ANSWERS = {
    "name": "rampur",
    "keeper.password": letters(12),
    "people.0.name": "Asha Rao",
    "people.0.password": letters(12),
}
FOLDER = "/var/lib/mojomail/firstboot"


def test_a_set_up_whose_power_is_cut_goes_on_where_it_was_and_ends_well(
    second: Machine, image: Path, tmp_path: Path
) -> None:
    """One typed on the TV, cut while its answers come into force; tests/cuts does so at many points."""
    room, before = WizardRoom(second), len(second.write_log.flush_points)
    room.wait_for_screen("language")
    room.go_through(ANSWERS)
    assert_each_answer_stays(room.seen, image, second.write_log, before, tmp_path)
    room.enter("start")
    flushes = len(second.write_log.flush_points) + random.Random(f"{SEED} set-up").randint(1, 40)
    second.wait_until(
        lambda: len(second.write_log.flush_points) >= flushes or room.told().get("screen") == "test", APPLIED, "the cut"
    )
    second.power_cut(seed=SEED)
    assert not second.is_on
    start_without_cables(second)
    told = room.wait_for("the end of the work", lambda now: now["field"] != "busy", APPLIED)
    assert told["screen"] == "test", "nobody is asked again what was answered"
    room.finish()
    assert second.succeed("hostname").strip() == "rampur"
    (person,) = json.loads(second.succeed("mojomail person list --json"))
    assert person["login"] == "asha"
    assert second.succeed("systemctl --failed --plain --no-legend") == ""


def assert_each_answer_stays(way: list[str], image: Path, log: WriteLog, before: int, work: Path) -> None:
    """At each flush since the first question, the card has an answer more than before, or as many."""
    way, furthest = [*way, "ready"], 0
    replay, points = Replay(image, log, work), log.flush_points[before:]
    for point in points:
        replay.advance(point)
        with replay.look() as look:
            written = look.read(f"{FOLDER}/journal.json")
            assert written is not None or furthest == 0
            at = way.index(json.loads(written)["at"]) if written else 0
            assert at >= furthest, f"after {way[furthest]} comes {way[at]}"
            furthest = at
    assert way[furthest] == "ready", "the last answer is on the card before the summary is shown"


@pytest.mark.long
def test_a_power_cut_in_the_middle_of_everything_loses_no_mail_and_doubles_none_here(
    image: Path, own_world: World, out: Path, tmp_path: Path
) -> None:
    lane, wires, logs = LANES["virt"], own_world.wires, out / "power"
    machine = Machine(image, lane, wires=wires, power_cuts=True, logs=logs, name="power", seed=SEED)
    with machine as mortal, bundle_if_it_fails(machine):
        mortal.start()
        mortal.wait_for_login(LIMITS["virt"])
        mortal.wait_for_control(LIMITS["virt"])
        mortal.settle()
        cut_in_the_middle(mortal, own_world, tmp_path)


def cut_in_the_middle(mortal: Machine, world: World, tmp_path: Path) -> None:
    """Cut the power while mail comes and goes, at a point that chance decides."""
    office = set_up(mortal, world, tmp_path)
    internet, (gmail, yahoo), home = world.internet, ASHA.addresses, RAVI.addresses[0]
    coming = {
        ASHA: [f"to {gmail}, {number}" for number in range(6)],
        RAVI: [f"to {home}, {number}" for number in range(3)],
    }
    office.link(False)
    for address, villager in ((gmail, ASHA), (home, RAVI)):
        internet.put_all(address, [letter(FRIEND, address, subject=each).as_bytes() for each in coming[villager]])
    going = {
        f"from {sender}": office.send(ASHA, letter(sender, FRIEND, subject=f"from {sender}"))
        for sender in (gmail, yahoo)
    }
    office.send(RAVI, letter(home, gmail, subject="from the village"))
    written = len(mortal.write_log.flush_points) + random.Random(f"{SEED} cut").randint(2, 60)
    office.link(True)
    mortal.wait_until(
        lambda: len(mortal.write_log.flush_points) >= written or len(office.mails(ASHA)) == 7, ARRIVES, "the cut"
    )
    mortal.power_cut(seed=SEED)
    mortal.start()
    mortal.wait_for_control(limit=LIMITS["virt"])
    for subject in going:
        office.wait_for_arrival(FRIEND, subject, limit=3 * ARRIVES)
    for villager, subjects in coming.items():
        for subject in subjects:
            office.wait_for_mail(villager, subject, limit=3 * ARRIVES)
        here = office.subjects(villager)
        assert sorted(here) == sorted([*subjects, *(["from the village"] if villager is ASHA else [])])
    twice = [subject for subject in going if len(office.arrived(FRIEND, subject)) > 1]
    assert len(twice) <= 1, "at most the one whose answer from the provider was on its way when the power went"
    assert not [mail for mail in office.outbox() if mail["state"] == "refused"]

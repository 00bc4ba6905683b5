"""A machine is taken back whatever was plugged in, by a QEMU whose machine rests before its first instruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lab import processes
from tests.lab.dongle import Dongle
from tests.lab.machine import LANES, LabError, Machine, MachineFailure
from tests.unit.smallimage import small_image

Plug = Callable[[Machine], None]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine at rest, with a snapshot "here"; what should be done in it is passed over."""
    with Machine(small_image(tmp_path)) as made:
        monkeypatch.setattr(made, "succeed", lambda _command: "")
        monkeypatch.setattr(made, "send_file", lambda _data, _path: None)
        made._switch_on()
        made.snapshot("here")
        yield made


@pytest.fixture
def dongle(node: Machine) -> Iterator[Dongle]:
    made = Dongle(node.work, None)
    yield made
    made.close()


def pid(node: Machine) -> int:
    assert node.process is not None
    return node.process.pid


def tags(node: Machine) -> list[str]:
    """What QEMU keeps in the card."""
    said = processes.run("qemu-img", "snapshot", "-U", "-l", node.work / "card.qcow2")
    return [line.split()[1] for line in said.splitlines()[2:]]


def pull_and_plug(node: Machine) -> None:
    node.pull_keyboard()
    node.plug_keyboard()


def assert_is_as_it_was(node: Machine) -> None:
    """It goes on, and can be kept and taken back."""
    assert node.qmp("query-status")["running"]
    assert node.unlike_power_on() is None
    node.qmp("stop")
    node.snapshot("again")
    node.restore("again")
    assert node.qmp("query-status")["running"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Machine.plug_keyboard, "pull the keyboard that was plugged in first"),
        (Machine.pull_keyboard, "the keyboard was pulled, restore() or stop() and start() the machine first"),
        (pull_and_plug, "the keyboard was pulled, restore() or stop() and start() the machine first"),
        (lambda node: node.qmp("device_add", driver="usb-mouse", id="mouse"), "unplug the usb-mouse first"),
    ],
    ids=["plugged", "pulled", "replaced", "another"],
)
def test_a_snapshot_with_other_devices_is_refused_and_the_old_one_can_be_restored(
    node: Machine, change: Plug, said: str
) -> None:
    change(node)
    with pytest.raises(LabError) as refused:
        node.snapshot("here")
    assert str(refused.value) == f"no snapshot can be made: {said}"
    node.restore("here")
    assert_is_as_it_was(node)


def test_a_snapshot_with_a_dongle_is_refused_and_the_old_one_can_be_restored(node: Machine, dongle: Dongle) -> None:
    node.plug_dongle(dongle)
    with pytest.raises(LabError, match=r"^no snapshot can be made: unplug the dongle first$"):
        node.snapshot("here")
    node.restore("here")
    assert_is_as_it_was(node)
    with pytest.raises(MachineFailure, match="there is no dongle to be unplugged"):
        node.unplug_dongle()


def test_what_was_unplugged_again_is_no_hindrance(node: Machine, dongle: Dongle) -> None:
    first = pid(node)
    node.plug_dongle(dongle)
    node.plug_keyboard()
    node.unplug_dongle()
    node.pull_keyboard()
    node.snapshot("here")
    node.restore("here")
    assert pid(node) == first
    assert_is_as_it_was(node)


def test_a_dongle_is_gone_with_the_machine_that_is_switched_off(node: Machine, dongle: Dongle) -> None:
    node.plug_dongle(dongle)
    with pytest.raises(MachineFailure, match=r"there is a dongle already: unplug_dongle\(\) first"):
        node.plug_dongle(dongle)
    node.stop()
    node._switch_on()
    with pytest.raises(MachineFailure, match="there is no dongle to be unplugged"):
        node.unplug_dongle()
    node.plug_dongle(dongle)
    node.unplug_dongle()


def test_a_second_keyboard_more_is_refused(node: Machine) -> None:
    node.plug_keyboard()
    with pytest.raises(MachineFailure, match=r"a keyboard was plugged in already: pull_keyboard\(\) first"):
        node.plug_keyboard()


def test_a_machine_that_could_not_be_taken_back_is_off_and_can_be_taken_back_elsewhere(node: Machine) -> None:
    node._snapshots["lost"] = replace(node._snapshots["here"], tag="lost")
    with pytest.raises(MachineFailure, match="QMP snapshot-load: "):
        node.restore("lost")
    assert not node.is_on
    node.restore("here")
    assert_is_as_it_was(node)


def test_a_machine_that_was_being_taken_back_at_ctrl_c_is_off(node: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_words: Any, **_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(node, "qmp_job", interrupt)
    with pytest.raises(KeyboardInterrupt):
        node.restore("here")
    monkeypatch.undo()
    assert not node.is_on
    node.restore("here")
    assert node.qmp("query-status")["running"]


def test_a_snapshot_of_a_name_takes_the_place_of_the_older_one(node: Machine) -> None:
    node.link(False, "lan")
    node.snapshot("here")
    assert len(tags(node)) == 1
    node.link(True, "lan")
    node.restore("here")
    assert not node.links["lan"]


def test_an_older_snapshot_stays_when_qemu_does_not_make_the_new_one(
    node: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, job = tags(node), node.qmp_job

    def no_room(command: str, *words: Any, **arguments: Any) -> None:
        if command == "snapshot-save":
            raise MachineFailure("QMP snapshot-save: No space left on device")
        job(command, *words, **arguments)

    monkeypatch.setattr(node, "qmp_job", no_room)
    with pytest.raises(MachineFailure, match="No space left"):
        node.snapshot("here")
    assert tags(node) == before
    node.restore("here")
    assert node.qmp("query-status")["running"]


def test_a_lane_without_snapshots_says_so(tmp_path: Path) -> None:
    with Machine(small_image(tmp_path), LANES["raspi3b"]) as node, pytest.raises(LabError) as refused:
        node.snapshot("here")
    assert str(refused.value) == "the lane raspi3b has no snapshots: use the lane virt"

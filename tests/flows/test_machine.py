"""The lab's machine does what it promises, on the booted image."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imagefiles import mended_root, read
from tests.lab import processes
from tests.lab.control import ControlError
from tests.lab.dongle import Dongle
from tests.lab.guest import CommandFailed
from tests.lab.machine import LabError, Machine, MachineFailure
from tests.lab.qemu import CARDS
from tests.lab.sim import Sim

ROOT = Path(__file__).resolve().parents[2]
BOOT_LIMIT = 1500.0
"""Seconds that a boot may take: minutes when two machines share two cores. A boot that is lost is seen at once."""
EVERY_KEY = "The 5 boxing wizards jump quickly: !@#$%^&*()_+-={}[]|\\;'\"<>,.?/`~ PACK MY BOX"


@pytest.fixture(scope="module")
def up(booted: Machine) -> Machine:
    """The booted node for what leaves no trace that matters; it has found all its devices."""
    booted.restore("booted")
    return booted


@pytest.fixture
def node(up: Machine) -> Machine:
    """The same as it was then, for each test anew."""
    up.restore("booted")
    return up


def test_a_command_gives_what_it_printed(up: Machine) -> None:
    assert up.succeed("echo one; echo two >&2") == "one\n"
    result = up.execute("echo one; echo two >&2; exit 4")
    assert (result.code, result.stdout, result.stderr) == (4, "one\n", "two\n")


def test_a_command_that_fails_shows_all_that_helps(up: Machine) -> None:
    with pytest.raises(CommandFailed) as failed:
        up.succeed("echo seen; echo broken >&2; exit 9")
    said = str(failed.value)
    assert all(text in said for text in ("exit 9", "exit code 9", "out | seen", "err | broken", "login:"))
    assert up.fail("echo no; false") == "no\n"
    with pytest.raises(CommandFailed, match="it succeeded"):
        up.fail("true")


def test_a_command_that_hangs_is_killed_at_its_limit(up: Machine) -> None:
    with pytest.raises(MachineFailure, match="killed after 2 s"):
        up.execute("echo begun; sleep 1000", limit=2)
    up.wait_until("! pgrep -f '[s]leep 1000'", limit=30)  # it has been killed, and needs a moment to be gone


def test_any_file_goes_in_and_comes_out(up: Machine) -> None:
    data = bytes(range(256)) * 1500
    up.send_file(data, "/root/a file")
    assert up.read_file("/root/a file") == data
    with pytest.raises(CommandFailed, match="No such file"):
        up.read_file("/root/none")


def test_a_condition_is_waited_for_no_longer_than_its_limit(up: Machine) -> None:
    up.succeed("(sleep 2; touch /run/there) >/dev/null 2>&1 &")
    up.wait_until("test -e /run/there", limit=30)
    with pytest.raises(MachineFailure, match=r"a miracle: not after 1 s; last: False"):
        up.wait_until(lambda: False, limit=1, what="a miracle")


def test_a_unit_that_comes_up_is_waited_for(up: Machine) -> None:
    up.succeed("systemd-run --unit=slow -p Type=oneshot -p RemainAfterExit=yes --no-block sleep 2")
    up.wait_for_unit("slow.service", limit=60)


@pytest.mark.parametrize(
    ("make", "unit", "said"),
    [
        ("systemd-run --unit=bad --wait sh -c 'echo my last words; exit 3' || true", "bad", "my last words"),
        ("true", "systemd-firstboot", "inactive, and no job"),
        ("true", "no-such", "not-found"),
    ],
    ids=["failed", "inactive", "unknown"],
)
def test_a_unit_that_will_not_come_up_fails_the_wait_at_once(up: Machine, make: str, unit: str, said: str) -> None:
    up.succeed(make)
    with pytest.raises(MachineFailure, match=said):
        up.wait_for_unit(f"{unit}.service", limit=100_000)


def test_a_port_is_waited_for_until_somebody_answers(up: Machine) -> None:
    listen = (
        "use IO::Socket; sleep 2; $s=IO::Socket::INET->new(LocalAddr=>'127.0.0.1:7777',Listen=>1); $s->accept while 1"
    )
    up.send_file(listen.encode(), "/run/listen.pl")
    up.succeed("systemd-run --unit=listens perl /run/listen.pl")
    up.wait_for_port(7777, limit=60)
    with pytest.raises(MachineFailure, match=r"a connection to 127\.0\.0\.1:7778: not after 1 s"):
        up.wait_for_port(7778, limit=1)


def test_typing_that_did_not_arrive_is_an_error(up: Machine) -> None:
    with pytest.raises(MachineFailure, match="typed 'abc', but there is 'ab'"):
        up.type("abc", check=lambda: "ab", limit=2)


def test_a_picture_has_the_size_of_the_screen(up: Machine, tmp_path: Path) -> None:
    up.wait_for_picture(limit=60)
    picture = up.screenshot(tmp_path / "screen.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack_from(">II", picture, 16) == up.screen


@pytest.mark.parametrize("card", CARDS)
def test_a_cable_is_pulled_and_plugged_in_again(up: Machine, card: str) -> None:
    carrier = f"/sys/class/net/{up.lane.interfaces[card]}/carrier"
    up.wait_until(f"grep -q 1 {carrier}", limit=60)
    up.link(False, card)
    up.wait_until(f"grep -q 0 {carrier}", limit=30)
    up.link(True, card)
    up.wait_until(f"grep -q 1 {carrier}", limit=30)


def test_a_bundle_holds_all_one_would_look_at(up: Machine, tmp_path: Path) -> None:
    up.bundle(tmp_path)
    kept = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert "missing.txt" not in kept
    assert all(
        kept[name] for name in ("screen.png", "tty.txt", "state.txt", "journal.txt", "versions.json", "qemu.txt")
    )


def test_keys_change_the_screen_and_what_is_typed_arrives_there(prompt: Machine) -> None:
    prompt.type(EVERY_KEY)
    assert prompt.tty_text(2).endswith(EVERY_KEY)


@pytest.fixture
def prompt(node: Machine) -> Machine:
    """The node with a login prompt on its screen: the first one has the wizard."""
    assert node.active_tty() == 1
    node.key("ctrl-alt-f2")
    node.wait_until(lambda: node.active_tty() == 2, limit=30)
    node.wait_until(lambda: "login:" in node.tty_text(2), limit=120)
    return node


def test_a_restored_machine_knows_nothing_of_what_came_after(prompt: Machine) -> None:
    node = prompt
    boot = node.succeed("cat /proc/sys/kernel/random/boot_id")
    node.succeed("touch /root/after; sync")
    node.link(False, "uplink")
    node.type("after")
    node.restore("booted")
    assert node.succeed("cat /proc/sys/kernel/random/boot_id") == boot
    assert node.succeed("ls /root") == ""
    assert node.active_tty() == 1
    assert node.links["uplink"]
    node.wait_until("grep -q 1 /sys/class/net/eth1/carrier", limit=30)


@pytest.fixture
def dongle(node: Machine) -> Iterator[Dongle]:
    """One that leads nowhere."""
    made = Dongle(node.work, Sim())
    yield made
    made.close()


@pytest.mark.parametrize(
    "change",
    ["dongle plugged", *(pytest.param(f"keyboard {how}", marks=pytest.mark.long) for how in ("plugged", "pulled"))],
)
def test_a_machine_is_taken_back_whatever_was_plugged_in_or_pulled(node: Machine, dongle: Dongle, change: str) -> None:
    keyboards = "ls /sys/bus/usb/drivers/usbhid | grep -c :"
    boot = node.succeed("cat /proc/sys/kernel/random/boot_id")
    node.succeed("echo kept > /root/kept")
    node.snapshot("kept")
    match change:
        case "keyboard plugged":
            node.plug_keyboard()
            node.wait_until(f"[ $({keyboards}) = 2 ]", limit=60)
        case "keyboard pulled":
            node.pull_keyboard()
            node.wait_until(f"[ $({keyboards}) = 0 ]", limit=60)
        case "dongle plugged":
            node.plug_dongle(dongle)
            node.wait_until("[ -e /dev/ttyUSB1 ]", limit=60)
    with pytest.raises(LabError, match=r"^no snapshot can be made: [^\n]+ first$"):
        node.snapshot("kept")
    node.succeed("rm /root/kept")
    node.restore("kept")
    assert node.succeed("cat /root/kept /proc/sys/kernel/random/boot_id") == f"kept\n{boot}"
    assert node.succeed(f"{keyboards}; ls /dev/ttyUSB* 2>/dev/null || true") == "1\n"
    node.snapshot("kept")
    node.restore("booted")
    assert node.fail("ls /root/kept") == ""


def test_a_kernel_that_panics_ends_every_wait(node: Machine) -> None:
    with pytest.raises(MachineFailure, match=r"^the machine is lost: Kernel panic - not syncing: sysrq"):
        node.execute("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger", limit=BOOT_LIMIT)
    with pytest.raises(MachineFailure, match=r"^the machine is lost: Kernel panic - not syncing: sysrq"):
        node.wait_until(lambda: False, limit=BOOT_LIMIT)
    node.restore("booted")
    node.check()
    assert node.succeed("echo here") == "here\n"


def test_reset_starts_the_machine_anew_at_once(node: Machine) -> None:
    errors: list[ControlError] = []

    def wait() -> None:
        try:
            node.control.run("sleep 1000", 1000)
        except ControlError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    node.wait_until("pgrep -f '[s]leep 1000'", limit=30)
    node.reset()
    waiting.join(30)
    assert [str(error) for error in errors] == ["the machine began anew"]
    assert "login:" not in node.console.text
    node.console.wait_for(r"OK +.*Reached target|systemd", limit=BOOT_LIMIT)


def test_a_killed_machine_keeps_what_it_sent_to_its_card_and_can_be_asked_why(node: Machine, tmp_path: Path) -> None:
    node.succeed("echo kept > /root/kept; sync -f /root/kept")
    node.kill()
    assert not node.is_on
    with pytest.raises(MachineFailure, match="the machine is off"):
        node.succeed("true")
    node.bundle(tmp_path, error=RuntimeError("why"))
    assert {"error.txt", "qemu.txt", "versions.json", "missing.txt"} <= {path.name for path in tmp_path.iterdir()}
    node.copy_card(tmp_path / "card.img")
    assert read(mended_root(tmp_path / "card.img", tmp_path / "root"), "/root/kept") == "kept\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_machine_whose_owner_is_ended(image: Path, how: signal.Signals) -> None:
    program = (
        "import sys, threading\nfrom pathlib import Path\nfrom tests.lab.machine import Machine\n"
        "with Machine(Path(sys.argv[1])) as node:\n"
        "    node.start()\n    print(node.process.pid, node.work, flush=True)\n    threading.Event().wait()\n"
    )
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    owner = processes.start([sys.executable, "-c", program, image], stdout=subprocess.PIPE, env=here)
    assert owner.stdout is not None
    try:
        assert select.select([owner.stdout], [], [], 120)[0], "the machine was not switched on in 120 s"
        pid, work = owner.stdout.readline().decode().split()
        assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/")
        owner.send_signal(how)
        owner.communicate(timeout=60)
    finally:
        processes.end(owner)
    until = time.monotonic() + 90
    while (Path(f"/proc/{pid}").exists() or Path(work).exists()) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert not Path(work).exists()
    assert not Path(f"/proc/{pid}").exists()

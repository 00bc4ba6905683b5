"""The control channel, with its far end run here on a pseudo terminal, as on the Pi's serial line."""

from __future__ import annotations

import base64
import os
import pty
import re
import select
import shlex
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import processes
from tests.lab.control import CommandLate, Control, ControlError, kernel_arguments, line_of, pack, unpack, words_of
from tests.lab.qemu import LANES, Lane

CREDENTIAL = re.compile(r"systemd\.set_credential_binary=systemd\.extra-unit\.(\S+):(\S+) systemd\.wants=(\S+)")


class FarEnd:
    """A machine's side of the channel: the loader of the unit, on a port that is wired to `socket`."""

    def __init__(self) -> None:
        self.near, self.socket = socket.socketpair()
        self.port, tty_ = pty.openpty()
        tty.setraw(tty_)
        self.device = os.ttyname(tty_)
        self._tty = tty_  # kept open, or the port would be closed between two loaders
        for source, target in ((self.port, self.socket), (self.socket, self.port)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()
        self.loader: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _pump(source: int | socket.socket, target: int | socket.socket) -> None:
        try:
            while data := source.recv(4096) if isinstance(source, socket.socket) else os.read(source, 4096):
                while data and isinstance(target, int):
                    data = data[os.write(target, data) :]
                if isinstance(target, socket.socket):
                    target.sendall(data)
        except OSError:
            return

    def load(self) -> None:
        """Do what systemd does with the unit."""
        _, packed, _ = CREDENTIAL.search(kernel_arguments(self.device, is_tty=False)).groups()  # type: ignore[union-attr]
        unit = base64.b64decode(packed).decode()
        command = re.search(r"^ExecStart=(.*)\n\Z", unit, re.MULTILINE)[1]  # type: ignore[index]
        self.loader = processes.start(shlex.split(command.replace(r"\n", "\n")), stderr=subprocess.PIPE)

    def end(self) -> None:
        if self.loader is not None:
            processes.end(self.loader)


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    far_end = FarEnd()
    yield far_end
    far_end.end()
    far_end.socket.close()


@pytest.fixture
def control(far_end: FarEnd) -> Iterator[Control]:
    control = Control()
    control.attach(far_end.near)
    far_end.load()
    assert control.wait_until_ready(10)
    yield control
    control.close()


def test_a_command_gives_its_exit_code_and_both_outputs(control: Control) -> None:
    result = control.run("echo out; echo err >&2; exit 3", 10)
    assert (result.code, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_any_byte_goes_in_and_comes_out(control: Control) -> None:
    data = bytes(range(256)) * 2000
    assert control.run("cat", 20, stdin=data).output == data


def test_a_failure_in_a_pipe_is_not_hidden(control: Control) -> None:
    assert control.run("false | cat", 10).code == 1


def test_a_command_that_dies_of_a_signal_says_so(control: Control) -> None:
    assert control.run("kill -TERM $$", 10).code == 128 + 15


def ends(process: int, limit: float) -> bool:
    """Whether a process has ended, or does so within `limit` seconds: being killed takes it a moment."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], limit)[0])
    finally:
        os.close(descriptor)


def test_a_command_that_hangs_is_killed_with_its_children_and_the_channel_goes_on(control: Control) -> None:
    with pytest.raises(CommandLate) as late:
        control.run("echo begun; sleep 61 & echo $!; sleep 62", 0.5)
    begun, child = late.value.stdout.split()
    assert begun == "begun"
    assert ends(int(child), 10), "its children are killed too"
    assert control.run("echo here", 10).stdout == "here\n"


def test_a_background_process_does_not_hold_its_command_up(control: Control) -> None:
    before = time.monotonic()
    result = control.run("sleep 20 & echo $!", 15)
    os.kill(int(result.stdout), 9)
    assert time.monotonic() - before < 10


def test_two_commands_run_at_once(control: Control, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(control.run(f"cat {tmp_path}/fifo", 10).stdout))
    reader.start()
    assert control.run(f"echo met > {tmp_path}/fifo", 10).code == 0
    reader.join(10)
    assert read == ["met\n"]


def test_half_a_line_that_was_lost_does_not_spoil_the_next(control: Control, far_end: FarEnd) -> None:
    request = line_of("run", "999", "0", "10", pack(b"exit 7"), "-")
    os.write(far_end._tty, b"12 gar")  # what the near end hears
    far_end.near.sendall(request[: len(request) // 2])
    assert control.run("echo here", 10).stdout == "here\n"


def test_an_answer_nobody_waits_for_is_dropped(control: Control, far_end: FarEnd) -> None:
    far_end.near.sendall(line_of("run", "stale", "0", "10", pack(b"echo stale"), "-"))
    assert control.run("echo fresh", 10).stdout == "fresh\n"
    assert not control._answers


def test_a_request_of_a_past_age_is_not_done(control: Control, far_end: FarEnd, tmp_path: Path) -> None:
    control.begin_age(10)
    far_end.near.sendall(line_of("run", "stale", "0", "10", pack(f"touch {tmp_path}/stale".encode()), "-"))
    assert control.run("echo here", 10).stdout == "here\n"
    control.begin_age(10)
    assert control.run(f"ls {tmp_path}", 10).stdout == ""


def test_a_machine_that_begins_anew_fails_who_waits_and_then_answers_again(control: Control, far_end: FarEnd) -> None:
    errors: list[Exception] = []

    def wait() -> None:
        try:
            control.run("sleep 30", 30)
        except ControlError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    control.greet(10)
    far_end.end()
    far_end.load()
    waiting.join(10)
    assert [str(error) for error in errors] == ["the machine began anew"]
    assert control.wait_until_ready(10)
    assert control.run("echo again", 10).stdout == "again\n"


def test_a_machine_that_went_off_is_said_so(control: Control, far_end: FarEnd) -> None:
    far_end.socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ControlError, match=r"the machine (went|is) off"):
        control.run("true", 10)


def test_nothing_is_asked_before_the_far_end_is_there(far_end: FarEnd) -> None:
    control = Control()
    control.attach(far_end.near)
    with pytest.raises(ControlError, match="not there"):
        control.run("true", 1)
    control.close()


@pytest.mark.parametrize("lane", LANES.values(), ids=lambda lane: lane.name)
def test_the_unit_is_small_enough_for_the_command_line(lane: Lane) -> None:
    arguments = kernel_arguments(lane.control, is_tty="tty" in lane.control)
    assert len(arguments) < 1024
    name, _, wanted = CREDENTIAL.search(arguments).groups()  # type: ignore[union-attr]
    assert name == wanted


@pytest.mark.parametrize("line", [b"", b"load", b"12 torn", b"x y", b"-1 a"])
def test_a_torn_line_has_no_words(line: bytes) -> None:
    assert words_of(line) == []


def test_a_line_comes_out_as_it_went_in() -> None:
    assert words_of(line_of("run", "1", pack(b"a b\n"))) == ["run", "1", "6120620a"]
    assert unpack(pack(b"")) == b""

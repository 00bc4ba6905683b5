"""A machine of which nothing more is to be expected is not waited for; its ends are played here."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.control import line_of
from tests.lab.machine import Machine, MachineFailure
from tests.unit.smallimage import small_image

PANIC = b"[   63.2] Kernel panic - not syncing: sysrq triggered crash\r\n[   63.3] CPU: 0 PID: 1\r\n"
FREEZE = b"[  230.201210] systemd[1]: Freezing execution.\r\n"
LOGIN = b"\r\nmojomail login: "
NO_ROOM = {"event": "BLOCK_IO_ERROR", "data": {"operation": "write", "action": "stop", "nospace": True}}
RESUMED = {"event": "RESUME"}
LONG = 600.0
"""Seconds that nobody waits here."""


class Played(Machine):
    """A machine without QEMU, that is on; `line` is the far end of its console, `port` that of its control channel."""

    line: socket.socket
    port: socket.socket

    @property
    def is_on(self) -> bool:
        return True

    def qmp(self, command: str, limit: float = 60.0, /, **arguments: Any) -> Any:
        raise MachineFailure("there is no QEMU")

    def says(self, text: bytes) -> None:
        before = len(self.console.data)
        self.line.sendall(text)
        self.console.wait(10, lambda: len(self.console.data) >= before + len(text))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Played]:
    with Played(small_image(tmp_path)) as made:
        near, made.line = socket.socketpair()
        made.console.attach(near)
        near, made.port = socket.socketpair()
        made.control.attach(near)
        yield made
        for end, close in ((made.line, made.console.close), (made.port, made.control.close)):
            end.close()
            close()


@pytest.mark.parametrize("said", [PANIC, FREEZE], ids=["panic", "freeze"])
@pytest.mark.parametrize(("before", "what"), [(b"", "boot"), (LOGIN, "machine")], ids=["before", "after"])
def test_a_dead_machine_is_not_waited_for_before_and_after_its_login_prompt(
    node: Played, said: bytes, before: bytes, what: str
) -> None:
    node.says(before)
    node.check()
    node.says(said)
    with pytest.raises(MachineFailure, match=rf"^the {what} is lost: (Kernel panic - not syncing: sysrq|systemd\[1\])"):
        node.wait_until(lambda: False, LONG)


def test_who_has_logged_in_may_ask_for_the_emergency_mode(node: Played) -> None:
    node.says(LOGIN + b'You are in emergency mode. After logging in, type "journalctl -xb"\r\n')
    node.check()


def test_a_panic_from_before_a_restore_or_a_reset_is_past(node: Played) -> None:
    node.says(LOGIN)
    kept = node.console.keep()
    for past in (lambda: node.console.recall(kept), lambda: node._on_event({"event": "RESET"})):
        node.says(PANIC)
        with pytest.raises(MachineFailure):
            node.check()
        past()
        node.check()


@pytest.fixture
def ready(node: Played) -> Played:
    """The same, where the control channel is."""
    node.says(LOGIN)
    node.port.sendall(line_of("ready"))
    assert node.control.wait_until_ready(10)
    return node


def when_asked(node: Played, do: Callable[[], object]) -> None:
    """Do something as soon as a command arrives in the machine."""

    def answer() -> None:
        node.port.recv(1 << 16)
        do()

    threading.Thread(target=answer, daemon=True).start()


def test_a_command_ends_at_a_panic_and_says_so(ready: Played) -> None:
    def panic() -> None:
        for half in (PANIC[:25], PANIC[25:]):
            ready.says(half)

    when_asked(ready, panic)
    with pytest.raises(MachineFailure, match=r"^the machine is lost: Kernel panic - not syncing: sysrq.*\nsleep 600"):
        ready.succeed("sleep 600", LONG)
    assert not ready.control.is_ready


def test_a_full_disk_of_the_host_ends_commands_and_waits_and_says_what_to_do(ready: Played) -> None:
    full = rf"^the host's disk is full: {ready.work} has no room, free some or set TMPDIR to where there is\n"
    when_asked(ready, lambda: ready._on_event(NO_ROOM))
    with pytest.raises(MachineFailure, match=full):
        ready.succeed("sleep 600", LONG)
    with pytest.raises(MachineFailure, match=full):
        ready.wait_until(lambda: False, LONG)
    ready._on_event(RESUMED)
    ready.check()
    assert ready.control.is_ready, "it goes on where it was"


def test_another_error_of_the_card_is_the_machines_own(ready: Played) -> None:
    ready._on_event({"event": "BLOCK_IO_ERROR", "data": {"operation": "read", "action": "report", "nospace": False}})
    ready.check()

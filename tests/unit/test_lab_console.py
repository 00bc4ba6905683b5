"""What a serial line says is kept, and what is waited for is found in it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from tests.lab.console import HALTED, LOGIN, LOST, Console, ConsoleError


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Console, socket.socket]]:
    near, far = socket.socketpair()
    console = Console("ttyAMA0", tmp_path / "log")
    console.attach(near)
    yield console, far
    console.close()
    far.close()


Line = tuple[Console, socket.socket]


def test_what_is_said_in_pieces_is_found_and_logged(line: Line) -> None:
    console, far = line
    far.sendall(b"\r\nmojomail lo")
    far.sendall(b"gin: ")
    assert console.wait_for(r"^\w+ login: $", 5)
    assert console.log.read_bytes() == b"\r\nmojomail login: "


def test_what_does_not_come_is_waited_for_no_longer_than_the_limit(line: Line) -> None:
    console, far = line
    far.sendall(b"something else\n")
    with pytest.raises(ConsoleError, match=r"(?s)'login': not on ttyAMA0 after 0 s.*ttyAMA0 \| something else"):
        console.wait_for("login", 0.2)


class Interrupted:
    """A pattern for which something comes to the line between the first look at the text and the wait after it."""

    pattern = "login"

    def __init__(self, between: Callable[[], None]) -> None:
        self._between: Callable[[], None] | None = between

    def search(self, text: str) -> re.Match[str] | None:
        found = re.search(self.pattern, text)
        if self._between is not None:
            self._between()
            self._between = None
        return found


@pytest.mark.parametrize("earlier", [b"", b"a longer line, of an earlier start\n"], ids=["first", "anew"])
def test_what_comes_between_look_and_wait_is_not_lost(line: Line, earlier: bytes) -> None:
    console, far = line
    far.sendall(earlier + b"begun")
    console.wait_for("begun", 5)

    def say() -> None:
        if earlier:
            console.begin()
        far.sendall(b"login")
        console.wait_for("login", 5)

    began = time.monotonic()
    assert console.wait_for(cast("re.Pattern[str]", Interrupted(say)), 20)
    assert time.monotonic() - began < 10, "it was found at the end of the limit alone"


def test_a_closed_line_is_waited_for_no_longer(line: Line) -> None:
    console, far = line
    far.close()
    with pytest.raises(ConsoleError, match="ttyAMA0 is closed"):
        console.wait_for("login", 60)


def test_what_was_said_before_a_new_start_is_not_found_after_it(line: Line) -> None:
    console, far = line
    far.sendall(b"node login: ")
    console.wait_for("login", 5)
    console.begin()
    assert console.find(LOGIN) is None
    assert console.text == ""
    far.sendall(b"\nnode login: ")
    console.wait_for("login", 5)


def test_when_something_came_is_known(line: Line) -> None:
    console, far = line
    before = time.monotonic()
    far.sendall(b"node login: ")
    console.wait_for("login", 5)
    when = console.find(LOGIN)
    far.sendall(b"more\n")
    console.wait_for("more", 5)
    assert when is not None and before <= when <= time.monotonic()
    assert console.find(LOGIN) == when


def test_what_is_sent_arrives(line: Line) -> None:
    console, far = line
    console.send("root\n")
    assert far.recv(100) == b"root\n"


@pytest.mark.parametrize(
    "said",
    [
        b"[    4.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
        b"[  230.201210] systemd[1]: Freezing execution.\r\n",
        b'You are in emergency mode. After logging in, type "journalctl -xb"\r\n',
        b"Press Enter for maintenance\r\n(or press Control-D to continue): ",
        b"(initramfs) ",
        b"[ TIME ] Timed out waiting for device /dev/disk/by-label/mojoroot.\r\n",
    ],
)
def test_a_lost_boot_is_seen_at_once(said: bytes) -> None:
    assert LOST.search(b"[    1.0] Linux\r\n" + said)
    assert not LOGIN.search(said)


def test_a_login_prompt_is_told_from_talk_of_logins() -> None:
    assert LOGIN.search(b"Debian GNU/Linux 13 mojomail ttyAMA0\r\n\r\nmojomail login: ")
    assert not LOGIN.search(b"[  OK  ] Started systemd-logind.service - User Login Management.\r\n")


@pytest.mark.parametrize("said", [b"Power down", b"Power off not available: System halted instead"])
def test_a_machine_that_has_gone_off_is_told_from_one_that_restarts(said: bytes) -> None:
    assert HALTED.search(b"[  248.699842] reboot: " + said + b"\r\n")
    assert not HALTED.search(b"[  248.699842] reboot: Restarting system\r\n")

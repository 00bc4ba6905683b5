"""The relay between a far end, here a socket, and QEMU's end, which comes, stops reading, goes and comes again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.links import LINKS, Link
from tests.lab.processes import temporary_directory
from tests.lab.relay import PENDING, Port, Relay
from tests.lab.wire import PLAIN_HEADER, Wire


@dataclass
class Setting:
    """A relay that runs, with the far end of its only wire."""

    directory: Path
    relay: Relay
    port: Port
    far: socket.socket
    thread: threading.Thread

    def qemu(self) -> socket.socket:
        """QEMU's end of the card, as QEMU makes it."""
        path = self.directory / "uplink.qemu"
        path.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(str(path))
        made.settimeout(10)
        return made

    def settled(self, count: int) -> None:
        """Return when the relay has carried `count` frames in all."""
        end = time.monotonic() + 10
        while self.port.wire.fates().delivered < count:
            assert time.monotonic() < end, "the relay does not carry"
            time.sleep(0.005)
        with self.relay.changing():
            pass


@pytest.fixture
def setting() -> Iterator[Setting]:
    with temporary_directory() as directory:
        far, tap = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        far.settimeout(10)
        port = Port("uplink", Wire(LINKS["lan"], 1, time.monotonic()), tap.detach(), directory)
        relay = Relay([port])
        thread = threading.Thread(target=relay.run)
        thread.start()
        yield Setting(directory, relay, port, far, thread)
        relay.end()
        thread.join(10)
        assert not thread.is_alive()
        assert not (directory / "uplink.wire").exists()
        far.close()


def frame(number: int) -> bytes:
    return bytes(12) + b"\x88\xb5" + number.to_bytes(4, "big") + bytes(46)


def test_frames_pass_both_ways(setting: Setting) -> None:
    with setting.qemu() as qemu:
        setting.far.send(frame(1))
        assert qemu.recv(2000) == frame(1)
        qemu.sendto(frame(2), str(setting.port.path))
        assert setting.far.recv(2000) == frame(2)


def test_a_far_end_without_ethernet_sees_packets_alone() -> None:
    with temporary_directory() as directory:
        far, tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        port = Port("dongle", Wire(LINKS["lan"], 1, 0.0), tun.detach(), directory, PLAIN_HEADER)
        far.send(b"E down")
        assert list(port.from_tap()) == [PLAIN_HEADER + b"E down"]
        port.to_tap(PLAIN_HEADER + b"E up")
        assert far.recv(2000) == b"E up"
        port.close()
        far.close()


def test_frames_for_a_qemu_that_is_not_there_are_gone(setting: Setting) -> None:
    for number in range(50):
        setting.far.send(frame(number))
    setting.settled(50)
    with setting.qemu() as qemu:
        setting.far.send(frame(99))
        assert qemu.recv(2000) == frame(99)


def test_a_qemu_that_comes_again_gets_its_frames(setting: Setting) -> None:
    for number in range(3):
        with setting.qemu() as qemu:
            setting.far.send(frame(number))
            assert qemu.recv(2000) == frame(number)


def test_a_qemu_that_stops_reading_for_a_while_gets_what_was_kept_in_order(setting: Setting) -> None:
    with setting.qemu() as qemu:
        for number in range(100):
            setting.far.send(frame(number))
        setting.settled(100)
        assert [qemu.recv(2000) for _ in range(100)] == [frame(number) for number in range(100)]


def test_a_qemu_that_never_reads_holds_nothing_up(setting: Setting) -> None:
    with setting.qemu() as qemu:
        for number in range(PENDING + 500):
            setting.far.send(frame(number))
        setting.settled(PENDING + 500)
        qemu.sendto(frame(7), str(setting.port.path))
        assert setting.far.recv(2000) == frame(7)
        assert len(setting.port.pending) <= PENDING


def test_a_stopped_qemu_that_goes_is_forgotten(setting: Setting) -> None:
    with setting.qemu():
        for number in range(100):
            setting.far.send(frame(number))
        setting.settled(100)
    with setting.qemu() as qemu:
        setting.far.send(frame(1000))
        last = b""
        while last != frame(1000):
            last = qemu.recv(2000)


def test_frames_come_when_their_time_has_come(setting: Setting) -> None:
    with setting.relay.changing() as now:
        setting.port.wire.use(Link(delay=0.4), now)
    with setting.qemu() as qemu:
        start = time.monotonic()
        setting.far.send(frame(1))
        qemu.recv(2000)
        assert 0.2 <= time.monotonic() - start < 1.0


def test_an_idle_relay_sleeps(setting: Setting) -> None:
    with setting.qemu() as qemu:
        setting.far.send(frame(1))
        qemu.recv(2000)
        assert setting.relay._wait() is None

"""The lab's dongle at its sockets: QEMU's cables on one side, the world's wire on the other."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.dongle import Dongle
from tests.lab.hdlc import Deframer, frame
from tests.lab.modem import Network
from tests.lab.ppp import ACK, IP, IPCP, LCP, REQUEST
from tests.lab.processes import temporary_directory
from tests.lab.sim import Sim
from tests.lab.wire import PLAIN_HEADER

PIN = "4242"


@dataclass
class Setting:
    """A dongle, with the far end of its wire."""

    dongle: Dongle
    wire: socket.socket
    path: Path

    def plug(self) -> list[socket.socket]:
        """QEMU's ends of the two cables."""
        ends = [socket.socket(socket.AF_UNIX) for _ in self.dongle.ports]
        for end, port in zip(ends, self.dongle.ports, strict=True):
            end.settimeout(10)
            end.connect(str(port))
        return ends


@pytest.fixture
def setting() -> Iterator[Setting]:
    with temporary_directory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.settimeout(10)
        wire.bind(str(directory / "dongle.wire"))
        network = Network(search=0.0)
        dongle = Dongle(directory, Sim(pin=PIN), network, wires=directory, log=directory / "log")
        yield Setting(dongle, wire, directory)
        dongle.close()
        assert not list(directory.glob("dongle*.qemu")) and not any(port.exists() for port in dongle.ports)


def ask(end: socket.socket, command: str, until: str = "OK") -> str:
    """Type a command on a cable, and read on until a word is there."""
    end.sendall(command.encode() + b"\r")
    said = ""
    while until not in said:
        data = end.recv(4096)
        assert data, said
        said += data.decode("latin-1")
    return said


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait, at most 10 seconds, until a condition holds."""
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def wait_until_registered(end: socket.socket) -> None:
    """Wait until there is a network."""
    wait_until(lambda: ",1" in ask(end, "AT+CREG?"))


def test_both_cables_take_commands_and_a_dongle_that_is_pulled_wants_its_pin_again(setting: Setting) -> None:
    for _ in range(2):
        first, second = setting.plug()
        assert "SIM PIN" in ask(first, "AT+CPIN?")
        ask(first, f'AT+CPIN="{PIN}"')
        assert "READY" in ask(second, "AT+CPIN?")
        wait_until_registered(second)
        for end in (first, second):
            end.close()
        wait_until(lambda: not setting.dongle.plugged)
    assert setting.dongle.presented == [PIN, PIN]
    assert setting.dongle.tries == 3
    assert "AT+CPIN?" in (setting.path / "log").read_text()


def test_packets_go_from_the_cable_to_the_wire_and_back(setting: Setting) -> None:
    first, second = setting.plug()
    ask(first, f'ATE0+CPIN="{PIN}"')
    wait_until_registered(second)
    ask(first, 'AT+CGDCONT=1,"IP","jionet"')
    said = ask(first, "ATD*99#", until="CONNECT\r\n")
    deframer = Deframer()
    packets = deframer.feed(said.partition("CONNECT\r\n")[2].encode("latin-1"))

    def hear() -> bytes:
        while not packets:
            packets.extend(deframer.feed(first.recv(4096)))
        return packets.pop(0)

    def say(protocol: int, code: int, number: int, data: bytes = b"") -> None:
        body = bytes([code, number]) + (4 + len(data)).to_bytes(2, "big") + data
        first.sendall(frame(protocol.to_bytes(2, "big") + body))

    for protocol, data in ((LCP, b""), (IPCP, b"\x03\x06\xc6\x33\x64\x02")):
        wanted = hear()
        assert (int.from_bytes(wanted[:2], "big"), wanted[2]) == (protocol, REQUEST)
        say(protocol, REQUEST, 1, data)
        assert hear()[2] == ACK
        say(protocol, ACK, wanted[3], wanted[6:])
    first.sendall(frame(IP.to_bytes(2, "big") + b"E up"))
    assert setting.wire.recv(2000) == PLAIN_HEADER + b"E up"
    assert setting.dongle.connected
    setting.wire.sendto(PLAIN_HEADER + b"E down", str(setting.path / "dongle.qemu"))
    assert hear() == IP.to_bytes(2, "big") + b"E down"

    setting.dongle.signal(None)
    assert b"NO CARRIER" in first.recv(4096)
    assert "+CREG: 0,2" in ask(second, "AT+CREG?")
    assert (setting.dongle.connected, setting.dongle.dialled) == (False, ["jionet"])

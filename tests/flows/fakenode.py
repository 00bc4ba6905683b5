"""Stands in for the machine at the near end of the world's wires: a network namespace with two cards, and no QEMU.

    with node_at(world.wires) as node:
        node.ping("192.0.2.1")

It has the node's addresses, and hands out sockets from its network at `node.calls`. The program itself, started as
`python -m tests.flows.fakenode DIRECTORY`, ends when its standard input closes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from imagebuilder import namespace
from tests.lab import netns, processes, remote
from tests.lab.remote import Proxy, Remote
from tests.lab.village import Place
from tests.lab.world import ROOT

CARDS = {"lan": "10.77.0.1/24", "uplink": "192.0.2.10/24"}
GATEWAY = "192.0.2.1"
SOCKET_NAME = "node.calls"


class Inside:
    """What is called from outside."""

    def socket(self, _place: str, family: int, kind: int, protocol: int) -> socket.socket:
        """A new socket in the node's network."""
        return socket.socket(family, kind, protocol)


def attach(card: str, address: str, directory: Path) -> None:
    """Make a card and carry its frames to and from the wire, as QEMU's `-netdev dgram` does."""
    tap = netns.open_tap(card)
    netns.add_address(card, address)
    own, wire = directory / f"{card}.qemu", str(directory / f"{card}.wire")
    own.unlink(missing_ok=True)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(str(own))

    def to_wire() -> None:
        while True:
            frame = os.read(tap, 65536)
            try:
                end.sendto(frame, wire)
            except OSError:
                continue  # nobody is there

    def from_wire() -> None:
        while True:
            os.write(tap, end.recv(65536))

    for work in (to_wire, from_wire):
        threading.Thread(target=work, daemon=True).start()


def live(directory: Path) -> int:
    """Be the node until standard input closes."""
    netns.leave()
    netns.disable_ipv6()
    for card, address in CARDS.items():
        attach(card, address, directory)
    netns.add_default_route(GATEWAY)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(directory / SOCKET_NAME))
    server.listen()

    def serve() -> None:
        while True:
            caller, _address = server.accept()
            threading.Thread(target=remote.answer, args=(caller, Inside()), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    while os.read(0, 4096):
        pass
    return 0


class Node:
    """The stand-in for the machine: a place to make sockets in, and its ping."""

    def __init__(self, wires: Path, process: subprocess.Popen[bytes]) -> None:
        connection = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 20
        while True:
            try:
                connection.connect(str(wires / SOCKET_NAME))
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the stand-in did not start"
                time.sleep(0.02)
        self.remote = Remote(connection)
        self.calls: Proxy = self.remote.root
        self.place = Place("node", self.calls.socket, None)
        self.ping = self.place.ping


@contextlib.contextmanager
def node_at(wires: Path) -> Iterator[Node]:
    """A stand-in at the near end of the wires, for the block."""
    words: list[str | Path] = [sys.executable, "-m", "tests.flows.fakenode", wires]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    (wires / SOCKET_NAME).unlink(missing_ok=True)
    process = processes.start(words, stdin=subprocess.PIPE, stderr=None, env=environment)
    try:
        made = Node(wires, process)
        yield made
        made.remote.close()
    finally:
        processes.end(process)


if __name__ == "__main__":
    directory = Path(sys.argv[1]).resolve()
    sys.exit(namespace.enter(lambda: live(directory)))

"""The world around the machine: run as `python -m tests.lab.inside` by tests/lab/world.py, never by hand.

A user, mount and pid namespace with two network namespaces: `internet`, where the far providers are, and `village`,
the LAN with its phones. Each has a tap, and a wire carries frames between that and a card of the machine. Its life
hangs on standard input: when that closes, because whoever started it closed it or died, everything here ends.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import ipaddress
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imagebuilder import namespace
from imagebuilder.errors import MojoError
from tests.lab import netns, remote
from tests.lab.dhcp import Router
from tests.lab.links import Link, link_named
from tests.lab.modem import OPERATOR
from tests.lab.processes import LabError
from tests.lab.relay import Port, Relay
from tests.lab.wire import PLAIN_HEADER, Counts, Fates, Wire

UPLINK_ADDRESS = "192.0.2.1/24"
PROVIDERS_NET = "203.0.113.1/24"
VILLAGE_ADDRESS = "10.77.0.2/24"
NODE_ADDRESS = "10.77.0.1"
SOCKET_NAME = "world.calls"
CANNOT = 3
"""Exit code when the host does not allow such a world; the last line of the output says why."""

VILLAGE_FILES = {
    "/etc/resolv.conf": f"nameserver {NODE_ADDRESS}\noptions timeout:5 attempts:2\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
"""What a program in the village sees in place of the host's files, so that it asks the node for names."""


class WireControl:
    """What tests do to one wire. Sizes are bytes of IP packets, times are seconds."""

    def __init__(self, relay: Relay, wire: Wire) -> None:
        self._relay, self._wire = relay, wire

    def use(self, link: str | Link, first_drop: float | None = None) -> None:
        """Be a link of this kind, by name (links.py) or made to measure, and be up."""
        kind = link_named(link) if isinstance(link, str) else link
        with self._relay.changing() as now:
            self._wire.use(kind, now, first_drop=first_drop)
            self._wire.set_up(True, now)

    def up(self, up: bool) -> None:
        """Let packets pass, or none: radio silence, in which the cards still see a carrier."""
        with self._relay.changing() as now:
            self._wire.set_up(up, now)

    def cut_after(self, *, size: int | None, seconds: float | None, seed: object) -> float:
        """Cut at a random point in the next `size` bytes or the next `seconds`; returns the point."""
        if (size is None) == (seconds is None):
            raise LabError("say either within how many bytes or within how many seconds the link is to be cut")
        chance = random.Random(f"{seed} cut")
        with self._relay.changing() as now:
            if size is not None:
                point: float = chance.randint(1, size)
                self._wire.cut_after(now, count=int(point))
            else:
                point = chance.uniform(0, seconds or 0)
                self._wire.cut_after(now, seconds=point)
        return point

    def state(self) -> str:
        """`up`, `down`, `cut`, `none` or `drop`."""
        with self._relay.changing():
            return self._wire.state()

    def counts(self) -> dict[str, Counts]:
        """What went over the wire by far address."""
        with self._relay.changing():
            return self._wire.counts()

    def fates(self) -> Fates:
        """What became of the frames."""
        with self._relay.changing():
            return self._wire.fates()

    def reset_counts(self) -> None:
        """Begin to count anew."""
        with self._relay.changing():
            self._wire.reset_counts()


class Inside:
    """What the tests' end sees first."""

    def __init__(
        self, places: dict[str, int], controls: dict[str, WireControl], router: Router | None, seed: str
    ) -> None:
        self._places, self._seed = places, seed
        self.wires = controls
        self.router = router
        self.holder = _hold(places["village"])
        self._internet: Any = None
        self._building = threading.Lock()

    def socket(self, place: str, family: int, kind: int, protocol: int) -> socket.socket:
        """A new socket that lives in the network namespace `place`."""
        with netns.entered(self._places[place]):
            return socket.socket(family, kind, protocol)

    def internet(self, work: Path) -> Any:
        """The far providers, begun with the first call; `work` is where their logs are kept."""
        from tests.lab.farside import Internet

        with self._building:
            if self._internet is None:
                made = Internet(work, "uplink", self._seed)
                made.start()
                self._internet = made
            return self._internet


def _hold(village: int) -> int:
    """A process that stays in the village, for nsenter(1) to find; returns its id as the host sees it."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        code = 1
        try:
            _enter_village(village)
            # /proc is still the host's, so this is the id that counts out there.
            os.write(writer, str(Path("/proc/self").readlink()).encode())
            os.close(writer)
            while True:
                signal.pause()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answer:
        number = answer.read()
    if not number:
        raise LabError("the village's namespace could not be entered")
    return int(number)


def _enter_village(village: int) -> None:
    """Become a phone: in the village's network, and asking the node for names."""
    netns.enter(village)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(namespace.CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS)")
    for name, text in VILLAGE_FILES.items():
        target = Path(name).resolve()
        if target.is_file():
            namespace.mount("tmpfs", "/mnt", "tmpfs")
            copy = Path("/mnt") / target.name
            copy.write_text(text)
            namespace.mount(str(copy), target, flags=namespace.MS_BIND)
            namespace.unmount("/mnt")


def _end_with_standard_input() -> None:
    """Wait until nobody holds the other end of standard input, then end this process, and with it the namespace."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def _first_process(main: Callable[[], int]) -> int:
    """Run `main` in a child and bury whoever is left over; the way of process 1. Returns what `main` returned."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us hears it too, and tidies up in its own order
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            code = main()
        except NoWorld as error:
            print(error, file=sys.stderr)
            code = CANNOT
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    while True:
        ended, status = os.wait()
        if ended == child:
            return abs(os.waitstatus_to_exitcode(status))


class NoWorld(Exception):
    """The host does not let the world be made; says why and what mends it, in one line."""


def _one_line(error: Exception) -> str:
    """An error and the command that mends it."""
    said = str(error).replace("\n  hint: ", ": ")
    return f"{said}: {namespace.ALLOW}" if os.strerror(errno.EPERM) in said and "sudo" not in said else said


def _live(directory: Path, seed: str, with_router: bool) -> int:
    """Make the networks, the wires and the place to call, and serve until the process is ended.

    Raises NoWorld when something of it cannot be made; what goes wrong later is raised as it is.
    """
    try:
        server, inside = _make(directory, seed, with_router)
    except (OSError, LabError, MojoError) as error:
        raise NoWorld(_one_line(error)) from error
    while True:
        caller, _address = server.accept()
        threading.Thread(target=remote.answer, args=(caller, inside), daemon=True).start()


def _make(directory: Path, seed: str, with_router: bool) -> tuple[socket.socket, Inside]:
    """All that a world has, and the socket to call it at."""
    namespace.mount("none", "/", flags=namespace.MS_REC | namespace.MS_PRIVATE)
    netns.leave()
    netns.disable_ipv6()
    places = {"internet": netns.current(), "village": netns.create()}
    netns.add_address("lo:1", PROVIDERS_NET)
    uplink = netns.open_tap("uplink")
    netns.add_address("uplink", UPLINK_ADDRESS)
    dongle = netns.open_tun("dongle")
    netns.add_address("dongle", f"{OPERATOR}/24")
    with netns.entered(places["village"]):
        lan = netns.open_tap("lan")
        netns.add_address("lan", VILLAGE_ADDRESS)
        netns.add_default_route(NODE_ADDRESS)
    router = Router(ipaddress.IPv4Interface(VILLAGE_ADDRESS), ipaddress.IPv4Address(NODE_ADDRESS))

    now = time.monotonic()
    wires = {card: Wire(link_named("lan"), f"{seed} {card}", now) for card in ("uplink", "lan", "dongle")}
    ports = [Port(card, wires[card], tap, directory) for card, tap in (("uplink", uplink), ("lan", lan))]
    relay = Relay([*ports, Port("dongle", wires["dongle"], dongle, directory, PLAIN_HEADER)])
    controls = {card: WireControl(relay, wire) for card, wire in wires.items()}
    inside = Inside(places, controls, router if with_router else None, seed)
    _begin(relay.run)
    if with_router:
        with netns.entered(places["village"]):
            _begin(lambda: router.serve("lan"))
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(directory / SOCKET_NAME))
    server.listen()
    return server, inside


def _begin(work: Callable[[], None]) -> None:
    """Do `work` in a thread of the calling thread's namespace; when it fails, the world ends rather than limps."""

    def guarded() -> None:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    threading.Thread(target=guarded, daemon=True).start()


def main() -> int:
    """Read the command line and live."""
    parser = argparse.ArgumentParser(description="the world around the lab's machine (started by tests/lab/world.py)")
    parser.add_argument("directory", type=Path, help="where the wires' sockets are made")
    parser.add_argument("--seed", required=True, help="what all chance comes from")
    parser.add_argument("--router", action="store_true", help="give the node its address in the village by DHCP")
    given = parser.parse_args()
    directory = given.directory.resolve()
    try:
        return namespace.enter(lambda: _first_process(lambda: _live(directory, given.seed, given.router)))
    except MojoError as error:
        print(_one_line(error), file=sys.stderr)
        return CANNOT


if __name__ == "__main__":
    sys.exit(main())

"""The booted node and the world around it: its link is as bad as it is said to be, and nothing gets round it."""

from __future__ import annotations

import errno
import re
import socket
import time
from contextlib import ExitStack

import pytest

from tests.conftest import Measure
from tests.lab import processes
from tests.lab.inside import NODE_ADDRESS
from tests.lab.links import LINKS, Link
from tests.lab.machine import Machine
from tests.lab.providers import PROVIDERS
from tests.lab.world import World

GMAIL = PROVIDERS["gmail"]


def round_trips(node: Machine, count: int) -> tuple[list[float], float]:
    """The times in seconds that pings to the name server took, and the share that was lost (ping(8))."""
    said = node.execute(f"ping -n -c {count} -i 0.5 -W 5 192.0.2.1", limit=count + 30).stdout
    lost = re.search(r"([\d.]+)% packet loss", said)
    assert lost, said
    return [float(time) / 1000 for time in re.findall(r"time=([\d.]+) ms", said)], float(lost[1]) / 100


def talk(node: Machine, name: str, port: int, limit: float = 60) -> str:
    """The first line that a far server says."""
    return node.succeed(f'exec 3<>/dev/tcp/{name}/{port} && IFS= read -r line <&3 && echo "$line"', limit=limit)


def test_node_finds_the_providers_under_their_own_names(node: Machine, world: World) -> None:
    for provider in PROVIDERS.values():
        for name, address in provider.names.items():
            assert node.succeed(f"getent ahostsv4 {name} | head -n 1").split()[0] == address
    assert talk(node, "smtp.gmail.com", 587).startswith("220 smtp.gmail.com")


@pytest.mark.parametrize("name", ["edge", "gprs"])
def test_mobile_link_is_as_slow_as_its_profile_says(name: str, node: Machine, world: World) -> None:
    link = LINKS[name]
    world.uplink.use(Link(rate=link.rate, delay=link.delay, queue=link.queue))
    times, lost = round_trips(node, 6)
    assert lost == 0
    assert link.delay <= min(times) < link.delay + 0.25, times


def test_each_direction_takes_half_of_the_delay(node: Machine, world: World) -> None:
    """The far side hears of a packet after half a round trip, and long before a whole one."""
    node.succeed("ping -n -c 1 192.0.2.1")  # so that nobody needs to ask for an address first
    world.uplink.use(Link(delay=12.0))
    with world.internet_socket(kind=socket.SOCK_DGRAM) as far:
        far.bind(("192.0.2.1", 4000))
        far.settimeout(30)
        began = time.monotonic()
        node.succeed("echo mojo > /dev/udp/192.0.2.1/4000")
        sent = time.monotonic()
        assert far.recvfrom(100)[0] == b"mojo\n"
        heard = time.monotonic()
    assert heard - began >= 6.0
    assert heard - sent <= 6.0 + 3.0


def test_lossy_link_loses_packets_and_a_clean_one_none(node: Machine, world: World) -> None:
    world.uplink.use(Link(loss=0.3))
    _, lost = round_trips(node, 30)
    assert 0.15 < lost < 0.85, "30 % each way are about half of all round trips"
    world.uplink.use("lan")
    assert round_trips(node, 5)[1] == 0


def test_silent_link_passes_nothing_and_keeps_its_carrier(node: Machine, world: World) -> None:
    world.uplink.up(False)
    assert round_trips(node, 2)[1] == 1
    assert node.succeed("cat /sys/class/net/eth1/carrier").strip() == "1"
    world.uplink.up(True)
    node.wait_until("ping -n -c 1 -W 2 192.0.2.1", limit=30)


def test_pulled_cable_is_seen_by_the_node_and_mended_by_plugging_in(node: Machine) -> None:
    node.link(False, card="uplink")
    node.wait_until("test $(cat /sys/class/net/eth1/carrier) = 0", limit=30)
    node.wait_until("! ip -4 address show dev eth1 | grep -q 'inet '", limit=60)
    node.link(True, card="uplink")
    node.wait_until("ping -n -c 1 -W 2 192.0.2.1", limit=90)


def test_bytes_are_counted_each_way_by_provider(node: Machine, world: World, measure: Measure) -> None:
    talk(node, "smtp.mail.yahoo.com", 587)
    world.uplink.reset_counts()
    for _ in range(3):
        assert talk(node, GMAIL.addresses["smtp"], 587).startswith("220 ")
    counts = world.uplink.counts()
    assert counts["gmail"].to_far > 3 * 3 * 40 < counts["gmail"].from_far
    assert "yahoo" not in counts or counts["yahoo"].to_far < 200
    measure("bytes per flow", counts["gmail"].to_far + counts["gmail"].from_far, "bytes", flow="three greetings")


def test_phone_reaches_what_the_node_serves_and_nothing_else(node: Machine, world: World) -> None:
    """At 8080 there is the wizard, until the node is set up."""
    assert world.village.ping(NODE_ADDRESS)
    with ExitStack() as stack:
        closed = {port: stack.enter_context(world.village.socket()) for port in (22, 25, 110, 143, 3306, 5355, 10587)}
        for port, phone in closed.items():
            phone.setblocking(False)
            assert phone.connect_ex((NODE_ADDRESS, port)) == errno.EINPROGRESS
        for port in (80, 443, 465, 587, 993, 995, 8080):
            world.village.connect(NODE_ADDRESS, port).close()
        # Whatever listens there had as long to answer as those that were asked after it.
        assert [port for port, phone in closed.items() if is_connected(phone)] == []


def is_connected(phone: socket.socket) -> bool:
    """Whether somebody has answered."""
    try:
        phone.getpeername()
    except OSError:
        return False
    return True


def test_phone_does_not_get_to_the_internet_through_the_node(node: Machine, world: World) -> None:
    """Each byte of the link is paid for: it is the mail's."""
    address = PROVIDERS["yahoo"].addresses["smtp"]
    world.uplink.reset_counts()
    send_by_the_node(world, address)
    assert world.village.ping(NODE_ADDRESS)
    assert talk(node, GMAIL.addresses["smtp"], 587).startswith("220 ")
    with world.village.socket() as phone:
        phone.settimeout(3)
        assert phone.connect_ex((address, 587)) in (errno.EAGAIN, errno.ETIMEDOUT, errno.EHOSTUNREACH)
    assert "gmail" in world.uplink.counts()
    assert "yahoo" not in world.uplink.counts()


def send_by_the_node(world: World, address: str) -> None:
    """Have the phones send packets for `address` to the node, as if it were the way to the world."""
    place = ("--target", str(world.village.holder), "--user", "--net", "--preserve-credentials")
    route = (processes.find_program("ip"), "route", "replace", address, "via", NODE_ADDRESS)
    processes.run("nsenter", *place, *route)

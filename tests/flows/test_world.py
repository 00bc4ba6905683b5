"""The world without a machine: what its links do to real packets, and what its clients can do."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.fakenode import Node, node_at
from tests.flows.leftovers import wait_until
from tests.lab import dhcp, dns
from tests.lab.authority import Authority
from tests.lab.links import Link
from tests.lab.modem import SUBSCRIBER
from tests.lab.processes import LabError
from tests.lab.remote import RemoteError
from tests.lab.village import Place
from tests.lab.wire import PLAIN_HEADER, Counts
from tests.lab.world import World

NODE = "192.0.2.10"
GATEWAY = "192.0.2.1"
GMAIL = "203.0.113.10"
LATE = 0.25
"""Seconds that a busy host may add to what a link takes."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), seed=1) as made:
        yield made


@pytest.fixture(scope="module")
def standing(world: World) -> Iterator[Node]:
    with node_at(world.wires) as made:
        yield made


@pytest.fixture
def node(standing: Node, world: World) -> Node:
    """The stand-in, behind a good link that has counted nothing, with its neighbours known."""
    world.uplink.use("lan")
    assert standing.ping(GATEWAY, 1)
    world.uplink.reset_counts()
    return standing


def listen(place: Place, address: str, port: int) -> socket.socket:
    made = place.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen()
    made.settimeout(30)
    return made


def transfer(source: Place, target: Place, address: str, size: int, limit: float = 60.0) -> tuple[int, float]:
    """Send bytes over TCP from one place to an address in another; how many came, and in how many seconds."""
    with listen(target, address, 5001) as server, source.connect(address, 5001, limit) as sender:
        receiver, _ = server.accept()

        def send() -> None:
            with contextlib.suppress(OSError):
                sender.sendall(bytes(size))
                sender.shutdown(socket.SHUT_WR)

        receiver.settimeout(limit)
        start, got = time.monotonic(), 0
        thread = threading.Thread(target=send)
        thread.start()
        with receiver:
            with contextlib.suppress(TimeoutError):
                while data := receiver.recv(1 << 16):
                    got += len(data)
            took = time.monotonic() - start
        sender.close()
        thread.join()
    return got, took


def datagram_pair(source: Place, target: Place, address: str, port: int = 5002) -> tuple[socket.socket, socket.socket]:
    sender, receiver = source.socket(kind=socket.SOCK_DGRAM), target.socket(kind=socket.SOCK_DGRAM)
    receiver.bind((address, port))
    sender.connect((address, port))
    receiver.settimeout(10)
    return sender, receiver


@pytest.mark.parametrize(("link", "round_trip"), [("lan", 0.0), ("edge", 0.4), (Link(delay=0.7), 0.7)])
def test_ping_shows_the_round_trip_of_the_link(world: World, node: Node, link: str | Link, round_trip: float) -> None:
    world.uplink.use(link)
    trips = node.ping(GATEWAY)
    assert len(trips) == 5
    assert round_trip <= min(trips) < round_trip + LATE


def checksum(data: bytes) -> bytes:
    """The Internet's checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)


def echo_request(source: str, target: str) -> bytes:
    """An IPv4 packet that pings (RFC 791, 792)."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    body = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"mojo"
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, socket.IPPROTO_ICMP, 0) + ends
    return head[:10] + checksum(head) + head[12:] + body[:2] + checksum(body) + body[4:]


@contextlib.contextmanager
def modem_at(world: World) -> Iterator[socket.socket]:
    """The near end of the dongle's wire, for the block."""
    path = world.wires / "dongle.qemu"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as modem:
        modem.settimeout(10)
        modem.bind(str(path))
        yield modem
    path.unlink()


def test_a_modems_packets_go_over_a_wire_of_their_own(world: World) -> None:
    asked = echo_request(SUBSCRIBER, GATEWAY)
    with modem_at(world) as modem:
        for link in (world.dongle, world.uplink):
            link.use("lan")
            link.reset_counts()
        modem.sendto(PLAIN_HEADER + asked, str(world.wires / "dongle.wire"))
        answer = modem.recv(2000).removeprefix(PLAIN_HEADER)
        assert (answer[12:20], answer[20], answer[28:]) == (asked[16:20] + asked[12:16], 0, b"mojo")
        assert world.dongle.counts() == {GATEWAY: Counts(len(asked), len(asked), 1, 1)}
        assert GATEWAY not in world.uplink.counts()
        world.dongle.up(False)
        modem.sendto(PLAIN_HEADER + asked, str(world.wires / "dongle.wire"))
        modem.settimeout(1)
        with pytest.raises(TimeoutError):
            modem.recv(2000)


@pytest.mark.parametrize("outward", [True, False])
def test_each_way_takes_half_of_the_round_trip(world: World, node: Node, outward: bool) -> None:
    source, target = (node.place, world.abroad) if outward else (world.abroad, node.place)
    sender, receiver = datagram_pair(source, target, GATEWAY if outward else NODE)
    world.uplink.use(Link(delay=1.0))
    with sender, receiver:
        sender.send(b"first, which may have to wait for ARP")
        receiver.recv(100)
        took = []
        for _ in range(3):
            start = time.monotonic()
            sender.send(b"another")
            receiver.recv(100)
            took.append(time.monotonic() - start)
        assert 0.5 <= min(took) < 0.5 + LATE


@pytest.mark.parametrize("outward", [True, False])
def test_tcp_gets_the_rate_of_the_link_in_each_direction(world: World, node: Node, outward: bool) -> None:
    world.uplink.use(Link(rate=2_000_000, delay=0.05))
    size = 500_000
    if outward:
        got, took = transfer(node.place, world.abroad, GMAIL, size)
    else:
        got, took = transfer(world.abroad, node.place, NODE, size)
    assert got == size
    assert 0.6 * 2_000_000 < size * 8 / took < 2_000_000


def processor_seconds(world: World) -> float:
    """What the world's own process has used of a processor so far; it is the one that holds the village open."""
    holder = Path(f"/proc/{world.village.holder}/stat").read_text().rpartition(")")[2].split()
    used = Path(f"/proc/{holder[1]}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def test_one_processor_carries_more_than_fifty_megabits_a_second(world: World, node: Node) -> None:
    """Reckoned by processor time, as this host has more to do: 8 Mbyte each way at 50 Mbit/s take 2.56 s."""
    before = processor_seconds(world)
    for source, target, address in ((node.place, world.abroad, GMAIL), (world.abroad, node.place, NODE)):
        got, _ = transfer(source, target, address, 8_000_000)
        assert got == 8_000_000
    assert 0 < processor_seconds(world) - before < 2.56


def test_lost_packets_are_the_stated_share_and_no_others(world: World, node: Node) -> None:
    sender, receiver = datagram_pair(node.place, world.abroad, GATEWAY)
    with sender, receiver:
        sender.send(b"until ARP is done")
        receiver.recv(100)
        receiver.settimeout(0.1)  # what becomes of the last of many may be decided only while we wait for it
        world.uplink.use(Link(loss=0.2, rate=100_000))
        world.uplink.reset_counts()
        came = sent = 0
        end = time.monotonic() + 60
        while sent < 1000:
            for _ in range(50):
                sender.send(b"one of many")
            sent += 50
            while came + world.uplink.fates().lost < sent:
                assert time.monotonic() < end, f"{sent} were sent, {came} came, {world.uplink.fates()}"
                with contextlib.suppress(TimeoutError):
                    receiver.recv(100)
                    came += 1
        assert 150 < world.uplink.fates().lost < 250
        assert world.uplink.counts()[GATEWAY].packets_to_far == 1000


def test_bytes_are_counted_each_way_by_provider(world: World, node: Node) -> None:
    got, _ = transfer(node.place, world.abroad, GMAIL, 1_000_000)
    counts = world.uplink.counts()
    assert got == 1_000_000 < counts["gmail"].to_far < 1_060_000
    assert 0 < counts["gmail"].from_far < 60_000
    assert set(counts) <= {"gmail", "arp"}
    assert set(world.uplink.counts(by_address=True)) <= {GMAIL, "arp"}
    world.uplink.reset_counts()
    assert world.uplink.counts().get("gmail", Counts()).to_far < 1000, "the end of the connection may still come"


def test_in_silence_nothing_passes_and_afterwards_all_does(world: World, node: Node) -> None:
    world.uplink.up(False)
    assert world.uplink.state() == "down"
    assert node.ping(GATEWAY, 2, limit=0.2) == []
    with pytest.raises(TimeoutError):
        node.place.connect(GMAIL, 993, limit=0.3)
    assert world.uplink.counts() == {}
    world.uplink.up(True)
    assert len(node.ping(GATEWAY, 2)) == 2


def test_nothing_passes_the_link_called_none(world: World, node: Node) -> None:
    world.uplink.use("none")
    assert node.ping(GATEWAY, 1, limit=0.2) == []


def test_after_a_silence_all_links_are_good_and_know_nothing_of_what_was_before(world: World, node: Node) -> None:
    sender, receiver = datagram_pair(node.place, world.abroad, GATEWAY)
    with sender, receiver, modem_at(world) as modem:
        world.uplink.use(Link(rate=8_000, queue=60))
        for number in range(10):
            sender.send(f"old {number}".encode() + bytes(900))
        assert receiver.recv(2000).startswith(b"old 0"), "by then the others wait"
        world.dongle.use("gprs")
        with world.silence():
            assert [link.state() for link in (world.uplink, world.lan, world.dongle)] == ["down"] * 3
            gone = world.uplink.fates().silenced
            sender.send(b"unheard")
            wait_until(lambda: world.uplink.fates().silenced > gone, 10)
        assert world.uplink.counts() == {}
        sender.send(b"new")
        assert receiver.recv(2000) == b"new"
        assert world.uplink.counts()[GATEWAY].packets_to_far == 1
        for wire in ("uplink", "lan", "dongle"):
            assert getattr(world, wire).state() == "up"
        began = time.monotonic()
        modem.sendto(PLAIN_HEADER + echo_request(SUBSCRIBER, GATEWAY), str(world.wires / "dongle.wire"))
        modem.recv(2000)
        assert time.monotonic() - began < 0.7


def test_the_village_stays_reachable_when_the_uplink_is_cut(world: World, node: Node) -> None:
    world.uplink.up(False)
    got, _ = transfer(world.village, node.place, "10.77.0.1", 10_000)
    assert got == 10_000


def test_a_transfer_is_torn_at_the_seeded_byte(world: World, node: Node) -> None:
    world.uplink.use(Link(rate=2_000_000, delay=0.1))
    point = world.uplink.cut_after(size=200_000, seed=3)
    got, _ = transfer(node.place, world.abroad, GMAIL, 400_000, limit=1.5)
    assert 0 < got <= point
    assert world.uplink.state() == "cut"
    passed = sum(counts.to_far + counts.from_far for counts in world.uplink.counts().values())
    assert point <= passed <= point + 1500
    world.uplink.up(True)
    assert world.uplink.cut_after(size=200_000, seed=3) == point
    world.uplink.up(True)


def test_a_cut_by_time_can_be_waited_for(world: World, node: Node) -> None:
    point = world.uplink.cut_after(seconds=0.5, seed=1)
    assert 0 < point < 0.5
    world.uplink.wait_for_state("cut", limit=5)
    with pytest.raises(TimeoutError, match="still 'cut'"):
        world.uplink.wait_for_state("up", limit=0.1)


def test_a_machine_that_goes_and_comes_again_finds_its_network(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        for _ in range(2):
            with world.internet_socket(kind=socket.SOCK_DGRAM) as caller:
                caller.sendto(b"to nobody", (NODE, 9))
            with node_at(world.wires) as node:
                assert node.ping(GATEWAY, 1)


def test_the_router_gives_the_node_its_address(world: World, node: Node) -> None:
    mac = bytes.fromhex("525400aabbcc")
    with node.place.socket(kind=socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lan")
        client.bind(("", 68))
        client.settimeout(10)
        head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 4711, 0, 0x8000) + bytes(16) + mac.ljust(16, b"\0") + bytes(192)
        client.sendto(head + dhcp.COOKIE + bytes([dhcp.MESSAGE_TYPE, 1, dhcp.DISCOVER, dhcp.END]), ("<broadcast>", 67))
        offer = client.recv(2048)
    assert offer[16:20] == socket.inet_aton("10.77.0.1")
    assert dhcp.read_options(offer[dhcp.OPTIONS_AT :])[dhcp.MESSAGE_TYPE] == bytes([dhcp.OFFER])
    assert "dhcp" in world.lan.counts()


@contextlib.contextmanager
def name_server(place: Place, answers: dict[str, str]) -> Iterator[None]:
    """A DNS server at 10.77.0.1 that knows a few names, for the block."""
    server = place.socket(kind=socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("10.77.0.1", 53))

    def serve() -> None:
        while True:
            query, client = server.recvfrom(512)
            if not query:
                return
            name, at = [], 12
            while query[at]:
                name.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            known = answers.get(".".join(name)) if query[at + 1 : at + 3] == b"\0\1" else None
            code = 0 if ".".join(name) in answers else 3
            reply = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, bool(known), 0, 0) + query[12 : at + 5]
            if known:
                reply += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(known)
            server.sendto(reply, client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        with place.socket(kind=socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"", ("10.77.0.1", 53))
        thread.join()
        server.close()


def test_phones_ask_the_node_for_names(world: World, node: Node) -> None:
    with name_server(node.place, {"mail.village.test": "10.77.0.1"}):
        assert world.village.resolve("mail.village.test") == ["10.77.0.1"]
        with pytest.raises(dns.NoSuchName, match="NXDOMAIN"):
            world.village.resolve("elsewhere.test")
        with pytest.raises(dns.NoSuchName, match="NODATA"):
            world.village.resolve("mail.village.test", kind=dns.AAAA)


@contextlib.contextmanager
def scripted_server(place: Place, port: int, script: list[tuple[bytes, bytes]], tls: ssl.SSLContext) -> Iterator[None]:
    """Serve one connection by a script of (word that must come, answer), over TLS; STARTTLS in the script begins it."""
    listener = listen(place, "10.77.0.1", port)
    wrapped_first = port in (465, 993, 995)

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            if wrapped_first:
                connection = tls.wrap_socket(connection, server_side=True)
            lines = connection.makefile("rb")
            for expected, answer in script:
                line = lines.readline() if expected else b""
                assert expected in line, (expected, line)
                connection.sendall(answer.replace(b"TAG", line.split(b" ")[0]))
                if expected == b"STARTTLS":
                    connection = tls.wrap_socket(connection, server_side=True)
                    lines = connection.makefile("rb")
            lines.close()
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.close()
        thread.join()


IMAP = [
    (b"", b"* OK ready\r\n"),
    (b"CAPABILITY", b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"),
    (b"LOGOUT", b"* BYE\r\nTAG OK done\r\n"),
]
POP3 = [(b"", b"+OK ready\r\n"), (b"QUIT", b"+OK bye\r\n")]
SMTP = [(b"", b"220 node\r\n"), (b"ehlo", b"250 node\r\n"), (b"noop", b"250 ok\r\n"), (b"quit", b"221 bye\r\n")]
SUBMISSION = [
    (b"", b"220 node\r\n"),
    (b"ehlo", b"250-node\r\n250 STARTTLS\r\n"),
    (b"STARTTLS", b"220 go on\r\n"),
    *SMTP[1:],
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server_tls(authority: Authority) -> ssl.SSLContext:
    made = authority.issue("node", ["mail.village.test"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    return context


def test_phones_read_and_send_with_tls_by_name(
    world: World, node: Node, authority: Authority, server_tls: ssl.SSLContext
) -> None:
    host, ca = "mail.village.test", authority.certificate
    with name_server(node.place, {host: "10.77.0.1"}):
        with scripted_server(node.place, 993, IMAP, server_tls):
            world.village.imap(host, ca=ca).logout()
        with scripted_server(node.place, 995, POP3, server_tls):
            world.village.pop3(host, ca=ca).quit()
        with scripted_server(node.place, 465, SMTP, server_tls):
            client = world.village.smtp(host, 465, ca=ca)
            client.ehlo()
            assert client.noop()[0] == 250
            client.quit()
        with scripted_server(node.place, 587, SUBMISSION, server_tls):
            client = world.village.smtp(host, 587, ca=ca)
            assert client.noop()[0] == 250
            client.quit()


def test_a_phone_that_trusts_the_authority_refuses_another_name(
    world: World, node: Node, authority: Authority, server_tls: ssl.SSLContext
) -> None:
    with scripted_server(node.place, 993, IMAP, server_tls), pytest.raises(ssl.SSLCertVerificationError):
        world.village.imap("10.77.0.1", ca=authority.certificate)
    with scripted_server(node.place, 993, IMAP, server_tls):
        world.village.imap("10.77.0.1", ca=None).logout()


@contextlib.contextmanager
def web_server(place: Place, address: str) -> Iterator[None]:
    """A page at port 80, for the block."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            head = "<!doctype html><title>Village</title><meta name=viewport content='width=device-width'>"
            body = f"{head}<p id=who>{self.client_address[0]}</p>".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, 80), Page, bind_and_activate=False)
    server.socket.close()
    server.socket = listen(place, address, 80)
    server.socket.settimeout(None)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_phone_browses_the_village_by_the_nodes_names(world: World, node: Node, tmp_path: Path) -> None:
    names = name_server(node.place, {"start.village.test": "10.77.0.1"})
    with names, web_server(node.place, "10.77.0.1"), world.village.browser() as page:
        page.goto("http://start.village.test/")
        assert page.title() == "Village"
        assert page.text_content("#who") == "10.77.0.2"
        assert page.evaluate("[innerWidth, 'ontouchstart' in window]") == [360, True]
        page.screenshot(path=tmp_path / "phone.png")
    assert (tmp_path / "phone.png").read_bytes().startswith(b"\x89PNG")


def test_two_phones_browse_at_once_and_share_nothing(world: World, node: Node) -> None:
    with web_server(node.place, "10.77.0.1"), world.village.browser() as one, world.village.browser() as other:
        for page in (one, other):
            page.goto("http://10.77.0.1/")
        one.evaluate("localStorage.setItem('who', 'one')")
        assert other.evaluate("localStorage.getItem('who')") is None


def test_a_browser_leaves_nothing_in_the_home_of_who_runs_the_tests(
    world: World, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    with web_server(node.place, "10.77.0.1"), world.village.browser() as page:
        page.goto("http://10.77.0.1/")
    assert [str(path) for path in tmp_path.rglob("*")] == []


def test_a_port_of_the_host_leads_to_the_node(world: World, node: Node) -> None:
    with web_server(node.place, "10.77.0.1"), world.village.forward(80) as forward:
        here = forward.address
        with contextlib.closing(http.client.HTTPConnection(*here, timeout=20)) as caller:
            caller.request("GET", "/")
            assert b"<p id=who>10.77.0.2</p>" in caller.getresponse().read()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(here)


def test_an_error_inside_says_what_and_where(world: World) -> None:
    with pytest.raises(RemoteError, match="no link is called '3g'") as caught:
        world.uplink.use("3g")
    assert caught.value.kind == "ValueError"
    assert "links.py" in caught.value.trace
    with pytest.raises(AttributeError):
        _ = world.calls.no_such_thing
    assert world.uplink.state() == "up"


def test_a_world_that_ended_says_so(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.process.kill()
        world.process.wait()
        end = time.monotonic() + 10
        with pytest.raises(LabError, match="the world has ended"):
            while time.monotonic() < end:
                world.uplink.state()


def test_a_failed_test_keeps_the_worlds_log_and_counts(world: World, node: Node, tmp_path: Path) -> None:
    world.bundle(tmp_path / "bundle")
    assert f"seed: {world.seed}" in (tmp_path / "bundle/links.txt").read_text()
    assert (tmp_path / "bundle/world.log").exists()

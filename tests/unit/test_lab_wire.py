"""What a wire does to frames, without a clock: hours of a bad link in a moment."""

from __future__ import annotations

import ipaddress
import math
import struct
from itertools import pairwise

import pytest

from tests.lab.links import LINKS, Drops, Link, link_named
from tests.lab.wire import FROM_FAR, TO_FAR, Counts, Wire

NODE, FAR, OTHER = "192.0.2.10", "203.0.113.25", "203.0.113.26"


def packet(source: str, target: str, size: int, protocol: int = 6, ports: tuple[int, int] = (1000, 993)) -> bytes:
    """An Ethernet frame with an IP packet of `size` bytes, padded as cards pad."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if len(addresses) == 8:
        head = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, protocol, 0) + addresses
        kind = b"\x08\x00"
    else:
        head = struct.pack("!IHBB", 6 << 28, size - 40, protocol, 64) + addresses
        kind = b"\x86\xdd"
    return (bytes(12) + kind + (head + struct.pack("!HH", *ports)).ljust(size, b"x")).ljust(60, b"\0")


def wire(seed: int = 1, **link: object) -> Wire:
    return Wire(Link(**link), seed, 0.0)  # type: ignore[arg-type]


def arrivals(line: Wire, until: float = math.inf) -> list[tuple[float, int]]:
    """Live on event by event; when a frame came out and at which end."""
    found = []
    while (now := line.next_event()) <= until and now < math.inf:
        found += [(round(now, 6), way) for way, _frame in line.due(now)]
    return found


def test_a_packet_takes_its_time_to_send_and_half_the_round_trip() -> None:
    line = wire(rate=40_000, delay=0.7)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    line.offer(FROM_FAR, packet(FAR, NODE, 500), 0.0)
    assert arrivals(line) == [(0.45, FROM_FAR), (0.55, TO_FAR)]


def test_packets_wait_for_each_other_but_the_two_directions_do_not() -> None:
    line = wire(rate=8_000, queue=10)
    for _ in range(3):
        line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    line.offer(FROM_FAR, packet(FAR, NODE, 1000), 0.0)
    assert arrivals(line) == [(1.0, TO_FAR), (1.0, FROM_FAR), (2.0, TO_FAR), (3.0, TO_FAR)]


def test_an_idle_link_saves_up_no_speed() -> None:
    line = wire(rate=8_000)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 100.0)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 100.0)
    assert arrivals(line) == [(101.0, TO_FAR), (102.0, TO_FAR)]


def test_a_full_queue_throws_the_newest_away() -> None:
    line = wire(rate=8_000, queue=2.0)
    for _ in range(10):
        line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    assert [when for when, _ in arrivals(line)] == [1.0, 2.0, 3.0]
    assert line.fates().overflowed == 7
    assert line.counts()[FAR].packets_to_far == 3


def test_a_packet_larger_than_the_whole_queue_passes_an_idle_link() -> None:
    line = wire(rate=8_000, queue=0.0)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    assert arrivals(line) == [(1.0, TO_FAR)]


def test_a_link_without_limits_passes_at_once() -> None:
    line = wire()
    for _ in range(1000):
        line.offer(TO_FAR, packet(NODE, FAR, 1500), 5.0)
    assert len(line.due(5.0)) == 1000
    assert line.next_event() == math.inf


@pytest.mark.parametrize(
    ("frame", "way", "key", "size"),
    [
        (packet(NODE, FAR, 1000), TO_FAR, FAR, 1000),
        (packet(FAR, NODE, 1000), FROM_FAR, FAR, 1000),
        (packet(NODE, FAR, 28), TO_FAR, FAR, 28),
        (packet("2001:db8::1", "2001:db8::2", 300), TO_FAR, "2001:db8::2", 300),
        (packet("2001:db8::2", "2001:db8::1", 300), FROM_FAR, "2001:db8::2", 300),
        (packet("0.0.0.0", "255.255.255.255", 328, 17, (68, 67)), TO_FAR, "dhcp", 328),
        (packet("192.0.2.1", NODE, 328, 17, (67, 68)), FROM_FAR, "dhcp", 328),
        (packet(NODE, FAR, 60, 17, (68, 53)), TO_FAR, FAR, 60),
        (bytes(12) + b"\x08\x06" + bytes(46), TO_FAR, "arp", 46),
        (bytes(12) + b"\x88\xcc" + bytes(50), FROM_FAR, "other", 50),
        (bytes(9), FROM_FAR, "other", 0),
    ],
)
def test_bytes_are_counted_by_the_far_address_without_ethernet(frame: bytes, way: int, key: str, size: int) -> None:
    line = wire()
    line.offer(way, frame, 0.0)
    line.due(0.0)
    expected = Counts(to_far=size, packets_to_far=1) if way == TO_FAR else Counts(from_far=size, packets_from_far=1)
    assert line.counts() == {key: expected}
    line.reset_counts()
    assert line.counts() == {}


def test_what_the_modem_sent_counts_also_when_it_went_lost() -> None:
    line = wire(loss=1.0)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    assert line.due(10.0) == []
    assert line.counts()[FAR].to_far == 1000
    assert line.fates().lost == 1


def lost_of(seed: int, count: int) -> set[int]:
    line = wire(seed, loss=0.02)
    for number in range(count):
        line.offer(TO_FAR, packet(NODE, FAR, 100 + number % 1000) + number.to_bytes(4, "big"), number / 100)
    return set(range(count)) - {int.from_bytes(frame[-4:], "big") for _, frame in line.due(math.inf)}


def test_loss_is_the_stated_share_and_the_same_for_the_same_seed() -> None:
    lost = lost_of(1, 2_500)
    assert 25 <= len(lost) <= 80
    assert lost_of(1, 2_500) == lost
    assert lost_of(2, 2_500) != lost


def test_silence_swallows_what_waits_what_flies_and_what_comes() -> None:
    line = wire(rate=8_000, delay=4.0, queue=10)
    for _ in range(4):
        line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    assert line.due(2.5) == []
    line.set_up(False, 2.5)
    line.offer(FROM_FAR, packet(FAR, NODE, 1000), 2.6)
    assert (line.state(), arrivals(line), line.fates().silenced) == ("down", [], 5)
    assert line.counts()[FAR].packets_to_far == 2
    line.set_up(True, 10.0)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 10.0)
    assert arrivals(line) == [(13.0, TO_FAR)]


def test_nothing_passes_the_link_called_none() -> None:
    line = Wire(LINKS["none"], 1, 0.0)
    line.offer(TO_FAR, packet(NODE, FAR, 100), 0.0)
    assert (line.due(9.0), line.state()) == ([], "none")
    line.use(LINKS["lan"], 9.0)
    line.offer(TO_FAR, packet(NODE, FAR, 100), 9.0)
    assert (len(line.due(9.0)), line.state()) == (1, "up")


def test_a_cut_by_bytes_comes_at_its_byte_and_tears_what_flies() -> None:
    line = wire(rate=8_000, delay=3.0, queue=99)
    line.cut_after(0.0, count=2_500)
    for _ in range(5):
        line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    assert arrivals(line) == [(2.5, TO_FAR)], "the second is sent but on the air when the third cuts the link"
    assert (line.state(), line.counts()[FAR].to_far) == ("cut", 3000)
    line.set_up(True, 20.0)
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 20.0)
    assert arrivals(line) == [(22.5, TO_FAR)]


def test_a_cut_by_time_comes_at_its_time() -> None:
    line = wire()
    line.cut_after(5.0, seconds=2.0)
    line.offer(TO_FAR, packet(NODE, FAR, 100), 6.9)
    assert (len(line.due(6.9)), line.state()) == (1, "up")
    line.due(7.0)
    assert (line.state(), line.next_event()) == ("cut", math.inf)


def silences(seed: int, hours: float) -> list[tuple[float, float]]:
    line = Wire(Link(drops=Drops(every=180, shortest=1, longest=60)), seed, 0.0)
    found, began = [], None
    while (now := line.next_event()) < hours * 3600:
        line.due(now)
        if line.state() == "drop":
            began = now
        elif began is not None:
            found.append((began, now - began))
            began = None
    return found


def test_drops_come_at_seeded_times_and_last_one_to_sixty_seconds() -> None:
    found = silences(7, 200)
    assert all(0.999 <= length <= 60.001 for _, length in found)
    assert min(length for _, length in found) < 2 and max(length for _, length in found) > 50
    gaps = [later[0] - sum(earlier) for earlier, later in pairwise(found)]
    assert 160 < sum(gaps) / len(gaps) < 200
    assert silences(7, 5) == silences(7, 5) != silences(8, 5)


def test_a_packet_in_a_drop_is_gone() -> None:
    line = Wire(Link(drops=Drops(every=10, shortest=5, longest=5)), 3, 0.0)
    start = line.next_event()
    line.due(start)
    line.offer(TO_FAR, packet(NODE, FAR, 100), start + 1)
    assert line.due(start + 4.9) == []
    assert line.state() == "drop"
    line.due(start + 5)
    line.offer(TO_FAR, packet(NODE, FAR, 100), start + 5)
    assert len(line.due(start + 5)) == 1


def test_a_shorter_delay_does_not_let_packets_overtake() -> None:
    line = wire(delay=10.0)
    line.offer(TO_FAR, packet(NODE, FAR, 101), 0.0)
    line.due(0.0)
    line.use(Link(), 1.0)
    line.offer(TO_FAR, packet(NODE, FAR, 102), 1.0)
    assert [frame[17] for _, frame in line.due(99.0)] == [101, 102]


def test_gprs_carries_about_its_rate_over_half_an_hour_of_rain() -> None:
    line = Wire(LINKS["gprs"], 5, 0.0)
    for step in range(9_000):
        line.due(step / 5)
        line.offer(FROM_FAR, packet(OTHER, NODE, 1152), step / 5)
    line.due(1800.0)
    rate = line.counts()[OTHER].from_far * 8 / 1800
    assert 34_000 < rate < 40_000
    fates = line.fates()
    assert 0.01 < fates.lost / (fates.lost + fates.delivered) < 0.03


def test_an_unknown_link_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="edge, gprs, none"):
        link_named("3g")


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"delay": -1.0}, {"loss": 1.5}, {"queue": -1.0}])
def test_a_link_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no such link"):
        Link(**wrong)  # type: ignore[arg-type]

"""What a wire does to frames, without a clock: hours of a bad link in a moment."""

from __future__ import annotations

import ipaddress
import math
import statistics
import struct
from itertools import pairwise

import pytest

from tests.lab.links import LINKS, Drops, Link, link_named
from tests.lab.wire import FROM_FAR, TO_FAR, Counts, Fates, Wire

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


def test_a_link_that_comes_into_use_has_the_same_bad_luck_whatever_was_before() -> None:
    def after(packets_before: int) -> list[tuple[float, int]]:
        line = wire(7, loss=0.5)
        for number in range(packets_before):
            line.offer(number % 2, packet(NODE, FAR, 100), number)
        line.due(1000.0)
        line.use(LINKS["gprs"], 1000.0)
        for number in range(5000):
            line.offer(number % 2, packet(NODE, FAR, 100), 1000.0 + number)
        return arrivals(line, 7000.0)

    assert after(0) == after(11) == after(300)


@pytest.mark.parametrize("after", ["lan", "edge", "none"])
def test_a_link_that_comes_into_use_knows_nothing_of_what_was_before(after: str) -> None:
    line = Wire(LINKS["gprs"], 1, 0.0)
    for _ in range(10):
        line.offer(TO_FAR, packet(NODE, FAR, 1500), 0.0)
    line.due(0.4)
    line.use(LINKS[after], 0.4)
    assert line.next_event() == math.inf
    line.reset_counts()
    line.offer(TO_FAR, packet(NODE, FAR, 375), 0.4)
    line.offer(FROM_FAR, packet(FAR, NODE, 375), 0.4)
    came = {"lan": [(0.4, TO_FAR), (0.4, FROM_FAR)], "edge": [(0.625, TO_FAR), (0.625, FROM_FAR)], "none": []}[after]
    assert arrivals(line) == came
    assert line.counts() == ({FAR: Counts(375, 375, 1, 1)} if came else {})
    assert line.fates() == (Fates(delivered=2) if came else Fates(silenced=2))


def test_what_is_on_its_way_when_the_counting_begins_anew_comes_and_is_not_counted() -> None:
    line = wire(rate=8_000, delay=2.0, loss=0.3)
    line.cut_after(0.0, count=2_500)
    for _ in range(2):
        line.offer(TO_FAR, packet(NODE, FAR, 1000), 0.0)
    line.due(1.5)
    line.reset_counts()
    line.offer(TO_FAR, packet(NODE, FAR, 1000), 1.5)
    line.due(2.5)
    assert (line.counts(), line.fates()) == ({}, Fates())
    line.due(9.0)
    assert line.state() == "cut", "the bytes that a cut waits for count on"
    assert line.counts() == {FAR: Counts(to_far=1000, packets_to_far=1)}
    assert line.fates() in (Fates(silenced=1), Fates(lost=1))


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
    line = Wire(LINKS["gprs"], seed, 0.0)
    found, began = [], None
    while (now := line.next_event()) < hours * 3600:
        line.due(now)
        if line.state() == "drop":
            began = now
        elif began is not None:
            found.append((began, now - began))
            began = None
    return found


def test_drops_of_gprs_come_at_seeded_times_and_last_one_to_sixty_seconds() -> None:
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


def test_a_first_drop_can_be_had_soon() -> None:
    soon = [first_drop(seed, 20.0) for seed in range(200)]
    assert all(0 <= when < 20 for when in soon) and max(soon) > 15 and min(soon) < 5
    assert first_drop(3, 20.0) == first_drop(3, 20.0)
    assert sum(first_drop(seed, None) > 180 for seed in range(200)) > 50, "which is why"


def first_drop(seed: int, within: float | None) -> float:
    line = Wire(LINKS["lan"], seed, 0.0)
    line.use(LINKS["gprs"], 100.0, first_drop=within)
    begun = line.next_event()
    line.due(begun)
    assert line.state() == "drop"
    assert 1 <= line.next_event() - begun <= 60
    return begun - 100.0


def test_a_link_without_drops_can_have_no_first_one() -> None:
    line = Wire(LINKS["gprs"], 1, 0.0)
    with pytest.raises(ValueError, match="has no drops, so none can come in the first 20 s"):
        line.use(LINKS["edge"], 1.0, first_drop=20.0)
    assert line.link == LINKS["gprs"]


# ---- the kinds of link there are: what the lab promises of each, and what is measured


def test_the_kinds_of_link_are_those_the_lab_promises() -> None:
    """As docs/lab.md has them; a queue holds what modems hold."""
    rain = Drops(every=180, shortest=1, longest=60)
    promised = {
        "lan": Link(),
        "edge": Link(rate=120_000, delay=0.4, queue=2.0),
        "gprs": Link(rate=40_000, delay=0.7, loss=0.02, drops=rain, queue=4.0),
        "none": Link(passes=False),
    }
    assert promised == LINKS


@pytest.mark.parametrize(("name", "promised"), [("edge", 0.4), ("gprs", 0.7)])
def test_a_kind_of_link_has_its_round_trip(name: str, promised: float) -> None:
    line, size = Wire(LINKS[name], 2, 0.0), 84
    took: list[list[float]] = [[], []]
    for start in range(0, 3600, 10):
        line.due(start)
        line.offer(TO_FAR, packet(NODE, FAR, size), start)
        line.offer(FROM_FAR, packet(FAR, NODE, size), start)
        for when, way in arrivals(line, start + 5):
            took[way].append(when - start)
    sending = size * 8 / (LINKS[name].rate or math.inf)
    for way in (TO_FAR, FROM_FAR):
        assert len(took[way]) > 300
        assert min(took[way]) == pytest.approx(promised / 2 + sending, abs=0.001) == max(took[way])


@pytest.mark.parametrize(
    ("name", "rate", "share", "loss"), [("edge", 120_000, (0.999, 1.0), 0.0), ("gprs", 40_000, (0.88, 0.965), 0.02)]
)
def test_a_kind_of_link_carries_its_rate_each_way_less_its_drops(
    name: str, rate: int, share: tuple[float, float], loss: float
) -> None:
    """With more on offer both ways than it can carry, for 20 minutes and more. Drops are 7 % of the time of gprs."""
    line, size = Wire(LINKS[name], 5, 0.0), 1152
    came: list[list[float]] = [[], []]
    step = size * 8 / rate / 1.2
    for number in range(20_000):
        now = number * step
        for when, way in arrivals(line, now):
            came[way].append(when)
        line.offer(TO_FAR, packet(NODE, OTHER, size), now)
        line.offer(FROM_FAR, packet(OTHER, NODE, size), now)
    counts = line.counts()[OTHER]
    for way, carried in ((TO_FAR, counts.to_far), (FROM_FAR, counts.from_far)):
        gaps = [later - earlier for earlier, later in pairwise(came[way])]
        assert size * 8 / statistics.median(gaps) == pytest.approx(rate, rel=0.001)
        assert share[0] <= carried * 8 / (20_000 * step) / rate <= share[1], way
    fates = line.fates()
    assert fates.lost / (fates.lost + fates.delivered) == pytest.approx(loss, abs=0.003)
    assert fates.overflowed > 0


def test_an_unknown_link_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="edge, gprs, none"):
        link_named("3g")


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"delay": -1.0}, {"loss": 1.5}, {"queue": -1.0}])
def test_a_link_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no such link"):
        Link(**wrong)  # type: ignore[arg-type]

"""PPP's framing and the network's end of a link, against an end that does what pppd does."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.lab import ppp
from tests.lab.hdlc import ALL_CONTROLS, ESCAPE, FLAG, GOOD, LONGEST_FRAME, Deframer, checksum, frame
from tests.lab.ppp import ACK, IP, IPCP, LCP, NAK, REJECT, REQUEST, PppEnd, pack, unpack

OWN, THEIRS, DNS = (ipaddress.IPv4Address(each) for each in ("198.51.100.1", "198.51.100.2", "192.0.2.1"))
NONE = bytes(4)
Said = tuple[int, int, int, bytes]
"""A packet of a control protocol: protocol, code, identifier, data."""


class Host:
    """The other end, step by step: what it hears, and what it says."""

    def __init__(self) -> None:
        self.end = PppEnd(OWN, THEIRS, DNS)
        self._deframer = Deframer()
        self.heard: list[bytes] = []

    def hear(self) -> list[Said]:
        """The packets of control protocols that have come since; others are kept in `heard`."""
        packets = self._deframer.feed(bytes(self.end.to_line))
        self.end.to_line.clear()
        said = []
        for packet in packets:
            protocol = int.from_bytes(packet[:2], "big")
            if protocol == IP:
                self.heard.append(packet[2:])
            else:
                code, number, length = struct.unpack_from("!BBH", packet, 2)
                assert length == len(packet) - 2
                said.append((protocol, code, number, packet[6:]))
        return said

    def say(self, protocol: int, code: int, number: int, data: bytes = b"", now: float = 0.0) -> list[Said]:
        """Say one packet, and hear the answers."""
        body = struct.pack("!BBH", code, number, 4 + len(data)) + data
        self.end.receive(frame(protocol.to_bytes(2, "big") + body), now)
        return self.hear()

    def open_lcp(self) -> None:
        """LCP from both sides."""
        self.end.begin(0.0)
        ((_, _, number, wanted),) = self.hear()
        self.say(LCP, ACK, number, wanted)
        asked = pack([(ppp.ACCM, NONE), (ppp.MAGIC, b"host")])
        assert (LCP, ACK, 7, asked) in self.say(LCP, REQUEST, 7, asked)

    def open(self) -> None:
        """LCP and IPCP."""
        self.end.begin(0.0)
        ((_, _, number, wanted),) = self.hear()
        self.say(LCP, ACK, number, wanted)
        said = self.say(LCP, REQUEST, 7, pack([(ppp.ACCM, NONE), (ppp.MAGIC, b"host")]))
        number, wanted = next((number, data) for protocol, code, number, data in said if protocol == IPCP)
        self.say(IPCP, ACK, number, wanted)
        self.say(IPCP, REQUEST, 8, pack([(ppp.IP_ADDRESS, THEIRS.packed)]))
        assert self.end.up


# ---- framing


def test_the_checksum_is_that_of_the_standard() -> None:
    """The check value of CRC-16/X-25, of which FCS-16 is another name."""
    assert checksum(b"123456789") ^ 0xFFFF == 0x906E
    assert checksum(b"\xff\x03\x00\x21" + (checksum(b"\xff\x03\x00\x21") ^ 0xFFFF).to_bytes(2, "little")) == GOOD


@given(st.lists(st.binary(min_size=1, max_size=200)), st.integers(0, ALL_CONTROLS), st.integers(1, 50))
def test_packets_come_out_as_they_went_in(bodies: list[bytes], escaped: int, piece: int) -> None:
    packets = [IP.to_bytes(2, "big") + body for body in bodies]
    line = b"".join(frame(packet, escaped) for packet in packets)
    deframer, found = Deframer(), []
    for at in range(0, len(line), piece):
        found += deframer.feed(line[at : at + piece])
    assert found == packets
    assert not deframer.rest and not deframer.spoiled


@given(st.binary(max_size=100), st.integers(0, ALL_CONTROLS))
def test_nothing_that_was_to_be_escaped_is_on_the_line(body: bytes, escaped: int) -> None:
    inner = frame(b"\0\x21" + body, escaped)[1:-1]
    assert FLAG not in inner
    assert not any(escaped >> byte & 1 for byte in inner if byte < 0x20)
    assert all(inner[at + 1] not in (FLAG, ESCAPE) for at in range(len(inner) - 1) if inner[at] == ESCAPE)


@given(st.binary(min_size=1, max_size=100), st.integers(0), st.integers(1, 255))
def test_a_frame_that_came_to_harm_is_left_out(body: bytes, at: int, flip: int) -> None:
    packet = b"\0\x21" + body
    line = bytearray(frame(packet))
    line[1 + at % (len(line) - 2)] ^= flip
    assert packet not in Deframer().feed(bytes(line))


@given(st.binary(max_size=500))
def test_rubbish_does_no_harm_to_the_frame_after_it(rubbish: bytes) -> None:
    packet = b"\0\x21hello"
    assert Deframer().feed(rubbish + bytes([FLAG]) + frame(packet))[-1] == packet


def test_a_frame_that_was_given_up_or_is_too_long_is_left_out() -> None:
    deframer = Deframer()
    assert deframer.feed(frame(b"\0\x21hello")[:-1] + bytes([ESCAPE, FLAG])) == []
    assert deframer.feed(frame(b"\0\x21" + bytes(LONGEST_FRAME), 0)) == []
    assert deframer.spoiled == 2
    assert deframer.feed(frame(b"\0\x21hello")) == [b"\0\x21hello"]


# ---- opening a link


def test_a_link_opens_and_carries_packets_both_ways() -> None:
    host = Host()
    host.open()
    host.end.deliver(b"E from far")
    assert host.hear() == [] and host.heard == [b"E from far"]
    host.end.receive(frame(b"\0\x21E to far", 0), 0.0)
    assert host.end.packets == [b"E to far"]


def test_nothing_but_control_characters_that_were_agreed_on_is_escaped() -> None:
    host = Host()
    host.open()
    host.end.deliver(bytes(range(32)))
    line = bytes(host.end.to_line)
    assert bytes(range(32)) in line


def test_the_other_end_is_asked_to_send_no_plain_carriage_return() -> None:
    host = Host()
    host.end.begin(0.0)
    ((protocol, code, _, wanted),) = host.hear()
    assert (protocol, code) == (LCP, REQUEST)
    assert int.from_bytes(dict(unpack(wanted))[ppp.ACCM], "big") >> ord("\r") & 1


def test_the_address_and_the_name_servers_are_given_to_who_asks() -> None:
    host = Host()
    host.open_lcp()
    asked = [(ppp.IP_ADDRESS, NONE), (ppp.FIRST_DNS, NONE), (ppp.SECOND_DNS, NONE)]
    ((_, code, number, better),) = host.say(IPCP, REQUEST, 3, pack(asked))
    assert (code, number) == (NAK, 3)
    assert dict(unpack(better)) == {
        ppp.IP_ADDRESS: THEIRS.packed,
        ppp.FIRST_DNS: DNS.packed,
        ppp.SECOND_DNS: DNS.packed,
    }
    assert host.say(IPCP, REQUEST, 4, better) == [(IPCP, ACK, 4, better)]


def test_options_that_nobody_wants_are_refused_by_themselves() -> None:
    host = Host()
    host.open_lcp()
    compression = (2, b"\0\x2d\x0f\x01")
    asked = pack([compression, (ppp.IP_ADDRESS, NONE)])
    assert host.say(IPCP, REQUEST, 3, asked) == [(IPCP, REJECT, 3, pack([compression]))]
    shorter_headers = [(7, b""), (8, b"")]
    said = host.say(LCP, REQUEST, 9, pack([(ppp.MAGIC, b"host"), *shorter_headers]))
    assert (LCP, REJECT, 9, pack(shorter_headers)) in said


def test_other_protocols_are_refused() -> None:
    host = Host()
    host.open_lcp()
    ((protocol, code, _, data),) = host.say(0x80FD, REQUEST, 1)
    assert (protocol, code, data[:2]) == (LCP, ppp.PROTOCOL_REJECT, b"\x80\xfd")


def test_a_request_that_is_not_answered_is_sent_again_and_in_the_end_no_more() -> None:
    host = Host()
    host.end.begin(0.0)
    now, requests = 0.0, len(host.hear())
    while not host.end.ended:
        now = host.end.next_event()
        host.end.tick(now)
        requests += len(host.hear())
    assert requests == ppp.MOST_REQUESTS
    assert now == ppp.RESTART * ppp.MOST_REQUESTS
    assert host.end.next_event() == float("inf")


def test_an_answer_to_an_older_request_is_not_taken() -> None:
    host = Host()
    host.end.begin(0.0)
    ((_, _, number, wanted),) = host.hear()
    host.end.tick(host.end.next_event())
    host.say(LCP, ACK, number, wanted)
    assert host.end.next_event() < float("inf"), "it still waits"


def test_an_option_of_ours_that_is_refused_is_not_asked_for_again() -> None:
    host = Host()
    host.end.begin(0.0)
    ((_, _, number, wanted),) = host.hear()
    refused = [(kind, value) for kind, value in unpack(wanted) if kind == ppp.MAGIC]
    ((_, code, _, again),) = host.say(LCP, REJECT, number, pack(refused))
    assert code == REQUEST and ppp.MAGIC not in dict(unpack(again))


def test_a_link_that_loops_back_is_not_agreed_to() -> None:
    host = Host()
    host.end.begin(0.0)
    ((_, _, number, wanted),) = host.hear()
    ((_, code, _, _),) = host.say(LCP, REQUEST, number, wanted)
    assert code == NAK


def test_an_echo_is_answered() -> None:
    host = Host()
    host.open()
    ((_, code, number, data),) = host.say(LCP, ppp.ECHO, 5, b"hostabc")
    assert (code, number, data[4:]) == (ppp.ECHOED, 5, b"abc")


def test_what_is_no_packet_and_what_is_unknown_does_no_harm() -> None:
    host = Host()
    host.open()
    assert host.say(LCP, REQUEST, 1, b"\x05\x01") == []
    host.end.receive(frame(b"\xc0\x21\x01\x01\xff\xff"), 0.0)
    host.end.receive(frame(b"\xc0"), 0.0)
    assert host.hear() == []
    ((_, code, _, data),) = host.say(LCP, 99, 1)
    assert (code, data[0]) == (ppp.CODE_REJECT, 99)
    assert host.end.up


# ---- ending it


def test_the_other_end_hangs_up() -> None:
    host = Host()
    host.open()
    assert host.say(LCP, ppp.TERMINATE, 5) == [(LCP, ppp.TERMINATED, 5, b"")]
    assert host.end.ended and not host.end.up
    host.end.deliver(b"E late")
    assert host.hear() == [] and host.heard == []


def test_the_network_hangs_up_whether_or_not_it_is_answered() -> None:
    for answered in (True, False):
        host = Host()
        host.open()
        host.end.hang_up(10.0)
        ((_, code, number, _),) = host.hear()
        assert code == ppp.TERMINATE
        if answered:
            host.say(LCP, ppp.TERMINATED, number)
        else:
            while not host.end.ended:
                host.end.tick(host.end.next_event())
        assert host.end.ended


def test_a_link_that_is_begun_anew_by_the_other_end_opens_again() -> None:
    host = Host()
    host.open()
    said = host.say(LCP, REQUEST, 20, pack([(ppp.MAGIC, b"host")]))
    assert not host.end.up
    number, wanted = next((number, data) for protocol, code, number, data in said if code == REQUEST)
    said = host.say(LCP, ACK, number, wanted)
    number, wanted = next((number, data) for protocol, code, number, data in said if protocol == IPCP)
    host.say(IPCP, ACK, number, wanted)
    host.say(IPCP, REQUEST, 21, pack([(ppp.IP_ADDRESS, THEIRS.packed)]))
    assert host.end.up

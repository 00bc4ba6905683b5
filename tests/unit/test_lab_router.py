"""The village's DHCP server and the client that asks for names, packet by packet."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest

from tests.lab import dhcp, dns
from tests.lab.dhcp import ACK, DISCOVER, INFORM, NAK, OFFER, RELEASE, REQUEST, Router, read_options

NODE_MAC, PHONE_MAC = "52:54:00:4d:4d:00", "52:54:00:00:00:99"
OWN = ipaddress.IPv4Interface("10.77.0.2/24")


@pytest.fixture
def router() -> Router:
    return Router(OWN, ipaddress.IPv4Address("10.77.0.1"))


def asking(kind: int, mac: str = NODE_MAC, own: str = "0.0.0.0", **options: str) -> bytes:
    """A client's packet; `requested` and `server` are options with addresses."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 4711, 0, 0) + socket.inet_aton(own) + bytes(12)
    said = bytes([dhcp.MESSAGE_TYPE, 1, kind, 0])
    for name, code in (("requested", dhcp.REQUESTED_ADDRESS), ("server", dhcp.SERVER)):
        if name in options:
            said += bytes([code, 4]) + socket.inet_aton(options[name])
    return head + hardware.ljust(16, b"\0") + bytes(192) + dhcp.COOKIE + said + bytes([dhcp.END])


def told(reply: bytes | None) -> tuple[int, str]:
    """The kind of a reply and the address in it."""
    assert reply is not None and reply[0] == 2 and len(reply) >= 300
    assert reply[4:8] == struct.pack("!I", 4711)
    return read_options(reply[dhcp.OPTIONS_AT :])[dhcp.MESSAGE_TYPE][0], socket.inet_ntoa(reply[16:20])


def test_the_first_card_gets_the_nodes_address_and_keeps_it(router: Router) -> None:
    assert told(router.answer(asking(DISCOVER))) == (OFFER, "10.77.0.1")
    assert told(router.answer(asking(DISCOVER, PHONE_MAC))) == (OFFER, "10.77.0.101")
    assert told(router.answer(asking(REQUEST, requested="10.77.0.1", server="10.77.0.2"))) == (ACK, "10.77.0.1")
    assert told(router.answer(asking(REQUEST, own="10.77.0.1"))) == (ACK, "10.77.0.1")
    assert router.leases == {
        NODE_MAC: ipaddress.IPv4Address("10.77.0.1"),
        PHONE_MAC: ipaddress.IPv4Address("10.77.0.101"),
    }


def test_an_answer_names_net_and_lease_but_no_gateway_and_no_name_server(router: Router) -> None:
    reply = router.answer(asking(REQUEST, requested="10.77.0.1"))
    assert reply is not None
    options = read_options(reply[dhcp.OPTIONS_AT :])
    assert set(options) == {dhcp.MESSAGE_TYPE, dhcp.SERVER, dhcp.LEASE_TIME, dhcp.SUBNET_MASK}
    assert options[dhcp.SUBNET_MASK] == socket.inet_aton("255.255.255.0")


def test_a_foreign_address_is_refused(router: Router) -> None:
    assert told(router.answer(asking(REQUEST, requested="192.168.1.7"))) == (NAK, "0.0.0.0")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        asking(DISCOVER)[:200],
        b"\2" + asking(DISCOVER)[1:],
        asking(RELEASE),
        asking(REQUEST, requested="10.77.0.1", server="10.77.0.9"),
    ],
)
def test_what_is_not_for_this_server_gets_no_answer(router: Router, packet: bytes) -> None:
    assert router.answer(packet) is None


def test_a_client_with_an_address_of_its_own_is_only_informed(router: Router) -> None:
    assert told(router.answer(asking(INFORM, own="10.77.0.50"))) == (ACK, "0.0.0.0")


def test_options_that_are_cut_short_are_left_out() -> None:
    assert read_options(b"\0\x35\x01\x03\x36") == {53: b"\3"}


def reply(answers: list[tuple[int, bytes]], code: int = 0) -> bytes:
    name = b"\4mail\5gmail\3com\0"
    head = struct.pack("!HHHHHH", 7, 0x8180 | code, 1, len(answers), 0, 0) + name + struct.pack("!HH", 1, 1)
    return head + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data for kind, data in answers)


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        (reply([(1, b"\1\2\3\4"), (1, b"\5\6\7\x08")]), dns.A, ("NOERROR", ["1.2.3.4", "5.6.7.8"])),
        (reply([(5, b"\3www\xc0\x0c"), (1, b"\1\2\3\4")]), dns.A, ("NOERROR", ["1.2.3.4"])),
        (reply([(28, bytes(15) + b"\1")]), dns.AAAA, ("NOERROR", ["::1"])),
        (reply([(28, bytes(16))]), dns.A, ("NOERROR", [])),
        (reply([], 3), dns.A, ("NXDOMAIN", [])),
        (reply([], 9), dns.A, ("RCODE 9", [])),
    ],
)
def test_addresses_are_read_from_a_reply(message: bytes, kind: int, expected: tuple[str, list[str]]) -> None:
    assert dns.addresses(message, kind) == expected


@pytest.mark.parametrize("cut", [0, 5, 12, 20, 40])
def test_a_reply_cut_short_is_not_taken_for_one(cut: int) -> None:
    with pytest.raises(ValueError, match=r"not a DNS message|IPv4"):
        dns.addresses(reply([(1, b"\1\2\3\4")])[:cut], dns.A)


def test_a_question_spells_names_as_dns_does() -> None:
    assert dns.question("bücher.example.", dns.A, 7)[12:] == b"\x0dxn--bcher-kva\7example\0\0\1\0\1"

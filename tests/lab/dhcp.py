"""The village's router, as far as a node can tell: a DHCP server (RFC 2131) that knows one net and no gateway.

The first card that asks gets the node's own address, whatever asks later gets one of the others, and each keeps it.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass, field

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
COOKIE = b"\x63\x82\x53\x63"
OPTIONS_AT = 240
SUBNET_MASK, REQUESTED_ADDRESS, LEASE_TIME, MESSAGE_TYPE, SERVER, END = 1, 50, 51, 53, 54, 255
LEASE_SECONDS = 24 * 3600
SERVER_PORT, CLIENT_PORT = 67, 68
SO_BINDTODEVICE = socket.SO_BINDTODEVICE


@dataclass
class Router:
    """Answers DHCP packets; `leases` maps each card's MAC address, as text, to its address."""

    own: ipaddress.IPv4Interface
    node: ipaddress.IPv4Address
    first_guest: int = 100
    leases: dict[str, ipaddress.IPv4Address] = field(default_factory=dict)

    def address_of(self, mac: str) -> ipaddress.IPv4Address:
        """The address that a card has or gets now."""
        if mac not in self.leases:
            guest = self.own.network.network_address + self.first_guest + len(self.leases)
            self.leases[mac] = guest if self.leases else self.node
        return self.leases[mac]

    def answer(self, packet: bytes) -> bytes | None:
        """The reply to a client's packet, or None when there is nothing to say to it."""
        if len(packet) < OPTIONS_AT or packet[0] != 1 or packet[236:240] != COOKIE:
            return None
        options = read_options(packet[OPTIONS_AT:])
        kind = (options.get(MESSAGE_TYPE) or b"\0")[0]
        if options.get(SERVER, self.own.ip.packed) != self.own.ip.packed:
            return None
        yours = self.address_of(packet[28 : 28 + min(packet[2], 16)].hex(":"))
        if kind == DISCOVER:
            return self._reply(packet, OFFER, yours)
        if kind == REQUEST:
            wanted = options.get(REQUESTED_ADDRESS) or packet[12:16]
            if wanted != yours.packed:
                return self._reply(packet, NAK, ipaddress.IPv4Address(0))
            return self._reply(packet, ACK, yours)
        if kind == INFORM:
            return self._reply(packet, ACK, ipaddress.IPv4Address(0))
        return None

    def serve(self, device: str) -> None:
        """Answer on an interface of the calling thread's network namespace, forever."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            server.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, device.encode())
            server.bind(("", SERVER_PORT))
            while True:
                packet, _client = server.recvfrom(2048)
                if (reply := self.answer(packet)) is not None:
                    known = packet[12:16] if packet[12:16] != bytes(4) else b"\xff\xff\xff\xff"
                    server.sendto(reply, (socket.inet_ntoa(known), CLIENT_PORT))

    def _reply(self, packet: bytes, kind: int, yours: ipaddress.IPv4Address) -> bytes:
        options = [(MESSAGE_TYPE, bytes([kind])), (SERVER, self.own.ip.packed)]
        if kind != NAK:
            options += [
                (LEASE_TIME, struct.pack("!I", LEASE_SECONDS)),
                (SUBNET_MASK, self.own.netmask.packed),
            ]
        head = struct.pack("!BBBB4sH2s", 2, packet[1], packet[2], 0, packet[4:8], 0, packet[10:12])
        addresses = packet[12:16] + yours.packed + self.own.ip.packed + packet[24:28]
        body = b"".join(bytes([code, len(value)]) + value for code, value in options) + bytes([END])
        return (head + addresses + packet[28:44] + bytes(192) + COOKIE + body).ljust(300, b"\0")


def read_options(data: bytes) -> dict[int, bytes]:
    """The options of a DHCP packet by their codes (RFC 2132); what is cut short is left out."""
    options, at = {}, 0
    while at < len(data) and data[at] != END:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data):
            break
        options[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return options

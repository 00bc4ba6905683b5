"""The network's end of a PPP link, as a mobile operator has it: LCP (RFC 1661), IPCP (RFC 1332), IPv4.

Bytes of the line go in, bytes and IP packets come out, and time comes from the caller: no input or output happens
here. It wants no password, and hands out one address and the name servers (RFC 1877).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.hdlc import ALL_CONTROLS, Deframer, frame

IP, LCP, IPCP = 0x0021, 0xC021, 0x8021
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATED, CODE_REJECT, PROTOCOL_REJECT, ECHO, ECHOED, DISCARD = range(1, 12)
"""Codes of LCP's packets (RFC 1661, 5); IPCP has the first seven."""
MRU, ACCM, MAGIC = 1, 2, 5
"""LCP's options that are taken (RFC 1661, 6; RFC 1662, 7.1). Compressed headers are refused, passwords never asked."""
IP_ADDRESS, FIRST_DNS, SECOND_DNS = 3, 129, 131
"""IPCP's options that are taken (RFC 1332, 3; RFC 1877, 1)."""
RESTART = 3.0
"""Seconds after which an unanswered request is sent again (RFC 1661, 4.6)."""
MOST_REQUESTS, MOST_TERMINATES = 10, 2
"""How often at most (RFC 1661, 4.6)."""
LEAST_MRU, MOST_MRU = 128, 1500
WITHOUT_CR = 1 << 0x0D
"""The control characters that the other end is to escape: a plain CR ends a command, and is in no frame."""

Options = list[tuple[int, bytes]]


def pack(options: Options) -> bytes:
    """Options as they stand in a packet (RFC 1661, 6)."""
    return b"".join(bytes([kind, len(value) + 2]) + value for kind, value in options)


def unpack(data: bytes) -> Options:
    """The options of a packet; raises ValueError where they do not add up."""
    options: Options = []
    while data:
        if len(data) < 2 or not 2 <= data[1] <= len(data):
            raise ValueError("an option that is cut short")
        options.append((data[0], data[2 : data[1]]))
        data = data[data[1] :]
    return options


@dataclass
class _Control:
    """One control protocol's part in opening the link: our request and theirs, each until it is acknowledged.

    wanted   our options
    judge    what is said to one of theirs: None to take it, b"" to refuse it, else the value it should have
    """

    number: int
    send: Callable[[int, bytes], None]
    wanted: Options
    judge: Callable[[int, bytes], bytes | None]
    begun: bool = False
    acked: bool = False
    """Theirs has acknowledged ours."""
    agreed: Options | None = None
    """Theirs, once acknowledged."""
    tries: int = 0
    again: float = float("inf")
    """When our request is sent once more."""
    id: int = 0

    @property
    def open(self) -> bool:
        """Whether both sides have acknowledged."""
        return self.acked and self.agreed is not None

    def begin(self, now: float) -> None:
        """Send our first request."""
        self.begun, self.acked, self.agreed, self.tries = True, False, None, 0
        self.request(now)

    def request(self, now: float) -> None:
        """Send our request, once more."""
        self.tries += 1
        self.id = (self.id + 1) % 256
        self.again = now + RESTART
        self.say(REQUEST, self.id, pack(self.wanted))

    def say(self, code: int, number: int, data: bytes) -> None:
        """Send a packet (RFC 1661, 5)."""
        self.send(self.number, struct.pack("!BBH", code, number, 4 + len(data)) + data)

    def asked(self, number: int, options: Options) -> None:
        """Answer their request: all that is refused first, then all that should be otherwise (RFC 1661, 5.2-5.4)."""
        judged = [(kind, value, self.judge(kind, value)) for kind, value in options]
        if refused := [(kind, value) for kind, value, better in judged if better == b""]:
            self.say(REJECT, number, pack(refused))
        elif others := [(kind, better) for kind, _, better in judged if better]:
            self.say(NAK, number, pack(others))
        else:
            self.say(ACK, number, pack(options))
            self.agreed = options

    def answered(self, code: int, number: int, options: Options, now: float) -> None:
        """Take their answer to our request."""
        if number != self.id or self.acked:
            return
        if code == ACK:
            self.acked, self.again = True, float("inf")
            return
        told = dict(options)
        if code == NAK:
            self.wanted = [(kind, told.get(kind, value)) for kind, value in self.wanted]
        else:
            self.wanted = [(kind, value) for kind, value in self.wanted if kind not in told]
        self.request(now)


@dataclass
class PppEnd:
    """One connection, from its first frame to its end. Times are seconds of the caller's clock.

    own, theirs, dns   the addresses of this end, of the other one, and of the name server
    to_line            bytes for the line, to be taken away
    packets            IPv4 packets from the other end, to be taken away
    """

    own: ipaddress.IPv4Address
    theirs: ipaddress.IPv4Address
    dns: ipaddress.IPv4Address
    magic: bytes = b"\x4d\x6f\x4a\x6f"
    to_line: bytearray = field(default_factory=bytearray)
    packets: list[bytes] = field(default_factory=list)
    ended: bool = False
    """The link is over, from whichever end."""

    def __post_init__(self) -> None:
        self._deframer = Deframer()
        self._escaped = ALL_CONTROLS
        lcp: Options = [(ACCM, WITHOUT_CR.to_bytes(4, "big")), (MAGIC, self.magic)]
        self._lcp = _Control(LCP, self._send, lcp, self._judge_lcp)
        self._ipcp = _Control(IPCP, self._send, [(IP_ADDRESS, self.own.packed)], self._judge_ipcp)
        self._terminating = 0

    @property
    def up(self) -> bool:
        """Whether IP passes."""
        return self._ipcp.open and not self.ended

    @property
    def rest(self) -> bytes:
        """What has come since the last flag: of a frame, or of somebody who does not speak PPP any more."""
        return bytes(self._deframer.rest)

    # ---- what the other end sends

    def begin(self, now: float) -> None:
        """Say the first word."""
        self._lcp.begin(now)

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes of the line."""
        for packet in self._deframer.feed(data):
            if self.ended or len(packet) < 2:
                continue
            protocol, body = int.from_bytes(packet[:2], "big"), packet[2:]
            if protocol == LCP:
                self._control(self._lcp, body, now)
            elif not self._lcp.open:
                continue  # nothing but LCP is listened to before it is open (RFC 1661, 3.4)
            elif protocol == IPCP:
                self._control(self._ipcp, body, now)
            elif protocol == IP:
                if self.up:
                    self.packets.append(body)
            else:
                self._lcp.id = (self._lcp.id + 1) % 256
                self._lcp.say(PROTOCOL_REJECT, self._lcp.id, packet)

    def _control(self, control: _Control, packet: bytes, now: float) -> None:
        """A packet of a control protocol; what is not whole is left out."""
        if len(packet) < 4 or not 4 <= (length := int.from_bytes(packet[2:4], "big")) <= len(packet):
            return
        code, number, data = packet[0], packet[1], packet[4:length]
        try:
            self._obey(control, code, number, data, now)
        except ValueError:
            return
        if self._lcp.open and not self._ipcp.begun:
            agreed = dict(self._lcp.agreed or [])
            self._escaped = int.from_bytes(agreed.get(ACCM, b"\xff" * 4), "big")
            self._ipcp.begin(now)

    def _obey(self, control: _Control, code: int, number: int, data: bytes, now: float) -> None:
        if code == REQUEST:
            options = unpack(data)
            if control.open:  # they begin anew (RFC 1661, 4.4)
                self._anew(control, now)
            control.asked(number, options)
        elif code in (ACK, NAK, REJECT):
            control.answered(code, number, unpack(data), now)
        elif code == TERMINATE:
            control.say(TERMINATED, number, b"")
            if control is self._lcp:
                self._end()
        elif code == TERMINATED:
            if self._terminating:
                self._end()
        elif control is self._lcp and code == ECHO:
            if control.open:
                control.say(ECHOED, number, self.magic + data[4:])
        elif code not in (CODE_REJECT, PROTOCOL_REJECT, ECHOED, DISCARD):
            control.id = (control.id + 1) % 256
            control.say(CODE_REJECT, control.id, struct.pack("!BBH", code, number, 4 + len(data)) + data)

    def _anew(self, control: _Control, now: float) -> None:
        if control is self._lcp:
            self._escaped = ALL_CONTROLS
            self._ipcp.begun = self._ipcp.acked = False
            self._ipcp.agreed, self._ipcp.again = None, float("inf")
        control.begin(now)

    def _judge_lcp(self, kind: int, value: bytes) -> bytes | None:
        if kind == MRU and len(value) == 2:
            asked = int.from_bytes(value, "big")
            return None if asked >= LEAST_MRU else MOST_MRU.to_bytes(2, "big")
        if kind == ACCM and len(value) == 4:
            return None
        if kind == MAGIC and len(value) == 4:
            return None if value not in (self.magic, bytes(4)) else bytes(byte ^ 0xA5 for byte in self.magic)
        return b""

    def _judge_ipcp(self, kind: int, value: bytes) -> bytes | None:
        given = {IP_ADDRESS: self.theirs, FIRST_DNS: self.dns, SECOND_DNS: self.dns}
        if kind not in given or len(value) != 4:
            return b""
        right = given[kind].packed
        return None if value == right else right

    # ---- what this end sends

    def deliver(self, packet: bytes) -> None:
        """Send an IPv4 packet to the other end; it is gone where the link is not up."""
        if self.up:
            self._send(IP, packet)

    def hang_up(self, now: float) -> None:
        """Ask the other end to end the link (RFC 1661, 5.5)."""
        if not self.ended:
            self._terminating = 1
            self._lcp.again, self._ipcp.again = now + RESTART, float("inf")
            self._lcp.say(TERMINATE, self._lcp.id, b"")

    def _send(self, protocol: int, body: bytes) -> None:
        # LCP's own packets are always escaped as at the start (RFC 1662, 7.1).
        escaped = ALL_CONTROLS if protocol == LCP else self._escaped
        self.to_line += frame(protocol.to_bytes(2, "big") + body, escaped)

    def _end(self) -> None:
        self.ended = True
        self._lcp.again = self._ipcp.again = float("inf")

    # ---- time

    def next_event(self) -> float:
        """When `tick` has something to do next; infinity when nothing waits."""
        return min(self._lcp.again, self._ipcp.again)

    def tick(self, now: float) -> None:
        """Send again what was not answered, and give up where nobody is."""
        for control in (self._lcp, self._ipcp):
            if control.again > now:
                continue
            if self._terminating:
                self._terminating += 1
                if self._terminating > MOST_TERMINATES:
                    self._end()
                    return
                self._lcp.again = now + RESTART
                self._lcp.say(TERMINATE, self._lcp.id, b"")
            elif control.tries >= MOST_REQUESTS:
                self._end()
                return
            else:
                control.request(now)

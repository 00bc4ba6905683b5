"""PPP's framing on an asynchronous line (RFC 1662): packets to bytes and back, by flags, escapes and a checksum."""

from __future__ import annotations

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
ADDRESS_CONTROL = b"\xff\x03"
"""All stations, unnumbered information (RFC 1662, 3.1)."""
ALL_CONTROLS = 0xFFFFFFFF
"""The async control character map before one is agreed on: each byte below 0x20 is escaped (RFC 1662, 7.1)."""
GOOD = 0xF0B8
"""The checksum of a frame with its checksum (RFC 1662, C.2)."""
LONGEST_FRAME = 4096
"""Bytes, without escapes, that a frame may have; the default MRU is 1500 (RFC 1661, 6.1)."""


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
        table.append(value)
    return table


_FCS = _table()


def checksum(data: bytes | bytearray) -> int:
    """FCS-16, not yet complemented (RFC 1662, C.2)."""
    fcs = 0xFFFF
    for byte in data:
        fcs = fcs >> 8 ^ _FCS[(fcs ^ byte) & 0xFF]
    return fcs


def frame(packet: bytes, escaped: int = ALL_CONTROLS) -> bytes:
    """A PPP packet, its protocol first, as it goes over the line.

    escaped   the bytes below 0x20 that the other side wants escaped, a bit each
    """
    plain = ADDRESS_CONTROL + packet
    plain += (checksum(plain) ^ 0xFFFF).to_bytes(2, "little")
    line = bytearray([FLAG])
    for byte in plain:
        if byte in (FLAG, ESCAPE) or (byte < 0x20 and escaped >> byte & 1):
            line += bytes([ESCAPE, byte ^ FLIP])
        else:
            line.append(byte)
    line.append(FLAG)
    return bytes(line)


class Deframer:
    """Takes bytes as they come and gives packets; what is no frame, or has come to harm, is left out.

    `rest` is what has come since the last flag, as it was on the line.
    """

    def __init__(self) -> None:
        self.rest = bytearray()
        self.spoiled = 0
        """Frames that came with a wrong checksum, or too long."""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are complete with these bytes, the protocol's two bytes first."""
        packets = []
        for byte in data:
            if byte == FLAG:
                if (packet := self._read(bytes(self.rest))) is not None:
                    packets.append(packet)
                self.rest.clear()
            elif len(self.rest) < 2 * LONGEST_FRAME:
                self.rest.append(byte)
        return packets

    def _read(self, line: bytes) -> bytes | None:
        if not line:
            return None
        plain = bytearray()
        escaped = False
        for byte in line:
            if byte == ESCAPE and not escaped:
                escaped = True
                continue
            plain.append(byte ^ FLIP if escaped else byte)
            escaped = False
        # A frame that ends with an escape was given up by its sender (RFC 1662, 4.3).
        if escaped or len(plain) > LONGEST_FRAME or len(plain) < 4 or checksum(plain) != GOOD:
            self.spoiled += 1
            return None
        packet = bytes(plain[:-2])
        packet = packet.removeprefix(ADDRESS_CONTROL)
        # Protocol numbers end with an odd byte, and a compressed one begins with that (RFC 1661, 2 and 6.5).
        return b"\0" + packet if packet[:1] and packet[0] & 1 else packet

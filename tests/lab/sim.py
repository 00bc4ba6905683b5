"""A SIM card: its PIN and PUK with their tries, and the few files of it that a modem's driver reads.

By 3GPP TS 31.101 (commands and their status words), TS 31.102 and ETSI TS 102 221 (files).
"""

from __future__ import annotations

from dataclasses import dataclass, field

PIN_TRIES, PUK_TRIES = 3, 10
"""Tries of a new card (3GPP TS 31.101, 9.5)."""
VERIFY, UNBLOCK = 0x20, 0x2C
PIN1 = 0x01
"""Its key reference (TS 31.101, 9.5); any other is PIN2, which nobody tries here."""
ICCID, ADMINISTRATIVE = 0x2FE2, 0x6FAD
"""Files: EF_ICCID (TS 102 221, 13.2) and EF_AD (TS 31.102, 4.2.18)."""
DONE, BLOCKED, NO_FILE, NO_INSTRUCTION = 0x9000, 0x6983, 0x6A82, 0x6D00
TRIES_LEFT = 0x63C0
"""The last digit is how many (TS 102 221, 10.2.1.5)."""


@dataclass
class Sim:
    """One card. With a `pin` it wants that whenever it was without power.

    presented   each PIN that was tried, in order
    """

    pin: str = ""
    puk: str = "12345678"
    imsi: str = "405840123456789"
    iccid: str = "89918401234567890128"
    tries: int = PIN_TRIES
    puk_tries: int = PUK_TRIES
    open: bool = False
    presented: list[str] = field(default_factory=list)

    def power_on(self) -> None:
        """What was told to it is forgotten, its tries are not."""
        self.open = not self.pin

    @property
    def wants(self) -> str:
        """What it waits for, as +CPIN has it (3GPP TS 27.007, 8.3)."""
        if self.pin and not self.tries:
            return "SIM PUK"
        return "READY" if self.open else "SIM PIN"

    def verify(self, pin: str) -> bool:
        """Try a PIN; a wrong one costs a try, a right one gives all back."""
        self.presented.append(pin)
        if not self.tries:
            return False
        if pin != self.pin:
            self.tries -= 1
            self.open = self.open and self.tries > 0
            return False
        self.tries, self.open = PIN_TRIES, True
        return True

    def unblock(self, puk: str, pin: str) -> bool:
        """Give the card a new PIN by its PUK."""
        if not self.puk_tries:
            return False
        if puk != self.puk:
            self.puk_tries -= 1
            return False
        self.pin, self.tries, self.puk_tries, self.open = pin, PIN_TRIES, PUK_TRIES, True
        return True

    def command(self, apdu: bytes) -> bytes:
        """The answer to a command by itself (+CSIM): how many tries are left is all that can be asked for."""
        if len(apdu) < 4 or apdu[1] not in (VERIFY, UNBLOCK):
            return NO_INSTRUCTION.to_bytes(2, "big")
        if apdu[4:5] not in (b"", b"\0"):
            raise ValueError("a PIN by +CSIM")
        first = apdu[3] == PIN1
        left = (self.tries if first else PIN_TRIES) if apdu[1] == VERIFY else (self.puk_tries if first else PUK_TRIES)
        return (TRIES_LEFT + left if left else BLOCKED).to_bytes(2, "big")

    def read(self, file: int, length: int) -> tuple[int, bytes]:
        """The first bytes of a file, with the status word of reading it (+CRSM)."""
        files = {ICCID: _swapped(self.iccid), ADMINISTRATIVE: bytes([0, 0, 0, 3])}
        if file not in files:
            return NO_FILE, b""
        return DONE, files[file][: length or None]


def _swapped(digits: str) -> bytes:
    """Digits two a byte, the second one first (TS 102 221, 13.2)."""
    digits += "F" * (len(digits) % 2)
    return bytes(int(digits[at + 1] + digits[at], 16) for at in range(0, len(digits), 2))

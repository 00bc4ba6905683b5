"""How a phone joins the village network and opens the mail."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .answers import Answers
from .surroundings import Surroundings

WIFI_ADDRESS, CABLE_ADDRESS = "10.77.0.1", "10.77.1.1"
"""The node's own addresses on its Wi-Fi, and on its cable network where it has both; alone, a cable has the first."""
DOMAIN = "home.arpa"
SETUP = "mojomail-setup"
"""The Wi-Fi by which phones reach the wizard: its connection, and the name that they see."""


@dataclass(frozen=True)
class Join:
    """The Wi-Fi's name and passphrase ("" without a Wi-Fi), and the address by name and by number."""

    wifi: str
    passphrase: str
    address: str
    plain_address: str

    @classmethod
    def from_answers(cls, answers: Answers, around: Surroundings) -> Join:
        """Read it off the answers, and the addresses that the machine has now."""
        wifi = answers.get("network.kind") in ("wifi", "both")
        number = WIFI_ADDRESS
        if not wifi and answers.get("network.ethernet.kind") == "join":
            sockets = around.sockets()[:1]
            number = next((ip for name, ip in around.addresses().items() if name in sockets), "")
        name = answers.get("name") or "mojomail"
        return cls(
            answers.need("network.wifi.name") if wifi else "",
            answers.need("network.wifi.passphrase") if wifi else "",
            f"https://{name}.{DOMAIN}",
            f"https://{number}" if number else "",
        )

    def qr(self) -> str:
        """What a phone's camera reads: the Wi-Fi (as ZXing's "WIFI:" scheme has it), or the address."""
        if not self.wifi:
            return self.address
        return f"WIFI:T:WPA;S:{escape(self.wifi)};P:{escape(self.passphrase)};;"


def escape(text: str) -> str:
    """Text as a value of a "WIFI:" code."""
    return re.sub(r'([\\;,:"])', r"\\\1", text)

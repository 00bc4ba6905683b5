"""The node's own Wi-Fi: a phone joins it to answer the wizard, and afterwards to read mail.

The kernel plays both radios (its networking/mac80211_hwsim/mac80211_hwsim.rst): QEMU has none. The phone is a network
namespace of the node, to which the second radio belongs.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from tests.flows.mailoffice import letters
from tests.lab.guest import CommandFailed
from tests.lab.machine import Machine
from tests.lab.room import ANSWERED, Told, WizardRoom, findings

pytest_plugins = ("tests.flows.wizardroom",)

NODE = "10.77.0.1"
VILLAGE, PASSPHRASE = "Rampur", "asks-nobody-42"
SUPPLICANT = """\
ctrl_interface=/run/phone
network={{
  ssid="{name}"
  psk="{passphrase}"
  key_mgmt=WPA-PSK
}}
"""
ASK = """\
import ssl, sys, urllib.request
trusting = ssl._create_unverified_context()
print(urllib.request.urlopen(sys.argv[1], timeout=20, context=trusting).read().decode())
"""


class Phone:
    """A phone with the radio `wlan1`."""

    def __init__(self, node: Machine) -> None:
        self.node = node

    def run(self, command: str, limit: float = 60.0) -> str:
        """What a command prints that sees the phone's network and no other."""
        return self.node.succeed(f"ip netns exec phone sh -c {shlex.quote(command)}", limit=limit)

    def join(self, name: str, passphrase: str) -> None:
        """Join a Wi-Fi, and take an address in it."""
        self.leave()
        self.node.send_file(SUPPLICANT.format(name=name, passphrase=passphrase).encode(), "/run/phone.conf")
        self.run("ip link set lo up; wpa_supplicant -B -i wlan1 -c /run/phone.conf -P /run/phone.pid")
        joined = "ip netns exec phone wpa_cli -p /run/phone -i wlan1 status | grep -q wpa_state=COMPLETED"
        self.node.wait_until(joined, limit=ANSWERED, what=f"the phone in the Wi-Fi {name}")
        self.run("/usr/lib/klibc/bin/ipconfig -t 60 -c dhcp wlan1", limit=ANSWERED)

    def leave(self) -> None:
        """Leave the Wi-Fi it is in, if there is one."""
        self.node.execute("kill $(cat /run/phone.pid)")
        self.node.wait_until("! pgrep -F /run/phone.pid", limit=30)
        self.node.succeed("ip -n phone address flush dev wlan1")

    def read(self, address: str) -> str:
        """A page."""
        return self.run(f"python3 -c {shlex.quote(ASK)} {address}")


@pytest.fixture
def phone(tv: WizardRoom) -> Phone:
    """The TV's node as if it had been switched on with a radio and no village cable, and a phone."""
    tv.node.link(False, "lan")  # whose router has just the addresses that the Wi-Fi has
    tv.node.wait_until("! ip -4 address show dev eth0 | grep -q inet", limit=60)
    tv.node.succeed("systemctl stop mojomail-firstboot.service", limit=120)
    tv.node.succeed("modprobe mac80211_hwsim radios=2 && ip netns add phone", limit=120)
    tv.node.succeed("iw phy $(cat /sys/class/net/wlan1/phy80211/name) set netns name phone", limit=60)
    tv.node.succeed("systemctl start --no-block mojomail-firstboot.service")
    tv.wait_for_screen("language")
    return Phone(tv.node)


def beside(room: WizardRoom, what: str, condition: Callable[[list[str]], object]) -> list[str]:
    """The values beside the question, in their order, once they fit."""

    def fits(told: Told) -> object:
        return condition([value for _, value in told["beside"]])

    return [value for _, value in room.wait_for(what, fits)["beside"]]


@pytest.mark.long
def test_a_phone_joins_by_the_nodes_own_wifi_before_and_after_the_set_up(tv: WizardRoom, phone: Phone) -> None:
    name, shown, address, pin = beside(tv, "the Wi-Fi of the set-up", lambda values: len(values) == 4)
    phone.join(name, shown.replace("\u2011", "-"))  # what does not break on the screen
    assert address == f"http://{NODE}:8080"
    assert "name=pin" in phone.read(address).replace('"', "")
    assert len(pin.split()) == 2
    tv.go_through(
        {
            "name": "rampur",
            "keeper.password": letters(16),
            "network.kind": "wifi",
            "network.wifi.name": VILLAGE,
            "network.wifi.passphrase": PASSPHRASE,
            "link.kind": "ethernet",
        }
    )
    told = tv.set_up()
    assert "trouble" not in findings(told).values(), told["lines"]
    tv.finish()
    phone.join(VILLAGE, PASSPHRASE)
    assert "Roundcube" in phone.read(f"https://{NODE}/")
    assert "country IN" in tv.node.succeed("iw reg get")
    with pytest.raises(CommandFailed, match=r"refused|timed out"):
        phone.read(f"http://{NODE}:8080/")
    assert "Roundcube" in phone.read(f"https://{NODE}/"), "the phone is still there"

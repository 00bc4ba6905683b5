"""What the machine has around it, read off the kernel's own files and off other programs' answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from firstboot.process import Done
from firstboot.statesocket import SOCKET, StateSocket
from firstboot.surroundings import Surroundings
from tests.unit.firstboot_machine import Programs


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A Pi with its socket, its radio, a phone on USB, and a dongle."""
    net = tmp_path / "sys/class/net"
    for name, driver in (("eth0", "lan78xx"), ("wlan0", "brcmfmac"), ("eth1", "rndis_host"), ("lo", "")):
        (net / name).mkdir(parents=True)
        if driver:
            (tmp_path / "drivers" / driver).mkdir(parents=True)
            (net / name / "device").mkdir()
            (net / name / "device/driver").symlink_to(tmp_path / "drivers" / driver)
    (net / "wlan0/phy80211").mkdir()
    (net / "eth0/carrier").write_text("1\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/ttyUSB0").touch()
    return tmp_path


def test_radios_sockets_and_phones_are_told_apart(machine: Path) -> None:
    around = Surroundings(machine, Programs())
    assert (around.radios(), around.sockets(), around.tethers()) == (["wlan0"], ["eth0"], ["eth1"])
    assert around.modem() and around.plugged("eth0") and not around.plugged("wlan0")


def test_a_machine_without_anything_has_nothing(tmp_path: Path) -> None:
    around = Surroundings(tmp_path, Programs())
    assert not around.radios() and not around.sockets() and not around.modem() and not around.addresses()


def test_programs_are_asked_for_addresses_networks_and_logins(machine: Path) -> None:
    addresses = "1: lo    inet 127.0.0.1/8 scope host lo\n2: eth0    inet 192.168.1.20/24 brd 192.168.1.255\n"
    programs = Programs(
        {
            "ip -4": Done(0, addresses),
            "nmcli -t -f SSID": Done(0, "School\n\nPost\\:Office\nSchool\n"),
            "nmcli -g DHCP4.OPTION": Done(0, "dhcp_server_identifier = 192.168.1.1 | ip_address = 192.168.1.20"),
            "mojomail person list": Done(0, json.dumps([{"login": "asha"}])),
        }
    )
    around = Surroundings(machine, programs)
    assert around.addresses() == {"eth0": "192.168.1.20"} and around.routed("eth0")
    assert around.seen_networks() == ["School", "Post:Office"] and around.logins() == {"asha"}
    around.seen_networks()
    assert sum(call[:2] == ("nmcli", "-t") for call in programs.calls) == 1


def test_the_mail_office_is_asked_once_whose_an_address_is_and_not_at_all_while_nobody_is_there(machine: Path) -> None:
    listed = {"mojomail account list": Done(0, json.dumps([{"login": "asha", "address": "Asha@Gmail.com"}]))}
    programs = Programs(listed | {"mojomail person list": Done(0, json.dumps([{"login": "asha"}]))})
    around = Surroundings(machine, programs)
    assert around.addresses_taken() == {"asha@gmail.com": "asha"} == around.addresses_taken()
    assert sum(call[1] == "account" for call in programs.calls) == 1
    nobody = Programs(listed)
    assert not Surroundings(machine, nobody).addresses_taken()
    assert not [call for call in nobody.calls if call[1] == "account"]


def test_places_and_countries_come_from_the_time_zone_database() -> None:
    around = Surroundings(Path("/"), Programs())
    assert "Asia/Kolkata" in around.zones() and around.countries()["IN"] == "India"


def test_a_mail_office_that_is_not_there_knows_nobody(machine: Path) -> None:
    assert Surroundings(machine, Programs({"mojomail": Done(127, "")})).logins() == frozenset()


def test_tests_can_ask_which_screen_is_shown(tmp_path: Path) -> None:
    told = StateSocket(tmp_path, lambda: {"screen": "name", "language": "ಕ"})
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(tmp_path / SOCKET))
        assert json.loads(asking.makefile(encoding="utf-8").read()) == {"screen": "name", "language": "ಕ"}
    assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
    told.close()

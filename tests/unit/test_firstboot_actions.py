"""What the answers lead to: actions that may be done again at any time, and a trial that says what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import keeper
from firstboot.actions import Site, actions
from firstboot.applying import work
from firstboot.errors import SystemFault
from firstboot.keyfiles import escape, firewall, keyfiles, network_name
from firstboot.office import Office, server
from firstboot.process import Done
from firstboot.settings import AccessPoint, Link, Settings, settings_from
from firstboot.trial import Trial
from tests.unit.firstboot_machine import SECRETS, VILLAGE, MadeUp, Programs, site_at, walk, wizard_at

NOBODY = {"mojomail person list": Done(0, "[]")}


def village(folder: Path) -> Settings:
    wizard = wizard_at(folder / "answers")
    walk(wizard, VILLAGE)
    return settings_from(wizard.answers)


def apply(settings: Settings, site: Site) -> list[str]:
    """Do what is not done; returns the names of that."""
    todo = [action for action in actions(settings, site) if not action.done()]
    for action in todo:
        action.apply()
    return [action.name for action in todo]


def test_a_village_is_set_up(tmp_path: Path) -> None:
    programs = Programs(NOBODY)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/locale.gen").write_text("# Made from this:\nen_IN.UTF-8 UTF-8\nkn_IN.UTF-8 UTF-8\n")
    apply(village(tmp_path), site_at(tmp_path, programs))
    text = {name: (tmp_path / name).read_text() for name in ("etc/hostname", "etc/timezone", "etc/default/locale")}
    assert text["etc/hostname"] == "rampur\n" and text["etc/timezone"] == "Asia/Kolkata\n"
    assert "LANG=kn_IN.UTF-8" in text["etc/default/locale"]
    assert str((tmp_path / "etc/localtime").readlink()) == "/usr/share/zoneinfo/Asia/Kolkata"
    assert keeper.fits(SECRETS[0], keeper.read(tmp_path))
    added = [call for call in programs.calls if call[:2] == ("mojomail", "person") and call[2] == "add"]
    assert [call[3:6] for call in added] == [("asha", "--name", "Asha Rao"), ("ravi", "--name", "ರವಿ")]


def test_no_secret_is_in_an_argument(tmp_path: Path) -> None:
    programs = Programs(NOBODY)
    apply(village(tmp_path), site_at(tmp_path, programs))
    words = " ".join(word for call in programs.calls for word in call)
    assert not [secret for secret in SECRETS if secret in words]
    assert f"{SECRETS[2]}\n" in programs.read and f"{SECRETS[3]}\n" in programs.read


def test_what_is_in_force_is_not_done_again(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("rampur\n")
    settings = village(tmp_path)
    apply(settings, site_at(tmp_path, Programs(NOBODY)))
    accounts = [{"address": account.address, "login": "asha"} for account in settings.people[0].accounts]
    people = [{"login": person.login} for person in settings.people]
    programs = Programs(
        {"mojomail account list": Done(0, json.dumps(accounts)), "mojomail person list": Done(0, json.dumps(people))}
    )
    again = apply(settings, site_at(tmp_path, programs))
    assert not [name for name in again if name.startswith("etc/") or name in ("password", "connections")]
    assert not [call for call in programs.calls if "add" in call and call[0] == "mojomail"]


def test_an_account_password_that_was_mended_takes_the_place_of_the_wrong_one(tmp_path: Path) -> None:
    settings = village(tmp_path)
    accounts = [{"address": account.address, "login": "asha"} for account in settings.people[0].accounts]
    programs = Programs({"mojomail account list": Done(0, json.dumps(accounts))})
    apply(settings, site_at(tmp_path, programs))
    given = dict(zip(programs.calls, programs.read, strict=True))
    change = ("mojomail", "account", "passwd", accounts[0]["address"], "--no-test", "--secret-fd", "0")
    assert given[change] == f"{SECRETS[3]}\n"


def test_an_address_of_somebody_else_is_left_alone_and_said_to_be_theirs(tmp_path: Path) -> None:
    accounts = [{"address": "Asha.Rao@gmail.com", "login": "lila"}]
    programs = Programs({"mojomail account list": Done(0, json.dumps(accounts))})
    with pytest.raises(SystemFault, match=r"asha\.rao@gmail\.com is an address of lila already"):
        apply(village(tmp_path), site_at(tmp_path, programs))
    assert not [call for call in programs.calls if call[:3] == ("mojomail", "account", "passwd")]


def test_another_network_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    settings = village(tmp_path)
    apply(settings, site_at(tmp_path))
    folder = tmp_path / "etc/NetworkManager/system-connections"
    assert {path.name for path in folder.iterdir()} == {
        *("mojomail-lan-wifi.nmconnection", "mojomail-lan-cable.nmconnection"),
        *("mojomail-link.nmconnection", "mojomail-link-usb.nmconnection"),
    }
    apply(replace(settings, access_point=None, link=Link("none")), site_at(tmp_path))
    assert [path.name for path in folder.iterdir()] == ["mojomail-lan-cable.nmconnection"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_phones_are_let_in_again_as_soon_as_the_firewall_is_loaded(tmp_path: Path) -> None:
    programs = Programs()
    let_in: list[tuple[str, ...]] = []
    site = replace(site_at(tmp_path, programs), after_firewall=lambda: let_in.append(programs.calls[-1]))
    apply(replace(village(tmp_path), ssh_keys=("ssh-ed25519 AAAA keeper",)), site)
    assert let_in == [("nft", "-f", "/etc/nftables.conf")] * 2


@pytest.mark.parametrize("done", [Done(1, "", "syntax error"), Done(124, "", "nft did not end in 60 seconds")])
def test_a_firewall_that_is_not_taken_is_trouble_and_phones_still_get_in(tmp_path: Path, done: Done) -> None:
    programs, let_in = Programs({"nft -f": done}), list[str]()
    site = replace(site_at(tmp_path, programs), after_firewall=lambda: let_in.append("phones"))
    with pytest.raises(SystemFault, match=f"exit code {done.code}: {done.said}"):
        site.load_firewall("network").apply()
    assert let_in == ["phones"]


def test_the_access_point_speaks_wpa2_alone_and_protects_no_management_frames() -> None:
    point = AccessPoint("IN", "Rampur; Post", " pass\\word ")
    settings = Settings("en", "us", "Asia/Kolkata", "rampur", point, "", Link("none"), ())
    text = keyfiles(settings, MadeUp(radios=("wlan0", "wlan1")))["mojomail-lan-wifi.nmconnection"]
    for line in ("proto=rsn;", "pairwise=ccmp;", "pmf=1", "interface-name=wlan1", "method=shared", "zone=lan"):
        assert f"\n{line}\n" in text
    assert "\npsk=\\spass\\\\word\\s\n" in text and "\nssid=82;97;109;" in text


@pytest.mark.parametrize(
    ("link", "lines"),
    [
        (Link("dongle", apn="jionet", pin="0042"), ("type=gsm", "apn=jionet", "pin=0042", "metered=1")),
        (Link("dongle", apn="jionet"), ("[ppp]", "lcp-echo-interval=30", "lcp-echo-failure=4")),
        (Link("phone"), ("driver=rndis_host;cdc_ether;cdc_ncm;ipheth;", "zone=uplink")),
        (Link("ethernet"), ("interface-name=eth1;", "method=auto")),
        (Link("wifi", wifi="School", passphrase="good-pass"), ("ssid=School", "psk=good-pass", "interface-name=wlan0")),
        (Link("wifi", wifi="Open"), ("ssid=Open", "hidden=true")),
    ],
)
def test_each_kind_of_link_has_its_connection(link: Link, lines: tuple[str, ...]) -> None:
    settings = Settings("en", "us", "UTC", "rampur", None, "serve", link, ())
    text = keyfiles(settings, MadeUp(sockets=("eth0", "eth1")))["mojomail-link.nmconnection"]
    assert all(f"\n{line}\n" in text for line in lines)


def test_a_dongle_that_is_a_router_comes_up_as_the_link_too(tmp_path: Path) -> None:
    point = AccessPoint("IN", "Post", "good-pass")
    settings = Settings("en", "us", "UTC", "rampur", point, "", Link("dongle", apn="jionet", pin="0042"), ())
    made = keyfiles(settings, MadeUp())
    text = made["mojomail-link-usb.nmconnection"]
    for line in ("type=ethernet", "zone=uplink", "metered=1", "driver=rndis_host;cdc_ether;cdc_ncm;ipheth;"):
        assert f"\n{line}\n" in text
    assert "autoconnect" not in text and "type=gsm" in made["mojomail-link.nmconnection"]
    assert text.splitlines()[2] not in made["mojomail-link.nmconnection"], "two connections have two uuids"
    programs = Programs(NOBODY)
    apply(settings, site_at(tmp_path, programs, MadeUp(tethers=("eth1",))))
    called = ("nmcli", "--wait", "45", "connection", "up", "mojomail-link-usb")
    assert called in programs.calls
    apply(replace(settings, link=Link("phone")), site_at(tmp_path))
    folder = tmp_path / "etc/NetworkManager/system-connections"
    assert {path.name for path in folder.glob("mojomail-link*")} == {"mojomail-link.nmconnection"}
    assert "type=ethernet" in (folder / "mojomail-link.nmconnection").read_text()


@pytest.mark.parametrize(("tethers", "up"), [((), ""), (("usb0",), "activated\n")])
def test_no_router_is_waited_for_that_is_not_there_or_beside_a_link(
    tmp_path: Path, tethers: tuple[str, ...], up: str
) -> None:
    settings = Settings("en", "us", "UTC", "rampur", None, "serve", Link("dongle", apn="jionet"), ())
    programs = Programs(NOBODY | {"nmcli -g GENERAL.STATE connection show mojomail-link": Done(0, up)})
    apply(settings, site_at(tmp_path, programs, MadeUp(tethers=tethers)))
    ups = [call[-1] for call in programs.calls if call[-2:-1] == ("up",)]
    assert "mojomail-link" in ups and "mojomail-link-usb" not in ups


@pytest.mark.parametrize(
    ("up", "tethers", "result"),
    [
        ("mojomail-link-usb", ("usb0",), "link_ok"),
        ("mojomail-lan-cable", ("usb0",), "link_no_router"),
        ("mojomail-lan-cable", (), "link_no_modem"),
    ],
)
def test_a_dongle_that_is_a_router_is_found(tmp_path: Path, up: str, tethers: tuple[str, ...], result: str) -> None:
    settings = replace(village(tmp_path), link=Link("dongle", apn="jionet"))
    tried = Done(2, '[{"imap": {"finding": "ok"}, "smtp": {"finding": "ok"}}]')
    programs = Programs(
        {
            f"nmcli -g GENERAL.STATE connection show {up}": Done(0, "activated\n"),
            "mmcli": Done(0, '{"modem-list": []}'),
            "mojomail account test": tried,
        }
    )
    findings = Trial(settings, site_at(tmp_path, programs, MadeUp(tethers=tethers))).findings()
    link = next(found for found in findings if found.item == "link")
    accounts = {found.result for found in findings if found.item == "account"}
    assert (link.result, accounts) == (result, {"account_ok" if result == "link_ok" else "account_wait"})


def test_the_same_answers_make_the_same_connection_again() -> None:
    settings = Settings("en", "us", "UTC", "rampur", None, "join", Link("phone"), ())
    assert keyfiles(settings, MadeUp()) == keyfiles(settings, MadeUp())
    assert "never-default=true" in keyfiles(settings, MadeUp())["mojomail-lan-cable.nmconnection"]


def test_the_firewall_hands_out_addresses_to_the_village_and_shuts_the_link_out() -> None:
    point = AccessPoint("IN", "Post", "good-pass")
    settings = Settings("en", "us", "UTC", "rampur", point, "", Link("ethernet"), ())
    text = firewall(settings, MadeUp())
    assert 'uplinks { "eth0" }' in text and 'iifname { "wlan0" } udp dport 67 accept' in text


def test_a_link_by_cable_may_be_in_any_socket_that_the_village_has_not() -> None:
    point = AccessPoint("IN", "Post", "good-pass")
    settings = Settings("en", "us", "UTC", "rampur", point, "", Link("ethernet"), ())
    around = MadeUp(sockets=("eth0", "eth1"))
    assert "\n[match]\ninterface-name=eth0;eth1;\n" in keyfiles(settings, around)["mojomail-link.nmconnection"]
    assert 'uplinks { "eth0", "eth1" }' in firewall(settings, around)
    beside = replace(settings, ethernet="serve")
    assert 'uplinks { "eth1" }' in firewall(beside, around)
    for gone in (("eth0",), ()):
        text = keyfiles(beside, MadeUp(sockets=gone))["mojomail-link.nmconnection"]
        assert "\ninterface-name=eth1;\n" in text, "the village's socket is no link, also while the other is unplugged"


@pytest.mark.parametrize(("text", "kept"), [("plain", "plain"), (" a ", "\\sa\\s"), ("\\", "\\\\")])
def test_a_value_is_as_glib_reads_it(text: str, kept: str) -> None:
    assert escape(text) == kept


@pytest.mark.parametrize(("name", "kept"), [("Post", "Post"), ("ಊ", "224;178;138;"), ("a;b", "97;59;98;")])
def test_a_networks_name_is_text_or_bytes(name: str, kept: str) -> None:
    assert network_name(name) == kept


@pytest.mark.parametrize(
    ("given", "usual", "starttls", "taken"),
    [
        ("imap.example.org", 993, 143, "imap.example.org 993 tls"),
        ("imap.example.org:143", 993, 143, "imap.example.org 143 starttls"),
        ("smtp.example.org:587", 465, 587, "smtp.example.org 587 starttls"),
    ],
)
def test_a_server_is_said_as_the_mail_office_takes_it(given: str, usual: int, starttls: int, taken: str) -> None:
    assert server(given, usual, starttls) == taken


def modem(**generic: object) -> dict[str, Done]:
    return {
        "mmcli --output-json --list-modems": Done(0, '{"modem-list": ["/org/freedesktop/ModemManager1/Modem/0"]}'),
        "mmcli --output-json --modem": Done(0, json.dumps({"modem": {"generic": generic}})),
    }


ACTIVE = {"nmcli -g GENERAL.STATE connection show": Done(0, "activated\n")}


@pytest.mark.parametrize(
    ("link", "programs", "result"),
    [
        (Link("none"), {}, "link_none"),
        (Link("dongle"), ACTIVE, "link_ok"),
        (Link("dongle"), {"mmcli": Done(0, '{"modem-list": []}')}, "link_no_modem"),
        (Link("dongle"), {"mmcli": Done(1, "rubbish")}, "link_no_modem"),
        (Link("dongle"), modem(**{"state-failed-reason": "sim-missing"}), "link_no_sim"),
        (Link("dongle"), modem(**{"unlock-required": "sim-pin"}), "link_pin"),
        (Link("dongle"), modem(**{"unlock-required": "sim-puk"}), "link_puk"),
        (Link("dongle"), modem(state="searching"), "link_no_signal"),
        (Link("dongle"), modem(state="registered"), "link_no_answer"),
        (Link("phone"), {}, "link_no_phone"),
        (Link("ethernet"), {}, "link_no_cable"),
        (Link("wifi", wifi="School"), {}, "link_no_wifi"),
    ],
)
def test_what_is_wrong_with_the_link_is_told(
    tmp_path: Path, link: Link, programs: dict[str, Done], result: str
) -> None:
    settings = Settings("en", "us", "UTC", "rampur", None, "serve", link, ())
    assert Trial(settings, site_at(tmp_path, Programs(programs))).link().result == result


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        ('[{"imap": {"finding": "ok", "text": ""}, "smtp": {"finding": "ok", "text": ""}, "advice": null}]', "ok"),
        ('[{"imap": {"finding": "no-link", "text": "No link."}, "smtp": {"finding": "no-link", "text": ""}}]', "wait"),
        ('[{"imap": {"finding": "wrong-password", "text": "Wrong."}, "smtp": {"finding": "ok"}}]', "trouble"),
        ("rubbish", "trouble"),
        ("[]", "trouble"),
        ("{}", "trouble"),
    ],
)
def test_the_mail_offices_word_on_an_account_is_passed_on(told: str, finding: str) -> None:
    programs = Programs({"mojomail account test": Done(2, told, "mojomail: said so")})
    assert Office(programs).try_account("a@b.in", "hi").finding == finding


def test_accounts_wait_for_the_link_and_for_their_passwords(tmp_path: Path) -> None:
    settings = village(tmp_path)
    found = Trial(settings, site_at(tmp_path)).accounts(online=False)
    assert [finding.result for finding in found] == ["account_wait", "account_wait"]


def test_a_whole_set_up_is_applied_and_tried_out(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE)
    work(wizard, site_at(tmp_path, Programs(NOBODY)))
    assert wizard.at == "test" and wizard.findings
    assert {"network", "services", "clock", "card", "link", "account"} == {found.item for found in wizard.findings}


def test_what_fails_is_shown_and_the_set_up_does_not_go_on(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE)
    work(wizard, site_at(tmp_path, Programs({"mojomail database": Done(3, "", "the card is full")})))
    assert wizard.at == "trouble" and "the card is full" in wizard.screen().aid


def test_a_hash_of_imager_is_the_keepers_password() -> None:
    hashed = "$5$Ub2cCGMBWj$7TyGLWWJ6bkkGLsVTiTnP7WmdfJdTLvXRZPwlyG.T62"
    made = keeper.make_hash("village-keeper")
    assert keeper.is_hash(hashed) and made.startswith("$y$")
    assert keeper.fits("village-keeper", made) and not keeper.fits("village-keepe", made)
    assert not keeper.fits("x", "") and not keeper.fits("x", "nonsense")

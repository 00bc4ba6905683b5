"""The one who does the work: whatever fails is shown or tried again, and the way in by phone stays open."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from firstboot import service
from firstboot.applying import Worker
from firstboot.cleaning import FOLDER
from firstboot.intake import take_in
from firstboot.join import SETUP, Join
from firstboot.keyfiles import LAN_WIFI, LINK
from firstboot.process import Done
from firstboot.service import Setup, asks
from firstboot.setupnetwork import SetupNetwork
from firstboot.trial import Trial
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import SECRETS, VILLAGE, MadeUp, Programs, site_at, walk, wizard_at

FULL = Done(3, "", "the card is full")
DATABASE = "mojomail database"


class Clock:
    """Seconds, as a test sets them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def unattended(root: Path) -> Wizard:
    """A wizard that a preset file has given all answers, with nobody to ask."""
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / "mojomail.yaml").write_text(f"keeper: {{password: {SECRETS[0]}}}\nnetwork: {{kind: wifi}}\n")
    wizard = wizard_at(root)
    take_in(wizard, root)
    assert wizard.at == "apply" and not asks(wizard)
    return wizard


def test_what_failed_with_nobody_there_is_tried_again_after_1_5_and_15_minutes(tmp_path: Path) -> None:
    programs, clock = Programs({DATABASE: FULL}), Clock()
    wizard = unattended(tmp_path)
    worker = Worker(wizard, site_at(tmp_path, programs), clock=clock)

    def tries() -> int:
        worker.look()
        return len([call for call in programs.calls if " ".join(call).startswith(DATABASE)])

    assert tries() == 1 and wizard.at == "trouble"
    for number, minutes in enumerate((1, 5, 15, 15), start=1):
        clock.now += 60 * minutes - 1
        assert tries() == number
        clock.now += 2
        assert tries() == number + 1 and wizard.at == "trouble" and wizard.state.unattended
    del programs.answers[DATABASE]
    clock.now += 60 * 15
    worker.look()
    assert wizard.at == "done"


def test_the_way_in_by_phone_opens_at_the_first_trouble_with_nobody_there(tmp_path: Path) -> None:
    wizard = unattended(tmp_path)
    Worker(wizard, site_at(tmp_path, Programs({DATABASE: FULL}))).look()
    assert asks(wizard)
    assert wizard.answer("trouble", "change") and asks(wizard)
    wizard.once_more()
    assert wizard.at == "ready", "who has answered is not overtaken"


@pytest.mark.parametrize(
    ("error", "told"), [(OSError(28, "No space left on device"), "No space left"), (KeyError(SECRETS[1]), "KeyError")]
)
def test_whatever_goes_wrong_is_shown_as_trouble_without_a_secret(
    tmp_path: Path, error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(trial: Trial) -> None:
        raise error

    monkeypatch.setattr(Trial, "findings", fail)
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE)
    Worker(wizard, site_at(tmp_path)).look()
    screen = wizard.screen()
    assert wizard.at == "trouble" and told in screen.aid and told not in screen.problem
    assert SECRETS[1] not in caplog.text + screen.problem + screen.aid
    assert wizard.answer("trouble", "change")


def test_a_full_card_at_the_very_end_is_trouble_and_then_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wizard, clock = unattended(tmp_path), Clock()
    worker = Worker(wizard, site_at(tmp_path), clock=clock)
    with monkeypatch.context() as full:

        def fail(journal: object, state: object) -> None:
            raise OSError(28, "No space left on device")

        full.setattr("firstboot.journal.Journal.finish", fail)
        worker.look()
        assert wizard.at == "trouble"
    clock.now += 61
    worker.look()
    assert wizard.at == "done"


def test_a_thread_that_cannot_go_on_ends_the_program_so_that_plain_text_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise SystemExit

    def fail(worker: Worker) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(Worker, "look", fail)
    monkeypatch.setattr(service, "TEXT_REFRESH", 0.0)
    with pytest.raises(SystemExit):
        Setup(tmp_path)._work(wizard_at(tmp_path), None)
    assert codes == [1]


# ---- phones


def test_phones_are_let_in_again_straight_after_each_load_of_the_firewall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, ended = Programs(), threading.Event()
    wizard, setup = unattended(tmp_path), Setup(tmp_path)
    setup.site = site_at(tmp_path, programs)
    wizard.listen(lambda: ended.set() if wizard.at == "done" else None)
    monkeypatch.setattr(service, "PhoneServer", lambda *words: SimpleNamespace(port=8080, close=lambda: None))
    monkeypatch.setattr(Setup, "_run_text", lambda *words: ended.wait(10))
    setup.run(wizard, text=True, phone=True)
    assert ended.is_set()
    *loads, stop = [number for number, call in enumerate(programs.calls) if call[:2] == ("nft", "-f")]
    assert loads and all("tcp dport 8080" in programs.calls[load + 1][1] for load in loads)
    assert not [call for call in programs.calls[stop + 1 :] if call[0] == "nft"], "afterwards nobody is let in"


# ---- the set-up's own Wi-Fi

CARRIED = "nmcli -g GENERAL.CONNECTION device show wlan0"
UP = ("nmcli", "--wait", "25", "connection", "up", SETUP)


@pytest.mark.parametrize(("carried", "opened"), [("", True), (SETUP, True), (LAN_WIFI, False), (LINK, False)])
def test_a_radio_that_is_in_use_is_left_to_what_it_carries(tmp_path: Path, carried: str, opened: bool) -> None:
    programs = Programs({CARRIED: Done(0, f"{carried}\n")})
    network = SetupNetwork(site_at(tmp_path, programs))
    network.start()
    assert (UP in programs.calls) == opened == network.up


def test_what_the_tv_says_of_the_wifi_is_what_the_radio_carries(tmp_path: Path) -> None:
    programs = Programs()
    network = SetupNetwork(site_at(tmp_path, programs, MadeUp()))
    network.start()
    programs.answers[CARRIED] = Done(0, f"{SETUP}\n")
    join = Join("Rampur Post", SECRETS[1], "", "")
    network.applied(join)
    assert network.up and network.name == SETUP, "trouble came before the village's own Wi-Fi"
    programs.answers[CARRIED] = Done(0, f"{LAN_WIFI}\n")
    network.applied(join)
    assert network.up and (network.name, network.passphrase) == (join.wifi, join.passphrase)
    programs.answers[CARRIED] = Done(0, "\n")
    network.applied(join)
    assert not network.up


def test_a_radio_that_is_found_late_gets_the_wifi_of_the_set_up(tmp_path: Path) -> None:
    programs, radios = Programs(), list[str]()
    around = MadeUp()
    around.radios = lambda: list(radios)  # type: ignore[method-assign]
    network = SetupNetwork(site_at(tmp_path, programs, around))
    network.start()
    network.look()
    assert not network.up and UP not in programs.calls
    radios.append("wlan0")
    assert network.look() and network.up and UP in programs.calls
    network.look()
    assert programs.calls.count(UP) == 1


def test_phones_are_let_in_at_the_next_look_when_the_firewall_took_too_long_or_a_socket_comes_late(
    tmp_path: Path,
) -> None:
    around, sockets = MadeUp(), ["eth0"]
    around.sockets = lambda: list(sockets)  # type: ignore[method-assign]
    programs = Programs({"nft add": Done(1, "")})
    network = SetupNetwork(site_at(tmp_path, programs, around))

    def openings() -> list[str]:
        return [call[1] for call in programs.calls if call[0] == "nft"]

    network.start()
    del programs.answers["nft add"]
    network.look()
    network.look()
    assert len(openings()) == 2 and all("8080" in each for each in openings())
    sockets.append("eth1")
    network.look()
    assert len(openings()) == 3 and '"eth1"' in openings()[-1]

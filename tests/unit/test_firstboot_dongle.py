"""A SIM card with a PIN: no PIN is tried twice, and the last try is never spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firstboot.actions import actions
from firstboot.dongle import Dongle, Modem, may_try
from firstboot.process import Done
from firstboot.settings import Link, Settings
from firstboot.trial import Trial
from firstboot.work import Finding
from tests.unit.firstboot_machine import MadeUp, Programs, site_at

RIGHT, WRONG = "4711", "0815"
KEYFILE = Path("etc/NetworkManager/system-connections/mojomail-link.nmconnection")


class Card(Programs):
    """NetworkManager and ModemManager around one SIM card: a PIN goes to the card as the connection has it."""

    def __init__(self, root: Path, *, tells: bool = True, plugged: bool = True, signal: bool = True) -> None:
        super().__init__()
        self.root, self.tells, self.plugged, self.signal = root, tells, plugged, signal
        self.tries, self.open, self.up = 3, False, False
        self.sent: list[str] = []

    def lines(self) -> list[str]:
        """The connection on the card."""
        path = self.root / KEYFILE
        return path.read_text().splitlines() if path.exists() else []

    def power_cycle(self) -> None:
        """The node is switched off and on: connections come up by themselves."""
        self.open = self.up = False
        self._autoconnect()

    def _autoconnect(self) -> None:
        if "autoconnect=false" not in self.lines():
            self._connect()

    def _connect(self) -> None:
        pins = [line.removeprefix("pin=") for line in self.lines() if line.startswith("pin=")]
        if self.plugged and not self.open and pins and self.tries:
            self.sent.append(pins[0])
            self.open = pins[0] == RIGHT
            self.tries = 3 if self.open else self.tries - 1
        self.up = self.plugged and self.open and self.signal

    def __call__(self, *argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
        line = " ".join(argv)
        if line == "nmcli connection reload" and not self.up:
            self._autoconnect()
        if line.endswith("connection up mojomail-link"):
            self._connect()
            return Done(0 if self.up else 4, "")
        if line == "nmcli -g GENERAL.STATE connection show mojomail-link":
            return Done(0, "activated\n" if self.up else "")
        if line == "mmcli --output-json --list-modems":
            return Done(0, json.dumps({"modem-list": ["/org/freedesktop/ModemManager1/Modem/0"] * self.plugged}))
        if line.startswith("mmcli --output-json --modem"):
            lock = "none" if self.open else "sim-pin" if self.tries else "sim-puk"
            generic = {"state": "searching", "unlock-required": lock}
            if self.tells:
                generic |= {"unlock-retries": [f"sim-pin ({self.tries})", "sim-puk (10)", "sim-pin2 (3)"]}  # type: ignore[dict-item]
            return Done(0, json.dumps({"modem": {"generic": generic, "3gpp": {"enabled-locks": ["sim"]}}}))
        return super().__call__(*argv, stdin=stdin, limit=limit, language=language)


def settings(pin: str) -> Settings:
    return Settings("en", "us", "UTC", "rampur", None, "serve", Link("dongle", apn="jionet", pin=pin), ())


def apply(card: Card, pin: str) -> Finding:
    """Bring the answers into force, and try the link out."""
    site = site_at(card.root, card)
    for action in actions(settings(pin), site):
        if not action.done():
            action.apply()
    return Trial(settings(pin), site).link()


@pytest.mark.parametrize("tells", [True, False])
def test_a_wrong_pin_is_tried_once_however_often_the_answers_are_applied_and_the_node_starts(
    tmp_path: Path, tells: bool
) -> None:
    card = Card(tmp_path, tells=tells)
    for _ in range(3):
        assert apply(card, WRONG).mend == "link.dongle.pin"
        card.power_cycle()
    assert card.sent == [WRONG] and f"pin={WRONG}" not in card.lines()


def test_the_last_try_is_left_to_a_phone(tmp_path: Path) -> None:
    card = Card(tmp_path)
    results = [apply(card, pin) for pin in (WRONG, "0816", "0817", "0818")]
    assert card.tries == 1
    assert [found.result for found in results] == ["link_pin_left", *["link_pin_last"] * 3]
    assert results[0].given == {"n": "2"}


def test_a_right_pin_brings_the_link_up_at_each_start_from_then_on(tmp_path: Path) -> None:
    card = Card(tmp_path)
    assert apply(card, RIGHT).result == "link_ok" and card.sent == [RIGHT]
    card.power_cycle()
    assert card.up and "autoconnect=false" not in card.lines()
    assert apply(card, RIGHT).result == "link_ok" and card.tries == 3


def test_a_right_pin_is_kept_where_there_is_no_signal(tmp_path: Path) -> None:
    card = Card(tmp_path, signal=False)
    assert apply(card, RIGHT).result == "link_no_signal"
    assert f"pin={RIGHT}" in card.lines() and "autoconnect=false" not in card.lines()


def test_a_mended_pin_takes_the_place_of_the_wrong_one(tmp_path: Path) -> None:
    card = Card(tmp_path)
    apply(card, WRONG)
    assert apply(card, RIGHT).result == "link_ok" and card.sent == [WRONG, RIGHT]


def test_a_pin_is_tried_when_the_dongle_comes_after_the_answers(tmp_path: Path) -> None:
    card = Card(tmp_path, plugged=False)
    assert apply(card, RIGHT).result == "link_no_modem" and "autoconnect=false" in card.lines()
    card.plugged = True
    assert Trial(settings(RIGHT), site_at(tmp_path, card)).link().result == "link_ok"
    assert "autoconnect=false" not in card.lines()


def test_a_card_that_was_opened_in_a_phone_takes_the_pin_it_has_refused_before(tmp_path: Path) -> None:
    card = Card(tmp_path)
    for pin in (WRONG, RIGHT[::-1]):
        apply(card, pin)
    card.tries = 3
    apply(card, WRONG)
    assert card.sent == [WRONG, RIGHT[::-1], WRONG] and card.tries == 2


def test_a_locked_card_is_told_of_and_no_pin_is_asked_for(tmp_path: Path) -> None:
    card = Card(tmp_path)
    card.tries = 0
    found = apply(card, RIGHT)
    assert (found.result, found.mend, card.sent) == ("link_puk", "", [])


def test_a_card_that_was_open_before_the_first_start_opens_at_the_next_one_too(tmp_path: Path) -> None:
    card = Card(tmp_path)
    card.open = True
    assert apply(card, RIGHT).result == "link_ok" and card.sent == []
    card.power_cycle()
    assert card.up and card.sent == [RIGHT]


def test_a_new_pin_that_an_open_card_was_not_asked_about_is_not_sent_by_itself(tmp_path: Path) -> None:
    card = Card(tmp_path)
    apply(card, RIGHT)
    apply(card, WRONG)
    card.power_cycle()
    assert card.sent == [RIGHT]


def test_a_dongle_that_is_plugged_in_is_waited_for(tmp_path: Path) -> None:
    card = Card(tmp_path, plugged=False)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        card.plugged = len(waits) == 3

    site = site_at(tmp_path, card, MadeUp(modem=True))
    apply_connection = next(action for action in actions(settings(RIGHT), site) if action.name == "connections")
    apply_connection.apply()
    Dongle(settings(RIGHT), site, wait).bring_up()
    assert card.up and len(waits) == 3


@pytest.mark.parametrize(
    ("tries", "use", "may"),
    [
        (None, "untried", True),
        (None, "refused", False),
        (3, "refused", True),
        (2, "untried", True),
        (2, "refused", False),
        (1, "untried", False),
        (1, "taken", False),
    ],
)
def test_what_a_card_leaves_is_not_spent(tries: int | None, use: str, may: bool) -> None:
    assert may_try(Modem(lock="sim-pin", tries=tries), use) is may  # type: ignore[arg-type]  # one of PinUse

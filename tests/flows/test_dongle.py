"""The link through a dongle: the wizard takes its APN and its SIM card's PIN, mail comes through it, and it comes back.

The dongle is the lab's (tests/lab/dongle.py); ModemManager, NetworkManager and pppd are the image's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cuts.setups import ADDRESS, KEEPER, OWN, SECRET, TYPED
from tests.flows.mailoffice import ARRIVES, FRIEND, MailOffice, Villager, letter, letters
from tests.lab.dongle import Dongle
from tests.lab.modem import SUBSCRIBER
from tests.lab.room import Told, WizardRoom, findings
from tests.lab.sim import PIN_TRIES, Sim
from tests.lab.world import World

pytest_plugins = ("tests.flows.wizardroom",)

ASHA = Villager("asha", "Asha Rao", "en", OWN, {ADDRESS: SECRET})
PIN, WRONG, OTHER = "4242", "1234", "1111"
APN, SIM_PIN = "link.dongle.apn", "link.dongle.pin"
"""Questions that are asked because the wizard suggests the dongle for the link, where one is plugged in."""
KNOWN = 120.0
"""Seconds until a dongle that was plugged in is a modem; emulated, and letter by letter."""
BACK = 240.0
"""Seconds until a link comes up by itself once it can."""


@pytest.fixture
def plug(tv: WizardRoom, world: World) -> Iterator[Callable[[Sim], Dongle]]:
    """Plugs a dongle into the TV's node, whose other cable then leads nowhere; the node is switched off in the end."""
    world.dongle.use("lan")
    for link in (world.dongle, world.uplink):
        link.reset_counts()
    with ExitStack() as stack:

        def plug(sim: Sim) -> Dongle:
            dongle = Dongle(tv.node.work, sim, wires=world.wires, log=tv.node.logs / "dongle.log")
            stack.callback(dongle.close)
            stack.callback(tv.node.stop)
            tv.node.link(False, "uplink")
            plug_in(tv, dongle)
            return dongle

        yield plug


def plug_in(room: WizardRoom, dongle: Dongle) -> None:
    """Plug a dongle in, and wait until it is a modem."""
    room.node.plug_dongle(dongle)
    room.node.wait_until("mmcli --list-modems | grep -q /Modem/", KNOWN)


def wait_for_link(room: WizardRoom, up: bool, limit: float = BACK) -> None:
    """Wait until the link is up, as NetworkManager has it, or is not."""
    is_up = "nmcli -g GENERAL.STATE connection show mojomail-link | grep -qx activated"
    room.node.wait_until(is_up if up else f"! {is_up}", limit, f"the link being {'up' if up else 'down'}")


@pytest.mark.long
def test_mail_goes_through_a_dongle_that_was_set_up_on_the_tv_and_its_link_comes_back(
    tv: WizardRoom, world: World, plug: Callable[[Sim], Dongle], tmp_path: Path
) -> None:
    world.internet.add_account(ADDRESS, SECRET)
    world.internet.add_account(FRIEND, letters(16))
    world.internet.put(ADDRESS, letter(FRIEND, ADDRESS, subject="first").as_bytes())
    dongle = plug(Sim(pin=PIN))
    tv.go_through({**TYPED, APN: "jionet", SIM_PIN: PIN})
    told = tv.set_up()
    assert set(findings(told).values()) <= {"ok", "wait"}, told["lines"]
    assert (findings(told)["Link"], findings(told)[ADDRESS]) == ("ok", "ok"), told["lines"]
    assert dongle.presented == [PIN]
    assert set(dongle.dialled) == {"jionet"}
    tv.finish()
    ca = tmp_path / "ca.crt"
    ca.write_bytes(tv.node.read_file("/etc/ssl/mojomail/ca.crt"))
    office = MailOffice(tv.node, world, ca)
    office.wait_for_mail(ASHA, "first")
    office.send(ASHA, letter(ADDRESS, FRIEND, subject="answer"))
    office.wait_for_arrival(FRIEND, "answer")
    assert world.dongle.counts()["gmail"].from_far > 1000
    assert "gmail" not in world.uplink.counts()
    with pytest.raises(OSError):
        world.abroad.connect(SUBSCRIBER, 443, 5.0).close()

    dongle.signal(None)
    wait_for_link(tv, False)
    world.internet.put(ADDRESS, letter(FRIEND, ADDRESS, subject="second").as_bytes())
    world.dongle.use("edge")
    dongle.signal(12)
    wait_for_link(tv, True)
    office.sync(ASHA)
    office.wait_for_mail(ASHA, "second", limit=2 * ARRIVES)

    tv.node.unplug_dongle()
    wait_for_link(tv, False)
    tv.node.plug_dongle(dongle)
    wait_for_link(tv, True)
    assert dongle.presented == [PIN, PIN], "once each time that the card had been without power"


def mend(room: WizardRoom, question: str, value: str) -> Told:
    """From the findings back to a question, another answer to it, and what is found then."""
    room.enter(question)
    room.wait_for_screen(question)
    room.go_through({question: value})
    return room.set_up()


def what_is_wrong(told: Told) -> str:
    """What the findings say of a link that does not work."""
    (said,) = [text for label, text, mark in told["lines"] if (label, mark) == ("Link", "trouble")]
    return str(said)


@pytest.mark.long
def test_a_wrong_pin_is_tried_once_and_the_last_try_left_to_a_phone_and_a_wrong_apn_can_be_mended(
    tv: WizardRoom, plug: Callable[[Sim], Dongle]
) -> None:
    sim = Sim(pin=PIN)
    dongle = plug(sim)
    tv.go_through({"name": "rampur", "keeper.password": KEEPER, SIM_PIN: WRONG})
    told = tv.set_up()
    assert "Tries left: 2" in what_is_wrong(told) and dongle.presented == [WRONG]
    told = mend(tv, SIM_PIN, OTHER)
    assert "leaves one try" in what_is_wrong(told) and dongle.presented == [WRONG, OTHER]
    told = mend(tv, SIM_PIN, PIN)
    assert "leaves one try" in what_is_wrong(told) and dongle.presented == [WRONG, OTHER]

    tv.node.unplug_dongle()
    sim.tries = PIN_TRIES  # what a phone does that is told the PIN
    plug_in(tv, dongle)
    tv.enter("again")
    told = tv.wait_for("what was found anew", lambda now: now["field"] == "choice", BACK)
    assert "Is the APN right?" in what_is_wrong(told)
    assert set(dongle.dialled) == {"airtelgprs.com"}
    told = mend(tv, APN, "jionet")
    assert findings(told)["Link"] == "ok", told["lines"]
    assert dongle.dialled[-1] == "jionet" and dongle.presented == [WRONG, OTHER, PIN]

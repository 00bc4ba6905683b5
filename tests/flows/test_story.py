"""The main story: a new card, a wizard typed on the TV, a mail read and answered on a phone."""

from __future__ import annotations

import time
from pathlib import Path

from tests.conftest import Measure
from tests.flows.mailoffice import FRIEND, MailOffice, Villager, letter, letters
from tests.flows.test_webmail import answer, open_mail, row, webmail
from tests.lab.room import WizardRoom, findings
from tests.lab.world import World

pytest_plugins = ("tests.flows.wizardroom",)

ASHA = Villager("asha", "Asha Devi", "hi", "reads-her-mail-9", {"asha@gmail.com": letters(16)})


def test_from_the_first_question_to_the_first_mail_read_and_answered(
    tv: WizardRoom, world: World, out: Path, tmp_path: Path, measure: Measure
) -> None:
    ((address, secret),) = ASHA.secrets.items()
    world.internet.add_account(address, secret)
    world.internet.add_account(FRIEND, letters(16))
    world.internet.put(address, letter(FRIEND, address, subject="कब आओगी?", text="हम बाट देखते हैं।\n").as_bytes())
    began = time.monotonic()
    tv.go_through(
        {
            "language": ASHA.language,
            "name": "rampur",
            "keeper.password": "keeper-of-rampur",
            "people.0.name": ASHA.name,
            "people.0.password": ASHA.password,
            "people.0.accounts.0.address": address,
            "people.0.accounts.0.password": secret,
        }
    )
    assert findings(tv.set_up())[address] == "ok"
    tv.finish()
    ca = tmp_path / "ca.crt"
    ca.write_bytes(tv.node.read_file("/etc/ssl/mojomail/ca.crt"))
    office = MailOffice(tv.node, world, ca)
    office.wait_for_mail(ASHA, "कब आओगी?")
    with webmail(office, ASHA) as page:
        page.wait_for_selector(row("कब आओगी?"))
        open_mail(page, "कब आओगी?")
        page.screenshot(path=out / "story-mail.png")
        measure("wizard start to first mail read", time.monotonic() - began, "s")
        answer(page, "कल आती हूँ।")
    office.wait_for_arrival(FRIEND, "Re: कब आओगी?")
    measure("wizard start to first mail answered", time.monotonic() - began, "s")

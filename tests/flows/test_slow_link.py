"""Mail over the worst link that is promised to do: GPRS with a weak signal, and gone for a while on the way."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.conftest import SEED, Measure
from tests.flows.mailoffice import ARRIVES, ASHA, FRIEND, RAVI, MailOffice, letter
from tests.lab.links import LINKS

GMAIL, GENERIC = ASHA.addresses[0], RAVI.addresses[0]
FIRST_DROP = 5.0
"""Seconds within which the link is gone for the first time; a mail of SIZE bytes takes 8 at the least."""
SIZE = 40_000
LIMIT = 3 * ARRIVES


def test_mail_goes_out_and_comes_in_once_over_gprs_with_a_drop_on_the_way(office: MailOffice, measure: Measure) -> None:
    internet, uplink = office.world.internet, office.world.uplink
    text = random.Random(f"{SEED} slow link").randbytes(SIZE // 2).hex() + "\n"
    internet.put(GENERIC, letter(FRIEND, GENERIC, subject="from far", text=text).as_bytes())
    uplink.use(replace(LINKS["gprs"], drops=None))
    number = office.send(ASHA, letter(GMAIL, FRIEND, subject="from the village", text=text))
    office.sync(RAVI)
    uplink.use("gprs", first_drop=FIRST_DROP)
    uplink.wait_for_state("drop", FIRST_DROP + 5)
    assert not office.arrived(FRIEND, "from the village"), "the drop is to come while mail is on its way"
    office.wait_for_arrival(FRIEND, "from the village", LIMIT)
    office.wait_for_outbox(number, "sent", limit=LIMIT)
    office.wait_for_mail(RAVI, "from far", limit=LIMIT)
    assert uplink.fates().silenced > 0
    counts = uplink.counts()
    for provider in ("gmail", "generic"):
        size = counts[provider].to_far + counts[provider].from_far
        measure("bytes per flow", size, "bytes", flow=f"a mail of 40 kB over gprs with a drop, {provider}")

    # What would come a second time comes before what is sent after it.
    uplink.use("lan")
    internet.put(GENERIC, letter(FRIEND, GENERIC, subject="afterwards").as_bytes())
    office.sync(RAVI)
    office.wait_for_mail(RAVI, "afterwards")
    assert sorted(office.subjects(RAVI)) == ["afterwards", "from far"]
    assert [mail.message_id for mail in internet.arrived(FRIEND)] == [number]
    assert [mail.message_id for mail in internet.sent(login=GMAIL)] == [number]

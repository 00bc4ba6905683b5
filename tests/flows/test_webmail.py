"""The webmail in a phone's and a laptop's browser on the village's network, with the real node behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Measure
from tests.flows.mailoffice import ARRIVES, ASHA, FRIEND, RAVI, MailOffice, Villager, letter
from tests.lab.inside import NODE_ADDRESS

pytestmark = pytest.mark.long
GMAIL, YAHOO = ASHA.addresses
HINDI = "नमस्ते: बैठक कल है"
SITE = f"https://{NODE_ADDRESS}/"
PAGE = 120_000
"""Milliseconds that a page of the emulated node may take."""


@contextmanager
def webmail(office: MailOffice, villager: Villager, **options: Any) -> Iterator[Any]:
    """A browser in which the person has logged in; the list of mails is shown."""
    with office.world.village.browser(limit=PAGE / 1000, ignore_https_errors=True, **options) as page:
        page.goto(SITE)
        page.fill("#rcmloginuser", villager.login)
        page.fill("#rcmloginpwd", villager.password)
        page.click("#rcmloginsubmit")
        page.wait_for_selector("#mojomail-status")
        yield page


def row(subject: str) -> str:
    """A line of the list, by its subject."""
    return f"#messagelist tr.message:has-text('{subject}')"


def open_folder(page: Any, folder: str) -> None:
    page.goto(f"{SITE}?_task=mail&_mbox={folder}")
    page.wait_for_selector("#mojomail-status")


def open_mail(page: Any, subject: str) -> None:
    """Open a mail as a whole page."""
    uid = page.locator(row(subject)).get_attribute("id")
    number = page.evaluate("id => Object.values(rcmail.message_list.rows).find(row => row.id == id).uid", uid)
    folder = page.evaluate("rcmail.env.mailbox")
    page.goto(f"{SITE}?_task=mail&_action=show&_uid={number}&_mbox={folder}")
    page.wait_for_selector("#messagebody, #message-content")


def answer(page: Any, text: str) -> None:
    """Answer the mail that is open, and wait until the webmail has it handed in."""
    page.evaluate("rcmail.command('reply', '')")
    page.wait_for_selector("#composebody")
    page.fill("#composebody", text)
    page.evaluate("rcmail.command('send', '', null, {})")
    page.wait_for_function("window.rcmail && rcmail.env.action != 'compose'", timeout=PAGE)


def status(page: Any) -> str:
    return str(page.inner_text("#mojomail-status"))


def test_reply_on_a_phone_arrives_under_the_right_login(office: MailOffice, out: Path, measure: Measure) -> None:
    office.world.internet.put(YAHOO, letter(FRIEND, YAHOO, subject=HINDI, text="कल आइए।\n").as_bytes())
    office.fetch(ASHA)
    office.wait_for_mail(ASHA, HINDI, f"{YAHOO}/INBOX")
    with webmail(office, ASHA) as page:
        open_folder(page, f"{YAHOO}/INBOX")
        page.wait_for_selector(row(HINDI))
        page.screenshot(path=out / "webmail-phone-list.png")
        open_mail(page, HINDI)
        page.screenshot(path=out / "webmail-phone-mail.png")
        office.world.uplink.reset_counts()
        answer(page, "मैं आऊँगी।")
    subject = f"Re: {HINDI}"
    posted = office.wait_for_arrival(FRIEND, subject)
    (sent,) = [mail for mail in office.world.internet.sent("yahoo") if mail.subject == subject]
    assert sent.login == YAHOO and YAHOO in posted.header_from and "Asha Devi" in posted.header_from
    carried = office.carried_when_quiet("yahoo")
    measure("bytes per flow", carried, "bytes", flow="a short answer goes out while its writer looks for new mail")


def test_mail_written_offline_is_in_sent_at_once_and_marked_until_it_has_gone(office: MailOffice, out: Path) -> None:
    office.world.internet.put(GMAIL, letter(FRIEND, GMAIL, subject="are you there?").as_bytes())
    office.sync(ASHA)
    office.wait_for_mail(ASHA, "are you there?")
    office.link(False)
    with webmail(office, ASHA, phone=False) as page:
        open_folder(page, "INBOX")
        page.wait_for_selector(row("are you there?"))
        open_mail(page, "are you there?")
        answer(page, "Yes, but the link is not.")
        subject = "Re: are you there?"
        assert office.subjects(ASHA, "Sent") == [subject]
        open_folder(page, "Sent")
        mark = page.wait_for_selector(f"{row(subject)} .mojomail-mark")
        assert mark.inner_text()
        assert "1" in status(page)
        page.screenshot(path=out / "webmail-laptop-sent.png")
        office.link(True)
        office.wait_for_arrival(FRIEND, subject)
        (waiting,) = [mail for mail in office.outbox(ASHA) if mail["sender"] == GMAIL]
        office.wait_for_outbox(waiting["message_id"], "sent")
        open_folder(page, "Sent")
        page.wait_for_selector(row(subject))
        assert page.locator(".mojomail-mark").count() == 0
    assert office.subjects(ASHA, "Sent") == [subject], "once"


def test_the_line_above_the_list_tells_the_truth_in_the_persons_language(office: MailOffice, out: Path) -> None:
    with webmail(office, RAVI) as page:
        assert re.search(r"[\u0C80-\u0CFF]", status(page)), "in Kannada"
        assert page.get_attribute("html", "lang") == "kn"
        page.screenshot(path=out / "webmail-kannada.png")
    office.world.internet.set_password(GMAIL, "qqqqwwwweeeerrrr")
    office.sync(ASHA)
    office.wait_until(lambda: office.trouble(ASHA, GMAIL) == "password", "the refused password being noticed")
    with webmail(office, ASHA) as page:
        assert re.search(r"[\u0900-\u097F]", status(page)), "in Hindi"
        assert GMAIL in page.inner_text("#mojomail-status .trouble")


def test_looking_at_the_mail_fetches_it_and_the_list_shows_it_by_itself(office: MailOffice) -> None:
    """A person who looks is served first."""
    office.world.internet.put(GMAIL, letter(FRIEND, GMAIL, subject="came while looking").as_bytes())
    with webmail(office, ASHA) as page:
        page.wait_for_selector(row("came while looking"), timeout=2 * ARRIVES * 1000)


def test_wrong_password_is_refused_in_words(office: MailOffice) -> None:
    with office.world.village.browser(limit=PAGE / 1000, ignore_https_errors=True) as page:
        page.goto(SITE)
        page.fill("#rcmloginuser", ASHA.login)
        page.fill("#rcmloginpwd", "not the password")
        page.click("#rcmloginsubmit")
        page.wait_for_selector("#messagestack .error, .ui.alert-danger, .ui.alert-warning")

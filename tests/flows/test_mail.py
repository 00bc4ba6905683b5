"""The village's mail on the booted image; each flow over the link also with trouble half-way (trouble.py)."""

from __future__ import annotations

import imaplib
import json
import random
import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.conftest import SEED, Measure
from tests.flows.goodnode import LISTENING, listeners
from tests.flows.mailoffice import ARRIVES, ASHA, FRIEND, RAVI, VILLAGE, MailOffice, letter
from tests.flows.trouble import TROUBLES, Trouble
from tests.lab.inside import NODE_ADDRESS

GMAIL, YAHOO = ASHA.addresses
NODE_DOMAIN = "mojomail.home.arpa"
HINDI, KANNADA = "नमस्ते: आपका राशन कार्ड", "ಶಾಲೆಯ ಸಭೆ ನಾಳೆ"


@pytest.fixture(params=[TROUBLES[0], *(pytest.param(kind, marks=pytest.mark.long) for kind in TROUBLES[1:])])
def trouble(request: pytest.FixtureRequest, office: MailOffice) -> Trouble:
    """What each flow tells it to carry is a little less than was ever measured, up to where the flow is through."""
    return Trouble(request.param, office, request.node.name)


def attach(mail: EmailMessage, size: int, name: str) -> bytes:
    """Attach a file of `size` random bytes; gives them."""
    content = random.Random(f"{SEED} {name}").randbytes(size)
    mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return content


def attachments(mail: EmailMessage) -> dict[str, bytes]:
    return {part.get_filename() or "": part.get_content() for part in mail.iter_attachments()}


# ---- receiving


def test_mail_of_two_providers_comes_in_whole(office: MailOffice, trouble: Trouble) -> None:
    first = letter("राजेश <rajesh@far.example>", GMAIL, subject=HINDI, text="फॉर्म साथ में है।\n")
    form = attach(first, 30_000, "फॉर्म.pdf")
    second = letter("school@far.example", YAHOO, subject=KANNADA, text="ಸಭೆ ನಾಳೆ\n")
    internet = office.world.internet
    internet.put(GMAIL, first.as_bytes())
    internet.put(YAHOO, second.as_bytes())
    trouble.begin(55_000)
    office.sync(ASHA)
    trouble.mend()
    came = office.wait_for_mail(ASHA, HINDI, limit=2 * ARRIVES)
    assert attachments(came) == {"फॉर्म.pdf": form}
    assert (
        office.wait_for_mail(ASHA, KANNADA, "asha.devi@yahoo.com/INBOX", limit=2 * ARRIVES).get_content().strip()
        == "ಸಭೆ ನಾಳೆ"
    )
    assert office.subjects(ASHA).count(HINDI) == 1
    for address, subject in ((GMAIL, HINDI), (YAHOO, KANNADA)):
        assert [mail.subject for mail in internet.messages(address)] == [subject], "it stays at the provider"


@pytest.mark.long
def test_large_mail_comes_in_while_the_small_ones_behind_it_do_not_wait(
    office: MailOffice, trouble: Trouble, measure: Measure
) -> None:
    large = letter("photos@far.example", GMAIL, subject="5 MB")
    content = attach(large, 3_700_000, "photos.zip")
    office.world.internet.put(GMAIL, large.as_bytes())
    office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject="newest").as_bytes())
    office.world.uplink.reset_counts()
    trouble.begin(4_000_000)
    office.sync(ASHA)
    trouble.mend()
    office.wait_for_mail(ASHA, "newest", limit=2 * ARRIVES)
    came = office.wait_for_mail(ASHA, "5 MB", limit=600)
    assert attachments(came) == {"photos.zip": content}
    counts = office.world.uplink.counts()["gmail"]
    measure(
        "bytes per flow",
        counts.to_far + counts.from_far,
        "bytes",
        flow=f"a mail of 5 MB and a small one come in, {trouble.kind}",
    )


@pytest.mark.long
def test_reading_flagging_and_answering_are_seen_at_the_provider(office: MailOffice, trouble: Trouble) -> None:
    uid = office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject="to be read").as_bytes())
    office.fetch(ASHA)
    office.wait_for_mail(ASHA, "to be read")
    with office.imap(ASHA) as app:
        app.select("INBOX")
        app.store("1", "+FLAGS", r"(\Seen \Flagged \Answered)")
    trouble.begin(11_000)
    office.sync(ASHA)
    trouble.mend()

    def told() -> bool:
        (there,) = [mail for mail in office.world.internet.messages(GMAIL) if mail.uid == uid]
        return {r"\Seen", r"\Flagged", r"\Answered"} <= set(there.flags)

    office.wait_until(told, "the flags at the provider", 3 * ARRIVES)


def delete_here(office: MailOffice, subject: str) -> None:
    """Delete a mail for good, as a mail app does."""
    with office.imap(ASHA) as app:
        app.select("INBOX")
        found = app.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
        assert len(found) == 1
        app.store(found[0].decode(), "+FLAGS", r"(\Deleted)")
        app.expunge()


@pytest.mark.long
def test_deleting_here_deletes_nothing_at_the_provider(office: MailOffice) -> None:
    office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject="deleted here").as_bytes())
    office.sync(ASHA)
    office.wait_for_mail(ASHA, "deleted here")
    delete_here(office, "deleted here")
    office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject="the next").as_bytes())
    office.sync(ASHA)
    office.wait_for_mail(ASHA, "the next")
    assert office.subjects(ASHA) == ["the next"], "it does not come back"
    assert {mail.subject for mail in office.world.internet.messages(GMAIL)} == {"deleted here", "the next"}


def test_deleting_with_realdelete_deletes_at_the_provider(office: MailOffice, trouble: Trouble) -> None:
    office.ask("account", "set", GMAIL, "--realdelete", "yes")
    for subject in ("deleted everywhere", "kept"):
        office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject=subject).as_bytes())
    office.fetch(ASHA)
    for subject in ("deleted everywhere", "kept"):
        office.wait_for_mail(ASHA, subject)
    delete_here(office, "deleted everywhere")
    trouble.begin(11_000)
    office.sync(ASHA)
    trouble.mend()
    there = lambda: [mail.subject for mail in office.world.internet.messages(GMAIL)]  # noqa: E731
    office.wait_until(lambda: there() == ["kept"], "the deletion there", 3 * ARRIVES)


@pytest.mark.long
def test_what_the_provider_deletes_goes_here_too_and_nothing_else(office: MailOffice, trouble: Trouble) -> None:
    uids = [
        office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject=subject).as_bytes())
        for subject in ("one", "two", "three")
    ]
    office.fetch(ASHA)
    for subject in ("one", "two", "three"):
        office.wait_for_mail(ASHA, subject)
    office.send(RAVI, letter(RAVI.addresses[0], GMAIL, subject="from the village"))
    office.wait_for_mail(ASHA, "from the village")
    office.world.internet.delete(GMAIL, uids[1])
    trouble.begin(11_000)
    office.sync(ASHA)
    trouble.mend()
    office.wait_until_gone(ASHA, "two")
    assert sorted(office.subjects(ASHA)) == ["from the village", "one", "three"]


@pytest.mark.long
def test_new_uidvalidity_loses_and_doubles_nothing(office: MailOffice, trouble: Trouble) -> None:
    subjects = [f"mail {number}" for number in range(5)]
    office.world.internet.put_all(GMAIL, [letter("x@far.example", GMAIL, subject=each).as_bytes() for each in subjects])
    office.sync(ASHA)
    for each in subjects:
        office.wait_for_mail(ASHA, each)
    office.world.internet.change_uidvalidity(GMAIL)
    office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject="after").as_bytes())
    office.fetch(ASHA)
    office.wait_until(lambda: office.trouble(ASHA, GMAIL) == "validity", "the new numbers being noticed")
    office.node.succeed("date -s '+11 minutes'")  # they are believed when they have stayed the same for ten
    trouble.begin(11_000)
    office.sync(ASHA)
    trouble.mend()
    office.wait_for_mail(ASHA, "after", limit=3 * ARRIVES)
    assert sorted(office.subjects(ASHA)) == ["after", *subjects]
    assert sorted(mail.subject for mail in office.world.internet.messages(GMAIL)) == ["after", *subjects]


@pytest.mark.long
def test_changed_password_is_told_and_once_corrected_nothing_is_lost(office: MailOffice, trouble: Trouble) -> None:
    internet = office.world.internet
    internet.set_password(GMAIL, "qqqqwwwweeeerrrr")
    internet.put(GMAIL, letter("x@far.example", GMAIL, subject="while locked out").as_bytes())
    waiting = office.send(ASHA, letter(GMAIL, FRIEND, subject="held, not bounced"))
    shown = office.wait_for_outbox(waiting, "waiting", "password")
    assert any(one["said"] for one in shown["recipients"])
    office.sync(ASHA)

    def told() -> list[str]:
        return [subject for subject in office.subjects(ASHA) if GMAIL in subject]

    (subject,) = office.wait_until(told, "a letter that tells of the password")
    assert "पासवर्ड" in subject, "in her language"
    tries = len(internet.logins(GMAIL))
    trouble.begin(30_000)
    office.ask("account", "passwd", GMAIL, secret="qqqqwwwweeeerrrr")
    trouble.mend()
    office.wait_for_arrival(FRIEND, "held, not bounced", 3 * ARRIVES)
    office.wait_for_mail(ASHA, "while locked out", limit=3 * ARRIVES)
    assert tries <= 6, "a provider that is asked again and again locks the account"
    assert len(told()) == 1, "told once"


# ---- sending


def test_mail_written_without_a_link_waits_and_goes_when_the_link_comes(office: MailOffice, trouble: Trouble) -> None:
    office.link(False)
    mail = letter(GMAIL, FRIEND, subject="written offline", text="x" * 20_000)
    number = office.send(ASHA, mail)
    assert office.wait_for_outbox(number, "waiting", "link")["why"] == "link"
    trouble.begin(30_000)
    office.node.link(True)  # and no word of it is waited for: the node may lose the link before it has an address
    trouble.mend()
    posted = office.wait_for_arrival(FRIEND, "written offline", limit=3 * ARRIVES)
    assert posted.message_id == number
    office.wait_for_outbox(number, "sent")
    assert {sent.sender for sent in office.world.internet.sent(login=GMAIL)} == {GMAIL}


def test_each_address_goes_through_its_own_provider(office: MailOffice) -> None:
    for port, address in ((465, GMAIL), (587, YAHOO)):
        office.send(ASHA, letter(address, FRIEND, subject=f"from {address}"), port)
    office.send(RAVI, letter(RAVI.addresses[0], FRIEND, subject="from ravi"))
    for provider, login, subject in (
        ("gmail", GMAIL, f"from {GMAIL}"),
        ("yahoo", YAHOO, f"from {YAHOO}"),
        ("generic", RAVI.addresses[0], "from ravi"),
    ):
        office.wait_for_arrival(FRIEND, subject)
        (sent,) = office.world.internet.sent(login=login)
        assert (sent.provider, sent.subject) == (provider, subject)


def test_person_sends_only_from_the_own_addresses_and_strangers_not_at_all(office: MailOffice) -> None:
    with office.world.village.smtp(port=465, ca=office.ca, limit=120) as app:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            app.sendmail(GMAIL, [FRIEND], b"Subject: no login\r\n\r\n")
        assert refused.value.recipients[FRIEND][0] >= 500
    with office.world.village.smtp(port=587, ca=office.ca, limit=120) as app:
        app.login(RAVI.login, RAVI.password)
        for sender in (GMAIL, "anybody@far.example", f"asha@{NODE_DOMAIN}"):
            with pytest.raises((smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused)) as wrong:
                app.sendmail(sender, [FRIEND], b"Subject: spoofed\r\n\r\n")
            assert b"own addresses" in str(wrong.value).encode(), wrong.value
        own = RAVI.addresses[0]
        for author in (f"Asha Devi <{GMAIL}>", f"{own}, {GMAIL}", f'"{GMAIL}" <{own}>', f"{own}\r\nSender: {GMAIL}"):
            with pytest.raises(smtplib.SMTPDataError) as forged:
                app.sendmail(own, [YAHOO], f"From: {author}\r\nSubject: spoofed\r\n\r\n".encode())
            said = forged.value.smtp_error
            assert forged.value.smtp_code == 550 and b"own addresses" in said and own.encode() in said, said
        app.sendmail(own, [GMAIL], f"From: Ravi <{own}>\r\nSubject: honest\r\n\r\nx\r\n".encode())
    with office.world.village.smtp(port=587, ca=office.ca, tls=False, limit=120) as app:
        app.ehlo()
        assert not app.has_extn("auth"), "no password over a line that others can hear"
    assert not office.world.internet.sent()


def test_mail_over_the_limit_is_refused_with_the_limit_in_words(office: MailOffice) -> None:
    mail = letter(GMAIL, FRIEND, subject="too large")
    attach(mail, 8_500_000, "film.mp4")
    with pytest.raises(smtplib.SMTPException) as refused:
        office.send(ASHA, mail)
    assert "10 MB" in str(refused.value)


@pytest.mark.long
def test_waiting_mail_can_be_held_released_and_cancelled(office: MailOffice, trouble: Trouble) -> None:
    office.link(False)
    held = office.send(ASHA, letter(GMAIL, FRIEND, subject="held"))
    cancelled = office.send(ASHA, letter(GMAIL, FRIEND, subject="cancelled"))
    for number in (held, cancelled):
        office.wait_for_outbox(number, "waiting", "link")
    office.ask("outbox", "hold", office.waiting(held)["id"])
    office.ask("outbox", "cancel", office.waiting(cancelled)["id"])
    last = office.send(ASHA, letter(GMAIL, FRIEND, subject="goes on"))
    trouble.begin(8_000)
    office.node.link(True)  # and no word of it is waited for: the node may lose the link before it has an address
    trouble.mend()
    office.wait_for_arrival(FRIEND, "goes on", 3 * ARRIVES)
    office.wait_for_outbox(last, "sent")
    assert [office.waiting(number)["state"] for number in (held, cancelled)] == ["held", "cancelled"]
    office.ask("outbox", "release", office.waiting(held)["id"])
    office.wait_for_arrival(FRIEND, "held")
    assert not office.arrived(FRIEND, "cancelled")


@pytest.mark.long
def test_what_a_provider_refuses_for_good_comes_back_with_its_words(office: MailOffice) -> None:
    office.world.internet.reject("gmail", "rcpt", 550, "5.1.1 No such person here", recipient="nobody@*")
    number = office.send(ASHA, letter(GMAIL, "nobody@outlook.com", subject="to nobody"))
    shown = office.wait_for_outbox(number, "refused")
    assert "No such person here" in shown["recipients"][0]["said"]
    back = office.wait_for_mail(ASHA, "Your mail could not be delivered")
    assert "No such person here" in back.as_string()


# ---- in the village


def test_village_mail_arrives_without_a_link_and_is_seen_once(office: MailOffice) -> None:
    office.link(False)
    for address in (GMAIL, YAHOO, f"asha@{NODE_DOMAIN}"):
        office.send(RAVI, letter(RAVI.addresses[0], address, subject=f"to {address}"))
    for address in (GMAIL, YAHOO, f"asha@{NODE_DOMAIN}"):
        office.wait_for_mail(ASHA, f"to {address}", limit=30)
    office.link(True)
    for address in (GMAIL, YAHOO):
        office.wait_for_arrival(address, f"to {address}")
    # Providers answer in the order of UIDs: what is here when these have come is all that comes.
    for address in (GMAIL, YAHOO):
        office.world.internet.put(address, letter("x@far.example", address, subject="afterwards").as_bytes())
    office.sync(ASHA)
    for folder in ("INBOX", "asha.devi@yahoo.com/INBOX"):
        office.wait_for_mail(ASHA, "afterwards", folder, limit=2 * ARRIVES)
    everywhere = office.subjects(ASHA) + office.subjects(ASHA, "asha.devi@yahoo.com/INBOX")
    for address in (GMAIL, YAHOO, f"asha@{NODE_DOMAIN}"):
        assert everywhere.count(f"to {address}") == 1, everywhere


@pytest.mark.long
def test_copy_at_the_provider_can_be_switched_off(office: MailOffice) -> None:
    office.ask("account", "set", GMAIL, "--village-copy", "no")
    office.send(RAVI, letter(RAVI.addresses[0], GMAIL, subject="stays here"))
    office.send(RAVI, letter(RAVI.addresses[0], FRIEND, subject="goes far"))
    office.wait_for_mail(ASHA, "stays here")
    office.wait_for_arrival(FRIEND, "goes far")
    assert not office.arrived(GMAIL, "stays here")
    assert not office.outbox(RAVI)[1:], "nothing else waits"


# ---- mail apps


def test_phone_reads_by_imap_and_pop3_and_finds_its_settings(office: MailOffice, measure: Measure) -> None:
    office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject=HINDI).as_bytes())
    office.world.uplink.reset_counts()
    office.fetch(ASHA)
    measure("bytes per flow", office.carried_when_quiet("gmail"), "bytes", flow="a short mail comes in, on a good link")
    office.world.uplink.reset_counts()
    office.send(ASHA, letter(GMAIL, FRIEND, subject="goes out"))
    office.wait_for_arrival(FRIEND, "goes out")
    measure("bytes per flow", office.carried_when_quiet("gmail"), "bytes", flow="a short mail goes out, on a good link")
    office.wait_for_mail(ASHA, HINDI)
    village = office.world.village
    app = village.pop3(ca=office.ca)
    app.user(GMAIL)  # also by address
    app.pass_(ASHA.password)
    assert app.stat()[0] == 1
    assert HINDI in office.subjects(ASHA)
    app.quit()
    for port in (143, 110, 25):
        with pytest.raises(OSError):
            village.connect(NODE_ADDRESS, port, limit=2)
    wrong = village.imap(ca=office.ca)
    with pytest.raises(imaplib.IMAP4.error):
        wrong.login(ASHA.login, "not the password")
    wrong.shutdown()
    with village.connect(NODE_ADDRESS, 80) as http:
        http.sendall(b"GET /mail/config-v1.1.xml HTTP/1.0\r\nHost: autoconfig.mojomail.home.arpa\r\n\r\n")
        answer = b"".join(iter(lambda: http.recv(4096), b"")).decode()
    for word in ("<port>993</port>", "<port>465</port>", "<port>995</port>", "%EMAILADDRESS%", NODE_DOMAIN):
        assert word in answer, answer


def test_accounts_folders_are_there_from_the_beginning(office: MailOffice) -> None:
    with office.imap(ASHA) as app:
        for listed in (app.list, app.lsub):  # mail apps show what is subscribed
            lines = [line.decode() for line in listed()[1] if isinstance(line, bytes)]
            names = {line.rpartition(' "/" ')[2].strip('"') for line in lines}
            assert {"INBOX", "Sent", "Drafts", "Trash", f"{YAHOO}/INBOX"} <= names


# ---- the node as a whole


@pytest.mark.long
def test_thirty_days_without_a_link_bounce_nothing(office: MailOffice) -> None:
    office.link(False)
    number = office.send(ASHA, letter(GMAIL, FRIEND, subject="a month later"))
    office.wait_for_outbox(number, "waiting", "link")
    office.node.succeed("systemctl stop systemd-timesyncd; date -s '+30 days'; postqueue -f", limit=120)
    office.node.succeed("systemctl restart postfix", limit=300)
    office.send(RAVI, letter(RAVI.addresses[0], GMAIL, subject="the village goes on"))
    office.wait_for_mail(ASHA, "the village goes on")
    shown = office.wait_for_outbox(number, "waiting", "link")
    assert shown["recipients"][0]["state"] == "waiting"
    assert "Your mail could not be delivered" not in office.subjects(ASHA)
    # Then the clock proves to have been wrong, as a keeper's may be until the link has come.
    office.node.succeed("date -s '-30 days'")
    office.link(True)
    office.wait_for_arrival(FRIEND, "a month later", limit=2 * ARRIVES)
    office.wait_for_arrival(GMAIL, "the village goes on", limit=2 * ARRIVES)


@pytest.mark.long
@pytest.mark.parametrize("how", ["rubbish", "hang"])
def test_provider_that_answers_rubbish_or_hangs_stops_nobody_else(office: MailOffice, how: str) -> None:
    if how == "rubbish":
        office.world.internet.rubbish("gmail")
    else:
        office.world.internet.down("gmail", how="hang")
    office.world.internet.put(GMAIL, letter("x@far.example", GMAIL, subject="behind the trouble").as_bytes())
    office.world.internet.put(RAVI.addresses[0], letter("x@far.example", RAVI.addresses[0], subject="fine").as_bytes())
    number = office.send(ASHA, letter(GMAIL, FRIEND, subject="through the trouble"))
    office.sync(ASHA)
    office.sync(RAVI)
    office.wait_for_mail(RAVI, "fine", limit=2 * ARRIVES)
    assert office.waiting(number)["state"] in ("waiting", "sending")
    office.world.internet.up("gmail")
    office.wait_for_arrival(FRIEND, "through the trouble", limit=4 * ARRIVES)
    office.sync(ASHA)
    office.wait_for_mail(ASHA, "behind the trouble", limit=4 * ARRIVES)


@pytest.mark.long
def test_account_test_says_in_words_what_is_wrong(office: MailOffice) -> None:
    assert office.ask("account", "test", GMAIL)
    office.world.internet.set_password(GMAIL, "zzzzzzzzzzzzzzzz")
    said = json.dumps(office.ask("account", "test", GMAIL, code=2), ensure_ascii=False)
    assert "password" in said
    office.link(False)
    assert office.ask("account", "test", YAHOO, code=3)


def test_sockets_and_logins_are_closed_by_default(office: MailOffice) -> None:
    assert listeners(office.node) == LISTENING
    for unit in ("mojomaild", "postfix", "dovecot", "nginx", "php8.4-fpm"):
        rating = office.node.succeed(f"systemd-analyze security --no-pager {unit}.service | tail -1")
        assert float(rating.split(":")[1].split()[0]) < 4.0, rating


def canaries() -> dict[str, str]:
    """Every secret of the village, by what it is."""
    found = {f"{one.login}'s password": one.password for one in VILLAGE}
    found |= {f"secret of {address}": secret for one in VILLAGE for address, secret in one.secrets.items()}
    return found


def found_in(card: Path, words: dict[str, str]) -> set[str]:
    """Whose words lie anywhere on a card, free blocks and journals included."""
    piece, longest, kept, found = 1 << 24, max(map(len, words.values())), b"", set()
    with card.open("rb") as file:
        while content := file.read(piece):
            if not content.strip(b"\0"):
                continue
            found |= {name for name, word in words.items() if word.encode() in kept + content}
            kept = content[-longest:]
    return found


@pytest.mark.long
def test_no_secret_lies_on_the_card_in_clear(office: MailOffice, tmp_path: Path) -> None:
    office.send(ASHA, letter(GMAIL, FRIEND, subject="the card is read after this"))
    office.wait_for_arrival(FRIEND, "the card is read after this")
    office.node.succeed("echo 'a mark to be found' > /root/mark; sync", limit=300)
    office.node.copy_card(tmp_path / "card")
    assert found_in(tmp_path / "card", {**canaries(), "the mark": "a mark to be found"}) == {"the mark"}

"""The outbox tells the truth and lets everybody have a turn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mojomail.errors import InputError
from mojomail.mailqueue import (
    Attempt,
    Fate,
    QueuedMail,
    Waiting,
    checked,
    message_id_in,
    parse_delivery,
    parse_queue,
)
from mojomail.outbox import Outbox, Sender, State, Why
from mojomail.sync.backoff import Grounds

ASHA, RAVI = Sender(1, 20001), Sender(2, 20002)
OWNERS = {"asha@gmail.com": ASHA, "ravi@yahoo.com": RAVI}
TOOK = "250 2.0.0 OK 1795 queued"


def mail(number: str, sender: str = "asha@gmail.com", size: int = 2000, to: str = "x@far.example") -> QueuedMail:
    """A waiting mail."""
    return QueuedMail(number, "deferred", sender, size, 1000.0, (Waiting(to, "deferred transport"),))


def filled(*mails: QueuedMail) -> Outbox:
    """An outbox that has seen these mails."""
    outbox = Outbox(local=lambda address: address.endswith("@village.example"))
    outbox.refresh(list(mails), OWNERS.get, 1000.0)
    return outbox


def order(outbox: Outbox, mails: list[QueuedMail]) -> list[str]:
    """In which order mails go, when each is taken."""
    left, gone = list(mails), []
    while chosen := outbox.choose(True, 2000.0):
        gone.append(chosen.id)
        for address in chosen.recipients:
            outbox.attempted(Attempt(chosen.id, address, Fate.SENT, "smtp.gmail.com", TOOK), 2000.0)
        left = [one for one in left if one.id != chosen.id]
        outbox.refresh(left, OWNERS.get, 2000.0)
    return gone


def test_a_mail_is_sent_only_when_every_provider_has_taken_it() -> None:
    two = QueuedMail("AAAAAA", "deferred", "asha@gmail.com", 2000, 1000.0, (Waiting("x@a", ""), Waiting("y@b", "")))
    outbox = filled(two)
    one = outbox.mails["AAAAAA"]
    assert one.state is State.WAITING
    outbox.choose(True, 1001.0)
    assert one.state is State.SENDING
    outbox.attempted(Attempt("AAAAAA", "x@a", Fate.SENT, "r", TOOK), 1002.0)
    assert one.state is State.SENDING
    outbox.attempted(Attempt("AAAAAA", "y@b", Fate.DEFERRED, "r", "lost connection"), 1003.0)
    assert one.state is State.WAITING
    outbox.attempted(Attempt("AAAAAA", "y@b", Fate.SENT, "r", TOOK), 1004.0)
    assert one.state is State.SENT and one.said == TOOK


def test_a_mail_that_left_the_queue_without_a_word_is_not_called_sent() -> None:
    outbox = filled(mail("AAAAAA"))
    outbox.choose(True, 1001.0)
    outbox.refresh([], OWNERS.get, 1002.0)
    assert outbox.mails["AAAAAA"].state is State.WAITING
    assert outbox.why(outbox.mails["AAAAAA"], True, 1003.0) is Why.UNKNOWN
    outbox.attempted(Attempt("AAAAAA", "x@far.example", Fate.SENT, "r", TOOK), 1004.0)
    assert outbox.mails["AAAAAA"].state is State.SENT, "the log may be slower than the queue"


def test_a_refused_mail_says_why() -> None:
    outbox = filled(mail("AAAAAA"))
    outbox.choose(True, 1001.0)
    outbox.attempted(Attempt("AAAAAA", "x@far.example", Fate.REFUSED, "r", "550 5.1.1 no such user"), 1002.0)
    outbox.refresh([], OWNERS.get, 1003.0)
    assert outbox.mails["AAAAAA"].state is State.REFUSED
    assert outbox.mails["AAAAAA"].said == "550 5.1.1 no such user"


def test_small_goes_before_large_and_nobody_is_kept_waiting_by_another() -> None:
    mails = [
        mail("LARGE1", size=5_000_000),
        *(mail(f"ASHA0{number}", size=20_000) for number in range(4)),
        mail("RAVI01", "ravi@yahoo.com", size=20_000),
        mail("RAVI02", "ravi@yahoo.com", size=20_000),
    ]
    gone = order(filled(*mails), mails)
    assert gone == ["ASHA00", "RAVI01", "ASHA01", "RAVI02", "ASHA02", "ASHA03", "LARGE1"]


def test_copies_for_neighbours_providers_go_last() -> None:
    mails = [mail("COPY01", to="ravi@village.example", size=500), mail("LARGE1", size=5_000_000)]
    outbox = filled(*mails)
    assert outbox.counts() == {20001: 1}
    assert order(outbox, mails) == ["LARGE1", "COPY01"]


def test_a_large_mail_does_not_wait_for_ever() -> None:
    outbox = filled(mail("LARGE1", size=5_000_000), mail("SMALL1", "ravi@yahoo.com"))
    outbox.mails["LARGE1"].waited = 100_000.0
    chosen = outbox.choose(True, 2000.0)
    assert chosen is not None and chosen.id == "LARGE1"


def test_nothing_is_chosen_without_a_link() -> None:
    outbox = filled(mail("AAAAAA"))
    assert outbox.choose(False, 2000.0) is None
    assert outbox.why(outbox.mails["AAAAAA"], False, 2000.0) is Why.LINK


@pytest.mark.parametrize(("on_the_way", "why"), [(True, None), (False, Why.PROVIDER)])
def test_a_link_that_comes_makes_good_what_the_last_one_did_and_not_what_a_provider_said(
    on_the_way: bool, why: Why | None
) -> None:
    outbox = filled(mail("AAAAAA"))
    for _ in range(6):
        outbox.choose(True, 2000.0)
        outbox.attempted(Attempt("AAAAAA", "x@far.example", Fate.DEFERRED, "r", "no", on_the_way), 2000.0)
        outbox.mails["AAAAAA"].not_before = 2000.0 if outbox.mails["AAAAAA"].attempts < 6 else 5600.0
    assert outbox.why(outbox.mails["AAAAAA"], True, 2001.0) is Why.PROVIDER
    outbox.relieve()
    assert outbox.why(outbox.mails["AAAAAA"], True, 2001.0) is why
    assert outbox.mails["AAAAAA"].attempts == (0 if on_the_way else 6)


def test_one_at_a_time() -> None:
    outbox = filled(mail("AAAAAA"), mail("BBBBBB"))
    outbox.choose(True, 2000.0)
    assert outbox.choose(True, 2000.0) is None
    outbox.abandon()
    assert outbox.choose(True, 2000.0) is not None


def test_a_wrong_password_holds_all_mail_of_the_account_and_is_told_once() -> None:
    outbox = filled(mail("AAAAAA"), mail("BBBBBB"), mail("CCCCCC", "ravi@yahoo.com"))
    said = f"{FAILED} 535-5.7.8 Username and Password not accepted"
    told = []
    for number in ("AAAAAA", "BBBBBB"):
        outbox.choose(True, 2000.0)
        _, tell = outbox.attempted(Attempt(number, "x@far.example", Fate.DEFERRED, "r", said), 2000.0)
        outbox.abandon()
        told.append(tell)
    assert told == [True, False]
    assert outbox.why(outbox.mails["BBBBBB"], True, 9000.0) is Why.PASSWORD
    chosen = outbox.choose(True, 9000.0)
    assert chosen is not None and chosen.id == "CCCCCC"
    outbox.abandon()
    new = {"asha@gmail.com": Sender(1, 20001, grounds=Grounds(secret_at=5.0))}
    outbox.refresh([mail("AAAAAA")], new.get, 9000.0)
    assert outbox.why(outbox.mails["AAAAAA"], True, 9000.0) is None


FAILED = "SASL authentication failed; server smtp.gmail.com[192.0.2.7] said:"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"{FAILED} 535-5.7.8 Username and Password not accepted. For more information, go to 535 5.7.8  x", True),
        (f"{FAILED} 534-5.7.9 Application-specific password required.", True),
        (f"{FAILED} 535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", True),
        (f"{FAILED} 535 Authentication Failed", True),
        (f"{FAILED} 535 5.7.0 (#AUTH005) Too many bad auth attempts.", True),
        (f"{FAILED} 525 5.7.13 User account disabled", True),
        ("454 4.7.8 Authentication failed: smtp.office365.com said: 535 5.7.3 Authentication unsuccessful", True),
        ("454 4.7.8 Authentication failed: the provider no longer lets this node in", True),
        (f"{FAILED} 454 4.7.0 Temporary authentication failure", False),
        (f"{FAILED} 454 4.7.0 Too many login attempts, please try again later. 5.7.8", False),
        (f"{FAILED} 421 4.7.0 Try again later, closing connection.", False),
        (f"{FAILED} 535 5.7.8 Error: authentication failed: Connection lost to authentication server", False),
        (f"{FAILED} 503 5.5.1 Bad sequence of commands", False),
        (f"{FAILED} 504 5.7.4 Unrecognized authentication type", False),
        (
            "SASL authentication failed; cannot authenticate to server smtp.gmail.com[192.0.2.7]: no mechanism "
            "available",
            False,
        ),
        ("451 4.4.2 Lost connection with smtp.office365.com while logging in", False),
        ("conversation with smtp.gmail.com[192.0.2.7] timed out after 535 s", False),
        ("host smtp.gmail.com[192.0.2.7] said: 452-4.2.2 The recipient's inbox is out of storage space 5.7.8", False),
    ],
)
def test_a_passing_trouble_at_the_log_in_is_not_taken_for_a_wrong_password(text: str, wrong: bool) -> None:
    outbox = filled(mail("AAAAAA"))
    outbox.choose(True, 2000.0)
    _, tell = outbox.attempted(Attempt("AAAAAA", "x@far.example", Fate.DEFERRED, "r", text), 2000.0)
    assert tell is wrong
    assert outbox.why(outbox.mails["AAAAAA"], True, 9000.0) is (Why.PASSWORD if wrong else None)


@pytest.mark.parametrize(
    ("grounds", "goes"),
    [
        (Grounds(2.0), True),
        (Grounds(1.0, ("smtp.example.org",)), True),
        (Grounds(1.0, (), 9.0), True),
        (Grounds(1.0), False),
    ],
    ids=["another secret", "other settings", "a test that got in", "nothing changed"],
)
def test_mail_of_a_refused_account_goes_at_once_when_its_keeper_has_mended_it(grounds: Grounds, goes: bool) -> None:
    outbox = filled()
    outbox.refresh([mail("AAAAAA")], {"asha@gmail.com": replace(ASHA, grounds=Grounds(1.0))}.get, 1000.0)
    outbox.choose(True, 2000.0)
    outbox.attempted(Attempt("AAAAAA", "x@far.example", Fate.DEFERRED, "r", f"{FAILED} 535 no"), 2000.0)
    outbox.refresh([mail("AAAAAA")], {"asha@gmail.com": replace(ASHA, grounds=grounds)}.get, 2001.0)
    assert (outbox.choose(True, 2001.0) is not None) is goes


def test_a_refusal_of_the_secret_of_before_holds_no_mail_and_is_not_told() -> None:
    outbox = filled()
    outbox.refresh([mail("AAAAAA")], {"asha@gmail.com": replace(ASHA, grounds=Grounds(1.0))}.get, 1000.0)
    outbox.choose(True, 2000.0)
    outbox.refresh([mail("AAAAAA")], {"asha@gmail.com": replace(ASHA, grounds=Grounds(2.0))}.get, 2001.0)
    refused = Attempt("AAAAAA", "x@far.example", Fate.DEFERRED, "r", f"{FAILED} 535 no")
    assert outbox.attempted(refused, 2002.0)[1] is False
    assert outbox.choose(True, 2002.0) is not None
    assert outbox.attempted(refused, 2003.0)[1] is True
    assert outbox.choose(True, 2003.0) is None


def test_mail_of_a_removed_account_stays_and_goes_when_the_address_is_there_again() -> None:
    outbox = filled(mail("AAAAAA"), mail("BBBBBB", "ravi@yahoo.com"))
    outbox.refresh([mail("AAAAAA"), mail("BBBBBB", "ravi@yahoo.com")], {"ravi@yahoo.com": RAVI}.get, 1001.0)
    assert outbox.why(outbox.mails["AAAAAA"], True, 2000.0) is Why.ACCOUNT
    chosen = outbox.choose(True, 2000.0)
    assert chosen is not None and chosen.id == "BBBBBB"
    outbox.abandon()
    outbox.refresh([mail("AAAAAA")], {"asha@gmail.com": Sender(7, 20001)}.get, 2001.0)
    chosen = outbox.choose(True, 2001.0)
    assert chosen is not None and (chosen.id, chosen.owner.account) == ("AAAAAA", 7)


def test_a_held_mail_stays_until_it_is_released() -> None:
    outbox = filled(QueuedMail("AAAAAA", "hold", "asha@gmail.com", 1, 0.0, (Waiting("x@y", ""),)))
    assert outbox.mails["AAAAAA"].state is State.HELD and outbox.choose(True, 1.0) is None
    outbox.refresh([mail("AAAAAA", to="x@y")], OWNERS.get, 2.0)
    assert outbox.choose(True, 3.0) is not None


def test_mail_of_strangers_and_of_the_node_is_not_ours() -> None:
    assert filled(mail("AAAAAA", "")).mails == {}


@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        (
            "postfix/relay465/smtp",
            "4bX2Y: to=<x@far.example>, relay=smtp.gmail.com[192.0.2.7]:465, delay=3, delays=1/0/1/1, dsn=2.0.0, "
            "status=sent (250 2.0.0 OK  1795 x-gsmtp)",
            None,
        ),
        (
            "postfix/relay465/smtp",
            "4bX2Yz1: to=<X@far.example>, relay=smtp.gmail.com[192.0.2.7]:465, delay=3, delays=1/0/1/1, dsn=2.0.0, "
            "status=sent (250 2.0.0 OK  1795 x-gsmtp)",
            Attempt(
                "4bX2Yz1", "x@far.example", Fate.SENT, "smtp.gmail.com[192.0.2.7]:465", "250 2.0.0 OK  1795 x-gsmtp"
            ),
        ),
        (
            "postfix/smtp",
            "4bX2Yz1: to=<x@far.example>, orig_to=<y@z>, relay=none, delay=3, delays=1/0/1/1, dsn=4.4.1, "
            "status=deferred (connect to smtp.example[192.0.2.7]:587: Connection timed out)",
            Attempt(
                "4bX2Yz1",
                "x@far.example",
                Fate.DEFERRED,
                "none",
                "connect to smtp.example[192.0.2.7]:587: Connection timed out",
                on_the_way=True,
            ),
        ),
        (
            "postfix/lmtp",
            "4bX2Yz1: to=<asha@node.home.arpa>, relay=node[private/dovecot-lmtp], delay=0, delays=0/0/0/0, dsn=2.0.0, "
            "status=sent (250 2.0.0 <asha> Saved)",
            None,
        ),
        (
            "postfix/oauth/lmtp",
            "4bX2Yz1: to=<x@far.example>, relay=mojo.home.arpa[/run/mojomail/relay], delay=3, delays=1/0/1/1, "
            "dsn=2.0.0, status=sent (250 2.0.0 OK <1795@smtp.office365.com> [Hostname=BM1])",
            Attempt(
                "4bX2Yz1",
                "x@far.example",
                Fate.SENT,
                "mojo.home.arpa[/run/mojomail/relay]",
                "250 2.0.0 OK <1795@smtp.office365.com> [Hostname=BM1]",
            ),
        ),
        (
            "postfix/oauth/lmtp",
            "4bX2Yz1: to=<x@far.example>, relay=mojo.home.arpa[/run/mojomail/relay], delay=3, delays=1/0/1/1, "
            "dsn=4.7.8, status=deferred (host mojo.home.arpa[/run/mojomail/relay] said: 454 4.7.8 Authentication "
            "failed: smtp.office365.com said: 535 5.7.3 Authentication unsuccessful (in reply to RCPT TO command))",
            Attempt(
                "4bX2Yz1",
                "x@far.example",
                Fate.DEFERRED,
                "mojo.home.arpa[/run/mojomail/relay]",
                "454 4.7.8 Authentication failed: smtp.office365.com said: 535 5.7.3 Authentication unsuccessful "
                "(in reply to RCPT TO command)",
            ),
        ),
        (
            "postfix/oauth/lmtp",
            "4bX2Yz1: to=<x@far.example>, relay=none, delay=3, delays=3/0/0/0, dsn=4.4.1, "
            "status=deferred (connect to mojo.home.arpa[/run/mojomail/relay]: Connection refused)",
            Attempt(
                "4bX2Yz1",
                "x@far.example",
                Fate.DEFERRED,
                "none",
                "connect to mojo.home.arpa[/run/mojomail/relay]: Connection refused",
                on_the_way=True,
            ),
        ),
        ("postfix/qmgr", "4bX2Yz1: removed", None),
    ],
)
def test_the_log_is_read_as_postfix_writes_it(program: str, line: str, expected: Attempt | None) -> None:
    assert parse_delivery(program, line) == expected


def test_the_queue_is_read_as_postqueue_prints_it() -> None:
    line = {
        "queue_name": "deferred",
        "queue_id": "4bX2Yz1",
        "arrival_time": 1795,
        "message_size": 437,
        "forced_expire": False,
        "sender": "Asha@gmail.com",
        "recipients": [{"address": "x@far.example", "delay_reason": "deferred transport"}],
    }
    listing = json.dumps(line) + "\nnot json\n{}\n"
    expected = QueuedMail(
        "4bX2Yz1", "deferred", "asha@gmail.com", 437, 1795.0, (Waiting("x@far.example", "deferred transport"),)
    )
    assert parse_queue(listing) == [expected]


@pytest.mark.parametrize("number", ["ALL", "all", "-r", "", "AB CD12", "../../x", "A" * 40])
def test_only_a_queue_id_reaches_postsuper(number: str) -> None:
    with pytest.raises(InputError):
        checked(number)


def test_a_message_id_is_found_also_when_it_is_folded_or_missing() -> None:
    assert message_id_in(b"Subject: x\nMessage-ID:\n <one@far.example>\n\n") == "<one@far.example>"
    assert message_id_in(b"Subject: x\n\n") == ""


def test_what_is_handed_over_in_the_village_is_not_in_the_outbox() -> None:
    here = Waiting("ravi@node.home.arpa", "")
    both = QueuedMail("BBBBBB", "active", "asha@gmail.com", 2000, 1000.0, (here, Waiting("x@far.example", "")))
    outbox = filled(QueuedMail("AAAAAA", "active", "asha@gmail.com", 2000, 1000.0, (here,)), both)
    assert {number: list(mail.recipients) for number, mail in outbox.mails.items()} == {"BBBBBB": ["x@far.example"]}

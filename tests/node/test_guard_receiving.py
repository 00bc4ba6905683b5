"""What comes in: everything once, newest first, also over a link that drops and from servers that misbehave."""

from __future__ import annotations

import os
import random
import signal

import pytest
from mojomail.sync.engine import Result
from mojomail.sync.events import Kind

from tests.node.far import FarAccount, files, letter


def test_new_mail_arrives_byte_for_byte(account: FarAccount) -> None:
    odd = b"Subject: no id, lone\rreturn\r\n\r\nb\xe9ad bytes \xff\r\n.\r\nFrom the start\r\n"
    for mail in (letter(1), letter(2), odd):
        account.deliver(mail)
    outcome = account.sync()
    assert outcome.result is Result.OK, (outcome, account.said)
    assert account.here() == account.there()
    assert outcome.received == 3


def test_a_reply_that_compresses_well_arrives_whole(account: FarAccount) -> None:
    # F1: a record that inflates to more than the reader takes at once.
    for number in range(1500):
        account.deliver(letter(number, 200))
    account.settings["budget"] = 1
    account.proxy.faults.fill_records = True
    assert account.sync(limit=25).result is Result.OK, account.said


def test_without_the_guard_such_a_reply_never_arrives(account: FarAccount) -> None:
    for number in range(1500):
        account.deliver(letter(number, 200))
    account.proxy.faults.fill_records = True
    account.sync(guard=False, limit=8)
    assert not account.here()


def test_newest_mail_comes_first_and_small_before_large(account: FarAccount) -> None:
    account.deliver(letter(1))
    account.deliver(letter(2))
    account.deliver(letter(3, 90_000))
    account.deliver(letter(4))
    account.settings["batch_count"] = 1
    assert account.sync().result is Result.OK
    assert [event.number("uid") for event in account.events if event.kind is Kind.GOT] == [4, 2, 1, 3]


def test_a_large_mail_goes_on_where_the_link_was_lost(account: FarAccount) -> None:
    # F4: without resuming, no run would ever bring more than what comes before the cut.
    account.deliver(letter(1, 300_000))
    account.proxy.faults.compression = False
    account.proxy.faults.cut_after = 100_000
    results = []
    while not account.here() and len(results) < 8:
        results.append(account.sync().result)
    assert account.here() == account.there()
    assert set(results[:-1]) == {Result.LINK} and results[-1] is Result.OK
    assert account.proxy.down < 1.3 * 300_000 + len(results) * 3000


def test_a_budget_ends_a_run_and_the_next_goes_on(account: FarAccount) -> None:
    account.deliver(letter(1, 200_000))
    first = account.sync(budget=100_000)
    assert first.result is Result.OK and first.more and not account.here()
    second = account.sync(budget=150_000)
    assert not second.more and account.here() == account.there()


def test_a_run_killed_anywhere_loses_and_repeats_nothing(account: FarAccount) -> None:
    chance = random.Random(13)
    for number in range(40):
        account.deliver(letter(number, chance.choice([300, 3000, 50_000])))
    for _ in range(5):
        child = account.start()
        points = chance.randint(0, 12)
        assert child.stdout is not None
        for _ in range(points):
            if not child.stdout.readline():
                break
        os.killpg(child.pid, signal.SIGKILL)
        account.finish(child)
    assert account.sync().result is Result.OK
    assert account.here() == account.there()


def test_a_refused_password_is_told_from_a_lost_link(account: FarAccount) -> None:
    account.vault.password = "a secret that is wrong"
    refused = account.sync()
    assert refused.result is Result.PASSWORD and not refused.contact
    assert account.proxy.connections == 1
    assert bytes(account.proxy.up).count(b"AUTHENTICATE") + bytes(account.proxy.up).count(b"LOGIN") == 1
    account.vault.password = "right horse"
    account.proxy.faults.cut_after = 300
    lost = account.sync()
    assert lost.result is Result.LINK, (lost, account.said)


def test_no_secret_is_written_or_shown(account: FarAccount) -> None:
    account.vault.password = "canary4711canary"
    account.sync()
    assert "canary4711canary" not in account.said
    assert not any("canary4711canary" in str(event) for event in account.events)
    written = [path for path in account.work.rglob("*") if path.is_file() and not path.is_socket()]
    assert not [path for path in written if b"canary4711canary" in path.read_bytes()]


def test_a_server_that_answers_rubbish_is_told_from_a_lost_link(account: FarAccount) -> None:
    account.proxy.faults.greeting = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>Welcome, please pay</h1>\r\n"
    )
    assert account.sync(limit=4).result is Result.RUBBISH, (account.events, account.said)


def test_a_certificate_for_somebody_else_is_refused(account: FarAccount) -> None:
    outcome = account.sync(host="127.0.0.1")
    assert outcome.result is Result.TRUST, (outcome, account.said)
    assert b"AUTHENTICATE" not in account.proxy.up


def test_mail_that_its_reader_touches_meanwhile_is_kept_as_touched(account: FarAccount) -> None:
    account.deliver(letter(1))
    account.sync()
    (mail,) = files(account.near / "INBOX")
    mail.rename(account.near / "INBOX/cur" / f"{mail.name.split(':')[0]}:2,S")
    account.deliver(letter(2))
    assert account.sync().result is Result.OK
    names = [path.name for path in files(account.far / "INBOX")]
    assert sorted(name.partition(":2,")[2] for name in names) == ["", "S"]


@pytest.mark.parametrize("size", [32_000, 64_000, 64_001])
def test_the_end_of_a_mail_is_found_at_any_size(account: FarAccount, size: int) -> None:
    mail = letter(1, size)
    mail += b"x" * (size - len(mail))
    account.deliver(mail)
    assert account.sync().result is Result.OK
    assert account.here() == account.there()

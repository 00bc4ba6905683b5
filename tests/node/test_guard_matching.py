"""Nothing lost, nothing twice, nothing deleted that was not asked for: on both sides, whatever was interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from mojomail.sync.engine import Result
from mojomail.sync.events import Kind

from tests.node.far import FarAccount, files, letter


def flags(folder: Path) -> list[str]:
    """The flags of all mails of a folder."""
    return sorted(path.name.partition(":2,")[2] for path in files(folder))


def filled(account: FarAccount, count: int = 30) -> FarAccount:
    """An account with mails on both sides, some of them read."""
    for number in range(count):
        account.deliver(letter(number), flags="S" if number % 3 == 0 else "")
    assert account.sync().result is Result.OK, account.said
    return account


def test_a_folder_numbered_anew_is_left_alone_at_first(account: FarAccount) -> None:
    filled(account)
    before = sorted(path.name for path in files(account.near / "INBOX"))
    account.renumber()
    account.settings["patience"] = 600
    outcome = account.sync()
    assert outcome.result is Result.VALIDITY, (outcome, account.said)
    assert sorted(path.name for path in files(account.near / "INBOX")) == before


def test_without_the_guard_a_folder_numbered_anew_loses_mail(account: FarAccount) -> None:
    filled(account)
    before = account.here()
    for path in list(files(account.far / "INBOX"))[:12]:
        path.unlink()
    account.renumber()
    account.sync(guard=False)
    # OfflineIMAP takes the numbers for the old mails: it deletes those beyond the last.
    assert account.here() != before


def test_a_folder_numbered_anew_is_matched_without_loss_repeat_or_deletion(account: FarAccount) -> None:
    filled(account)
    mails = list(files(account.near / "INBOX"))
    mails[0].unlink()  # its owner deleted it here: it must not come back, nor go there
    mine = account.deliver_here(letter(900, sender="neighbour@kalghatgi.home.arpa"))
    account.renumber()
    list(files(account.far / "INBOX"))[-1].unlink()  # and this one its owner deleted at the provider
    account.deliver(letter(901))
    there, here = account.there(), account.here()
    assert account.sync(realdelete=True).result is Result.OK, account.said
    (recovered,) = [event for event in account.events if event.kind is Kind.RECOVERED]
    assert recovered.number("adopted") >= 28
    assert account.there() == there
    assert account.here() == sorted([*here, letter(901).replace(b"\r\n", b"\n")])
    assert mine.read_bytes() in account.here()
    assert account.sync(realdelete=True).received == 0
    assert account.there() == there


def test_matching_anew_may_be_killed_at_any_time(account: FarAccount) -> None:
    filled(account, 60)
    deleted = next(iter(files(account.near / "INBOX")))
    deleted.unlink()
    there, here = account.there(), account.here()
    account.renumber()
    account.settings["patience"] = 1
    account.sync()
    account.settings["patience"] = 0
    chance = random.Random(4)
    for _ in range(4):
        child = account.start()
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.55 + chance.random() * 0.35)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        account.finish(child)
    assert account.sync().result is Result.OK
    assert account.there() == there and account.here() == here


def test_flags_survive_new_numbers_on_both_sides(account: FarAccount) -> None:
    filled(account)
    account.renumber()
    account.sync()
    account.sync()
    assert flags(account.far / "INBOX").count("S") == flags(account.near / "INBOX").count("S") == 10


def test_an_upload_whose_reply_is_lost_is_not_repeated(account: FarAccount) -> None:
    # F3, in a folder whose owner wants it on both sides.
    sent = ("INBOX", "INBOX"), ("Sent", "Sent")
    account.deliver(letter(0), "Sent")
    account.sync(folders=sent)
    account.deliver_here(letter(1, 80_000), "Sent")
    account.proxy.faults.compression = False
    account.proxy.faults.lose_append = True
    for _ in range(3):
        account.sync(folders=sent, uploads=("Sent",))
    account.proxy.faults.lose_append = False
    assert account.sync(folders=sent, uploads=("Sent",)).result is Result.OK
    assert len(account.there("Sent")) == len(account.here("Sent")) == 2
    assert bytes(account.proxy.up).count(b" APPEND ") == 1


def test_without_the_guard_such_an_upload_is_repeated(account: FarAccount) -> None:
    account.deliver(letter(0))
    account.sync(guard=False)
    account.deliver_here(letter(1, 80_000))
    account.proxy.faults.compression = False
    account.proxy.faults.lose_append = True
    for _ in range(2):
        account.sync(guard=False)
    assert len(account.there()) > 2


def test_mail_from_a_neighbour_is_seen_once_when_the_provider_has_it_too(account: FarAccount) -> None:
    filled(account, 3)
    account.deliver_here(letter(50), flags="S")
    account.sync()
    assert len(account.there()) == 3
    account.deliver(letter(50))
    assert account.sync().received == 0
    assert len(account.here()) == len(account.there()) == 4
    assert flags(account.far / "INBOX").count("S") == 2  # that it was read goes there


def test_the_echo_of_a_deleted_neighbours_mail_stays_away(account: FarAccount) -> None:
    filled(account, 3)
    mine = account.deliver_here(letter(50))
    account.sync()
    mine.unlink()
    account.deliver(letter(50))
    account.sync()
    assert len(account.here()) == 3 and len(account.there()) == 4


def test_a_mail_deleted_here_stays_at_the_provider_and_away_from_here(account: FarAccount) -> None:
    filled(account)
    mail = next(iter(files(account.near / "INBOX")))
    mail.rename(account.near / "INBOX/cur" / f"{mail.name.split(':')[0]}:2,ST")
    account.sync()
    assert "T" not in "".join(flags(account.far / "INBOX"))
    for path in files(account.near / "INBOX"):
        if path.name.endswith("T"):
            path.unlink()
    account.sync()
    account.sync()
    assert len(account.here()) == 29 and len(account.there()) == 30


def test_a_mail_deleted_here_is_deleted_there_when_its_owner_asked_for_that(account: FarAccount) -> None:
    filled(account)
    marked = next(path for path in files(account.far / "INBOX") if path.name.endswith(":2,S"))
    marked.rename(f"{marked}T")  # marked by another program of the owner's: not ours to expunge
    deleted = list(files(account.near / "INBOX"))[5]
    text = deleted.read_bytes()
    deleted.unlink()
    assert account.sync(realdelete=True).result is Result.OK
    assert len(account.there()) == 29 and text not in account.there()


def test_the_provider_deletes_and_the_node_follows_but_keeps_what_is_its_own(account: FarAccount) -> None:
    filled(account)
    mine = account.deliver_here(letter(50)).read_bytes()
    for path in list(files(account.far / "INBOX"))[:5]:
        path.unlink()
    assert account.sync().result is Result.OK
    assert account.here() == sorted([*account.there(), mine])


def test_a_folder_that_is_suddenly_empty_at_the_provider_is_not_believed(account: FarAccount) -> None:
    filled(account)
    here = account.here()
    for path in files(account.far / "INBOX"):
        path.unlink()
    outcome = account.sync()
    assert [event.kind for event in outcome.notices] == [Kind.HELD]
    assert account.here() == here
    account.settings["vanish_patience"] = 0
    account.sync()
    assert account.here() == []


def test_a_lost_copy_is_downloaded_again_and_deletes_nothing(account: FarAccount) -> None:
    filled(account)
    there = account.there()
    for path in (account.near / "INBOX").rglob("*"):
        if path.is_file():
            path.unlink()
    assert account.sync(realdelete=True).result is Result.OK
    assert account.here() == account.there() == there


def test_a_second_account_has_folders_of_its_own(account: FarAccount) -> None:
    account.deliver(letter(1))
    account.deliver(letter(2), "Work")
    folders = (("INBOX", "INBOX"), ("Work", "Work"))
    assert account.sync(folder="asha@work.example", folders=folders).result is Result.OK, account.said
    assert len(account.here("asha@work.example/INBOX")) == len(account.here("asha@work.example/Work")) == 1
    assert account.here() == []

"""Nothing lost, nothing twice, nothing deleted that was not asked for: on both sides, whatever was interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mojomail.sync.engine import Outcome, Result
from mojomail.sync.events import Kind

from tests.node.far import FarAccount, files, letter


def flags(folder: Path) -> list[str]:
    """The flags of all mails of a folder."""
    return sorted(path.name.partition(":2,")[2] for path in files(folder))


def neighbours(number: int) -> bytes:
    """A mail as a neighbour's comes: by way of the node's own Postfix."""
    return b"Received: from phone ([10.77.0.9])\r\n\tby kalghatgi.home.arpa (Postfix) with ESMTPSA\r\n" + letter(number)


def move(path: Path, folder: Path) -> Path:
    """Move a mail as Dovecot does for its reader: under a name of its own, and so without UID."""
    (folder / "cur").mkdir(parents=True, exist_ok=True)
    (folder / "new").mkdir(exist_ok=True)
    return path.rename(folder / "cur" / f"{time.time_ns()}.M2.near:2,S")


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


def sync_second(account: FarAccount, *, realdelete: bool = False, budget: int = 0) -> Outcome:
    """One run of the same person's second account."""
    return account.sync(account=777, folder="asha@work.example", realdelete=realdelete, budget=budget)


def test_mail_from_a_neighbour_to_a_second_address_is_not_shown_again_there(account: FarAccount) -> None:
    account.deliver_here(neighbours(50))
    account.deliver(letter(50))
    account.deliver(letter(51))
    assert sync_second(account).received == 1, "what no neighbour sent"
    assert len(account.here("asha@work.example/INBOX")) == 1
    assert sync_second(account, realdelete=True).received == 0
    assert len(account.there()) == 2, "it is not in that account's folder, and not deleted for all that"


def test_what_is_to_be_compared_is_asked_for_once_though_the_mail_waits_for_many_runs(account: FarAccount) -> None:
    account.deliver_here(neighbours(50))
    account.deliver(letter(1, 400_000))
    account.proxy.faults.compression = False
    while sync_second(account, budget=100_000).more:
        assert not account.here("asha@work.example/INBOX")
    assert account.here("asha@work.example/INBOX") == account.there()
    assert bytes(account.proxy.up).count(b"HEADER.FIELDS") == 1


def test_it_is_not_shown_again_either_once_the_first_account_knows_it(account: FarAccount) -> None:
    mine = account.deliver_here(neighbours(50))
    account.deliver(letter(50))
    assert account.sync().received == 0
    assert not mine.exists(), "it has the first provider's UID now"
    assert sync_second(account, realdelete=True).received == 0
    assert account.here("asha@work.example/INBOX") == [] and len(account.there()) == 1


@pytest.mark.parametrize("folder", ["Family", "Trash"])
def test_the_echo_of_a_neighbours_mail_that_was_filed_without_a_link_stays_away(
    account: FarAccount, folder: str
) -> None:
    filled(account, 3)
    move(account.deliver_here(neighbours(50)), account.near / folder)
    account.deliver(letter(50))
    assert account.sync(realdelete=True).received == 0
    assert account.sync(realdelete=True).received == 0
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


def test_a_mail_moved_to_a_folder_of_the_persons_own_is_not_deleted_there(account: FarAccount) -> None:
    filled(account)
    kept, thrown_away = list(files(account.near / "INBOX"))[:2]
    text = thrown_away.read_bytes()
    filed = move(kept, account.near / "Family" / "School")
    move(thrown_away, account.near / "Trash")
    assert account.sync(realdelete=True).result is Result.OK, account.said
    assert len(account.there()) == 29 and text not in account.there()
    back = move(filed, account.near / "INBOX")
    account.sync(realdelete=True)
    assert len(account.there()) == 29, "moved back it is not deleted either"
    back.unlink()
    account.sync(realdelete=True)
    assert len(account.there()) == 28, "it is deleted when its owner deletes it"


def test_a_mail_moved_to_a_folder_that_the_provider_has_is_moved_there(account: FarAccount) -> None:
    filled(account, 3)
    folders = ("INBOX", "INBOX"), ("Archive", "Archive")
    account.deliver(letter(60), "Archive")
    account.sync(folders=folders)
    move(next(files(account.near / "INBOX")), account.near / "Archive")
    for _ in range(2):
        assert account.sync(folders=folders, uploads=("Archive",), realdelete=True).result is Result.OK, account.said
    assert len(account.there()) == len(account.there("Archive")) == 2
    assert account.here() == account.there()


def test_a_mail_deleted_here_does_not_come_back_from_a_provider_that_can_only_mark_it(account: FarAccount) -> None:
    account.proxy.faults.uidplus = account.proxy.faults.compression = False
    filled(account)
    next(files(account.near / "INBOX")).unlink()
    for _ in range(3):
        outcome = account.sync(realdelete=True)
        assert outcome.result is Result.OK and outcome.received == 0, account.said
        assert len(account.here()) == 29
        assert sum("T" in each for each in flags(account.far / "INBOX")) == 1


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


def test_neighbours_mail_of_a_lost_copy_comes_down_from_its_own_provider_alone(account: FarAccount) -> None:
    filled(account, 3)
    account.deliver_here(neighbours(50))
    account.deliver(letter(50))
    account.sync()
    assert sync_second(account).received == 3
    for folder in ("INBOX", "asha@work.example/INBOX"):
        for path in (account.near / folder).rglob("*"):
            if path.is_file():
                path.unlink()
    account.sync()
    assert account.here() == account.there()
    assert sync_second(account).received == 3


def test_a_second_account_has_folders_of_its_own(account: FarAccount) -> None:
    account.deliver(letter(1))
    account.deliver(letter(2), "Work")
    folders = (("INBOX", "INBOX"), ("Work", "Work"))
    assert account.sync(folder="asha@work.example", folders=folders).result is Result.OK, account.said
    assert len(account.here("asha@work.example/INBOX")) == len(account.here("asha@work.example/Work")) == 1
    assert account.here() == []

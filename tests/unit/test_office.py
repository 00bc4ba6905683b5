"""The office over days: runs, waiting mail, letters; every clock is a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mojomail.accounts import Account, account_numbered, change_account
from mojomail.accountstate import Finding
from mojomail.control import Request, allow
from mojomail.database import Database
from mojomail.doctor import Report, record
from mojomail.errors import InputError
from mojomail.link import ETHERNET, Connection, LinkWatch
from mojomail.mailqueue import Attempt, Fate, QueuedMail, Waiting
from mojomail.office import ALONE, Office
from mojomail.places import Places
from mojomail.secretserver import Peer
from mojomail.sync.engine import Run
from mojomail.sync.events import Event, Kind

CABLE = Connection("cable", "uplink", 2, True, ETHERNET, "lan78xx", 0)
DONE = [Event(Kind.LOGIN, {}), Event(Kind.DONE, {"more": False})]
REFUSED = [Event(Kind.REFUSED, {"code": "AUTHENTICATIONFAILED", "text": "Invalid credentials"})]


class World:
    """An office with everything around it played."""

    def __init__(self, database: Database) -> None:
        self.database, self.now, self.ahead = database, 1000.0, 0.0
        self.waiting: list[QueuedMail] = []
        self.done: list[tuple[str, str]] = []
        self.runs: dict[int, tuple[Run, Callable[[Event], None], Callable[[str], None]]] = {}
        self.told: list[str] = []
        self.watch = LinkWatch(lambda: self.now)
        wall = lambda: self.now + self.ahead  # noqa: E731
        self.office = Office(database, self, self, self.watch, lambda: self.now, wall, self._tell)

    def _tell(self, one: Account, said: str) -> None:
        self.told.append(one.address)

    def start(self, run: Run, heard: Callable[[Event], None], ended: Callable[[str], None]) -> None:
        self.runs[run.account] = (run, heard, ended)

    def stop(self, account: int) -> None:
        self.end(account, [], "signal")

    def end(self, account: int, events: list[Event], word: str = "success") -> None:
        _, heard, ended = self.runs.pop(account)
        for event in events:
            heard(event)
        ended(word)

    def list(self) -> list[QueuedMail]:
        return list(self.waiting)

    def message_id(self, number: str) -> str:
        return f"<{number}@far.example>"

    def send(self, number: str) -> None:
        self.done.append(("send", number))

    def hold(self, number: str) -> None:
        self.done.append(("hold", number))

    def release(self, number: str) -> None:
        self.done.append(("release", number))

    def cancel(self, number: str) -> None:
        self.done.append(("cancel", number))
        self.waiting = [one for one in self.waiting if one.id != number]


def add_account(database: Database, number: int, address: str) -> None:
    """A person with an account and a secret, straight into the tables."""
    uid, login = 20000 + number, address.split("@")[0]
    values: dict[str, Any] = {
        "id": number, "uid": uid, "position": 1, "address": address, "address_ascii": address,
        "address_unicode": address, "provider": "gmail", "secret_kind": "password", "imap_host": "imap.gmail.com",
        "imap_port": 993, "imap_tls": "tls", "imap_user": address, "smtp_host": "smtp.gmail.com", "smtp_port": 465,
        "smtp_tls": "tls", "smtp_user": address, "folder": "", "remote_sent": "[Gmail]/Sent Mail",
        "remote_drafts": "", "remote_trash": "", "remote_junk": "", "remote_archive": "",
        "synced": "INBOX\n[Gmail]/Sent Mail", "files_sent": 1, "created_at": 0,
    }  # fmt: skip
    with database.change():
        database.execute("INSERT INTO person VALUES (?, ?, ?, 'en', 0)", uid, login, login)
        marks = ", ".join("?" * len(values))
        database.execute(f"INSERT INTO account ({', '.join(values)}) VALUES ({marks})", *values.values())
        database.execute("INSERT INTO secret VALUES (?, 'password', 'k', x'00', x'00', 1)", number)


@pytest.fixture
def world(tmp_path: Path) -> World:
    database = Database.open(Places(tmp_path))
    add_account(database, 1, "asha@gmail.com")
    add_account(database, 2, "ravi@gmail.com")
    return World(database)


def mail(number: str, sender: str = "asha@gmail.com", to: str = "x@far.example") -> QueuedMail:
    return QueuedMail(number, "deferred", sender, 2000, 900.0, (Waiting(to, "deferred transport"),))


def tried(number: str, fate: Fate, on_the_way: bool = False) -> Attempt:
    """An attempt to reach x@far.example."""
    return Attempt(number, "x@far.example", fate, "smtp.gmail.com", "what was said", on_the_way)


def test_nothing_is_tried_before_there_is_a_link_and_then_everything(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.office.refresh_outbox()
    world.office.step()
    assert not world.runs and not world.done
    assert world.office.listing(20001)[0]["why"] == "link"
    world.watch.changed([CABLE])
    assert world.done == [("send", "AAAAAA")] and not world.runs
    world.office.attempted(tried("AAAAAA", Fate.SENT))
    assert len(world.runs) == 1


def test_fetching_begins_beside_sending_that_fails_and_after_a_run_sending_goes_first_again(world: World) -> None:
    world.waiting = [mail("AAAAAA"), mail("BBBBBB")]
    world.watch.changed([CABLE])
    world.office.attempted(tried("AAAAAA", Fate.DEFERRED))
    assert world.done == [("send", "AAAAAA"), ("send", "BBBBBB")] and len(world.runs) == 1
    (first,) = world.runs
    world.end(first, DONE)
    assert not world.runs
    world.office.attempted(tried("BBBBBB", Fate.SENT))
    assert len(world.runs) == 1


def test_fetching_waits_for_a_large_mail_only_so_long(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    assert world.office.step() == ALONE
    world.now += ALONE + 1
    world.office.step()
    assert len(world.runs) == 1


def test_fetching_does_not_starve_on_a_link_that_goes_in_the_middle_of_each_mail(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    world.watch.changed([])
    world.watch.changed([CABLE])
    assert world.office.status()["sending"] and len(world.runs) == 1


def test_a_link_that_comes_gives_all_mail_another_try_at_once(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    world.office.attempted(tried("AAAAAA", Fate.DEFERRED, on_the_way=True))
    world.watch.changed([])
    world.done.clear()
    world.watch.changed([CABLE])
    assert world.done == [("send", "AAAAAA")]


def test_a_clock_that_is_set_back_keeps_no_mail_waiting(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    world.office.attempted(tried("AAAAAA", Fate.DEFERRED))
    world.done.clear()
    world.now += 61
    world.ahead = -30 * 86400.0
    world.office.step()
    assert world.done == [("send", "AAAAAA")]


def test_a_run_is_told_all_about_its_account(world: World) -> None:
    world.watch.changed([CABLE])
    ((run, _, _),) = world.runs.values()
    assert run.folders == (("INBOX", "INBOX"), ("[Gmail]/Sent Mail", "Sent"))
    assert run.uploads == () and run.seconds < 50 * 60


def test_a_wrong_password_is_told_once_and_tried_again_with_a_new_one(world: World) -> None:
    world.watch.changed([CABLE])
    (first,) = world.runs
    world.end(first, REFUSED, "exit-code")
    assert len(world.told) == 1
    (second,) = world.runs
    world.end(second, DONE)
    world.now += 86400
    world.office.step()
    assert first not in world.runs
    with world.database.change():
        world.database.execute("UPDATE secret SET changed_at = 99 WHERE account = ?", first)
    world.end(second, DONE)
    world.office.reload()
    assert first in world.runs and len(world.told) == 1


def stopped(world: World) -> int:
    """The number of an account that was stopped for its password, with no other run under way."""
    world.watch.changed([CABLE])
    (first,) = world.runs
    world.end(first, REFUSED, "exit-code")
    (second,) = world.runs
    world.end(second, DONE)
    world.office.reload()
    assert first not in world.runs
    return first


def finding(world: World, number: int, imap: str) -> None:
    """A test of the account found this, a while later."""
    world.now += 100
    one = account_numbered(world.database, number)
    assert one is not None
    said = {"host": one.imap_host, "port": "993", "said": "no"}
    report = Report(one.address, Finding(imap, "IMAP", said), Finding("smtp-auth-off", "SMTP", said))
    record(world.database, one, report)
    world.office.reload()


def test_an_account_goes_on_when_its_settings_are_mended(world: World) -> None:
    number = stopped(world)
    one = account_numbered(world.database, number)
    assert one is not None
    change_account(world.database, one.address, {"imap_user": "asha.devi"})
    world.office.reload()
    assert number in world.runs


def test_an_account_goes_on_after_a_test_that_got_in_and_after_no_other(world: World) -> None:
    number = stopped(world)
    finding(world, number, "browser-needed")
    assert number not in world.runs
    finding(world, number, "ok")
    assert number in world.runs
    row = world.database.row("SELECT trouble FROM contact WHERE account = ?", number)
    assert row is not None and row["trouble"] is None


def test_a_test_that_got_in_is_told_to_the_daemon_at_once(world: World) -> None:
    number = stopped(world)
    for key, told in (("browser-needed", False), ("ok", True)):
        world.database.changed = False
        finding(world, number, key)
        assert world.database.changed is told


def test_a_new_password_is_not_blamed_for_what_was_said_of_the_old_one(world: World) -> None:
    world.watch.changed([CABLE])
    (number,) = world.runs
    with world.database.change():
        world.database.execute("UPDATE secret SET changed_at = 99 WHERE account = ?", number)
    world.office.reload()
    world.end(number, REFUSED, "exit-code")
    assert world.told == []
    row = world.database.row("SELECT trouble, failures FROM contact WHERE account = ?", number)
    assert row is not None and tuple(row) == (None, 0)
    (again,) = world.runs
    world.end(again, DONE)
    assert number in world.runs


def test_a_link_that_goes_ends_the_run_and_takes_the_mail_back(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    assert world.office.status()["sending"]
    world.watch.changed([])
    assert not world.runs and not world.office.status()["sending"]
    assert world.office.listing(None)[0]["state"] == "waiting"


def test_what_is_sent_is_written_down_with_the_providers_words(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    world.office.attempted(Attempt("AAAAAA", "x@far.example", Fate.SENT, "smtp.gmail.com", "250 2.0.0 OK"))
    world.waiting = []
    world.office.refresh_outbox()
    row = world.database.row("SELECT state, reason FROM outbox")
    assert row is not None and tuple(row) == ("sent", "250 2.0.0 OK")
    assert world.office.status()["link"]["reached"]


def test_what_became_of_a_mail_is_known_after_a_restart_and_the_log_is_read_on(world: World) -> None:
    world.waiting = [mail("AAAAAA"), mail("BBBBBB")]
    world.watch.changed([CABLE])
    world.office.attempted(Attempt("AAAAAA", "x@far.example", Fate.SENT, "smtp.gmail.com", "250 OK"), "cursor-7")
    world.waiting = [mail("CCCCCC")]
    again = World(world.database)
    again.waiting = [mail("CCCCCC")]
    again.office.refresh_outbox()
    shown = {one["id"]: (one["state"], one["why"], one["message_id"]) for one in again.office.listing(20001)}
    assert shown == {
        "AAAAAA": ("sent", None, "<AAAAAA@far.example>"),
        "BBBBBB": ("waiting", "unknown", "<BBBBBB@far.example>"),
        "CCCCCC": ("waiting", "link", "<CCCCCC@far.example>"),
    }
    assert again.office.log_cursor == "cursor-7"


def test_only_own_waiting_mail_can_be_cancelled(world: World) -> None:
    world.waiting = [mail("AAAAAA"), mail("BBBBBB", "ravi@gmail.com")]
    for number, uid in (("BBBBBB", 20001), ("CCCCCC", None)):
        with pytest.raises(InputError):
            world.office.change("cancel", number, uid)
    assert world.office.change("cancel", "AAAAAA", 20001).state.value == "cancelled"
    assert world.done == [("cancel", "AAAAAA")]


def test_a_mail_on_its_way_is_not_cancelled(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    with pytest.raises(InputError):
        world.office.change("cancel", "AAAAAA", 20001)


def test_a_copy_for_a_neighbours_provider_is_not_counted_as_waiting(world: World) -> None:
    world.waiting = [mail("AAAAAA", to="ravi@gmail.com")]
    world.office.refresh_outbox()
    assert world.office.status()["waiting"] == 0


def test_mail_from_an_address_with_an_extension_is_sent(world: World) -> None:
    world.waiting = [mail("AAAAAA", "asha+shop@gmail.com")]
    world.watch.changed([CABLE])
    assert world.done == [("send", "AAAAAA")]
    assert [one["sender"] for one in world.office.listing(20001)] == ["asha+shop@gmail.com"]


def test_a_copy_to_a_neighbours_address_with_an_extension_is_one_too(world: World) -> None:
    world.waiting = [mail("AAAAAA", to="ravi+shop@gmail.com")]
    world.office.refresh_outbox()
    assert world.office.status()["waiting"] == 0


def test_the_public_status_names_nobody(world: World) -> None:
    world.waiting = [mail("AAAAAA")]
    world.watch.changed([CABLE])
    said = str(world.office.status())
    assert "asha" not in said and "far.example" not in said


@pytest.mark.parametrize(
    ("peer", "question", "expected"),
    [
        (0, {"do": "outbox"}, None),
        (0, {"do": "outbox", "person": "asha"}, 20001),
        (20001, {"do": "outbox"}, 20001),
        (20001, {"do": "outbox", "person": "asha"}, 20001),
        (33, {"do": "cancel", "person": "ravi", "id": "A"}, 20002),
        (12345, {"do": "status"}, None),
    ],
)
def test_each_gets_what_is_theirs(peer: int, question: dict[str, Any], expected: int | None) -> None:
    request = allow({"v": 1, **question}, Peer(1, peer), {"asha": 20001, "ravi": 20002}.get, 33)
    assert isinstance(request, Request) and request.uid == expected


@pytest.mark.parametrize(
    ("peer", "question"),
    [
        (20001, {"do": "outbox", "person": "ravi"}),
        (20001, {"do": "reload"}),
        (33, {"do": "outbox"}),
        (12345, {"do": "outbox"}),
        (0, {"do": "format"}),
        (0, {"do": "outbox", "person": "nobody"}),
        (0, {"do": "outbox", "v": 2}),
    ],
)
def test_nobody_gets_what_is_not_theirs(peer: int, question: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        allow({"v": 1, **question}, Peer(1, peer), {"asha": 20001, "ravi": 20002}.get, 33)


def test_how_old_a_status_is_shows_on_a_clock_that_nobody_sets(world: World) -> None:
    before = world.office.status()
    world.ahead += 30 * 86400
    world.now += 120
    after = world.office.status()
    assert (after["tick"] - before["tick"], after["at"] - before["at"]) == (120, 30 * 86400 + 120)

"""A person's mail is known again wherever its reader put it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mojomail.sync.guard.elsewhere import Elsewhere, Restless
from mojomail.sync.guard.identity import header_of, key_of, posted_here
from mojomail.sync.guard.memory import FILE, OURS, VILLAGE, Header, Memory

POSTED = b"Received: from phone (unknown [10.77.0.9])\n\tby kalghatgi.home.arpa (Postfix) with ESMTPSA id 1\n"
HEADER_OF = "mojomail.sync.guard.elsewhere.header_of"


def mail(name: str) -> bytes:
    return f"Message-ID: <{name}@example.net>\nSubject: {name}\n".encode()


class Person:
    """A home with a Maildir and the accounts' memories."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.count = 0

    def put(self, folder: str, header: bytes, place: str = "cur", name: str = "") -> Path:
        """Put a mail into a folder, by default one without UID."""
        directory = self.home / "Maildir" / folder
        for each in ("cur", "new", "tmp"):
            (directory / each).mkdir(parents=True, exist_ok=True)
        self.count += 1
        path = directory / place / (name or f"1790000000.M{self.count}.near:2,S")
        path.write_bytes(header + b"\nText\n")
        return path

    def memory(self, account: int) -> Memory:
        return Memory(self.home / "sync" / str(account) / FILE)

    def elsewhere(self, account: int) -> Elsewhere:
        """What a run of an account asks."""
        return Elsewhere(self.home / "sync" / str(account), self.memory(account))


@pytest.fixture
def person(tmp_path: Path) -> Person:
    (tmp_path / "Maildir").mkdir()
    return Person(tmp_path)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (POSTED + mail("a"), True),
        (b"Received: from a by kalghatgi with LMTP id 1\n" + POSTED + mail("a"), True),
        (mail("a") + POSTED.replace(b"\n", b"\r\n"), True),
        (b"Received: from mail.example.net by mx.google.com with ESMTPS id 1\n" + mail("a"), False),
        (b"Subject: by kalghatgi.home.arpa\n", False),
        (b"Received: from kalghatgi.home.arpa\n\tby mx.example.net\n", False),
    ],
)
def test_mail_that_was_posted_here_is_told_from_what_came_from_far_away(header: bytes, expected: bool) -> None:
    assert posted_here(header) is expected


def test_moved_mail_is_found_in_any_folder_but_the_trash(person: Person) -> None:
    for folder in ("INBOX", "Family/School", "asha@work.example/INBOX", "Trash", "asha@work.example/Trash"):
        person.put(folder, mail(folder))
    person.put("Family", mail("unread"), "new", "1790000000.M99.near")
    kept = {"INBOX", "Family/School", "asha@work.example/INBOX", "unread"}
    assert person.elsewhere(1).kept() == {key_of(mail(name)) for name in kept}


def test_mail_that_a_provider_has_in_that_folder_does_not_lie_here_alone(person: Person) -> None:
    person.put("Archive", mail("a"), name="1790000000_0.7.near,U=12,FMD5=7e33429f656f1e6e9d79b29c3f82c57e:2,S")
    assert person.elsewhere(1).kept() == set()


def test_neighbours_mail_stays_known_to_all_accounts_after_it_is_gone(person: Person) -> None:
    path = person.put("INBOX", POSTED + mail("a"))
    person.put("INBOX", mail("from far away"))
    assert person.elsewhere(1).village == {key_of(mail("a"))}
    path.unlink()
    for account in (1, 2):
        assert person.elsewhere(account).village == {key_of(mail("a"))}


def test_neighbours_mail_is_known_in_the_trash_too(person: Person) -> None:
    person.put("Trash", POSTED + mail("a"))
    assert person.elsewhere(1).village == {key_of(mail("a"))}


def test_only_neighbours_mail_is_learned_from_other_accounts(person: Person) -> None:
    person.memory(1).mark("INBOX", OURS, ["m1"])
    person.memory(1).mark("", VILLAGE, ["m2"])
    assert person.elsewhere(2).village == {"m2"}


def test_damaged_memory_of_another_account_stops_nobody(person: Person) -> None:
    (person.home / "sync/1").mkdir(parents=True)
    (person.home / "sync/1" / FILE).write_bytes(b"not a database" * 100)
    person.put("INBOX", POSTED + mail("a"))
    assert person.elsewhere(2).village == {key_of(mail("a"))}


def test_header_is_read_once_and_forgotten_with_its_mail(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    path = person.put("Family", mail("a"))
    found = person.elsewhere(1).kept()
    path = path.rename(path.with_name(f"{path.name}F"))
    with monkeypatch.context() as patched:
        patched.setattr(HEADER_OF, None)
        assert person.elsewhere(1).kept() == found
    assert person.memory(1).headers() == {path.name.partition(":")[0]: Header(key_of(mail("a")), False)}
    path.unlink()
    assert person.elsewhere(1).kept() == set() and person.memory(1).headers() == {}


def test_file_of_any_name_is_taken(person: Person) -> None:
    person.put("Family", mail("a"), name=os.fsdecode(b"from another system \xff:2,S"))
    assert person.elsewhere(1).kept() == person.elsewhere(1).kept() == {key_of(mail("a"))}


def test_mail_that_moves_while_folders_are_looked_through_is_not_missed(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.put("Aunt", mail("other"))
    path = person.put("Family", mail("a"))

    def moved_first(looked_at: Path) -> bytes:
        if looked_at == path and path.exists():
            path.rename(person.home / "Maildir/Aunt/cur/1790000000.M77.near:2,S")
        return header_of(looked_at)

    monkeypatch.setattr(HEADER_OF, moved_first)
    assert key_of(mail("a")) in person.elsewhere(1).kept()


def test_nothing_is_said_of_folders_that_never_rest(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.put("Family", mail("a"))

    def gone(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(HEADER_OF, gone)
    with pytest.raises(Restless):
        person.elsewhere(1).kept()
    assert person.elsewhere(1).village == set()

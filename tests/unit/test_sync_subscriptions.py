"""New folders are shown by mail apps: node/mojomail/sync/subscriptions.py."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from mojomail.sync import subscriptions
from mojomail.sync.subscriptions import subscribe_new

YAHOO = "asha@yahoo.com/INBOX"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "Maildir/INBOX").mkdir(parents=True)
    return tmp_path


def subscribe(home: Path, *folders: str) -> None:
    subscribe_new(home / "Maildir", home / "control", folders)


def listed(home: Path) -> str:
    return (home / "control/subscriptions").read_text()


def test_folder_that_is_about_to_be_made_is_put_on_the_list(home: Path) -> None:
    subscribe(home, "INBOX", YAHOO)
    assert listed(home) == "V\t2\n\nasha@yahoo.com\tINBOX\n"
    assert not (home / "control/subscriptions.lock").exists()


def test_folder_that_is_there_is_left_as_its_owner_has_it(home: Path) -> None:
    subscribe(home, "INBOX")
    assert not (home / "control").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("V\t2\n\nSent\n", "V\t2\n\nSent\nasha@yahoo.com\tINBOX\n"),
        ("Sent\n", "Sent\nasha@yahoo.com/INBOX\n"),
        ("V\t2\n\nasha@yahoo.com\tINBOX\n", "V\t2\n\nasha@yahoo.com\tINBOX\n"),
    ],
    ids=["second version", "first version", "already there"],
)
def test_what_is_on_the_list_stays(home: Path, before: str, after: str) -> None:
    (home / "control").mkdir()
    (home / "control/subscriptions").write_text(before)
    subscribe(home, YAHOO)
    assert listed(home) == after


def test_list_that_dovecot_is_writing_is_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "control").mkdir()
    (home / "control/subscriptions.lock").touch()
    monkeypatch.setattr(subscriptions, "PATIENCE", 0.2)
    with pytest.raises(TimeoutError):
        subscribe(home, YAHOO)
    assert not (home / "control/subscriptions").exists()


def test_lock_that_a_power_cut_left_is_in_nobodys_way(home: Path) -> None:
    (home / "control").mkdir()
    lock = home / "control/subscriptions.lock"
    lock.touch()
    os.utime(lock, (time.time() - 3600,) * 2)
    subscribe(home, YAHOO)
    assert YAHOO.replace("/", "\t") in listed(home)

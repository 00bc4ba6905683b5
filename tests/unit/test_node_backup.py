"""Backups: all comes back on another card, and no secret is in them without its passphrase."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mojomail import backup
from mojomail.accounts import accounts, add_account, draft
from mojomail.backup import has_secrets, restore_backup, write_backup
from mojomail.errors import InputError
from mojomail.passwords import verify_password
from mojomail.people import people, remove_person
from node_village import CANARY, PASSWORD, Village, a_village, village_fixture

village = pytest.fixture(village_fixture)

PASSPHRASE = "three rivers meet"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's own way takes 32 MiB and a while."""
    monkeypatch.setattr(backup, "SCRYPT_N", 2**4)


@pytest.fixture
def other() -> Iterator[Village]:
    """Another card, with a key of its own."""
    with a_village() as one:
        yield one


@pytest.fixture
def full(village: Village) -> Village:
    village.person("asha", "Asha Devi", "hi")
    village.person("gone")
    remove_person(village.database, "gone", erase=False)
    village.account(address="asha@example.org")
    village.account(address="asha@gmail.com", secret="abcdefghijklmnop")
    village.vault.set_oauth_client(village.database, "google", "client-1", "client-geheim")
    return village


def test_everything_comes_back_on_another_card(full: Village, other: Village, tmp_path: Path) -> None:
    file = tmp_path / "node.backup"
    assert write_backup(full.database, file, full.vault, PASSPHRASE) == 3
    assert restore_backup(other.database, file, other.vault, PASSPHRASE) == (1, 3)
    assert people(other.database) == people(full.database)
    assert accounts(other.database) == accounts(full.database)
    for one in accounts(other.database):
        assert other.vault.reveal(other.database, one.id) == full.vault.reveal(full.database, one.id)
    assert other.vault.oauth_provider(other.database, "google").client_secret == "client-geheim"
    assert verify_password(PASSWORD, other.database.rows("SELECT hash FROM logins.login")[0][0])
    assert other.database.rows("SELECT 1 FROM logins.name WHERE name = 'asha@gmail.com'")
    assert other.places.home(people(other.database)[0].uid).is_dir()
    assert other.database.check() == []


def test_numbers_of_those_who_are_gone_are_not_given_again(full: Village, other: Village, tmp_path: Path) -> None:
    file = tmp_path / "node.backup"
    write_backup(full.database, file, None, "")
    restore_backup(other.database, file, None, "")
    assert other.person("ravi").uid == 20003
    assert add_account(other.database, "ravi", draft("ravi@gmail.com")).id == 3


@pytest.mark.parametrize("secrets", [True, False])
def test_backup_shows_no_secret(full: Village, tmp_path: Path, secrets: bool) -> None:
    file = tmp_path / "node.backup"
    write_backup(full.database, file, full.vault if secrets else None, PASSPHRASE)
    content = file.read_bytes()
    for hidden in (CANARY, "abcdefghijklmnop", "client-geheim", PASSPHRASE, PASSWORD):
        assert hidden.encode() not in content
    assert full.key.bytes not in content
    assert has_secrets(file) == secrets
    assert file.stat().st_mode & 0o777 == 0o600


def test_wrong_passphrase_changes_nothing(full: Village, other: Village, tmp_path: Path) -> None:
    file = tmp_path / "node.backup"
    write_backup(full.database, file, full.vault, PASSPHRASE)
    with pytest.raises(InputError, match="not the passphrase"):
        restore_backup(other.database, file, other.vault, "three rivers part")
    assert people(other.database) == []


def test_short_passphrase_is_refused_and_nothing_written(full: Village, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too short"):
        write_backup(full.database, tmp_path / "node.backup", full.vault, "short")
    assert list(tmp_path.iterdir()) == []


def test_backup_is_not_taken_back_over_people(full: Village, other: Village, tmp_path: Path) -> None:
    file = tmp_path / "node.backup"
    write_backup(full.database, file, None, "")
    other.person("ravi")
    with pytest.raises(InputError, match="people on this node"):
        restore_backup(other.database, file, None, "")
    assert [one.login for one in people(other.database)] == ["ravi"]


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "other"])
def test_what_is_no_backup_is_refused(full: Village, other: Village, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "node.backup"
    write_backup(full.database, file, None, "")
    content = file.read_bytes()
    at = content.index(b"SQLite format 3")
    spoilt = {
        "empty": b"",
        "text": b"hello" * 1000,
        "cut": content[: len(content) // 2],
        "other": content[:at] + b"x" * 2000 + content[at + 2000 :],
    }
    file.write_bytes(spoilt[damage])
    with pytest.raises(InputError, match="no backup"):
        restore_backup(other.database, file, None, "")
    assert people(other.database) == []

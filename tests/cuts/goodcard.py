"""What every card must be, wherever its set-up was cut: what stands on it, and that no secret is lost on the way."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Protocol

from tests.cuts.setups import ADDRESS, KEEPER, OWN, PERSON, SECRET

FOLDER = "/var/lib/mojomail/firstboot"
DATABASE = "/var/lib/mojomail/mojomail.db"
VAULT = "/var/lib/mojomail/vault.db"
SEALING_KEY = "/var/lib/systemd/credential.secret"
"""What systemd-creds(1) seals with: without it, no answer that is sealed can be opened."""
VAULT_KEYS = "/etc/credstore.encrypted/mojomail.vault-keys"
CONNECTIONS = "/etc/NetworkManager/system-connections"
WHOLE = ["/var/lib/mojomail/keeper", f"{CONNECTIONS}/mojomail-lan-cable.nmconnection", SEALING_KEY, VAULT_KEYS]
"""What each of the two set-ups leaves besides people and their accounts."""
PRESET_FILE = "mojomail.yaml"
SECRET_ANSWERS = (("keeper", "password"), ("people", 0, "password"), ("people", 0, "accounts", 0, "password"))
"""Where the journal has KEEPER, OWN and SECRET."""

Journal = dict[str, Any]


class Card(Protocol):
    """What can be read from a card: replay.Look."""

    def read(self, path: str) -> bytes | None: ...

    def read_boot(self, name: str) -> bytes | None: ...


def state_on(card: Card) -> tuple[Journal | None, bool]:
    """The wizard's journal, None where there is none, and whether it is done."""
    written = card.read(f"{FOLDER}/journal.json")
    return (None if written is None else json.loads(written)), card.read(f"{FOLDER}/done") is not None


def people_on(card: Card, place: Path) -> list[tuple[str, str]]:
    """The logins in the mail office's database, each with an address."""
    return _rows(card, DATABASE, "SELECT login, address FROM person LEFT JOIN account USING (uid)", place)


def _rows(card: Card, path: str, query: str, place: Path) -> list[Any]:
    """What a database on the card answers, as SQLite finds it after the cut; `place` is a directory for a copy."""
    for ending in ("", "-wal", "-journal"):
        copy = place / f"copy.db{ending}"
        copy.unlink(missing_ok=True)
        if (found := card.read(f"{path}{ending}")) is not None:
            copy.write_bytes(found)
    assert (place / "copy.db").exists(), f"{path} is not on the card"
    with sqlite3.connect(place / "copy.db") as database:
        return list(database.execute(query))


def assert_in_force(card: Card, place: Path) -> None:
    """Everybody and all secrets are where the node keeps them."""
    assert people_on(card, place) == [(PERSON.login, ADDRESS)], "people are in the database"
    assert len(_rows(card, VAULT, "SELECT account FROM secret", place)) == 1, "their providers' secrets in the vault"
    for path in WHOLE:
        assert card.read(path), f"{path} is a part of it"


def assert_no_secret_is_lost(card: Card, journal: Journal | None, place: Path) -> None:
    """Secrets leave the FAT partition only when they are on the node: in the journal, or all in force."""
    text = card.read_boot(PRESET_FILE) or b""
    if all(secret.encode() in text for secret in (KEEPER, OWN, SECRET)):
        return
    assert journal is not None, f"secrets are gone from {PRESET_FILE}, and there is no journal"
    answers = journal["answers"]
    if journal["at"] == "join" and "people" not in answers:
        assert_in_force(card, place)
        return
    open_or_gone = [path for path in SECRET_ANSWERS if not _is_sealed(answers, path)]
    assert not open_or_gone, f"secrets are gone from {PRESET_FILE}, and the journal does not have {open_or_gone} sealed"
    assert card.read(SEALING_KEY), "the journal's secrets are sealed, and the key is not on the card"


def _is_sealed(tree: Any, path: tuple[str | int, ...]) -> bool:
    """Whether there is a sealed answer at a path of keys and numbers."""
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(tree, dict) and set(tree) == {"sealed"} and bool(tree["sealed"])

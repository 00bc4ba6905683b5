"""What is demanded of a card that was cut, on made-up cards."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cuts.goodcard import DATABASE, SEALING_KEY, VAULT, WHOLE, assert_no_secret_is_lost
from tests.cuts.setups import ADDRESS, KEEPER, OWN, PRESET, SECRET

SEALED = {"sealed": "DHzAexF2RZGcSwvqCLwg"}
ANSWERS = {
    "name": "rampur",
    "keeper": {"password": SEALED},
    "people": [{"name": "Asha Rao", "password": SEALED, "accounts": [{"address": ADDRESS, "password": SEALED}]}],
}


class MadeUp:
    """A card with these files on its root file system, and this preset file."""

    def __init__(self, files: dict[str, bytes], preset: bytes | None) -> None:
        self._files, self._preset = files, preset

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)

    def read_boot(self, name: str) -> bytes | None:
        assert name == "mojomail.yaml"
        return self._preset


def journal(answers: dict[str, Any], at: str = "apply") -> dict[str, Any]:
    return {"version": 1, "at": at, "answers": answers}


def database(place: Path, *statements: str) -> bytes:
    file = place / "made-up.db"
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as made:
        for statement in statements:
            made.execute(statement)
    made.close()
    return file.read_bytes()


def in_force(place: Path) -> dict[str, bytes]:
    """The files of a node on which everything is in its own place."""
    people = (
        "CREATE TABLE person (uid, login)",
        "CREATE TABLE account (uid, address)",
        "INSERT INTO person VALUES (1, 'asha')",
        f"INSERT INTO account VALUES (1, '{ADDRESS}')",
    )
    secrets = ("CREATE TABLE secret (account)", "INSERT INTO secret VALUES (1)")
    return {
        **dict.fromkeys(WHOLE, b"whole"),
        DATABASE: database(place, *people),
        VAULT: database(place, *secrets),
    }


REDACTED = PRESET.replace(OWN, "x" * len(OWN)).encode()


def test_secrets_that_are_still_in_the_file_are_not_lost(tmp_path: Path) -> None:
    for written in (None, journal({}), journal(ANSWERS)):
        assert_no_secret_is_lost(MadeUp({}, PRESET.encode()), written, tmp_path)


def test_secrets_that_are_sealed_in_the_journal_with_their_key_are_not_lost(tmp_path: Path) -> None:
    for preset in (REDACTED, None):
        assert_no_secret_is_lost(MadeUp({SEALING_KEY: b"key"}, preset), journal(ANSWERS), tmp_path)


def test_secrets_that_are_all_in_force_are_not_lost(tmp_path: Path) -> None:
    assert_no_secret_is_lost(MadeUp(in_force(tmp_path), REDACTED), journal({"name": "rampur"}, "join"), tmp_path)


def without(*path: str | int) -> dict[str, Any]:
    """The answers without one of them."""
    tree: Any = {**ANSWERS, "keeper": dict(SEALED), "people": [{**ANSWERS["people"][0]}]}
    tree["keeper"] = {"password": SEALED}
    tree["people"][0]["accounts"] = [{"address": ADDRESS, "password": SEALED}]
    at = tree
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return dict(tree)


@pytest.mark.parametrize("preset", [REDACTED, None], ids=["one secret gone from the file", "no file"])
@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "there is no journal"),
        (journal({}), "does not have .*keeper.*people"),
        (journal(without("keeper", "password")), "does not have .*keeper"),
        (journal(without("people", 0, "password")), "does not have .*people"),
        (journal(without("people", 0, "accounts", 0, "password")), "does not have .*accounts"),
        (journal({**ANSWERS, "keeper": {"password": KEEPER}}), "does not have .*keeper"),
        (journal({**ANSWERS, "keeper": {"password": {"sealed": ""}}}), "does not have .*keeper"),
        (journal({}, "join"), "people are in the database|is not on the card"),
    ],
    ids=[
        "no journal",
        "no answers",
        "no keeper",
        "no person",
        "no provider",
        "not sealed",
        "an empty seal",
        "not in force",
    ],
)
def test_secrets_that_are_nowhere_are_lost(
    written: dict[str, Any] | None, said: str, preset: bytes | None, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=said):
        assert_no_secret_is_lost(MadeUp({SEALING_KEY: b"key"}, preset), written, tmp_path)


def test_secrets_whose_key_is_not_on_the_card_are_lost(tmp_path: Path) -> None:
    for files in ({}, {SEALING_KEY: b""}):
        with pytest.raises(AssertionError, match="the key is not on the card"):
            assert_no_secret_is_lost(MadeUp(files, REDACTED), journal(ANSWERS), tmp_path)


@pytest.mark.parametrize("lost", [*WHOLE, DATABASE, VAULT])
def test_what_is_said_to_be_in_force_is_there(lost: str, tmp_path: Path) -> None:
    files = in_force(tmp_path)
    del files[lost]
    with pytest.raises(AssertionError):
        assert_no_secret_is_lost(MadeUp(files, REDACTED), journal({"name": "rampur"}, "join"), tmp_path)


def test_the_provider_s_secret_is_not_in_force_before_it_is_in_the_vault(tmp_path: Path) -> None:
    files = {**in_force(tmp_path), VAULT: database(tmp_path, "CREATE TABLE secret (account)")}
    with pytest.raises(AssertionError, match="in the vault"):
        assert_no_secret_is_lost(MadeUp(files, None), journal({"name": "rampur"}, "join"), tmp_path)


def test_the_three_secrets_are_those_of_the_preset_file() -> None:
    assert all(secret in PRESET for secret in (KEEPER, OWN, SECRET))

"""The database: what others look up in it, who may read it, and what a power cut leaves."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mojomail import lookups
from mojomail.accounts import account, add_account, draft
from mojomail.database import FILES, Database
from mojomail.errors import InputError, SystemFault
from mojomail.people import person, remove_person, set_locked
from mojomail.places import Places
from node_village import PASSWORD, Village, a_village, village_fixture

village = pytest.fixture(village_fixture)

OVERLAY = Path(__file__).resolve().parents[2] / "overlay/etc"


def asked(village: Village, file: str, query: str, key: str) -> list[tuple[object, ...]]:
    """What Postfix or Dovecot gets for a query: they put the quoted key in its place, and open the file read-only."""
    path = village.places.data / f"{file}.db"
    text = query.replace("%s", key.replace("'", "''")).replace("%{user | lower}", key.lower().replace("'", "''"))
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


def people_it(village: Village) -> Village:
    village.person("asha", "Asha Devi", "hi")
    village.person("ravi", "Ravi Kumar")
    add_account(village.database, "asha", draft("Asha@Gmail.com"))
    add_account(village.database, "asha", draft("o'asha@hotmail.com"))
    village.account("asha", "asha@डाक.भारत", provider="generic")
    return village


@pytest.fixture
def peopled(village: Village) -> Village:
    return people_it(village)


@pytest.fixture(scope="module")
def looked_up() -> Iterator[Village]:
    """For tests that change nothing."""
    with a_village() as village:
        yield people_it(village)


@pytest.mark.parametrize(
    ("parameter", "key", "answer"),
    [
        ("smtpd_sender_login_maps", "asha@gmail.com", "asha"),
        ("smtpd_sender_login_maps", "o'asha@hotmail.com", "asha"),
        ("smtpd_sender_login_maps", "asha@xn--11bx1g.xn--h2brj9c", "asha"),
        ("smtpd_sender_login_maps", "asha@डाक.भारत", "asha"),
        ("smtpd_sender_login_maps", "ravi@mojo.home.arpa", "ravi"),
        ("smtpd_sender_login_maps", "ravi@gmail.com", None),
        ("smtpd_sender_login_maps", "' OR 1=1 --", None),
        ("sender_dependent_relayhost_maps", "asha@gmail.com", "[smtp.gmail.com]:465"),
        ("sender_dependent_relayhost_maps", "o'asha@hotmail.com", "[smtp-mail.outlook.com]:587"),
        ("sender_dependent_relayhost_maps", "asha@mojo.home.arpa", None),
        ("sender_dependent_default_transport_maps", "asha@gmail.com", "relay465:[smtp.gmail.com]:465"),
        ("sender_dependent_default_transport_maps", "o'asha@hotmail.com", "oauth:unix:/run/mojomail/relay"),
        ("virtual_alias_maps", "asha@gmail.com", "asha@mojo.home.arpa, asha@gmail.com"),
        ("virtual_alias_maps", "asha@mojo.home.arpa", None),
        ("virtual_mailbox_maps", "asha@mojo.home.arpa", "asha"),
        ("virtual_mailbox_maps", "nobody@mojo.home.arpa", None),
        ("virtual_mailbox_domains", "mojo.home.arpa", "mojo.home.arpa"),
        ("virtual_mailbox_domains", "gmail.com", None),
    ],
)
def test_postfix_finds(looked_up: Village, parameter: str, key: str, answer: str | None) -> None:
    assert asked(looked_up, "mojomail", lookups.POSTFIX[parameter], key) == ([(answer,)] if answer else [])


def configured_queries() -> list[tuple[str, str]]:
    """The file of the database and the query of each lookup in Postfix's and Dovecot's configuration."""
    found = []
    for path in sorted((OVERLAY / "postfix/sql").glob("*.cf")):
        settings = dict(re.findall(r"^(\w+) *= *(.*)$", path.read_text(), re.MULTILINE))
        found.append((Path(settings["dbpath"]).stem, settings["query"]))
    text = (OVERLAY / "dovecot/dovecot.conf").read_text()
    for query in re.findall(r"^ *(?:iterate_)?query *= *(.*)$", text, re.MULTILINE):
        found.append(("logins" if "dovecot_password" in query else "mojomail", query))
    return found


@pytest.mark.parametrize(("file", "query"), configured_queries())
def test_configuration_asks_what_the_database_can_answer(looked_up: Village, file: str, query: str) -> None:
    assert asked(looked_up, file, query, "nobody@example.org") == [] or "name = login" in query


def test_every_postfix_lookup_is_tested() -> None:
    assert set(lookups.POSTFIX) == {
        mark.args[1][at][0]
        for mark in test_postfix_finds.pytestmark  # type: ignore[attr-defined]
        for at in range(len(mark.args[1]))
    }


def test_mail_from_the_village_stays_here_alone_when_its_owner_wants_no_copy(peopled: Village) -> None:
    with peopled.database.change():
        peopled.database.execute("UPDATE account SET village_copy = 0 WHERE address_ascii = 'asha@gmail.com'")
    query = lookups.POSTFIX["virtual_alias_maps"]
    assert asked(peopled, "mojomail", query, "asha@gmail.com") == [("asha@mojo.home.arpa",)]


@pytest.mark.parametrize("name", ["asha", "ASHA", "asha@gmail.com", "Asha@GMAIL.com", "asha@mojo.home.arpa"])
def test_dovecot_knows_a_person_by_login_and_by_each_address(looked_up: Village, name: str) -> None:
    uid = person(looked_up.database, "asha").uid
    [(login, stored, nologin, reason)] = asked(looked_up, "logins", lookups.DOVECOT_PASSDB, name)
    assert (login, str(stored)[:24], nologin, reason) == ("asha", "{ARGON2ID}$argon2id$v=19", None, None)
    assert asked(looked_up, "mojomail", lookups.DOVECOT_USERDB, name) == [("asha", uid, uid, f"/srv/mail/{uid}")]


def test_dovecot_lists_everybody_once(peopled: Village) -> None:
    assert sorted(asked(peopled, "mojomail", lookups.DOVECOT_ITERATE, "")) == [("asha",), ("ravi",)]


def test_who_is_locked_out_gets_mail_and_no_login_to_read_or_send(peopled: Village) -> None:
    set_locked(peopled.database, "asha", True)
    for name in ("asha", "asha@gmail.com"):
        assert asked(peopled, "logins", lookups.DOVECOT_PASSDB, name) == []
    assert asked(peopled, "mojomail", lookups.DOVECOT_USERDB, "asha@gmail.com")
    set_locked(peopled.database, "asha", False)
    assert len(asked(peopled, "logins", lookups.DOVECOT_PASSDB, "asha")) == 1


def test_who_is_removed_is_found_nowhere(peopled: Village) -> None:
    remove_person(peopled.database, "asha", erase=False)
    assert asked(peopled, "logins", lookups.DOVECOT_PASSDB, "asha@gmail.com") == []
    assert asked(peopled, "mojomail", lookups.DOVECOT_USERDB, "asha") == []
    assert asked(peopled, "mojomail", lookups.POSTFIX["smtpd_sender_login_maps"], "asha@gmail.com") == []
    assert peopled.database.rows("SELECT * FROM secret") == []


def test_identities_are_those_of_the_accounts_the_usual_one_first(peopled: Village) -> None:
    rows = peopled.database.rows("SELECT address, name FROM webmail_identity WHERE login = 'asha' ORDER BY position")
    assert [tuple(row) for row in rows] == [
        ("Asha@gmail.com", "Asha Devi"),
        ("o'asha@hotmail.com", "Asha Devi"),
        ("asha@डाक.भारत", "Asha Devi"),
    ]
    rows = peopled.database.rows("SELECT address FROM webmail_identity WHERE login = 'ravi'")
    assert [row[0] for row in rows] == ["ravi@mojo.home.arpa"]


def test_only_whom_it_concerns_can_read_a_file(village: Village) -> None:
    modes = {file.name: stat.S_IMODE((village.places.data / f"{file.name}.db").stat().st_mode) for file in FILES}
    assert modes["vault"] == modes["state"] == 0o600
    assert all(mode & 0o027 == 0 for mode in modes.values())
    for path in village.places.data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path


def test_reader_without_patience_never_meets_a_writers_lock(peopled: Village) -> None:
    query = lookups.POSTFIX["smtpd_sender_login_maps"]
    with peopled.database.change():
        add_account(peopled.database, "ravi", draft("ravi@gmail.com"))
        assert asked(peopled, "mojomail", query, "ravi@gmail.com") == []
        assert asked(peopled, "mojomail", query, "asha@gmail.com") == [("asha",)]
    assert asked(peopled, "mojomail", query, "ravi@gmail.com") == [("ravi",)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python cannot keep the files before 3.12")
def test_files_that_readers_cannot_make_stay_when_the_last_writer_goes(village: Village) -> None:
    village.database.close()
    assert {path.name for path in village.places.data.iterdir()} >= {"mojomail.db-wal", "mojomail.db-shm"}


def test_change_that_fails_leaves_nothing(peopled: Village) -> None:
    with pytest.raises(ZeroDivisionError), peopled.database.change():
        add_account(peopled.database, "ravi", draft("ravi@gmail.com"))
        raise ZeroDivisionError
    with pytest.raises(InputError):
        account(peopled.database, "ravi@gmail.com")


VICTIM = """
import os, signal, sys
from pathlib import Path
from mojomail.accounts import add_account, draft
from mojomail.database import Database
from mojomail.people import insert_person
from mojomail.places import Places
with Database.open(Places(Path(sys.argv[1]))) as database:
    connection = database._connection
    with database.change():
        insert_person(database, login="mira", name="Mira", language="en", hashed="x")
        add_account(database, "mira", draft("mira@gmail.com"))
        database.execute("INSERT INTO secret VALUES (4, 'app-password', 'x', 'x', 'x', 0)")
        if sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("moment", "people"), [("before", ["asha", "ravi"]), ("after", ["asha", "mira", "ravi"])])
def test_writer_that_dies_leaves_all_of_its_change_or_nothing(peopled: Village, moment: str, people: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", VICTIM, str(peopled.places.root), moment]
    assert subprocess.run(words, env=environment, check=False).returncode == -signal.SIGKILL
    assert sorted(row[0] for row in asked(peopled, "mojomail", lookups.DOVECOT_ITERATE, "")) == people
    with Database.open(peopled.places) as database:
        assert database.check() == []
        rows = database.rows("SELECT login FROM logins.login ORDER BY login")
        assert [row[0] for row in rows] == people


def test_secret_that_a_power_cut_left_alone_never_meets_the_next_account(peopled: Village) -> None:
    # vault.db is committed first: cut there, it holds a row of an account that never came to be.
    path = peopled.places.data / "vault.db"
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO secret VALUES (4, 'app-password', 'x', x'00', x'00', 0)")
    connection.close()
    made = add_account(peopled.database, "ravi", draft("ravi@gmail.com"))
    assert made.id == 4
    assert not peopled.vault.has(peopled.database, made.id)


def test_login_that_a_power_cut_left_alone_is_swept(village: Village) -> None:
    with sqlite3.connect(village.places.data / "logins.db") as connection:
        connection.execute("INSERT INTO login VALUES (20001, 'ghost', 'x', NULL, 0)")
        connection.execute("INSERT INTO name VALUES ('ghost', 20001)")
    connection.close()
    assert village.person("asha").uid == 20001
    assert asked(village, "logins", lookups.DOVECOT_PASSDB, "ghost") == []
    assert asked(village, "logins", lookups.DOVECOT_PASSDB, "asha")


def test_uid_is_never_given_again(village: Village) -> None:
    assert village.person("asha").uid == 20001
    remove_person(village.database, "asha", erase=True)
    assert village.person("asha").uid == 20002


def test_two_writers_wait_for_each_other(village: Village) -> None:
    village.person("asha")
    with Database.open(village.places) as other:
        other.set("a", "1")
        village.database.set("b", "2")
        assert (village.database.setting("a"), other.setting("b")) == ("1", "2")


def test_database_of_a_newer_program_is_left_alone(village: Village) -> None:
    village.database.close()
    with sqlite3.connect(village.places.data / "mojomail.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SystemFault, match="newer"):
        Database.open(village.places)


def test_file_that_is_no_database_is_told_so(village: Village) -> None:
    village.database.close()
    for path in village.places.data.glob("mojomail.db*"):
        path.unlink()
    (village.places.data / "mojomail.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SystemFault, match="damaged"):
        Database.open(village.places)


def test_password_of_the_village_is_not_in_any_file(peopled: Village) -> None:
    for path in peopled.places.data.iterdir():
        assert PASSWORD.encode() not in path.read_bytes()


def test_places_are_those_of_the_design() -> None:
    places = Places()
    assert str(places.data / "mojomail.db") == "/var/lib/mojomail/mojomail.db"
    assert str(places.home(20001)) == "/srv/mail/20001"
    assert str(places.run) == "/run/mojomail"

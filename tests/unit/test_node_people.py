"""People and their passwords."""

from __future__ import annotations

import os
import re
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mojomail import passwords
from mojomail.accounts import add_account, draft
from mojomail.errors import InputError
from mojomail.passwords import check_password, hash_password, make_password, verify_password
from mojomail.people import (
    add_person,
    change_person,
    finish_erasures,
    former_people,
    make_homes,
    people,
    person,
    remove_person,
    set_locked,
    set_password,
)
from node_village import PASSWORD, Village, village_fixture

village = pytest.fixture(village_fixture)


def test_password_is_hashed_as_dovecot_reads_it_and_as_dear_as_is_due() -> None:
    stored = hash_password("ಬೆಳಕು moon")
    assert re.fullmatch(r"\{ARGON2ID\}\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]+\$[\w+/]+", stored)
    assert verify_password("ಬೆಳಕು moon", stored)
    assert not verify_password("moon", stored)
    assert not verify_password("moon", "{PLAIN}moon")


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("s7!kk", "short"),
        ("x" * 129, "long"),
        ("password1", "easy"),
        ("aaaaaaaaaa", "easy"),
        ("my asha 2024", "easy"),
        ("tab\tin it here", "sign"),
    ],
)
def test_password_that_is_easy_to_guess_is_refused_without_being_shown(password: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        check_password(password, login="asha")
    assert password not in str(refused.value)


def test_password_that_is_made_is_good_and_never_the_same() -> None:
    made = {make_password() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_password(password, login="asha")
        assert re.fullmatch(r"([a-z]{4}-){4}\d\d", password)


@settings(max_examples=25)
@given(st.text(min_size=8, max_size=40))
def test_password_fits_its_own_hash_alone(password: str) -> None:
    stored = passwords.SCHEME + passwords.PasswordHasher(1, 8, 1).hash("something else")
    assert not verify_password(password, stored)


def test_person_has_a_home_that_nobody_else_enters(village: Village) -> None:
    one = village.person()
    home = village.places.home(one.uid)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert (home.stat().st_uid, home.stat().st_gid) == (one.uid, one.uid)


def test_home_that_a_power_cut_left_unmade_is_made(village: Village) -> None:
    one = village.person()
    village.places.home(one.uid).rmdir()
    make_homes(village.database)
    assert village.places.home(one.uid).is_dir()


def test_login_belongs_to_one_person(village: Village) -> None:
    village.person()
    with pytest.raises(InputError, match="already"):
        village.person()
    assert len(people(village.database)) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Asha <x>"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nBcc: b"}, None),
        ({"language": "xx"}, "there are"),
        ({"login": "Asha"}, "login"),
        ({"mail_of": 20009}, "20009"),
    ],
)
def test_person_that_cannot_be_is_refused_whole(village: Village, changes: dict[str, object], said: str | None) -> None:
    values = {"login": "asha", "name": "Asha", "language": "en", "password": PASSWORD} | changes
    if said is None:
        assert add_person(village.database, **values).name == "a Bcc: b"  # type: ignore[arg-type]
        return
    with pytest.raises(InputError, match=said):
        add_person(village.database, **values)  # type: ignore[arg-type]
    assert people(village.database) == []


def test_unknown_login_is_answered_with_the_nearest(village: Village) -> None:
    village.person()
    with pytest.raises(InputError) as refused:
        person(village.database, "aha")
    assert refused.value.hint == "did you mean asha?"


def test_changes_hold(village: Village) -> None:
    village.person()
    assert change_person(village.database, "asha", name="Asha D.").name == "Asha D."
    set_password(village.database, "asha", "another-long-one")
    stored = village.database.rows("SELECT hash FROM logins.login")[0][0]
    assert verify_password("another-long-one", stored)
    set_locked(village.database, "asha", True)
    since = person(village.database, "asha").locked_at
    set_locked(village.database, "asha", True)
    assert person(village.database, "asha").locked_at == since
    set_locked(village.database, "asha", False)
    assert not person(village.database, "asha").locked


def test_removed_person_leaves_the_mail_and_may_come_back_to_it(village: Village) -> None:
    one = village.person()
    add_account(village.database, "asha", draft("asha@gmail.com"))
    letter = village.places.home(one.uid) / "letter"
    letter.write_text("dear Asha")
    remove_person(village.database, "asha", erase=False)
    assert [gone.uid for gone in former_people(village.database)] == [one.uid]
    assert letter.exists()
    again = add_person(village.database, login="asha2", name="Asha", language="en", password=PASSWORD, mail_of=one.uid)
    assert again.uid == one.uid
    assert former_people(village.database) == []
    assert add_account(village.database, "asha2", draft("asha@gmail.com")).folder == ""
    assert letter.read_text() == "dear Asha"


def test_erased_mail_is_gone_and_nothing_else(village: Village) -> None:
    one, other = village.person(), village.person("ravi")
    (village.places.home(one.uid) / "Maildir").mkdir()
    (village.places.home(one.uid) / "way-out").symlink_to(village.places.home(other.uid))
    (village.places.home(other.uid) / "letter").write_text("x")
    remove_person(village.database, "asha", erase=True)
    assert not village.places.home(one.uid).exists()
    assert (village.places.home(other.uid) / "letter").exists()
    assert former_people(village.database) == []


def test_erasing_that_a_power_cut_stopped_is_finished(village: Village) -> None:
    one = village.person()
    remove_person(village.database, "asha", erase=False)
    with village.database.change():
        village.database.execute("UPDATE former_person SET erase = 1")
    assert former_people(village.database) == []
    finish_erasures(village.database)
    assert not village.places.home(one.uid).exists()

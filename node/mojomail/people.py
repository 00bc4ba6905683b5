"""People: who has a mailbox here."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from .addresses import nearest, parse_login
from .catalogue import languages, say
from .database import Database, now
from .errors import InputError, SystemFault
from .lines import is_line
from .places import Places
from .process import find_program, run

NAME_LIMIT = 100
"""Characters."""

SELECT = """
    SELECT person.uid, person.login, person.name, person.language, person.created_at, logins.login.locked_at
    FROM person LEFT JOIN logins.login USING (uid)
"""


@dataclass(frozen=True)
class Person:
    """A person with a mailbox. Times are seconds since 1970."""

    uid: int
    login: str
    name: str
    language: str
    created_at: int
    locked_at: int | None

    @property
    def locked(self) -> bool:
        """Whether the person cannot log in; mail still comes in."""
        return self.locked_at is not None


@dataclass(frozen=True)
class FormerPerson:
    """Somebody who was removed, and whose mail is still here."""

    uid: int
    login: str
    name: str
    removed_at: int


def parse_name(text: str) -> str:
    """Read a person's name, as others see it on mail. Raises InputError."""
    name = " ".join(text.split())
    if not name or len(name) > NAME_LIMIT or any(sign in name for sign in '<>"') or not is_line(name):
        raise InputError(say("person.name", limit=NAME_LIMIT))
    return name


def parse_language(text: str) -> str:
    """Read a language's code. Raises InputError."""
    if text not in languages():
        raise InputError(say("person.language", language=text[:20], known=", ".join(languages())))
    return text


def people(database: Database) -> list[Person]:
    """Everybody, by login."""
    return [Person(*row) for row in database.rows(f"{SELECT} ORDER BY person.login")]


def former_people(database: Database) -> list[FormerPerson]:
    """Those who were removed and whose mail was kept, the last one first."""
    query = "SELECT uid, login, name, removed_at FROM former_person WHERE NOT erase ORDER BY removed_at DESC, uid DESC"
    return [FormerPerson(*row) for row in database.rows(query)]


def person(database: Database, login: str) -> Person:
    """The person with a login. Raises InputError with the nearest one there is."""
    row = database.row(f"{SELECT} WHERE person.login = ?", login.lower())
    if row is None:
        near = nearest(login.lower(), [one.login for one in people(database)])
        hint = say("hint.did-you-mean", suggestion=near) if near else say("hint.person-list")
        raise InputError(say("person.unknown", login=login[:40]), hint=hint)
    return Person(*row)


def add_person(
    database: Database, *, login: str, name: str, language: str, password: str, mail_of: int | None = None
) -> Person:
    """Make a person with an empty mailbox, or with the mail that a removed person (uid `mail_of`) left.

    Raises InputError when the login is none or taken, the password too easy, or there is no such mail.
    """
    from .passwords import check_password, hash_password

    parse_login(login)
    check_password(password, login=login)
    hashed = hash_password(password)
    with database.change():
        uid = insert_person(database, login=login, name=name, language=language, hashed=hashed, mail_of=mail_of)
    make_home(database.places, uid)
    return person(database, login)


def insert_person(
    database: Database, *, login: str, name: str, language: str, hashed: str, mail_of: int | None = None
) -> int:
    """The part of `add_person` that is done inside `change()`; returns the uid. Raises InputError."""
    values = (parse_login(login), parse_name(name), parse_language(language), now())
    if database.row("SELECT 1 FROM person WHERE login = ?", login):
        raise InputError(say("person.taken", login=login))
    if mail_of is None:
        uid = database.execute("INSERT INTO person (login, name, language, created_at) VALUES (?, ?, ?, ?)", *values)
    else:
        if all(former.uid != mail_of for former in former_people(database)):
            raise InputError(say("person.no-former", uid=mail_of), hint=say("hint.person-list-former"))
        uid = mail_of
        database.execute("DELETE FROM former_person WHERE uid = ?", uid)
        statement = "INSERT INTO person (uid, login, name, language, created_at) VALUES (?, ?, ?, ?, ?)"
        database.execute(statement, uid, *values)
    statement = "INSERT INTO logins.login (uid, login, hash, changed_at) VALUES (?, ?, ?, ?)"
    database.execute(statement, uid, login, hashed, now())
    return uid


def make_home(places: Places, uid: int) -> None:
    """Make a person's home, which nobody else can enter. A home that is there stays as it is."""
    home = places.home(uid)
    places.mail.mkdir(parents=True, exist_ok=True, mode=0o755)
    if not home.exists():
        home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(home, uid, uid)
    home.chmod(0o700)


def make_homes(database: Database) -> None:
    """Make the homes that a power cut left unmade."""
    for one in people(database):
        if not database.places.home(one.uid).exists():
            make_home(database.places, one.uid)


def set_password(database: Database, login: str, password: str) -> None:
    """Give a person another password, which holds from now on everywhere. Raises InputError."""
    from .passwords import check_password, hash_password

    check_password(password, login=login)
    hashed = hash_password(password)
    with database.change():
        uid = person(database, login).uid
        database.execute("UPDATE logins.login SET hash = ?, changed_at = ? WHERE uid = ?", hashed, now(), uid)
    forget_login(login)


def set_locked(database: Database, login: str, locked: bool) -> None:
    """Lock a person out, or let the person in again. Mail is received all the time. Raises InputError."""
    with database.change():
        uid = person(database, login).uid
        since = now() if locked else None
        statement = "UPDATE logins.login SET locked_at = iif(? IS NULL, NULL, ifnull(locked_at, ?)) WHERE uid = ?"
        database.execute(statement, since, since, uid)
    forget_login(login, kick=locked)


def change_person(database: Database, login: str, *, name: str | None = None, language: str | None = None) -> Person:
    """Change a person's name or language. Raises InputError."""
    with database.change():
        uid = person(database, login).uid
        if name is not None:
            database.execute("UPDATE person SET name = ? WHERE uid = ?", parse_name(name), uid)
        if language is not None:
            database.execute("UPDATE person SET language = ? WHERE uid = ?", parse_language(language), uid)
    return person(database, login)


def remove_person(database: Database, login: str, *, erase: bool) -> FormerPerson:
    """Remove a person with accounts and secrets; the mail stays in the home unless `erase`. Raises InputError."""
    with database.change():
        gone = person(database, login)
        database.execute("DELETE FROM secret WHERE account IN (SELECT id FROM account WHERE uid = ?)", gone.uid)
        database.execute("DELETE FROM contact WHERE account IN (SELECT id FROM account WHERE uid = ?)", gone.uid)
        database.execute("DELETE FROM logins.login WHERE uid = ?", gone.uid)
        statement = "INSERT INTO former_person (uid, login, name, removed_at, erase) VALUES (?, ?, ?, ?, ?)"
        database.execute(statement, gone.uid, gone.login, gone.name, now(), erase)
        database.execute("DELETE FROM person WHERE uid = ?", gone.uid)
    forget_login(login, kick=True)
    if erase:
        finish_erasures(database)
    return FormerPerson(gone.uid, gone.login, gone.name, now())


def finish_erasures(database: Database) -> None:
    """Erase the mail that was to be erased, also what a power cut left over. Raises SystemFault."""
    for row in database.rows("SELECT uid FROM former_person WHERE erase"):
        home = database.places.home(row["uid"])
        try:
            if home.exists():
                shutil.rmtree(home)
        except OSError as error:
            raise SystemFault(say("person.not-erased", path=home, reason=error.strerror)) from None
        with database.change():
            database.execute("DELETE FROM used_folder WHERE uid = ?", row["uid"])
            database.execute("DELETE FROM former_person WHERE uid = ?", row["uid"])


def forget_login(login: str, *, kick: bool = False) -> None:
    """Make Dovecot look the login up anew, which it caches for hours; with `kick`, end the person's sessions.

    Where Dovecot does not run there is nothing to forget.
    """
    if os.geteuid() != 0 or find_program("doveadm") is None:
        return
    any_code = tuple(range(256))
    # All of it: a person is in the cache under each name that was typed, and only the login is known as theirs.
    run("doveadm", "auth", "cache", "flush", ok=any_code)
    if kick:
        run("doveadm", "kick", login, ok=any_code)

"""The database: people, accounts, secrets and state, in four files split by who may read them.

    mojomail.db   0640 root:mojomail   people and accounts; Postfix and Dovecot look things up in its views
    logins.db     0640 root:dovecot    password hashes: Dovecot alone
    vault.db      0600 root            providers' secrets, encrypted
    state.db      0600 root            what the daemon has seen

SQLite has no rights below the file, so a view hides nothing: what Postfix must not read lies in another file.
Queries for Postfix and Dovecot are in `lookups`.

**Journal: WAL, synchronous=FULL.** Postfix opens the file read-only and sets no busy timeout; it takes a lookup that
meets a writer's lock for a fatal error (dict_sqlite.c). With WAL a reader never meets one. Readers have no right to
roll back what a power cut left half-written; with a WAL there is nothing to roll back, readers skip what was not
committed. They cannot make the -wal and -shm files, so these stay when a connection is closed
(SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE) and inherit the rights of their database. FULL syncs the WAL at each commit: what
was confirmed survives a power cut.

**Several files, one change.** SQLite commits attached WAL files one by one, in the order vault.db, logins.db,
mojomail.db. The last one decides: a power cut between them leaves rows in the first two that mojomail.db does not
know, and `change()` sweeps these before anything else (a number of an account that never came to be is given again).
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import shipped
from .errors import InputError, SystemFault
from .places import Places, give_to

BUSY_SECONDS = 20.0
"""How long a writer waits for another one; an SD card may take seconds for a sync."""


@dataclass(frozen=True)
class DatabaseFile:
    """One file: its rights, and how many steps of schema/<name>-N.sql it has gone through when it is up to date."""

    name: str
    mode: int
    group: str | None
    version: int = 1
    schema: str = ""

    @property
    def attached_as(self) -> str:
        """Its name in SQL; the first file is SQLite's `main`."""
        return self.schema or self.name


VAULT = DatabaseFile("vault", 0o600, None, schema="main")
LOGINS = DatabaseFile("logins", 0o640, "dovecot")
MOJOMAIL = DatabaseFile("mojomail", 0o640, "mojomail")
STATE = DatabaseFile("state", 0o600, None)
FILES = (VAULT, LOGINS, MOJOMAIL, STATE)
"""In the order in which a change is committed: mojomail.db after those that hold what belongs to its rows."""

SWEEP = (
    "DELETE FROM secret WHERE account > 0 AND account NOT IN (SELECT id FROM account)",
    "DELETE FROM logins.login WHERE uid NOT IN (SELECT uid FROM person)",
)
NAMES = "SELECT name, uid FROM dovecot_user"
REFRESH = (
    f"DELETE FROM logins.name WHERE (name, uid) NOT IN ({NAMES})",
    f"INSERT OR IGNORE INTO logins.name (name, uid) {NAMES}",
)


class Database:
    """One connection to all four files. Each thread has its own; `close()` it, or use it with `with`."""

    def __init__(self, connection: sqlite3.Connection, places: Places) -> None:
        self._connection = connection
        self.places = places
        self.changed = False
        """Whether a change was made through this connection."""

    @classmethod
    def open(cls, places: Places) -> Database:
        """Open the database, make what is not there, and bring an older one up to date.

        Raises InputError when the caller has no right to it, SystemFault when it is damaged or newer than this program.
        """
        try:
            places.data.mkdir(parents=True, exist_ok=True, mode=0o755)
            for file in FILES:
                prepare_file(places.data / f"{file.name}.db", file)
            connection = _connect(places.data / f"{FILES[0].name}.db")
            for file in FILES[1:]:
                connection.execute(f"ATTACH ? AS {file.attached_as}", (str(places.data / f"{file.name}.db"),))
                connection.execute(f"PRAGMA {file.attached_as}.synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except PermissionError as error:
            raise InputError(f"no right to {error.filename}", hint="run it as root: sudo mojomail ...") from None
        except sqlite3.OperationalError as error:
            raise _fault(error, places) from None
        except sqlite3.DatabaseError as error:
            raise SystemFault(f"the database in {places.data} is damaged: {error}", hint="restore a backup") from None
        return cls(connection, places)

    def close(self) -> None:
        """Let go of the files."""
        self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            raise _fault(error, self.places) from None

    def row(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def execute(self, statement: str, *values: Any) -> int:
        """Run a statement inside `change()` or `note()`; returns the id of the row it inserted."""
        return self._connection.execute(statement, values).lastrowid or 0

    @contextmanager
    def change(self) -> Iterator[Database]:
        """One change of people, accounts and secrets: all of it, on the card when the block is left, or nothing.

        Writers wait for each other, so what was read inside the block stays true. Inside another `change()` the block
        is part of that one. Raises SystemFault when the database cannot be written.
        """
        if self._connection.in_transaction:
            yield self
            return
        with self._transaction("BEGIN IMMEDIATE"):
            for statement in SWEEP:
                self._connection.execute(statement)
            yield self
            for statement in REFRESH:
                self._connection.execute(statement)
        self.changed = True
        # What is only in a -wal file is easily left behind when somebody copies the others.
        for file in FILES:
            self._connection.execute(f"PRAGMA {file.attached_as}.wal_checkpoint(PASSIVE)")

    @contextmanager
    def note(self) -> Iterator[Database]:
        """One change of state.db alone, which waits for no other writer than those of state.db."""
        if self._connection.in_transaction:
            yield self
            return
        with self._transaction("BEGIN"):
            yield self

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        try:
            self._connection.execute(begin)
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            raise _fault(error, self.places) from None

    def setting(self, name: str, default: str = "") -> str:
        """A setting's value; `default` when it was never set."""
        row = self.row("SELECT value FROM setting WHERE name = ?", name)
        return default if row is None else str(row["value"])

    def set(self, name: str, value: str) -> None:
        """Set a setting. `node` (the node's name, of which the local domain is made) is one of them."""
        if self.setting(name, "\0") == value:
            return
        with self.change():
            self.execute("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, value)

    def check(self) -> list[str]:
        """What SQLite finds wrong in any of the files; empty when all is well."""
        found = []
        for file in FILES:
            lines = [str(row[0]) for row in self.rows(f"PRAGMA {file.attached_as}.integrity_check")]
            lines += [f"dangling {tuple(row)}" for row in self.rows(f"PRAGMA {file.attached_as}.foreign_key_check")]
            found += [f"{file.name}.db: {line}" for line in lines if line != "ok"]
        return found


def now() -> int:
    """Seconds since 1970, by the node's clock, which may be wrong until there was a link."""
    return int(time.time())


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def prepare_file(path: Path, file: DatabaseFile) -> None:
    """Make the file with its rights if it is not there, and take it through the steps it has not seen.

    Raises SystemFault when it is newer than this program.
    """
    path.touch(mode=0o600, exist_ok=True)
    give_to(path, mode=file.mode, group=file.group)
    connection = _connect(path)
    try:
        version = _version(connection)
        if version > file.version:
            raise SystemFault(f"{path} was written by a newer MojoMail", hint="do not go back to an older one")
        if version == file.version:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in range(_version(connection) + 1, file.version + 1):
                schema = (shipped.DIRECTORY / f"schema/{file.name}-{step}.sql").read_text("utf-8")
                for statement in _statements(schema):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {file.version}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    finally:
        connection.close()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(text: str) -> Iterator[str]:
    """The statements of a file of SQL, one by one: `executescript` would end the transaction."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _fault(error: sqlite3.OperationalError, places: Places) -> InputError | SystemFault:
    """What SQLite could not do, for the person who can mend it; bugs of ours (SQL that is wrong) are raised again."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return InputError(f"cannot write the database in {places.data}", hint="run it as root: sudo mojomail ...")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return SystemFault("another program keeps the database locked", hint="try again in a minute")
    if name.startswith("SQLITE_FULL"):
        return SystemFault("the card is full", hint="make room: mojomail person list shows who uses how much")
    if name.startswith("SQLITE_IOERR"):
        return SystemFault(f"the card does not read or write as it should: {error}", hint="make a backup now")
    raise error

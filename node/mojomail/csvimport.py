"""A table of people as CSV: checked as a whole, all errors told at once, and taken in one change or not at all.

    login,name,language,password,address,provider,secret,imap,smtp
    asha,Asha Devi,hi,,asha@gmail.com,,abcd efgh ijkl mnop,,
    asha,,,,asha@example.org,generic,hunter22,imap.example.org 993 tls,smtp.example.org 465 tls
    ravi,Ravi Kumar,kn,,,,,,

The first line names the columns, in any order; `login` and `name` must be there. A second line for a login adds
another account. Without a password one is made and shown; without a secret the account waits for it.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from .accounts import Draft, add_account, draft, refuse_taken
from .addresses import nearest, parse_login
from .catalogue import languages, say
from .database import Database
from .errors import InputError, Problem, ProblemsError
from .passwords import check_password, hash_password, make_password
from .people import insert_person, make_home, parse_language, parse_name
from .providers import Server, parse_server
from .vault import Vault, check_secret, tidy_secret

COLUMNS = ("login", "name", "language", "password", "address", "provider", "secret", "imap", "smtp")
NEEDED = ("login", "name")
SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes; 200 people have about 30 kB."""


@dataclass
class NewAccount:
    """An account of a line, with the secret if the line has one."""

    draft: Draft
    secret: str = field(repr=False)


@dataclass
class NewPerson:
    """A person of a table; `made` tells that the password was made here."""

    login: str
    name: str
    language: str
    made: bool
    password: str = field(repr=False)
    accounts: list[NewAccount] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """One line's cells by column name; `line` counts lines of the file from 1."""

    line: int
    cells: dict[str, str] = field(repr=False)
    columns: dict[str, int]

    def problem(self, column: str, error: InputError) -> Problem:
        """An error at this line and column."""
        hint = error.hint if error.hint and len(error.hint) < 120 else None
        return Problem(self.line, self.columns.get(column, 0), f"{column}: {error.message}", hint)


def read_people(content: bytes, file: str, database: Database, *, language: str) -> list[NewPerson]:
    """Read a table and check it against itself and the database. Raises ProblemsError with everything that is wrong.

    file       its name, for the errors
    language   of those whose line names none
    """
    rows, problems = _rows(content)
    people: dict[str, NewPerson] = {}
    addresses: dict[str, int] = {}
    for row in rows:
        one = _person(row, people, database, language, problems)
        account = _account(row, one, addresses, database, problems)
        if one is not None and account is not None:
            one.accounts.append(account)
    if not problems and not people:
        problems.append(Problem(0, 0, say("csv.empty")))
    if problems:
        raise ProblemsError(file, problems)
    return list(people.values())


def take_people(people: list[NewPerson], database: Database, vault: Vault | None) -> None:
    """Make all people of a table with their accounts, or none. Raises InputError, or VaultLocked for want of a vault.

    `vault` may be None when no line has a secret.
    """
    hashes = {one.login: hash_password(one.password) for one in people}
    uids = []
    with database.change():
        for one in people:
            uid = insert_person(
                database, login=one.login, name=one.name, language=one.language, hashed=hashes[one.login]
            )
            uids.append(uid)
            for account in one.accounts:
                made = add_account(database, one.login, account.draft)
                if account.secret and vault is not None:
                    vault.store(database, made.id, made.secret_kind, account.secret)
    for uid in uids:
        make_home(database.places, uid)


def _rows(content: bytes) -> tuple[list[Row], list[Problem]]:
    """The lines of a table, and what keeps it from being one."""
    if len(content) > SIZE_LIMIT:
        return [], [Problem(0, 0, say("csv.big", limit=SIZE_LIMIT // 2**20))]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Problem(content[: error.start].count(b"\n") + 1, 0, say("csv.not-utf8"), say("hint.csv-utf8"))]
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        problems = _header_problems(header)
        if problems:
            return [], problems
        columns = {name: at for at, name in enumerate(header, start=1) if name}
        rows = []
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if any(cell.strip() for cell in cells[len(header) :]):
                    problems.append(Problem(line, len(header) + 1, say("csv.too-many", count=len(header))))
                padded = cells + [""] * (len(header) - len(cells))
                rows.append(Row(line, {name: padded[at - 1].strip() for name, at in columns.items()}, columns))
            line = reader.line_num + 1
        return rows, problems
    except csv.Error as error:
        return [], [Problem(reader.line_num, 0, say("csv.form", reason=error))]


def _header_problems(header: list[str]) -> list[Problem]:
    problems = []
    for at, name in enumerate(header, start=1):
        if name and name not in COLUMNS:
            near = nearest(name, list(COLUMNS))
            hint = say("hint.did-you-mean", suggestion=near) if near else None
            problems.append(Problem(1, at, say("csv.column", column=name[:40], known=", ".join(COLUMNS)), hint))
        elif name and name in header[: at - 1]:
            problems.append(Problem(1, at, say("csv.column-twice", column=name)))
    missing = [name for name in NEEDED if name not in header]
    if missing and not problems:
        problems.append(Problem(1, 0, say("csv.missing", columns=", ".join(missing))))
    return problems


def _person(
    row: Row, people: dict[str, NewPerson], database: Database, language: str, problems: list[Problem]
) -> NewPerson | None:
    """The person a line is about: a new one, or one of an earlier line; None when the login cannot be."""
    cells = row.cells
    try:
        login = parse_login(cells["login"])
    except InputError as error:
        problems.append(row.problem("login", error))
        return None
    if login in people:
        one = people[login]
        for column, before in (("name", one.name), ("language", one.language), ("password", one.password)):
            if cells.get(column) and cells[column] != before:
                problems.append(row.problem(column, InputError(say("csv.differs", login=login))))
        return one
    if database.row("SELECT 1 FROM person WHERE login = ?", login):
        problems.append(row.problem("login", InputError(say("person.taken", login=login))))
    given = cells.get("password", "")
    one = NewPerson(login, cells["name"], cells.get("language") or language, not given, given or make_password())
    for column, check in (
        ("name", lambda: parse_name(one.name)),
        ("language", lambda: parse_language(one.language)),
        ("password", lambda: check_password(one.password, login=login)),
    ):
        try:
            check()
        except InputError as error:
            problems.append(row.problem(column, error))
    people[login] = one
    return one


def _account(
    row: Row, one: NewPerson | None, addresses: dict[str, int], database: Database, problems: list[Problem]
) -> NewAccount | None:
    """The account of a line, or None where it has none or it cannot be."""
    cells = row.cells
    if not cells.get("address"):
        for column in ("provider", "secret", "imap", "smtp"):
            if cells.get(column):
                problems.append(row.problem(column, InputError(say("csv.no-address"))))
        return None
    servers: dict[str, Server | None] = {}
    for column in ("imap", "smtp"):
        try:
            servers[column] = parse_server(cells[column]) if cells.get(column) else None
        except InputError as error:
            problems.append(row.problem(column, error))
            return None
    try:
        made = draft(
            cells["address"], provider=cells.get("provider") or None, imap=servers["imap"], smtp=servers["smtp"]
        )
    except InputError as error:
        column = "provider" if cells.get("provider") and "@" in cells["address"] else "address"
        problems.append(row.problem(column, error))
        return None
    key = made.address.ascii
    if key in addresses:
        twice = InputError(say("csv.address-twice", address=made.address, line=addresses[key]))
        problems.append(row.problem("address", twice))
    addresses.setdefault(key, row.line)
    secret = tidy_secret(made.secret_kind, cells.get("secret", ""))
    try:
        refuse_taken(database, one.login if one else "", made.address)
    except InputError as error:
        problems.append(row.problem("address", error))
    try:
        if secret:
            check_secret(made.secret_kind, secret)
    except InputError as error:
        problems.append(row.problem("secret", error))
    return NewAccount(made, secret)


def example() -> str:
    """A table to begin with."""
    return f"{','.join(COLUMNS)}\nasha,Asha Devi,{languages()[0]},,asha@gmail.com,,,,\n"

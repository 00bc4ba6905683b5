"""Backups of people, accounts and logins, and of providers' secrets only under a passphrase.

One tar file: mojomail.db and logins.db as they were at one moment, and `secrets`, which is JSON sealed with
AES-256-GCM under a key made of the passphrase by scrypt. The node's own key is not in it: what is restored on another
card is encrypted anew with that card's key. Mail itself lies in /srv/mail and is no part of this.
"""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from .catalogue import say
from .database import LOGINS, MOJOMAIL, Database, prepare_file
from .errors import InputError, SystemFault
from .people import make_homes
from .vault import Vault
from .vaultkeys import write_durably

SECRETS = "secrets"
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1
"""32 MiB and about a second on a Pi (RFC 7914); the salt is of 16 bytes."""
SALT_BYTES, NONCE_BYTES = 16, 12
PASSPHRASE_SHORTEST = 10
"""Characters: unlike a login's password it can be guessed at without end."""
SIZE_LIMIT = 64 * 1024 * 1024
TABLES = {
    MOJOMAIL: ("person", "former_person", "account", "used_folder", "sqlite_sequence"),
    LOGINS: ("login",),
}
"""What is taken back. `name` follows from it, and settings are the node's own but for the ones below."""
SETTINGS = "oauth-client-%"


def write_backup(database: Database, target: Path, vault: Vault | None, passphrase: str) -> int:
    """Write a backup, mode 0600, in one step; returns how many secrets are in it.

    Without a vault and passphrase it holds none. Raises InputError for a passphrase that is too short.
    """
    with tempfile.TemporaryDirectory(dir=database.places.data) as name, database.change():
        # Nobody writes while the block lasts, so the copies are of one moment.
        members = {f"{file.name}.db": _copy(database, file.name, Path(name)) for file in TABLES}
        secrets = _secrets(database, vault) if vault is not None else []
        if vault is not None:
            members[SECRETS] = _seal(json.dumps(secrets).encode(), passphrase)
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for member, data in members.items():
                entry = tarfile.TarInfo(member)
                entry.size, entry.mode = len(data), 0o600
                tar.addfile(entry, io.BytesIO(data))
        write_durably(target, content.getvalue())
    return len(secrets)


def _copy(database: Database, name: str, directory: Path) -> bytes:
    """A file of the database as it was when the last change ended."""
    source = sqlite3.connect(f"file:{database.places.data / name}.db?mode=ro", uri=True)
    copy = sqlite3.connect(directory / f"{name}.db")
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
        source.close()
    return (directory / f"{name}.db").read_bytes()


def _secrets(database: Database, vault: Vault) -> list[tuple[int, str, str]]:
    numbers = [row["account"] for row in database.rows("SELECT account FROM secret ORDER BY account")]
    return [(number, *vault.reveal(database, number)) for number in numbers]


def _seal(plain: bytes, passphrase: str) -> bytes:
    if len(passphrase) < PASSPHRASE_SHORTEST:
        raise InputError(say("backup.passphrase", shortest=PASSPHRASE_SHORTEST))
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    return salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, SECRETS.encode())


def _unseal(sealed: bytes, passphrase: str) -> bytes:
    salt, nonce = sealed[:SALT_BYTES], sealed[SALT_BYTES : SALT_BYTES + NONCE_BYTES]
    try:
        key = _key(passphrase, salt)
        return AESGCM(key).decrypt(nonce, sealed[SALT_BYTES + NONCE_BYTES :], SECRETS.encode())
    except (InvalidTag, ValueError):
        raise InputError(say("backup.wrong-passphrase")) from None


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase.encode())


def has_secrets(source: Path) -> bool:
    """Whether a backup has secrets, so that its passphrase must be asked for. Raises InputError for no backup."""
    return SECRETS in _members(source)


def restore_backup(database: Database, source: Path, vault: Vault | None, passphrase: str) -> tuple[int, int]:
    """Take back a backup on a node that has nobody yet, all of it or nothing; returns how many people and secrets.

    Raises InputError when somebody is here, the file is no backup, or the passphrase is wrong.
    """
    members = _members(source)
    secrets: list[tuple[int, str, str]] = []
    if SECRETS in members and vault is not None:
        secrets = [(int(a), str(b), str(c)) for a, b, c in json.loads(_unseal(members[SECRETS], passphrase))]
    with tempfile.TemporaryDirectory(dir=database.places.data) as name:
        tables = _tables(members, Path(name))
    with database.change():
        if database.row("SELECT 1 FROM person") or database.row("SELECT 1 FROM former_person"):
            raise InputError(say("backup.somebody-here"))
        for (schema, table), (columns, rows) in tables.items():
            where = f"{schema}.{table}"
            if table != "setting":
                database.execute(f"DELETE FROM {where}")
            marks = ", ".join("?" * len(columns))
            for row in rows:
                database.execute(f"INSERT OR REPLACE INTO {where} ({', '.join(columns)}) VALUES ({marks})", *row)
        if vault is not None:
            for number, kind, secret in secrets:
                vault.put_back(database, number, kind, secret)
    make_homes(database)
    return len(database.rows("SELECT 1 FROM person")), len(secrets)


Rows = tuple[list[str], list[tuple[object, ...]]]


def _tables(members: dict[str, bytes], directory: Path) -> dict[tuple[str, str], Rows]:
    """Columns and rows of each table that is taken back, from the copies, brought up to this program's version."""
    found: dict[tuple[str, str], Rows] = {}
    for file, names in TABLES.items():
        path = directory / f"{file.name}.db"
        path.write_bytes(members[f"{file.name}.db"])
        try:
            prepare_file(path, file)
            connection = sqlite3.connect(path)
            try:
                queries = {name: f"SELECT * FROM {name}" for name in names}
                if file is MOJOMAIL:
                    queries["setting"] = f"SELECT * FROM setting WHERE name LIKE '{SETTINGS}'"
                for name, query in queries.items():
                    cursor = connection.execute(query)
                    found[file.name, name] = ([column[0] for column in cursor.description], cursor.fetchall())
            finally:
                connection.close()
        except sqlite3.DatabaseError:
            raise InputError(say("backup.none", file=file.name)) from None
    return found


def _members(source: Path) -> dict[str, bytes]:
    """The files of a backup. Raises InputError when it is none."""
    try:
        if source.stat().st_size > SIZE_LIMIT:
            raise InputError(say("backup.none", file=source.name))
        with tarfile.open(source) as tar:
            files = {entry.name: tar.extractfile(entry) for entry in tar if entry.isfile()}
            members = {name: file.read() for name, file in files.items() if file is not None}
    except tarfile.TarError:
        raise InputError(say("backup.none", file=source.name)) from None
    except OSError as error:
        raise SystemFault(say("csv.unreadable", file=source, reason=error.strerror)) from None
    if not {f"{file.name}.db" for file in TABLES} <= members.keys():
        raise InputError(say("backup.none", file=source.name))
    return members

"""A node's data in a directory of its own, for tests: database, vault with a key, and people."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from mojomail import passwords
from mojomail.accounts import Account, add_account, draft
from mojomail.database import Database
from mojomail.people import Person, add_person
from mojomail.places import Places
from mojomail.providers import SecretKind, Server
from mojomail.vault import Vault
from mojomail.vaultkeys import NAME, Key, KeyRing, make_key

PASSWORD = "moon-river-77"
CANARY = "kanarie99geheim"


@dataclass(frozen=True)
class Village:
    """The node `mojo`, with nobody on it yet."""

    places: Places
    database: Database
    vault: Vault
    key: Key

    def person(self, login: str = "asha", name: str = "Asha Devi", language: str = "en") -> Person:
        return add_person(self.database, login=login, name=name, language=language, password=PASSWORD)

    def account(
        self,
        login: str = "asha",
        address: str = "asha@example.org",
        *,
        secret: str = CANARY,
        imap: Server | None = None,
        smtp: Server | None = None,
        provider: str | None = None,
        kind: SecretKind | None = None,
    ) -> Account:
        servers = (imap or Server("imap.example.org", 993, "tls"), smtp or Server("smtp.example.org", 465, "tls"))
        known = provider or ("generic" if address.endswith("example.org") else None)
        new = draft(address, provider=known, secret_kind=kind, imap=servers[0], smtp=servers[1])
        if not (imap or smtp) and known != "generic":
            new = draft(address, provider=known, secret_kind=kind)
        made = add_account(self.database, login, new)
        if secret:
            self.vault.store(self.database, made.id, made.secret_kind, secret)
        return made


@contextmanager
def a_village() -> Iterator[Village]:
    """A village whose key lies where systemd puts a service's credentials; in memory, where syncing costs nothing."""
    shared = Path("/dev/shm")
    where = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as name, pytest.MonkeyPatch.context() as patch:
        directory = Path(name)
        # Hashing as on the node takes 50 ms and 19 MiB each time; one test of passwords looks at these.
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        places = Places(directory / "node")
        key = make_key()
        credentials = directory / "credentials"
        credentials.mkdir()
        (credentials / NAME).write_bytes(KeyRing((key,)).encoded())
        patch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
        with Database.open(places) as database:
            database.set("node", "mojo")
            yield Village(places, database, Vault(KeyRing((key,)), lambda: Database.open(places)), key)


def village_fixture() -> Iterator[Village]:
    """For `village = pytest.fixture(village_fixture)`."""
    with a_village() as village:
        yield village

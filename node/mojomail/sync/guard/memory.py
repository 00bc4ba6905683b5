"""What the guard remembers of an account from run to run, in an SQLite file of the person's own.

`seen` are mails that are or were at the provider under a UID; `gone` are keys that need not come down again, because
their owner deleted the mail here; `ours` are keys of mails that were delivered here and not downloaded; `village` those
of mails from neighbours, in whichever folder; `headers` what stands in mails without a UID, by their files' names.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (folder TEXT, uid INTEGER, key TEXT, PRIMARY KEY (folder, uid)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_key ON seen (folder, key);
CREATE TABLE IF NOT EXISTS marked (folder TEXT, what TEXT, key TEXT, PRIMARY KEY (folder, what, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS noted (folder TEXT, what TEXT, value INTEGER, since REAL, PRIMARY KEY (folder, what));
CREATE TABLE IF NOT EXISTS headers (name TEXT PRIMARY KEY, key TEXT, posted_here INTEGER) WITHOUT ROWID;
"""

PROVIDERS, OURS, GONE, SPARED, VILLAGE, LOST = "providers", "ours", "gone", "spared", "village", "lost"
"""Marks on a key: came from the provider; was delivered here; deleted here; never to be deleted at the provider; came
from a neighbour; was here and is to come down again."""
FILE = "guard.db"


@dataclass(frozen=True)
class Header:
    """What is looked up in a mail's header."""

    key: str
    posted_here: bool


class Memory:
    """One account's file; every change is on the card before the method returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Folders are worked on by threads of OfflineIMAP's, one after the other.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.executescript(SCHEMA)

    def remember(self, folder: str, keys: dict[int, str]) -> None:
        """Note the keys of mails by their UID at the provider."""
        rows = [(folder, uid, key) for uid, key in keys.items()]
        with self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", rows)

    def key(self, folder: str, uid: int) -> str | None:
        """The key of the mail that has or had this UID."""
        row = self._database.execute("SELECT key FROM seen WHERE folder = ? AND uid = ?", (folder, uid)).fetchone()
        return row[0] if row else None

    def keys(self, folder: str) -> dict[int, str]:
        """The keys of all mails of a folder by UID."""
        return dict(self._database.execute("SELECT uid, key FROM seen WHERE folder = ?", (folder,)))

    def was_at_provider(self, folder: str, key: str) -> bool:
        """Whether a mail of this key came from the provider, or was uploaded."""
        query = "SELECT 1 FROM seen WHERE folder = ? AND key = ? LIMIT 1"
        return bool(self._database.execute(query, (folder, key)).fetchone()) or key in self.marked(folder, PROVIDERS)

    def forget_uids(self, folder: str) -> None:
        """UIDs of this folder mean nothing any more; that its mails came from the provider stays known."""
        with self._transaction():
            self._database.execute(
                "INSERT OR IGNORE INTO marked SELECT folder, ?, key FROM seen WHERE folder = ?", (PROVIDERS, folder)
            )
            self._database.execute("DELETE FROM seen WHERE folder = ?", (folder,))

    def mark(self, folder: str, what: str, keys: Iterable[str]) -> None:
        """Put a mark on keys."""
        with self._transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO marked VALUES (?, ?, ?)", [(folder, what, key) for key in keys]
            )

    def unmark(self, folder: str, what: str) -> None:
        """Take this mark off all keys of a folder."""
        self._database.execute("DELETE FROM marked WHERE folder = ? AND what = ?", (folder, what))

    def marked(self, folder: str, what: str) -> set[str]:
        """The keys with a mark."""
        query = "SELECT key FROM marked WHERE folder = ? AND what = ?"
        return {row[0] for row in self._database.execute(query, (folder, what))}

    def note(self, folder: str, what: str, value: int) -> float:
        """Note a value, and return for how many seconds it has been the same."""
        query = "SELECT value, since FROM noted WHERE folder = ? AND what = ?"
        row = self._database.execute(query, (folder, what)).fetchone()
        now = time.time()
        if row and row[0] == value and row[1] <= now:
            return float(now - row[1])
        self._database.execute("INSERT OR REPLACE INTO noted VALUES (?, ?, ?, ?)", (folder, what, value, now))
        return 0.0

    def unnote(self, folder: str, what: str) -> None:
        """Forget a noted value."""
        self._database.execute("DELETE FROM noted WHERE folder = ? AND what = ?", (folder, what))

    def headers(self) -> dict[str, Header]:
        """What is known of mails' headers, by the names of their files up to the flags."""
        rows = self._database.execute("SELECT name, key, posted_here FROM headers")
        return {name: Header(key, bool(posted_here)) for name, key, posted_here in rows}

    def keep_headers(self, headers: dict[str, Header]) -> None:
        """Know these headers and no others."""
        known = self.headers()
        if known == headers:
            return
        gone = [(name,) for name in known if name not in headers]
        new = [(name, each.key, each.posted_here) for name, each in headers.items() if name not in known]
        with self._transaction():
            self._database.executemany("DELETE FROM headers WHERE name = ?", gone)
            self._database.executemany("INSERT INTO headers VALUES (?, ?, ?)", new)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._database)


def marked_by_others(state: Path, what: str) -> set[str]:
    """The keys that carry a mark in the memory of any other account of the person; `state` is where our own lies."""
    found: set[str] = set()
    for path in state.parent.glob(f"*/{FILE}"):
        if path.parent == state:
            continue
        # A memory that is damaged, or older than the mark, is its own account's trouble.
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as other:
            found.update(row[0] for row in other.execute("SELECT key FROM marked WHERE what = ?", (what,)))
    return found


class _Transaction:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._database.execute("ROLLBACK" if kind else "COMMIT")

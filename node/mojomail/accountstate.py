"""What is known of an account: what the last examination found, as the database keeps it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from .accounts import Account
from .catalogue import say
from .database import Database
from .sync.backoff import Grounds

Protocol = Literal["IMAP", "SMTP"]

OK = "ok"


@dataclass(frozen=True)
class Finding:
    """What came of one server. `key` names the text finding.<key>; `values` fill it in."""

    key: str
    protocol: Protocol
    values: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def ok(self) -> bool:
        """Whether the login went well."""
        return self.key == OK

    def sentence(self) -> str:
        """The finding in plain words, in the language of the moment."""
        return say(f"finding.{self.key}", protocol=self.protocol, **self.values)


def grounds_for(database: Database) -> Callable[[Account, Protocol], Grounds]:
    """What each account logs in with as of now, by account and protocol, and when a test last got in with it."""
    secrets = {row["account"]: float(row["changed_at"]) for row in database.rows("SELECT * FROM secret")}
    query = "SELECT account, imap_finding AS IMAP, smtp_finding AS SMTP, tested_at FROM contact"
    tests = {row["account"]: row for row in database.rows(query)}

    def grounds(one: Account, protocol: Protocol) -> Grounds:
        test = tests.get(one.id)
        passed = test["tested_at"] if test is not None and test[protocol] == OK else None
        return Grounds(secrets.get(one.id), one.login_settings, float(passed or 0))

    return grounds


def state_of(database: Database, one: Account) -> dict[str, Any]:
    """What is known of an account: state (`ok`, `not-tested`, or the worst finding), in words, and since when."""
    row = database.row("SELECT * FROM contact WHERE account = ?", one.id)
    if row is None or row["imap_finding"] is None:
        return {"state": "not-tested", "text": say("account.not-tested"), "tested_at": None}
    wrong = [name for name in ("imap", "smtp") if row[f"{name}_finding"] != OK]
    if not wrong:
        return {"state": OK, "text": say("account.ok"), "tested_at": row["tested_at"]}
    told = json.loads(row["details"])[wrong[0]]
    values = {name: value for name, value in told.items() if name not in ("finding", "text")}
    finding = Finding(told["finding"], "IMAP" if wrong[0] == "imap" else "SMTP", values)
    state = finding.key if row["tested_at"] is not None else "not-tested"
    return {"state": state, "text": finding.sentence(), "tested_at": row["tested_at"]}

"""An examination of an account: both servers, what it means for the person, and what the database keeps of it."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ..accounts import Account, accounts
from ..accountstate import OK, Finding, Protocol
from ..database import Database, now
from ..errors import InputError, SystemFault
from ..mailboxnames import folders_by_role
from ..oauth import Refused
from ..providers import Server
from ..sync.engine import Result
from ..vault import Login, NoSecret, Vault
from ..vaultkeys import VaultLocked
from .findings import LINK, PASSING, finding_for_error
from .imap import ImapSight, look_at_imap
from .smtp import SmtpSight, look_at_smtp
from .wire import Patience

ADVICE = frozenset({"app-password-needed", "wrong-password", "imap-off", "browser-needed", "oauth-needed"})
"""Findings behind which the provider's own sentence helps."""


@dataclass(frozen=True)
class Report:
    """What came of both servers, and what was learnt on the way."""

    address: str
    imap: Finding
    smtp: Finding
    advice: str = ""
    capabilities: tuple[str, ...] = ()
    folders: dict[str, str] = field(default_factory=dict, hash=False)
    messages: int | None = None
    largest: int = 0

    @property
    def ok(self) -> bool:
        """Whether mail can be fetched and sent."""
        return self.imap.ok and self.smtp.ok

    @property
    def undecided(self) -> bool:
        """Whether the link, or what else passes by itself, stood in the way: the account is still untested."""
        return bool({self.imap.key, self.smtp.key} & (LINK | PASSING))

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "address": self.address,
            "ok": self.ok,
            "imap": {"finding": self.imap.key, "text": self.imap.sentence(), **self.imap.values},
            "smtp": {"finding": self.smtp.key, "text": self.smtp.sentence(), **self.smtp.values},
            "advice": self.advice,
            "capabilities": list(self.capabilities),
            "folders": self.folders,
            "messages": self.messages,
            "largest": self.largest,
        }


def examine(
    one: Account, vault: Vault, *, patience: Patience | None = None, context: ssl.SSLContext | None = None
) -> Report:
    """Log in to both servers of an account. What they or the link do is in the report; raises VaultLocked alone."""
    patience, context = patience or Patience(), context or ssl.create_default_context()
    imap, seen = _ask(vault, one, "IMAP", one.imap, partial(look_at_imap, one.imap, context=context, patience=patience))
    if imap.key == "no-link":
        return Report(one.address, imap, replace(imap, protocol="SMTP"))
    ask = partial(look_at_smtp, one.smtp, sender=one.address_ascii, context=context, patience=patience)
    smtp, sent = _ask(vault, one, "SMTP", one.smtp, ask)
    if isinstance(seen, ImapSight) and seen.full:
        imap = replace(imap, key="quota-full")
    imap, smtp = (_with_preset(finding, one, vault) for finding in (imap, smtp))
    advice = one.preset.how_to() if {imap.key, smtp.key} & ADVICE else ""
    report = Report(one.address, imap, smtp, advice)
    if isinstance(seen, ImapSight):
        folders = folders_by_role(list(seen.folders))
        report = replace(report, capabilities=seen.capabilities, folders=folders, messages=seen.messages)
    if isinstance(sent, SmtpSight):
        report = replace(report, largest=sent.largest)
    return report


def _ask(
    vault: Vault, one: Account, protocol: Protocol, server: Server, look: Callable[..., ImapSight | SmtpSight]
) -> tuple[Finding, ImapSight | SmtpSight | None]:
    values = {"host": server.host, "port": str(server.port)}
    try:
        login: Login = vault.login(one.id, smtp=protocol == "SMTP")
    except NoSecret:
        return Finding("no-secret", protocol, values), None
    except Refused:
        return Finding("oauth-refused", protocol, values), None
    except InputError as error:
        return Finding("oauth-client", protocol, values | {"reason": error.message}), None
    except VaultLocked:
        raise
    except SystemFault as error:
        return Finding("oauth-unreachable", protocol, values | {"reason": error.message}), None
    try:
        return Finding(OK, protocol, values), look(login=login)
    except Exception as error:
        return finding_for_error(error, protocol, server.host, server.port), None


def _with_preset(finding: Finding, one: Account, vault: Vault) -> Finding:
    """Say more than the server did: many only say "wrong" of a password of the wrong kind."""
    if finding.key == "wrong-password" and one.secret_kind == "oauth2":
        vault.token_refused(one.id)
        return replace(finding, key="oauth-refused")
    if finding.key == "wrong-password" and one.secret_kind == "app-password":
        with vault.database() as database:
            _, secret = vault.reveal(database, one.id)
        if not looks_like_app_password(one, secret):
            return replace(finding, key="app-password-needed")
    return finding


def looks_like_app_password(one: Account, secret: str) -> bool:
    """Whether a secret has the form that this provider gives app passwords."""
    return re.fullmatch(one.preset.app_password, secret) is not None


def record(database: Database, one: Account, report: Report) -> None:
    """Keep what an examination found, and the folder names that it learnt.

    An account that the link or a passing trouble kept from being tested stays "not tested yet". One that gets in is
    not in trouble with its password any more, which the daemon is to hear of: it had stopped the account.
    """
    tested = None if report.undecided else now()
    values = (tested, report.imap.key, report.smtp.key, json.dumps(report.as_dict()))
    got_in = tested is not None and (report.imap.ok or report.smtp.ok)
    with database.change() if got_in else database.note():
        database.execute(
            "INSERT INTO contact (account, tested_at, imap_finding, smtp_finding, details) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (account) DO UPDATE SET tested_at = ifnull(excluded.tested_at, tested_at),"
            " imap_finding = excluded.imap_finding, smtp_finding = excluded.smtp_finding, details = excluded.details",
            one.id,
            *values,
        )
        if tested is not None and report.imap.ok:
            database.execute(
                "UPDATE contact SET failures = 0, trouble = NULL, next_at = NULL WHERE account = ? AND trouble = ?",
                *(one.id, Result.PASSWORD.value),
            )
    learnt = {f"remote_{role}": name for role, name in report.folders.items()}
    if any(getattr(one, column) != name for column, name in learnt.items()):
        with database.change():
            assignments = ", ".join(f"{column} = ?" for column in learnt)
            database.execute(f"UPDATE account SET {assignments} WHERE id = ?", *learnt.values(), one.id)


def examine_waiting(
    database: Database, vault: Vault, *, patience: Patience | None = None, context: ssl.SSLContext | None = None
) -> list[Report]:
    """Examine every account that is not tested yet, for when the link has come up; stops when it has gone again."""
    reports: list[Report] = []
    tested = {row["account"] for row in database.rows("SELECT account FROM contact WHERE tested_at IS NOT NULL")}
    for one in accounts(database):
        if one.id in tested or one.paused:
            continue
        report = examine(one, vault, patience=patience, context=context)
        record(database, one, report)
        reports.append(report)
        if report.imap.key == "no-link":
            break
    return reports

"""Accounts: the addresses people have at providers, and how to reach these."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from .accountsettings import SETTINGS
from .addresses import Address, nearest, parse_address
from .catalogue import say
from .database import Database, now
from .errors import InputError
from .people import person
from .providers import GENERIC, Provider, SecretKind, Server, mistyped_domain, provider_for_domain, provider_named

NOT_TESTED = "not-tested"
"""The finding of an account that no test has reached yet."""


@dataclass(frozen=True)
class Account:
    """An account as mojomail.db has it. See schema/mojomail-1.sql for what each column means."""

    id: int
    uid: int
    position: int
    address: str
    address_ascii: str
    address_unicode: str
    sender_name: str
    provider: str
    secret_kind: SecretKind
    imap_host: str
    imap_port: int
    imap_tls: str
    imap_user: str
    smtp_host: str
    smtp_port: int
    smtp_tls: str
    smtp_user: str
    folder: str
    remote_sent: str
    remote_drafts: str
    remote_trash: str
    remote_junk: str
    remote_archive: str
    synced: str
    files_sent: bool
    realdelete: bool
    village_copy: bool
    paused: bool
    created_at: int

    @property
    def imap(self) -> Server:
        """Where mail is fetched."""
        return Server(self.imap_host, self.imap_port, "tls" if self.imap_tls == "tls" else "starttls")

    @property
    def smtp(self) -> Server:
        """Where mail is handed in."""
        return Server(self.smtp_host, self.smtp_port, "tls" if self.smtp_tls == "tls" else "starttls")

    @property
    def login_settings(self) -> tuple[object, ...]:
        """What decides over the log-ins beside the secret: a verdict on one holds only as long as this is the same."""
        return self.imap, self.smtp, self.imap_user, self.smtp_user, self.secret_kind

    @property
    def preset(self) -> Provider:
        """Its provider."""
        return provider_named(self.provider)


COLUMNS = ", ".join(f"account.{field.name}" for field in fields(Account))
SELECT = f"SELECT {COLUMNS} FROM account JOIN person USING (uid)"
FLAGS = frozenset({"files_sent", "realdelete", "village_copy", "paused"})


def _account(row: Any) -> Account:
    values: dict[str, Any] = dict(row)
    return Account(**values | {name: bool(values[name]) for name in FLAGS})


def accounts(database: Database, login: str | None = None) -> list[Account]:
    """All accounts, or those of one person, in each person's order. Raises InputError for an unknown login."""
    if login is None:
        return [_account(row) for row in database.rows(f"{SELECT} ORDER BY login, position")]
    uid = person(database, login).uid
    return [_account(row) for row in database.rows(f"{SELECT} WHERE uid = ? ORDER BY position", uid)]


def account(database: Database, address: str) -> Account:
    """The account with an address, in either spelling. Raises InputError with the nearest one there is."""
    key = parse_address(address).ascii
    row = database.row(f"{SELECT} WHERE address_ascii = ?", key)
    if row is None:
        near = nearest(key, [str(one["address_ascii"]) for one in database.rows("SELECT address_ascii FROM account")])
        hint = say("hint.did-you-mean", suggestion=near) if near else say("hint.account-list")
        raise InputError(say("account.unknown", address=address[:100]), hint=hint)
    return _account(row)


def account_numbered(database: Database, number: int) -> Account | None:
    """The account with an id, or None."""
    row = database.row(f"{SELECT} WHERE account.id = ?", number)
    return None if row is None else _account(row)


@dataclass(frozen=True)
class Draft:
    """What is needed to make an account; `settings` holds values of SETTINGS that differ from the preset."""

    address: Address
    provider: Provider
    secret_kind: SecretKind
    imap: Server
    smtp: Server
    imap_user: str
    smtp_user: str
    settings: dict[str, Any]


def draft(
    address: str,
    *,
    provider: str | None = None,
    found: Provider | None = None,
    imap: Server | None = None,
    smtp: Server | None = None,
    imap_user: str | None = None,
    smtp_user: str | None = None,
    secret_kind: SecretKind | None = None,
    settings: dict[str, Any] | None = None,
) -> Draft:
    """Put together an account from an address and what is known of its provider.

    provider   a preset's id, as somebody typed it; else the domain tells, else `found`, else the servers must be given
    found      what MX names told
    imap, ...  instead of the preset's

    Raises InputError: no address, unknown provider or servers, a kind of secret the provider does not take.
    """
    parsed = parse_address(address)
    preset = provider_named(provider) if provider else provider_for_domain(parsed.domain) or found
    if preset is None and imap and smtp:
        preset = provider_named(GENERIC)
    incoming = imap or (preset.imap if preset else None)
    outgoing = smtp or (preset.smtp if preset else None)
    if preset is None or incoming is None or outgoing is None:
        meant = mistyped_domain(parsed.domain)
        hint = say("hint.did-you-mean", suggestion=meant) if meant else say("provider.give-servers")
        raise InputError(say("provider.none-for", domain=parsed.domain), hint=hint)
    kind = secret_kind or preset.secrets[0]
    if kind not in preset.secrets:
        raise InputError(
            say("secret.kind-not-taken", provider=preset.name, kind=kind, known=", ".join(preset.secrets)),
            hint=preset.how_to(),
        )
    return Draft(
        address=parsed,
        provider=preset,
        secret_kind=kind,
        imap=incoming,
        smtp=outgoing,
        imap_user=imap_user or preset.imap_user(parsed),
        smtp_user=smtp_user or parsed.written,
        settings=settings or {},
    )


def add_account(database: Database, login: str, new: Draft) -> Account:
    """Add an account behind those the person has. Raises InputError when the address is somebody's already."""
    with database.change():
        owner = person(database, login)
        refuse_taken(database, owner.login, new.address)
        folder = _folder(database, owner.uid, new.address)
        position = database.rows("SELECT ifnull(max(position), 0) + 1 FROM account WHERE uid = ?", owner.uid)[0][0]
        preset = new.provider
        values: dict[str, Any] = {
            "uid": owner.uid,
            "position": position,
            "address": new.address.written,
            "address_ascii": new.address.ascii,
            "address_unicode": new.address.unicode,
            "provider": preset.id,
            "secret_kind": new.secret_kind,
            "imap_host": new.imap.host,
            "imap_port": new.imap.port,
            "imap_tls": new.imap.tls,
            "imap_user": new.imap_user,
            "smtp_host": new.smtp.host,
            "smtp_port": new.smtp.port,
            "smtp_tls": new.smtp.tls,
            "smtp_user": new.smtp_user,
            "folder": folder,
            "files_sent": preset.files_sent,
            "created_at": now(),
        }
        values |= {f"remote_{role}": name for role, name in preset.folders.items()} | new.settings
        statement = f"INSERT INTO account ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        database.execute(statement, *values.values())
        remember = "INSERT OR IGNORE INTO used_folder (uid, folder, address_ascii) VALUES (?, ?, ?)"
        database.execute(remember, owner.uid, folder, new.address.ascii)
    return account(database, new.address.ascii)


def refuse_taken(database: Database, login: str, address: Address) -> None:
    """Raises InputError when an address belongs to somebody of this node already."""
    query = "SELECT login FROM every_address WHERE address IN (?, ?)"
    row = database.row(query, address.ascii, address.unicode)
    if row is not None:
        key = "account.duplicate" if row["login"] == login else "account.belongs-to-other"
        raise InputError(say(key, address=address.written, login=row["login"]))


def _folder(database: Database, uid: int, address: Address) -> str:
    """Where the mail of a new account goes: where it lay before, else the root if that is unused, else a new folder.

    A folder that another account has or had is not taken: its mail would be sent up to the other provider.
    """
    used = {
        row["folder"]: row["address_ascii"] for row in database.rows("SELECT * FROM used_folder WHERE uid = ?", uid)
    }
    for folder, owner in used.items():
        if owner == address.ascii:
            return str(folder)
    return address.unicode.replace("/", "_") if "" in used else ""


def change_account(database: Database, address: str, changes: dict[str, Any]) -> Account:
    """Change settings of an account, by column; what decides over the login makes it "not tested yet" again.

    Raises InputError.
    """
    with database.change():
        before = account(database, address)
        known = {column for setting in SETTINGS for column in setting.columns}
        assert changes.keys() <= known | {"secret_kind", "provider"}, changes.keys()
        if changes:
            assignments = ", ".join(f"{name} = ?" for name in changes)
            database.execute(f"UPDATE account SET {assignments} WHERE id = ?", *changes.values(), before.id)
        if replace(before, **changes).login_settings != before.login_settings:
            forget_test(database, before.id)
    return account(database, address)


def put_first(database: Database, address: str) -> None:
    """Make an account the one its person sends from unless another is chosen. Its mail stays where it is."""
    with database.change():
        chosen = account(database, address)
        rows = database.rows("SELECT id FROM account WHERE uid = ? ORDER BY id <> ?, position", chosen.uid, chosen.id)
        for position, row in enumerate(rows, start=1):
            database.execute("UPDATE account SET position = ? WHERE id = ?", position, row["id"])


def remove_account(database: Database, address: str) -> Account:
    """Remove an account with its secret; mail that was fetched stays where it is. Raises InputError."""
    with database.change():
        gone = account(database, address)
        database.execute("DELETE FROM secret WHERE account = ?", gone.id)
        database.execute("DELETE FROM contact WHERE account = ?", gone.id)
        database.execute("DELETE FROM account WHERE id = ?", gone.id)
        rows = database.rows("SELECT id FROM account WHERE uid = ? ORDER BY position", gone.uid)
        for position, row in enumerate(rows, start=1):
            database.execute("UPDATE account SET position = ? WHERE id = ?", position, row["id"])
    return gone


def forget_test(database: Database, number: int) -> None:
    """Make an account "not tested yet", so that it is tried at once: its settings or its secret changed."""
    database.execute(
        "INSERT INTO contact (account) VALUES (?) ON CONFLICT (account) DO UPDATE SET"
        " tested_at = NULL, imap_finding = NULL, smtp_finding = NULL, failures = 0, trouble = NULL, next_at = NULL",
        number,
    )

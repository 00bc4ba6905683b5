"""The vault: providers' secrets, encrypted in vault.db, and handed out for use.

Each is sealed with AES-256-GCM under a nonce of its own; the account's number and the kind are associated data, so a
row that is moved to another account does not open. What the three kinds hold:

    password, app-password   the password
    oauth2                   a refresh token; `reveal` gives it, `login` an access token made with it
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .accounts import Account, account_numbered, forget_test
from .catalogue import say
from .database import Database, now
from .errors import InputError
from .lines import is_line
from .oauth import AccessToken, OAuthProvider, oauth_provider, refresh
from .places import Places
from .providers import CLIENT_SECRETS, SecretKind
from .vaultkeys import KeyRing, VaultLocked, load_ring, make_key, store_ring

NONCE_BYTES = 12
SECRET_LIMIT = 4096
"""Characters; Microsoft's refresh tokens have about 1500."""
KEY_SETTING = "vault-key"
"""Names the key (its id) that secrets are encrypted with since the last rotation. A process that still has the ring
of before must not write: its key is about to be forgotten."""
FRESH_SECONDS = 300
"""An access token is renewed when it has less than this to live: a slow login must not outlast it."""


class NoSecret(InputError):
    """An account has no secret in the vault."""


@dataclass(frozen=True)
class Login:
    """What a provider wants to see. `secret` is a password, or an access token if `token`."""

    user: str
    token: bool
    secret: str = field(repr=False)


Refresh = Callable[[OAuthProvider, str], AccessToken]


class Vault:
    """The vault of one database. Threads may share it: `database` gives each call a connection of its own."""

    def __init__(
        self, ring: KeyRing, database: Callable[[], Database], *, refresh_token: Refresh | None = None
    ) -> None:
        self._ring = ring
        self.database = database
        self._refresh = refresh_token
        self._tokens: dict[int, tuple[str, AccessToken]] = {}
        self._refreshing: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, places: Places) -> Vault:
        """The node's vault. Raises VaultLocked when there is no key."""
        return cls(load_ring(places), lambda: Database.open(places))

    def store(self, database: Database, number: int, kind: SecretKind, secret: str) -> None:
        """Put the secret of an account in, in place of the one before. Raises InputError for one that cannot be."""
        check_secret(kind, secret)
        with database.change():
            self._put(database, number, kind, secret)
            forget_test(database, number)

    def _put(self, database: Database, number: int, kind: str, secret: str, *, given: bool = True) -> None:
        """Encrypt a secret into its row; without `given` it counts as the one before, which its owner gave."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key, nonce = self._ring.newest, os.urandom(NONCE_BYTES)
        if database.setting(KEY_SETTING, key.id) != key.id:
            raise VaultLocked(say("vault.other-key"), hint=say("hint.restart-daemon"))
        sealed = AESGCM(key.bytes).encrypt(nonce, secret.encode(), _bound_to(number, kind))
        database.execute(
            "INSERT INTO secret (account, kind, key_id, nonce, ciphertext, changed_at) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (account) DO UPDATE SET kind = excluded.kind, key_id = excluded.key_id,"
            " nonce = excluded.nonce, ciphertext = excluded.ciphertext,"
            " changed_at = iif(?, excluded.changed_at, changed_at)",
            *(number, kind, key.id, nonce, sealed, now(), given),
        )

    def put_back(self, database: Database, number: int, kind: str, secret: str) -> None:
        """Put a secret in that a backup held, inside `change()`; also a client's, whose number is below those."""
        self._put(database, number, kind, secret)

    def reveal(self, database: Database, number: int) -> tuple[str, str]:
        """Kind and secret of an account. Raises NoSecret, or VaultLocked when no key of the ring opens it."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        row = database.row("SELECT kind, key_id, nonce, ciphertext FROM secret WHERE account = ?", number)
        if row is None:
            raise NoSecret(say("vault.no-secret"), hint=say("hint.account-passwd"))
        key = self._ring.key(row["key_id"])
        if key is None:
            raise VaultLocked(say("vault.other-key"), hint=say("hint.restart-daemon"))
        try:
            opened = AESGCM(key.bytes).decrypt(row["nonce"], row["ciphertext"], _bound_to(number, row["kind"]))
        except InvalidTag:
            raise VaultLocked(say("vault.damaged"), hint=say("hint.account-passwd")) from None
        return str(row["kind"]), opened.decode()

    def forget(self, database: Database, number: int) -> None:
        """Take the secret of an account out."""
        with database.change():
            database.execute("DELETE FROM secret WHERE account = ?", number)
        self._tokens.pop(number, None)

    def has(self, database: Database, number: int) -> bool:
        """Whether there is a secret of an account."""
        return database.row("SELECT 1 FROM secret WHERE account = ?", number) is not None

    def login(self, number: int, *, smtp: bool = False) -> Login:
        """What to log in with now, to IMAP or (`smtp`) SMTP; a fresh access token for OAuth2, fetched if need be.

        Raises NoSecret, VaultLocked, oauth.Refused when the provider no longer takes the refresh token, SystemFault
        when it cannot be reached.
        """
        with self.database() as database:
            one = account_numbered(database, number)
            if one is None:
                raise NoSecret(say("vault.no-secret"))
            kind, secret = self.reveal(database, number)
            user = one.smtp_user if smtp else one.imap_user
            if kind != "oauth2":
                return Login(user, False, secret)
            return Login(user, True, self._access_token(database, one, secret))

    def _access_token(self, database: Database, one: Account, refresh_token: str) -> str:
        with self._lock:
            turn = self._refreshing.setdefault(one.id, threading.Lock())
        with turn:
            known = self._tokens.get(one.id)
            if known and known[0] == refresh_token and known[1].lasts(FRESH_SECONDS):
                return known[1].secret
            provider = self.oauth_provider(database, one.preset.oauth)
            token = (self._refresh or refresh)(provider, refresh_token)
            kept = token.refresh_token or refresh_token
            if kept != refresh_token:
                # Microsoft gives a new one each time; the old one dies after a while.
                with database.change():
                    kind, stored = self.reveal(database, one.id)
                    if kind == "oauth2" and stored == refresh_token:
                        self._put(database, one.id, "oauth2", kept, given=False)
            self._tokens[one.id] = (kept, token)
            return token.secret

    def oauth_provider(self, database: Database, name: str | None) -> OAuthProvider:
        """A provider of tokens, with the client secret where there is one. Raises InputError, VaultLocked."""
        number = CLIENT_SECRETS.get(name or "", 0)
        client_secret = self.reveal(database, number)[1] if self.has(database, number) else ""
        return oauth_provider(database, name, client_secret)

    def set_oauth_client(self, database: Database, name: str, client_id: str, client_secret: str) -> None:
        """Say as whom this node asks a provider for tokens; '' for no client secret. Raises InputError."""
        if name not in CLIENT_SECRETS:
            raise InputError(say("oauth.none"))
        with database.change():
            database.set(f"oauth-client-{name}", client_id)
            if client_secret:
                check_secret("password", client_secret)
                self._put(database, CLIENT_SECRETS[name], "password", client_secret)
            else:
                database.execute("DELETE FROM secret WHERE account = ?", CLIENT_SECRETS[name])

    def token_refused(self, number: int) -> None:
        """Forget the access token of an account, which its provider did not take."""
        self._tokens.pop(number, None)

    def reseal(self, database: Database) -> int:
        """Encrypt all secrets with the newest key; returns how many there are. Raises VaultLocked."""
        with database.change():
            opened: list[tuple[int, str, str]] = []
            for row in database.rows("SELECT account FROM secret"):
                number = row["account"]
                kind, secret = self.reveal(database, number)
                opened.append((number, kind, secret))
            database.set(KEY_SETTING, self._ring.newest.id)
            for number, kind, secret in opened:
                self._put(database, number, kind, secret, given=False)
        return len(opened)


def check_secret(kind: SecretKind, secret: str) -> None:
    """Raises InputError for what cannot be a secret of this kind. The message does not hold it."""
    if not secret or len(secret) > SECRET_LIMIT or not is_line(secret):
        raise InputError(say("secret.form", limit=SECRET_LIMIT))
    if kind == "oauth2" and not secret.isascii():
        raise InputError(say("secret.form", limit=SECRET_LIMIT))


def tidy_secret(kind: SecretKind, typed: str) -> str:
    """A secret as its provider wants it: app passwords are shown in groups, and the spaces do not belong to them."""
    return "".join(typed.split()) if kind != "password" else typed


def make_vault(places: Places) -> bool:
    """Make the vault's first key on the first boot; False when there is one already. Raises SystemFault."""
    if places.credential.exists():
        return False
    store_ring(places, [make_key()])
    return True


def rotate(database: Database) -> int:
    """Encrypt all secrets with a new key and forget the old ones; returns how many secrets there are.

    Whatever point a power cut comes at, the ring that is stored opens every secret; running it again finishes.
    Raises VaultLocked or SystemFault.
    """
    places = database.places
    before = load_ring(places)
    ring = store_ring(places, [make_key(), *before.keys])
    count = Vault(ring, lambda: Database.open(places)).reseal(database)
    store_ring(places, [ring.newest])
    return count


def _bound_to(number: int, kind: str) -> bytes:
    return f"mojomail secret:{number}:{kind}".encode()

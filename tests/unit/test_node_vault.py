"""The vault: nothing in clear at rest, nothing for the wrong account, nothing lost when the key changes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mojomail import vault as vault_module
from mojomail import vaultkeys
from mojomail.accounts import change_account
from mojomail.database import Database
from mojomail.errors import InputError, SystemFault
from mojomail.oauth import AccessToken, OAuthProvider
from mojomail.places import Places
from mojomail.vault import NoSecret, Vault, check_secret, make_vault, rotate, tidy_secret
from mojomail.vaultkeys import Key, KeyRing, VaultLocked, load_ring, make_key, parse_ring, store_ring
from node_village import CANARY, Village, village_fixture

village = pytest.fixture(village_fixture)


def test_secret_comes_out_as_it_went_in(village: Village) -> None:
    village.person()
    made = village.account(secret="ಗುಟ್ಟು p:w d\\")
    assert village.vault.reveal(village.database, made.id) == ("password", "ಗುಟ್ಟು p:w d\\")
    login = village.vault.login(made.id)
    assert (login.user, login.token, login.secret) == ("asha@example.org", False, "ಗುಟ್ಟು p:w d\\")


def test_secret_is_nowhere_in_clear(village: Village) -> None:
    village.person()
    made = village.account()
    shown = [repr(village.vault.login(made.id)), repr(village.vault), repr(village.key), repr(village.vault._ring)]
    for path in village.places.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert CANARY.encode() not in content, path
            assert village.key.bytes not in content
            assert village.key.bytes.hex().encode() not in content
    assert not any(CANARY in text or village.key.bytes.hex() in text for text in shown)


def test_same_secret_twice_looks_different(village: Village) -> None:
    village.person()
    village.account(address="a@example.org")
    village.account(address="b@example.org")
    rows = village.database.rows("SELECT nonce, ciphertext FROM secret")
    assert len({row["nonce"] for row in rows}) == len({row["ciphertext"] for row in rows}) == 2


def test_secret_that_is_moved_to_another_account_or_kind_does_not_open(village: Village) -> None:
    village.person()
    made = village.account(address="a@example.org")
    other = village.account(address="b@example.org", secret="")
    with village.database.change():
        village.database.execute("UPDATE secret SET account = ? WHERE account = ?", other.id, made.id)
    with pytest.raises(VaultLocked):
        village.vault.reveal(village.database, other.id)
    with village.database.change():
        village.database.execute("UPDATE secret SET account = ?, kind = 'app-password'", made.id)
    with pytest.raises(VaultLocked):
        village.vault.reveal(village.database, made.id)


def test_forgotten_secret_is_gone(village: Village) -> None:
    village.person()
    made = village.account()
    village.vault.forget(village.database, made.id)
    with pytest.raises(NoSecret):
        village.vault.reveal(village.database, made.id)
    with pytest.raises(NoSecret):
        village.vault.login(made.id)


@pytest.mark.parametrize(
    ("kind", "secret"), [("password", ""), ("password", "a\nb"), ("oauth2", "tökén"), ("app-password", "x" * 5000)]
)
def test_what_cannot_be_a_secret_is_refused_without_being_shown(kind: str, secret: str) -> None:
    with pytest.raises(InputError) as refused:
        check_secret(kind, secret)  # type: ignore[arg-type]
    assert not secret or secret not in str(refused.value)


def test_a_secret_is_kept_as_indian_keyboards_write_it() -> None:
    check_secret("password", "ರಾಜ್\u200cಕುಮಾರ್")


def test_spaces_that_an_app_password_is_shown_with_do_not_belong_to_it() -> None:
    assert tidy_secret("app-password", "abcd efgh ijkl mnop") == "abcdefghijklmnop"
    assert tidy_secret("password", " a b ") == " a b "


def test_wrong_key_opens_nothing(village: Village) -> None:
    village.person()
    made = village.account()
    stranger = Vault(KeyRing((make_key(),)), village.vault.database)
    with pytest.raises(VaultLocked):
        stranger.reveal(village.database, made.id)


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"\xff\xff", b"00" * 32 + b"\n" + b"00"])
def test_damaged_key_is_told(content: bytes) -> None:
    with pytest.raises(VaultLocked):
        parse_ring(content)


@pytest.fixture
def creds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Stands in for systemd-creds: shows that keys go by standard input, and turns every byte around."""
    calls: list[tuple[str, ...]] = []

    def run(*argv: str, stdin: bytes = b"", secret: bool = False) -> bytes:
        assert secret
        calls.append(argv)
        if argv[1] == "encrypt":
            return bytes(255 - byte for byte in stdin)
        return bytes(255 - byte for byte in Path(argv[3]).read_bytes())

    monkeypatch.setattr(vaultkeys, "run", run)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return calls


def test_key_is_made_once_and_lies_encrypted(creds: list[tuple[str, ...]], tmp_path: Path) -> None:
    places = Places(tmp_path)
    with pytest.raises(VaultLocked):
        load_ring(places)
    assert make_vault(places)
    ring = load_ring(places)
    assert not make_vault(places)
    assert load_ring(places) == ring
    assert places.credential.stat().st_mode & 0o777 == 0o600
    assert ring.newest.bytes.hex().encode() not in places.credential.read_bytes()
    assert not any(ring.newest.bytes.hex() in word for call in creds for word in call)
    assert ("systemd-creds", "encrypt", "--with-key=host", "--name=mojomail.vault-keys", "-", "-") in creds


def test_rotation_keeps_every_secret_and_forgets_the_old_key(village: Village, creds: list[tuple[str, ...]]) -> None:
    village.person()
    made = village.account()
    store_ring(village.places, [village.key])
    assert rotate(village.database) == 1
    ring = load_ring(village.places)
    assert len(ring.keys) == 1
    assert ring.newest != village.key
    assert Vault(ring, village.vault.database).reveal(village.database, made.id)[1] == CANARY
    with pytest.raises(VaultLocked):
        village.vault.reveal(village.database, made.id)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_rotation_that_a_power_cut_stops_at_any_step_loses_nothing(
    village: Village, creds: list[tuple[str, ...]], cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    village.person()
    made = village.account()
    store_ring(village.places, [village.key])
    steps = 0

    def cut_at(step: int) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt

    real_store, real_reseal = vault_module.store_ring, Vault.reseal

    def store(places: Places, keys: list[Key]) -> KeyRing:
        cut_at(cut)
        return real_store(places, keys)

    def reseal(self: Vault, database: Database) -> int:
        cut_at(cut)
        return real_reseal(self, database)

    with monkeypatch.context() as patch:
        patch.setattr(vault_module, "store_ring", store)
        patch.setattr(Vault, "reseal", reseal)
        with pytest.raises(KeyboardInterrupt):
            rotate(village.database)
    assert Vault(load_ring(village.places), village.vault.database).reveal(village.database, made.id)[1] == CANARY
    rotate(village.database)
    ring = load_ring(village.places)
    assert len(ring.keys) == 1
    assert Vault(ring, village.vault.database).reveal(village.database, made.id)[1] == CANARY


def test_daemon_with_the_key_of_before_a_rotation_writes_nothing(
    village: Village, creds: list[tuple[str, ...]]
) -> None:
    village.person()
    made = village.account()
    store_ring(village.places, [village.key])
    rotate(village.database)
    with pytest.raises(VaultLocked, match="another key"):
        village.vault.store(village.database, made.id, "password", "new one")
    ring = load_ring(village.places)
    assert Vault(ring, village.vault.database).reveal(village.database, made.id)[1] == CANARY


class Tokens:
    """Stands in for a provider: counts refreshes, and may hand out a new refresh token each time."""

    def __init__(self, *, lifetime: float = 1e12, rotating: bool = False) -> None:
        self.asked: list[str] = []
        self._lifetime, self._rotating = lifetime, rotating

    def __call__(self, provider: OAuthProvider, refresh_token: str) -> AccessToken:
        self.asked.append(refresh_token)
        count = len(self.asked)
        return AccessToken(f"access-{count}", self._lifetime, f"refresh-{count + 1}" if self._rotating else None)


def oauth_account(village: Village, tokens: Tokens) -> tuple[Vault, int]:
    village.person()
    vault = Vault(village.vault._ring, village.vault.database, refresh_token=tokens)
    vault.set_oauth_client(village.database, "google", "client-1", "client-geheim")
    made = village.account(address="asha@gmail.com", secret="", kind="oauth2")
    vault.store(village.database, made.id, "oauth2", "refresh-1")
    return vault, made.id


def test_access_token_is_kept_as_long_as_it_lasts(village: Village) -> None:
    tokens = Tokens()
    vault, number = oauth_account(village, tokens)
    assert [vault.login(number).secret for _ in range(3)] == ["access-1"] * 3
    assert vault.login(number, smtp=True).token
    assert tokens.asked == ["refresh-1"]
    vault.token_refused(number)
    assert vault.login(number).secret == "access-2"


def test_access_token_about_to_end_is_renewed(village: Village) -> None:
    vault, number = oauth_account(village, Tokens(lifetime=0.0))
    assert [vault.login(number).secret for _ in range(2)] == ["access-1", "access-2"]


def test_refresh_token_that_the_provider_changes_is_kept(village: Village) -> None:
    tokens = Tokens(lifetime=0.0, rotating=True)
    vault, number = oauth_account(village, tokens)
    for _ in range(3):
        vault.login(number)
    assert tokens.asked == ["refresh-1", "refresh-2", "refresh-3"]
    assert vault.reveal(village.database, number) == ("oauth2", "refresh-4")


def test_secret_that_only_its_owner_can_give_anew_is_as_old_as_that(
    village: Village, creds: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped account is tried again with a secret given anew: not after each token, nor after another key."""
    monkeypatch.setattr("mojomail.vault.now", lambda: 1)
    vault, number = oauth_account(village, Tokens(lifetime=0.0, rotating=True))
    monkeypatch.setattr("mojomail.vault.now", lambda: 2)
    vault.login(number)
    store_ring(village.places, [village.key])
    rotate(village.database)

    def given_at() -> int:
        row = village.database.row("SELECT changed_at FROM secret WHERE account = ?", number)
        assert row is not None
        return int(row["changed_at"])

    assert given_at() == 1
    Vault.open(village.places).store(village.database, number, "oauth2", "refresh-9")
    assert given_at() == 2


def test_many_that_ask_at_once_make_one_refresh(village: Village) -> None:
    tokens = Tokens()
    vault, number = oauth_account(village, tokens)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(vault.login(number).secret)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == ["access-1"] * 8
    assert len(tokens.asked) == 1


def test_client_secret_lies_in_the_vault(village: Village) -> None:
    vault, _ = oauth_account(village, Tokens())
    assert vault.oauth_provider(village.database, "google").client_secret == "client-geheim"
    assert "client-geheim" not in repr(vault.oauth_provider(village.database, "google"))
    for path in village.places.data.iterdir():
        assert b"client-geheim" not in path.read_bytes()
    with pytest.raises(InputError):
        vault.oauth_provider(village.database, "microsoft")
    with pytest.raises(InputError):
        vault.set_oauth_client(village.database, "nobody", "x", "")


def test_new_kind_of_secret_takes_the_place_of_the_old(village: Village) -> None:
    vault, number = oauth_account(village, Tokens())
    change_account(village.database, "asha@gmail.com", {"secret_kind": "app-password"})
    vault.store(village.database, number, "app-password", "abcdefghijklmnop")
    assert not vault.login(number).token


def test_program_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemFault, match="program not found"):
        vaultkeys.run("no-such-program-here")

"""The sockets by which secrets leave the vault: who gets which, and what is said when there is none."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mojomail.accounts import Account
from mojomail.oauth import AccessToken, OAuthProvider, Refused
from mojomail.providers import providers
from mojomail.secretserver import BadRequest, Grants, Peer, SecretServer, netstring, peer_of, read_netstring, unit_of
from mojomail.vault import Vault
from mojomail.vaultkeys import KeyRing, make_key
from node_village import CANARY, Village, village_fixture

village = pytest.fixture(village_fixture)

OWN_UID = os.geteuid()


@pytest.fixture
def made(village: Village) -> Account:
    """An account whose owner is who runs the tests, as far as the kernel tells."""
    village.person()
    return village.account(address="Asha@example.org")


@pytest.fixture
def grants() -> Grants:
    return Grants()


@pytest.fixture
def server(village: Village, grants: Grants) -> Iterator[Path]:
    running = SecretServer(village.vault, grants, village.places.run, postfix_uid=OWN_UID, poll=0.02)
    running.start()
    try:
        yield village.places.run
    finally:
        running.stop()


def mapped(run: Path, *keys: str, name: str = "password") -> list[str]:
    """What Postfix's socketmap client gets for keys asked one after the other on one connection."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(run / "secrets"))
        answers = []
        for key in keys:
            client.sendall(netstring(f"{name} {key}".encode()))
            answer = read_netstring(client, 100_000)
            assert answer is not None
            answers.append(answer.decode())
        return answers


def asked(run: Path, line: bytes, name: str = "secret") -> dict[str, object]:
    """What a sync run gets; or, at the socket `tokens`, the relay."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(run / name))
        client.sendall(line + b"\n")
        with client.makefile() as answer:
            return dict(json.loads(answer.readline()))


def test_postfix_gets_user_and_password_of_a_sender(server: Path, made: Account) -> None:
    assert mapped(server, "asha@example.org", "ASHA@Example.ORG") == [f"OK Asha@example.org:{CANARY}"] * 2


def test_postfix_gets_it_for_an_address_with_an_extension(server: Path, made: Account) -> None:
    assert mapped(server, "asha+shop@example.org", "asha+a+b@example.org") == [f"OK Asha@example.org:{CANARY}"] * 2


@pytest.mark.parametrize("key", ["ravi@example.org", "[smtp.gmail.com]:465", "smtp.gmail.com", "", "a" * 300, "@", "é"])
def test_postfix_is_told_that_there_is_none(server: Path, made: Account, key: str) -> None:
    assert mapped(server, key) == ["NOTFOUND "]


def test_postfix_keeps_the_mail_while_the_vault_is_locked(village: Village, made: Account) -> None:
    locked = Vault(KeyRing((make_key(),)), village.vault.database)
    running = SecretServer(locked, Grants(), village.places.run, postfix_uid=OWN_UID, poll=0.02)
    running.start()
    try:
        [answer] = mapped(village.places.run, "asha@example.org")
    finally:
        running.stop()
    assert answer.startswith("TEMP ")
    assert CANARY not in answer


def test_postfix_keeps_the_mail_of_an_account_without_a_secret(server: Path, village: Village) -> None:
    village.person()
    village.account(secret="")
    assert mapped(server, "asha@example.org")[0].startswith("TEMP ")


class Tokens:
    """A village with an account that is logged in to by token, whose provider gives a new one each time it is asked."""

    def __init__(self, village: Village, *, relay_uid: int = OWN_UID) -> None:
        self.given = 0
        village.person()
        vault = Vault(village.vault._ring, village.vault.database, refresh_token=self._refresh)
        vault.set_oauth_client(village.database, "microsoft", "client", "")
        made = village.account(address="asha@outlook.com", secret="")
        vault.store(village.database, made.id, "oauth2", CANARY)
        self.run = village.places.run
        self.server = SecretServer(vault, Grants(), self.run, postfix_uid=OWN_UID, relay_uid=relay_uid, poll=0.02)

    def _refresh(self, provider: OAuthProvider, refresh_token: str) -> AccessToken:
        if self.given < 0:
            raise Refused("no longer")
        self.given += 1
        return AccessToken(f"access-{self.given}", 1e12)

    def __enter__(self) -> Tokens:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def ask(self, line: object) -> dict[str, object]:
        sent = line if isinstance(line, bytes) else json.dumps(line).encode()
        return asked(self.run, sent, "tokens")


def test_relay_gets_the_way_and_a_token_that_is_fetched_once(village: Village) -> None:
    senders = ("asha@outlook.com", "ASHA@Outlook.com", "asha+shop@outlook.com")
    with Tokens(village) as tokens:
        answers = [tokens.ask({"sender": sender}) for sender in senders]
    preset = providers()["outlook"]
    assert preset.smtp is not None
    way = {"host": preset.smtp.host, "port": preset.smtp.port, "tls": preset.smtp.tls}
    assert answers == [{"user": "asha@outlook.com", "secret": "access-1", **way}] * 3


def test_relay_whose_token_was_refused_gets_a_fresh_one(village: Village) -> None:
    with Tokens(village) as tokens:
        secrets = [
            tokens.ask({"sender": "asha@outlook.com", "refused": refused})["secret"] for refused in (False, True, False)
        ]
    assert secrets == ["access-1", "access-2", "access-2"]


def test_relay_is_told_when_the_person_took_the_access_back(village: Village) -> None:
    with Tokens(village) as tokens:
        tokens.given = -1
        answer = tokens.ask({"sender": "asha@outlook.com"})
    assert answer == {"error": "no longer", "kind": "Refused"}


def test_relay_gets_no_password(village: Village) -> None:
    with Tokens(village) as tokens:
        village.account(address="asha@example.org")
        answers = [tokens.ask({"sender": sender}) for sender in ("asha@example.org", "ravi@example.org")]
    assert [answer["kind"] for answer in answers] == ["no-secret"] * 2
    assert CANARY not in str(answers)


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b'{"sender": 7}', b'{"sender": "@"}', b"\xff", b"{" * 900])
def test_relay_that_asks_rubbish_gets_an_error(village: Village, line: bytes) -> None:
    with Tokens(village) as tokens:
        assert tokens.ask(line)["kind"] == "request"


def test_who_is_not_the_relay_gets_no_token(village: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tokens(village, relay_uid=OWN_UID + 2) as tokens:
        monkeypatch.setattr("mojomail.secretserver.peer_of", lambda _: Peer(1, OWN_UID + 1))
        with pytest.raises((json.JSONDecodeError, ConnectionError)):
            tokens.ask({"sender": "asha@outlook.com"})
        assert tokens.given == 0


def test_postfix_gets_no_token(village: Village) -> None:
    with Tokens(village) as tokens:
        assert mapped(tokens.run, "asha@outlook.com")[0].startswith("TEMP ")
        assert tokens.given == 0


def test_only_one_map_is_there(server: Path, made: Account) -> None:
    assert mapped(server, "asha@example.org", name="other")[0].startswith("PERM ")


def test_who_is_not_postfix_gets_no_word(server: Path, made: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mojomail.secretserver.peer_of", lambda _: Peer(1, OWN_UID + 1))
    with pytest.raises((AssertionError, ConnectionError)):
        mapped(server, "asha@example.org")


def test_peer_is_who_the_kernel_says() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_of(one) == Peer(os.getpid(), OWN_UID)


@pytest.mark.parametrize("sent", [b"x", b"5:ab", b"99999999:a", b"3:abcd", b":", b"2000:" + b"a" * 2001, b"\xff" * 50])
def test_what_is_no_netstring_ends_the_connection_and_nothing_else(server: Path, made: Account, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(server / "secrets"))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert mapped(server, "asha@example.org")[0].startswith("OK ")


@given(st.binary(max_size=200))
def test_netstring_is_read_as_it_was_written(content: bytes) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(netstring(content) + netstring(b""))
        assert read_netstring(other) == content
        assert read_netstring(other) == b""


@given(st.binary(min_size=1, max_size=50))
def test_any_bytes_are_a_netstring_or_refused(content: bytes) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(content)
        one.shutdown(socket.SHUT_WR)
        try:
            read = read_netstring(other)
        except BadRequest:
            return
        assert read is None or netstring(read) in content


def test_run_gets_its_own_accounts_secret_while_it_is_under_way(
    server: Path, village: Village, made: Account, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"account": made.id}).encode()
    monkeypatch.setattr("mojomail.secretserver.peer_of", lambda _: Peer(os.getpid(), made.uid))
    assert "error" in asked(server, line)
    with grants.open(made.id, made.uid):
        assert asked(server, line) == {"user": "Asha@example.org", "secret": CANARY, "token": False}
    assert "error" in asked(server, line)


def test_run_gets_nobody_elses_secret(
    server: Path, village: Village, made: Account, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    ravi = village.person("ravi")
    monkeypatch.setattr("mojomail.secretserver.peer_of", lambda _: Peer(os.getpid(), ravi.uid))
    line = json.dumps({"account": made.id}).encode()
    with grants.open(made.id, made.uid):
        assert "error" in asked(server, line)
    with grants.open(made.id, ravi.uid):  # a mistake of the scheduler's
        assert "error" in asked(server, line)


def test_only_the_unit_of_the_run_gets_the_secret() -> None:
    units = {1: "mojomail-sync-7.service", 2: "dovecot.service"}
    grants = Grants(lambda pid: units[pid])
    with grants.open(7, 20001, "mojomail-sync-7.service"):
        assert grants.allows(7, Peer(1, 20001))
        assert not grants.allows(7, Peer(2, 20001))
        assert not grants.allows(8, Peer(1, 20001))
        assert not grants.allows(7, Peer(1, 20002))
    assert not grants.allows(7, Peer(1, 20001))


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"7", b'{"account": "x"}', b'{"account": null}', b"\xff", b"{" * 900]
)
def test_run_that_asks_rubbish_gets_an_error(server: Path, made: Account, line: bytes) -> None:
    assert set(asked(server, line)) == {"error"}


def test_run_is_told_why_there_is_no_secret(
    server: Path, village: Village, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = village.person()
    bare = village.account(secret="")
    monkeypatch.setattr("mojomail.secretserver.peer_of", lambda _: Peer(os.getpid(), one.uid))
    with grants.open(bare.id, one.uid):
        assert asked(server, json.dumps({"account": bare.id}).encode())["kind"] == "no-secret"


def test_sockets_have_the_rights_they_need_and_go_when_the_server_does(village: Village) -> None:
    running = SecretServer(village.vault, Grants(), village.places.run, postfix_uid=OWN_UID, poll=0.02)
    running.start()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in village.places.run.iterdir()}
    assert modes["secret"] == 0o666
    assert modes["secrets"] & 0o007 == 0
    running.stop()
    assert list(village.places.run.iterdir()) == []


def test_own_unit_is_read_from_the_cgroup() -> None:
    assert isinstance(unit_of(os.getpid()), str)
    assert unit_of(2**30) == ""

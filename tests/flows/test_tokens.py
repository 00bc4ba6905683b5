"""Providers that take tokens, end to end without a machine: the node's own code, from where the node is, asks the far
providers for access, logs in to their IMAP, and hands mail on to them. Postfix's part is played by an LMTP client."""

from __future__ import annotations

import imaplib
import io
import json
import logging
import os
import re
import smtplib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest
from mojomail.accounts import account, accounts
from mojomail.cli import main
from mojomail.doctor import wire
from mojomail.mailqueue import Attempt, Fate, parse_delivery
from mojomail.outbox import WRONG_PASSWORD
from mojomail.relay.session import Way
from mojomail.relay.tokens import Tokens
from mojomail.secretserver import Grants, SecretServer
from mojomail.vault import Vault

from tests.flows.fakenode import node_at
from tests.lab.daemontree import ensure_tree
from tests.lab.farside import authority
from tests.lab.nodepostfix import Mail, node_postfix
from tests.lab.processes import LabError
from tests.lab.village import Place, trust
from tests.lab.world import World
from tests.unit.node_relay import relaying
from tests.unit.node_village import Village, a_village

ASHA, CHITRA = "asha@gmail.com", "chitra@outlook.com"
CLIENT, CLIENT_SECRET = "node-of-the-village", "client-kanarie"
MAIL = b"From: chitra@outlook.com\r\nTo: asha@gmail.com\r\nSubject: by token\r\n\r\n..dots\r\nbye\r\n"
LIMIT = 20.0
"""Seconds for what comes about in a fraction of one on a quiet host."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ensure_tree()
    with World(tmp_path_factory.mktemp("world"), seed=1) as made:
        yield made


@pytest.fixture(scope="module")
def place(world: World) -> Iterator[Place]:
    """Where the node is: behind the uplink."""
    with node_at(world.wires) as standing:
        standing.place.dns_server = "192.0.2.1"
        yield standing.place


@pytest.fixture
def internet(world: World) -> Iterator[Any]:
    """Providers with a person each, at which the node's keeper has registered the node."""
    for address in (ASHA, CHITRA):
        world.internet.add_account(address, "not used here")
    world.internet.register("outlook", CLIENT)
    world.internet.register("gmail", CLIENT, CLIENT_SECRET)
    world.internet.token_times("outlook", code=30, interval=1)
    yield world.internet
    world.internet.clear()


class Screen(io.StringIO):
    """Standard error of the command, and the person in front of it who does what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.does: list[tuple[str, Callable[[str], None]]] = []
        """What the person does when something is shown: a pattern, and what is called with its group."""

    def write(self, text: str) -> int:
        for pattern, act in self.does:
            if found := re.search(pattern, text):
                act(found[1])
        return super().write(text)

    @property
    def text(self) -> str:
        """All that was shown."""
        return self.getvalue()


@dataclass
class Node:
    """The node, with the people chitra and asha and nobody's account."""

    village: Village
    screen: Screen
    place: Place
    typed: TextIO
    """The command's standard input."""
    keys: TextIO
    """What is written to it can be read there."""
    undo: ExitStack

    def run(self, *words: str) -> int:
        """Run `mojomail` at the screen."""
        with pytest.MonkeyPatch.context() as patch, redirect_stderr(self.screen):
            patch.setattr(sys, "stdin", self.typed)
            return main(words, places=self.village.places)

    def vault(self) -> Vault:
        """The vault as a process that has just been started sees it."""
        return Vault.open(self.village.places)

    def postfix(self, vault: Vault) -> smtplib.LMTP:
        """A client like Postfix's, at a relay that asks this vault by way of its socket."""
        run = self.village.places.run
        server = SecretServer(vault, Grants(), run, relay_uid=os.geteuid(), poll=0.02)
        server.start()
        self.undo.callback(server.stop)
        way = Way(Tokens(run / "tokens"), trust(authority().certificate), connect=self.place.connect)
        client = smtplib.LMTP(str(self.undo.enter_context(relaying(way, run))), timeout=LIMIT)
        self.undo.callback(client.close)
        client.docmd("LHLO node.home.arpa")
        return client


@pytest.fixture
def node(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """The node's code in this process speaks from the node's network, and trusts the lab's authority."""

    def create_connection(address: tuple[str, int], timeout: float = LIMIT, *_: object, **__: object) -> socket.socket:
        return place.connect(*address, limit=timeout)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    monkeypatch.setattr(wire, "_connect", lambda server, patience: place.connect(server.host, server.port))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().certificate))
    monkeypatch.setenv("LANG", "en_IN.UTF-8")
    reader, writer = os.pipe()
    with ExitStack() as undo, os.fdopen(reader) as typed, os.fdopen(writer, "w", buffering=1) as keys:
        village = undo.enter_context(a_village())
        for login in ("asha", "chitra"):
            village.person(login)
        village.vault.set_oauth_client(village.database, "google", CLIENT, CLIENT_SECRET)
        yield Node(village, Screen(), place, typed, keys, undo)


def add_chitra(node: Node, internet: Any) -> None:
    """The person types the code that the screen shows on a phone, and agrees."""
    assert node.run("account", "oauth-client", "microsoft", CLIENT, "--no-secret") == 0
    node.screen.does = [(r"type the code (\w+)", lambda code: internet.agree(code, CHITRA))]
    assert node.run("account", "add", "chitra", CHITRA) == 0, node.screen.text


def deliver(postfix: smtplib.LMTP, to: str = ASHA) -> tuple[int, str]:
    """What becomes of a mail of Chitra's."""
    assert postfix.docmd(f"MAIL FROM:<{CHITRA}> SIZE={len(MAIL)}")[0] == 250
    code, text = postfix.docmd(f"RCPT TO:<{to}>")
    if code == 250:
        code, text = postfix.docmd("DATA")
    if code == 354:
        postfix.send(MAIL + b".\r\n")
        code, text = postfix.getreply()
    postfix.docmd("RSET")
    return code, text.decode()


def wait_for(look: Callable[[], bool], told: Callable[[], str]) -> None:
    end = time.monotonic() + LIMIT
    while not look():
        assert time.monotonic() < end, f"nothing to be seen after {LIMIT:.0f} s: {told()}"
        time.sleep(0.05)


def log_in(place: Place, host: str, user: str, token: str) -> imaplib.IMAP4:
    """Log in by token as a sync run does. Raises imaplib's error."""
    client = place.imap(host, ca=authority().certificate)
    client.authenticate("XOAUTH2", lambda asked: b"" if asked else f"user={user}\1auth=Bearer {token}\1\1".encode())
    return client


def test_account_is_added_with_a_code_and_both_servers_let_it_in(
    internet: Any, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    add_chitra(node, internet)
    said = capsys.readouterr().out + node.screen.text
    assert "https://microsoft.com/devicelogin" in said
    assert {login.service for login in internet.logins(CHITRA) if login.ok} == {"imap", "smtp"}
    assert node.run("account", "list", "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["address"], listed["secret_kind"], listed["has_secret"]) == (CHITRA, "oauth2", True)
    assert node.run("account", "test", CHITRA) == 0
    assert not any(token in said for token in internet.tokens(CHITRA))


def test_person_who_says_no_gets_no_account(internet: Any, node: Node) -> None:
    node.run("account", "oauth-client", "microsoft", CLIENT, "--no-secret")
    node.screen.does = [(r"type the code (\w+)", lambda code: internet.decline(code, CHITRA))]
    assert node.run("account", "add", "chitra", CHITRA) == 3
    assert "access was not allowed" in node.screen.text
    assert accounts(node.village.database) == []


def test_node_that_nobody_registered_says_what_to_do(internet: Any, node: Node) -> None:
    node.run("account", "oauth-client", "microsoft", "somebody-else", "--no-secret")
    assert node.run("account", "add", "chitra", CHITRA) == 2
    assert "mojomail account oauth-client microsoft" in node.screen.text


def test_account_is_added_with_an_address_pasted_from_a_phone(internet: Any, node: Node) -> None:
    node.screen.does = [
        (r"(https://accounts\.google\.com/\S+)", lambda url: print(internet.visit(url, ASHA), file=node.keys))
    ]
    assert node.run("account", "add", "asha", ASHA, "--kind", "oauth2") == 0, node.screen.text
    assert {login.service for login in internet.logins(ASHA) if login.ok} == {"imap", "smtp"}


def test_mail_goes_out_under_the_own_login(internet: Any, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    add_chitra(node, internet)
    code, text = deliver(node.postfix(node.vault()))
    assert code == 250, text
    [sent] = internet.sent("outlook")
    assert (sent.login, sent.sender, sent.recipients) == (CHITRA, CHITRA, (ASHA,))
    assert b"\r\n.dots\r\nbye\r\n" in sent.message
    assert not any(token in caplog.text for token in internet.tokens(CHITRA))


def test_recipient_that_the_provider_refuses_is_refused_in_its_words(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    internet.reject("outlook", "rcpt", 550, "5.1.1 nobody here", recipient="nobody@*")
    code, text = deliver(node.postfix(node.vault()), to="nobody@example.org")
    assert code == 550 and "5.1.1" in text and "nobody here" in text
    assert internet.sent("outlook") == []


def test_refresh_tokens_change_and_the_newest_is_kept(internet: Any, node: Node) -> None:
    internet.token_times("outlook", access=60)
    add_chitra(node, internet)
    number = account(node.village.database, CHITRA).id
    first = node.vault().reveal(node.village.database, number)[1]
    tokens = [node.vault().login(number).secret for _ in range(3)]  # each is a process that was started anew
    assert len(set(tokens)) == 3
    assert node.vault().reveal(node.village.database, number)[1] != first
    for token in tokens:
        log_in(node.place, "outlook.office365.com", CHITRA, token).logout()


def test_token_that_is_over_is_refused(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    vault = node.vault()
    number = account(node.village.database, CHITRA).id
    internet.token_times("outlook", access=1)
    token = vault.login(number).secret
    deadline = time.monotonic() + LIMIT
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        while time.monotonic() < deadline:
            log_in(node.place, "outlook.office365.com", CHITRA, token).logout()
    with pytest.raises(imaplib.IMAP4.error):
        log_in(node.place, "outlook.office365.com", CHITRA, "never-given")


def test_token_that_is_refused_before_its_time_is_replaced_and_the_mail_goes(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    postfix = node.postfix(node.vault())
    assert deliver(postfix)[0] == 250
    internet.end_access(CHITRA)
    code, text = deliver(postfix)
    assert code == 250, text
    assert len(internet.sent("outlook")) == 2
    assert [login.how for login in internet.logins(CHITRA) if login.service == "token"] == ["wrong"]


def test_access_that_was_taken_back_holds_the_mail_and_is_told(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    vault = node.vault()
    postfix = node.postfix(vault)
    token = vault.login(account(node.village.database, CHITRA).id).secret
    internet.revoke(CHITRA)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        log_in(node.place, "outlook.office365.com", CHITRA, token)
    code, text = deliver(postfix)
    assert code == 454 and text.startswith("4.7.8 Authentication failed")
    assert internet.sent("outlook") == []
    assert node.run("account", "test", CHITRA) == 2
    node.screen.does = [(r"type the code (\w+)", lambda code: internet.agree(code, CHITRA))]
    assert node.run("account", "passwd", CHITRA) == 0, node.screen.text
    assert deliver(postfix)[0] == 250


def test_mail_waits_while_no_token_can_be_fetched(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    postfix = node.postfix(node.vault())
    internet.down("outlook", "web")
    code, text = deliver(postfix)
    assert (code, text[:6]) == (451, "4.4.1 ")
    internet.up("outlook")
    assert deliver(postfix)[0] == 250


def test_link_that_goes_while_the_mail_is_sent_holds_it(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    postfix = node.postfix(node.vault())
    assert postfix.docmd(f"MAIL FROM:<{CHITRA}>")[0] == 250
    assert postfix.docmd(f"RCPT TO:<{ASHA}>")[0] == 250
    assert postfix.docmd("DATA")[0] == 354
    internet.cut("outlook", "smtp")
    postfix.send(MAIL + b".\r\n")
    code, text = postfix.getreply()
    assert (code, text[:6]) == (451, b"4.4.2 ")
    assert internet.sent("outlook") == []


def test_token_server_with_a_wrong_certificate_is_not_asked(internet: Any, node: Node) -> None:
    add_chitra(node, internet)
    postfix = node.postfix(node.vault())
    internet.certificate("outlook", "wrong")
    code, text = deliver(postfix)
    assert code == 451, text
    assert internet.sent("outlook") == []


def test_postfix_hands_mail_over_and_its_log_tells_what_became_of_each(
    internet: Any, node: Node, tmp_path: Path
) -> None:
    add_chitra(node, internet)
    run = node.village.places.run
    node.postfix(node.vault())
    (run / "relay").chmod(0o666)  # on the node it belongs to Postfix
    internet.reject("outlook", "rcpt", 550, "5.1.1 nobody here", recipient="nobody@*")
    internet.reject("outlook", "rcpt", 451, "4.3.0 not now", recipient="later@*")
    people = [ASHA, "nobody@example.org", "later@example.org"]
    long = MAIL.replace(b"\r\n", b"\n") + b"%s\n" % (b"x" * 70) * 20_000
    mails = [Mail(CHITRA, people, MAIL.replace(b"\r\n", b"\n")), Mail(CHITRA, [ASHA], long)]
    with node_postfix(tmp_path, run, mails) as log:

        def attempts() -> list[Attempt]:
            """Those of the mails, and not of the notice that one did not arrive."""
            found = [one for one in (parse_delivery(*line) for line in log.lines()) if one]
            return [one for one in found if one.recipient != CHITRA]

        wait_for(lambda: len(attempts()) >= 4, lambda: str(log.lines()))
        told = {(one.recipient, one.fate): one for one in attempts()}
    assert told[ASHA, Fate.SENT].text.startswith("250 2.0.0 ")
    assert told["nobody@example.org", Fate.REFUSED].text.startswith("550 5.1.1 ")
    assert told["later@example.org", Fate.DEFERRED].text.startswith("451 4.3.0 ")
    first, second = sorted(internet.sent("outlook"), key=lambda mail: mail.size)
    assert first.recipients == second.recipients == (ASHA,)
    assert second.size > 1_400_000


def test_postfix_holds_mail_whose_token_was_taken_back(internet: Any, node: Node, tmp_path: Path) -> None:
    add_chitra(node, internet)
    internet.revoke(CHITRA)
    run = node.village.places.run
    node.postfix(node.vault())
    (run / "relay").chmod(0o666)
    with node_postfix(tmp_path, run, [Mail(CHITRA, [ASHA], MAIL)]) as log:
        wait_for(lambda: any(parse_delivery(*line) for line in log.lines()), lambda: str(log.lines()))
        [attempt] = [one for one in (parse_delivery(*line) for line in log.lines()) if one]
    assert attempt.fate is Fate.DEFERRED
    assert attempt.text.startswith("454 4.7.8 Authentication failed")
    assert WRONG_PASSWORD.search(attempt.text)


# ---- the lab's providers themselves


def test_only_who_is_asked_for_can_agree(internet: Any) -> None:
    with pytest.raises(LabError, match="nobody asked"):
        internet.agree("ABCDEFGHI", CHITRA)
    with pytest.raises(LabError, match="gives no tokens"):
        internet.agree("ABCDEFGHI", "bina@yahoo.com")

"""From lines at the node's real Postfix: its own doors, by the shipped master.cf, and behind them mojomail-sender."""

from __future__ import annotations

import base64
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from mojomail.activation import Activated
from mojomail.sender.milter import Session
from mojomail.sender.rule import Rule

from tests.lab.daemontree import ensure_tree
from tests.lab.nodepostfix import DOORS, OWN, PostfixLog, node_postfix
from tests.unit.node_village import PASSWORD, Village, a_village

ASHA, RAVI = "asha@gmail.com", "ravi@example.org"
LIMIT = 20.0
"""Seconds for what comes about in a fraction of one on a quiet host."""
SETTINGS = f"{OWN}smtpd_sasl_path = /run/mojomail/auth\n"
HELLO = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"
"""What Dovecot's login service says first (its auth-protocol, version 1.2)."""


@contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """A program at a socket that Postfix may call, for the block."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o666)  # on the node it belongs to Postfix

        connections: list[socket.socket] = []

        def remembered(connection: socket.socket) -> None:
            connections.append(connection)
            serve(connection)

        def run() -> None:
            with suppress(OSError):
                Activated(listener, remembered, idle=600).run()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        with suppress(OSError), socket.socket(socket.AF_UNIX) as caller:  # what sleeps on it wakes up
            caller.connect(str(path))
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
    path.unlink()


def let_anybody_in(connection: socket.socket) -> None:
    """Dovecot's login service, for which every password is right."""
    connection.sendall(HELLO)
    with connection.makefile("rb") as source:
        for line in source:
            words = line.decode().rstrip("\n").split("\t")
            if words[0] == "AUTH":
                given = next(word[5:] for word in words if word.startswith("resp="))
                login = base64.b64decode(given).split(b"\0")[1].decode()
                connection.sendall(f"OK\t{words[1]}\tuser={login}\n".encode())


class App(smtplib.LMTP):
    """A mail app at one of Postfix's doors, which here is a socket."""

    ehlo_msg = "ehlo"


def at_door(path: Path, log: PostfixLog) -> App:
    """A mail app that Postfix has greeted."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return App(str(path), timeout=LIMIT)
        except (OSError, smtplib.SMTPException):
            assert time.monotonic() < end, f"Postfix does not answer at {path}: {log.lines()}"
            time.sleep(0.05)


@dataclass
class Office:
    """The node's Postfix, with Asha and Ravi."""

    doors: Path
    run: Path
    village: Village
    log: PostfixLog
    sender: ExitStack
    """Ends mojomail-sender."""

    def app(self, door: str, login: str) -> App:
        """A mail app that has logged in."""
        app = at_door(self.doors / door, self.log)
        app.login(login, PASSWORD)
        return app

    def hand_in(self, app: App, mail: bytes, *, envelope: str = RAVI) -> tuple[int, str]:
        """What Postfix says to a mail."""
        assert app.mail(envelope)[0] == 250
        assert app.rcpt(ASHA)[0] == 250
        code, text = app.data(mail)
        return code, text.decode()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    ensure_tree()
    work = tmp_path_factory.mktemp("office")
    with ExitStack() as undo:
        village = undo.enter_context(a_village())
        for login, address in (("asha", ASHA), ("ravi", RAVI)):
            village.person(login)
            village.account(login, address)
        run = village.places.run
        run.mkdir(parents=True)
        undo.enter_context(listening(run / "auth", let_anybody_in))
        sender = undo.enter_context(ExitStack())
        rule = Rule(village.places.data / "mojomail.db")
        sender.enter_context(listening(run / "sender", lambda one: Session(one, rule.refusal).serve()))
        log = undo.enter_context(node_postfix(work / "postfix", run, doors=DOORS, own=SETTINGS))
        yield Office(work / "postfix/doors", run, village, log, sender)


@pytest.mark.parametrize("door", DOORS.values())
def test_a_mail_from_the_own_address_is_taken(office: Office, door: str) -> None:
    with office.app(door, "ravi") as app:
        for sender in (RAVI, "Ravi <RAVI@example.org>", "=?utf-8?q?Ravi?= <ravi+shop@example.org>"):
            code, text = office.hand_in(app, f"From: {sender}\r\nTo: {ASHA}\r\n\r\nhello\r\n".encode())
            assert (code, text[:6]) == (250, "2.0.0 "), text


@pytest.mark.parametrize("door", DOORS.values())
@pytest.mark.parametrize(
    "header",
    [
        f"From: Asha <{ASHA}>",
        f"from:{ASHA}",
        f"FROM : {ASHA}",
        f"From:\r\n Asha\r\n\t<{ASHA}>",
        f"From: {RAVI},\r\n {ASHA}",
        f"From: {RAVI}\r\nFrom: {ASHA}",
        f"From: {RAVI}\r\nSubject: x\r\nSender: {ASHA}",
        f"Resent-From: {RAVI}\r\nFrom: {ASHA}",
        f"From: {RAVI}\r\nResent-Sender: {ASHA}",
        f"From: {RAVI}\0, {ASHA}",
        f'From: "{ASHA}" <{RAVI}>',
        f"From: {RAVI}\r\n{'X-Long: ' + 'x' * 3000}\r\nSender: {ASHA}",
        f"Received: x\r\nFrom: {ASHA}\r\nFrom: {RAVI}",
    ],
)
def test_a_forged_one_is_refused_in_words(office: Office, door: str, header: str) -> None:
    with office.app(door, "ravi") as app:
        code, text = office.hand_in(app, f"{header}\r\nTo: {ASHA}\r\n\r\nhello\r\n".encode())
        assert (code, text[:6]) == (550, "5.7.1 "), text
        assert "own addresses: ravi@example.org, ravi@mojo.home.arpa" in text
        # The next mail of the session is judged by itself.
        assert office.hand_in(app, f"From: {RAVI}\r\n\r\nhello\r\n".encode())[0] == 250


def test_a_mail_that_somebody_else_wrote_may_be_attached(office: Office) -> None:
    inner = f"Content-Type: message/rfc822\r\n\r\nFrom: {ASHA}\r\nSubject: yours\r\n\r\nhello\r\n"
    with office.app("submission", "ravi") as app:
        assert office.hand_in(app, f"From: {RAVI}\r\n{inner}".encode())[0] == 250
        assert office.hand_in(app, f"From: {RAVI}\r\n\r\nFrom: {ASHA}\r\n".encode())[0] == 250


def test_a_mail_of_ten_megabytes_costs_the_check_nothing(office: Office) -> None:
    mail = f"From: {RAVI}\r\n\r\n" + ("x" * 70 + "\r\n") * 130_000
    with office.app("submission", "ravi") as app:
        assert office.hand_in(app, mail.encode())[0] == 250


def test_without_the_check_a_mail_stays_in_its_app(office: Office) -> None:
    with office.app("submission", "ravi") as app:
        office.sender.close()
        code, text = office.hand_in(app, f"From: {RAVI}\r\n\r\nhello\r\n".encode())
        assert (code, text[:6]) == (451, "4.7.1 "), text
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        office.app("submission", "ravi")
    assert refused.value.smtp_code == 454


def test_who_writes_while_dovecot_starts_anew_is_let_in_soon_after(tmp_path: Path) -> None:
    ensure_tree()
    run, door = tmp_path / "run", tmp_path / "postfix/doors/submission"
    run.mkdir()
    with node_postfix(tmp_path / "postfix", run, doors=DOORS, own=SETTINGS) as log:
        end = time.monotonic() + LIMIT
        while not any("no SASL authentication mechanisms" in message for _, message in log.lines()):
            assert time.monotonic() < end, log.lines()
            with suppress(OSError, smtplib.SMTPException):
                App(str(door), timeout=1.0).close()
            time.sleep(0.05)
        with listening(run / "auth", let_anybody_in), at_door(door, log) as app:
            app.ehlo()
            assert app.has_extn("auth")

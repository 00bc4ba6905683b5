"""Who a mail says it is from, and who may say so: the rule, and the milter that asks it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from mojomail.activation import Activated
from mojomail.sender.authors import LIMIT, Unreadable, addresses_in, decoded, read_authors
from mojomail.sender.milter import CONTINUE, PACKET_LIMIT, VERSION, WISHES, Session
from mojomail.sender.rule import MANY, Rule
from mojomail.sender.service import main

from tests.unit.node_village import Village, a_village

ALL = 0x1FFFFF
"""What Postfix offers (its milter8.c)."""
OWN = "ravi@example.org"
CAFE = "ravi@xn--caf-dma.example"


@pytest.fixture(scope="module")
def village() -> Iterator[Village]:
    """Ravi has two addresses at providers, Asha one."""
    with a_village() as made:
        made.person("ravi", "Ravi Kumar")
        made.person("asha")
        made.account("ravi", OWN)
        made.account("ravi", "o'brien@example.org")
        made.account("ravi", CAFE, provider="generic")
        made.account("asha", "asha@gmail.com")
        yield made


@pytest.fixture(scope="module")
def rule(village: Village) -> Rule:
    return Rule(village.places.data / "mojomail.db")


@pytest.mark.parametrize(
    "value",
    [
        OWN,
        f" {OWN}",
        f"Ravi Kumar <{OWN}>",
        f"Ravi K. Kumar <{OWN}>",
        f'"Kumar, Ravi" <{OWN}>',
        f'"Ravi \\"the post\\" Kumar" <{OWN}>',
        f'"{OWN}" <{OWN}>',
        f"{OWN} <{OWN}>",
        f"{OWN} (Ravi)",
        f"(Ravi (at work)) {OWN}",
        f"=?utf-8?q?Ravi_=E0=B2=95?= <{OWN}>",
        f"=?UTF-8?B?UmF2aQ==?=\n =?UTF-8?B?IEt1bWFy?= <{OWN}>",
        f"Ravi ಕುಮಾರ್ <{OWN}>",
        f"Ravi\n\t<{OWN}>",
        f"Ravi\r\n <{OWN}>",
        f"Ravi @ home <{OWN}>",
        f"< {OWN} >",
        "Ravi <RAVI@Example.ORG>",
        "Ravi <ravi+shop@example.org>",
        "Ravi <o'brien@example.org>",
        "Ravi <ravi@mojo.home.arpa>",
        f"Ravi <{CAFE}>",
        "Ravi <ravi@café.example>",
        f"{OWN}, Ravi <o'brien@example.org>",
    ],
)
def test_own_addresses_pass_in_every_way_a_mail_app_writes_them(rule: Rule, value: str) -> None:
    assert rule.refusal("ravi", [("From", value)]) is None


@pytest.mark.parametrize(
    "value",
    [
        "asha@gmail.com",
        "Asha <asha@gmail.com>",
        f"{OWN}, asha@gmail.com",
        f"Ravi <{OWN}>, Asha <asha@gmail.com>",
        "Ravi <asha+ravi@gmail.com>",
        "Asha\n <asha@gmail.com>",
        f"{OWN},\n\tasha@gmail.com",
        f'"Ravi <{OWN}>" <asha@gmail.com>',
        f"{OWN} <asha@gmail.com>",
        f"({OWN}) asha@gmail.com",
        f"=?utf-8?q?{OWN.replace('@', '=40')}?= <asha@gmail.com>",
        # What readers show is the name.
        f"asha@gmail.com <{OWN}>",
        f'"asha@gmail.com" <{OWN}>',
        f'"asha\\@gmail.com" <{OWN}>',
        f'asha"@"gmail.com <{OWN}>',
        f"'asha@gmail.com' <{OWN}>",
        f"Asha asha @ gmail.com <{OWN}>",
        f"{OWN} (asha@gmail.com)",
        f"{OWN} (Asha (asha\\@gmail.com))",
        f"=?utf-8?q?asha=40gmail=2Ecom?= <{OWN}>",
        f"=?utf-8?q?Asha_=3Casha=40gmail=2Ecom=3E=2C?= <{OWN}>",
        f"=?UTF-8?B?YXNoYUBnbWFpbC5jb20=?= <{OWN}>",
        f"=?UTF-8?B?YXNoYUBnbWFpbC5jb20?= <{OWN}>",
        f"=?utf-8*en?q?asha=40gmail.com?= <{OWN}>",
        f"=?utf-8?q?asha=40?= =?utf-8?q?gmail.com?= <{OWN}>",
        f"=?utf-8?q?asha=40?=\n =?utf-8?q?gmail.com?= <{OWN}>",
        f'"=?utf-8?q?asha=40gmail.com?=" <{OWN}>',
        f'"=\\?utf-8?q?asha=40gmail.com?=" <{OWN}>',
        f"=?utf-7?q?asha+AEA-gmail.com?= <{OWN}>",
        f"=?utf-8?q?asha=EF=BC=A0gmail=EF=BC=8Ecom?= <{OWN}>",
        f"asha@\u200bgmail.com <{OWN}>",
        f"asha@gmail。com <{OWN}>",
    ],
)
def test_nobody_writes_as_somebody_else(rule: Rule, value: str) -> None:
    refusal = rule.refusal("ravi", [("From", value)])
    assert refusal is not None
    assert refusal.startswith("550 5.7.1 The From line names ")
    assert "gmail.com, but you can write only from your own addresses: " in refusal
    assert rule.refusal("ravi", [("From", OWN), ("Sender", value)]) is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "()",
        "ravi",
        "Ravi Kumar",
        "<>",
        "Ravi <>",
        "@example.org",
        "ravi@",
        f"Ravi {OWN}",
        f"{OWN} Ravi",
        f"<{OWN}> Ravi",
        f"<{OWN}> <{OWN}>",
        f"<{OWN}",
        f"{OWN}>",
        f"<<{OWN}>>",
        f"<(a){OWN}>",
        "<ravi(a)@example.org>",
        "ravi @ example.org",
        "<ravi @ example.org>",
        '"ravi"@example.org',
        '<"ravi"@example.org>',
        f"<asha@gmail.com{OWN}>",
        f"<@gmail.com:{OWN}>",
        f"<@gmail.com,@yahoo.com:{OWN}>",
        "ravi@[192.0.2.1]",
        f"friends: {OWN};",
        f"friends: asha@gmail.com, {OWN};",
        f"friends:; {OWN}",
        f"{OWN},",
        f"{OWN},,{OWN}",
        f"{OWN}; {OWN}",
        f'"Ravi <{OWN}>',
        f"(Ravi <{OWN}>",
        f"{OWN} \\",
        f"{OWN}\0",
        f"{OWN}\0, asha@gmail.com",
        f"{OWN}\r\rX: y",
        f"{OWN}\nFrom: asha@gmail.com",
        "=?utf-8?q?ravi=40example.org?=",
        "<ravi+=?utf-8?q?x?=@example.org>",
        f"=?no-such-charset?q?x?= <{OWN}>",
        f"=?rot13?q?nfun=40tznvy.pbz?= <{OWN}>",
        f"{'x' * LIMIT} <{OWN}>",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(rule: Rule, value: str) -> None:
    with pytest.raises(Unreadable):
        read_authors(value)
    refusal = rule.refusal("ravi", [("From", value)])
    assert refusal is not None
    assert refusal.startswith("550 5.7.1 The From line does not name its addresses plainly, but you can write only")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([], "The mail has no From line"),
        ([("Sender", OWN)], "The mail has no From line"),
        ([("From", OWN), ("From", OWN)], "The mail has more than one From line"),
        ([("From", OWN), ("FROM", "asha@gmail.com")], "The mail has more than one From line"),
        ([("From", OWN), ("Sender", OWN), ("sender", OWN)], "The mail has more than one Sender line"),
        ([("From", OWN), ("Sender", "asha@gmail.com")], "The Sender line names asha@gmail.com"),
        ([("From", OWN), ("resent-from", "asha@gmail.com")], "The Resent-From line names asha@gmail.com"),
        ([("From", OWN), ("Resent-Sender", "asha@gmail.com")], "The Resent-Sender line names asha@gmail.com"),
        ([("From", "asha@gmail.com"), ("Resent-From", OWN)], "The From line names asha@gmail.com"),
        ([("From", OWN), *[("Resent-From", OWN)] * MANY], "The mail has too many Resent lines"),
    ],
)
def test_each_line_that_says_who_writes_is_looked_at(rule: Rule, headers: list[tuple[str, str]], said: str) -> None:
    refusal = rule.refusal("ravi", headers)
    assert refusal is not None
    assert refusal.startswith(f"550 5.7.1 {said}, but ")


def test_a_mail_that_was_passed_on_names_the_same_person_more_than_once(rule: Rule) -> None:
    assert rule.refusal("ravi", [("From", OWN), ("Sender", OWN), ("Resent-From", OWN), ("Resent-From", OWN)]) is None


def test_the_refusal_says_which_addresses_may_be_used(rule: Rule) -> None:
    assert rule.refusal("ravi", [("From", "Asha <asha@gmail.com>")]) == (
        "550 5.7.1 The From line names asha@gmail.com, but you can write only from your own addresses: "
        f"o'brien@example.org, {OWN}, {CAFE}, ravi@mojo.home.arpa"
    )


def test_the_refusal_is_one_line_of_smtp_whatever_the_header_holds(rule: Rule) -> None:
    refusal = rule.refusal("ravi", [("From", f"ಅ%n{'a' * 500}@gmail.com <{OWN}>")])
    assert refusal is not None
    assert refusal.isascii() and refusal.isprintable() and "%" not in refusal
    assert len(refusal) < 450


def test_a_person_of_many_addresses_is_told_some(village: Village, rule: Rule) -> None:
    village.person("many")
    for number in range(30):
        village.account("many", f"address-{number}@example.org", secret="")
    refusal = rule.refusal("many", [("From", "asha@gmail.com")])
    assert refusal is not None
    assert refusal.endswith(", ...") and len(refusal) < 450


def test_who_is_not_logged_in_writes_nothing(rule: Rule) -> None:
    refusal = rule.refusal("", [("From", OWN)])
    assert refusal is not None and refusal.startswith("550 5.7.1 ")


def test_a_mail_waits_with_its_app_while_the_database_cannot_be_read(tmp_path: Path) -> None:
    refusal = Rule(tmp_path / "mojomail.db").refusal("ravi", [("From", OWN)])
    assert refusal is not None and refusal.startswith("451 4.3.0 ")
    assert not list(tmp_path.iterdir())


def test_a_charset_that_makes_no_text_is_no_way_around() -> None:
    assert decoded("=?unicode_escape?q?=5Cud800?=") == "?"
    assert addresses_in("a@b.example and <c@d.example>, @e.example") == ["a@b.example", "c@d.example"]


# ---- the protocol


class Postfix:
    """The other end: sends packets, and reads what is answered."""

    def __init__(self, refuse: str | None = None) -> None:
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []
        self._refuse = refuse
        self._socket, there = socket.socketpair()
        self._socket.settimeout(10)
        self._thread = threading.Thread(target=self._serve, args=(there,))
        self._thread.start()

    def _serve(self, there: socket.socket) -> None:
        def refusal(login: str, headers: object) -> str | None:
            assert isinstance(headers, list)
            self.asked.append((login, list(headers)))
            return self._refuse

        with there:
            Session(there, refusal).serve()

    def __enter__(self) -> Postfix:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def send(self, command: bytes, data: bytes = b"") -> None:
        with suppress(OSError):
            self._socket.sendall(struct.pack("!I", 1 + len(data)) + command + data)

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def hang_up(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def read(self) -> bytes:
        """The next packet, or nothing when the other end has gone."""
        size = self._socket.recv(4, socket.MSG_WAITALL)
        return self._socket.recv(struct.unpack("!I", size)[0], socket.MSG_WAITALL) if size else b""

    def begin(self, version: int = VERSION, offered: int = ALL) -> bytes:
        self.send(b"O", struct.pack("!III", version, 0x1FF, offered))
        return self.read()

    def mail(self, *headers: bytes, login: bytes | None = b"ravi") -> None:
        """One mail up to its end; each header is `name: value`."""
        if login is not None:
            self.send(b"D", b"Mi\0ABC\0{auth_authen}\0" + login + b"\0{mail_addr}\0asha@gmail.com\0")
        self.send(b"M", b"<ravi@example.org>\0SIZE=100\0")
        for header in headers:
            name, _, value = header.partition(b":")
            self.send(b"L", name + b"\0" + value.lstrip(b" ") + b"\0")
        self.send(b"D", b"Ei\0ABC\0")
        self.send(b"E")


def test_it_asks_for_no_body_and_answers_the_end_of_the_mail_alone() -> None:
    with Postfix() as postfix:
        assert struct.unpack("!cIII", postfix.begin()) == (b"O", VERSION, 0, WISHES)
        assert WISHES & 0x10, "SMFIP_NOBODY"
        assert not WISHES & 0x4, "without MAIL there is no login"
        postfix.mail(b"From: ravi@example.org", b"Subject: x", b"sender: a@b", b"Resent-From : c@d")
        assert postfix.read() == CONTINUE
        postfix.hang_up()
        assert postfix.read() == b""
    assert postfix.asked == [("ravi", [("from", "ravi@example.org"), ("sender", "a@b"), ("resent-from", "c@d")])]


def test_a_refusal_is_handed_to_postfix_as_a_reply() -> None:
    with Postfix("550 5.7.1 no") as postfix:
        postfix.begin()
        postfix.mail(b"From: asha@gmail.com")
        assert postfix.read() == b"y550 5.7.1 no\0"


def test_a_login_and_a_header_count_for_their_own_mail_alone() -> None:
    with Postfix() as postfix:
        postfix.begin()
        postfix.mail(b"From: one")
        assert postfix.read() == CONTINUE
        postfix.mail(b"Sender: two", login=None)
        assert postfix.read() == CONTINUE
        postfix.send(b"D", b"M{auth_authen}\0asha\0")
        postfix.send(b"M", b"<asha@gmail.com>\0")
        postfix.send(b"L", b"From\0three\0")
        postfix.send(b"A")
        postfix.mail(b"From: four", login=b"")
        assert postfix.read() == CONTINUE
        postfix.send(b"Q")
        assert postfix.read() == b""
    assert postfix.asked == [("ravi", [("from", "one")]), ("", [("sender", "two")]), ("", [("from", "four")])]


def test_a_mail_of_endless_headers_fills_no_memory() -> None:
    with Postfix() as postfix:
        postfix.begin()
        postfix.mail(*[b"From: x"] * 1000)
        assert postfix.read() == CONTINUE
    [(_, headers)] = postfix.asked
    assert len(headers) == MANY + 1


def test_bytes_that_are_no_utf_8_are_nobodys_address(rule: Rule) -> None:
    with Postfix() as postfix:
        postfix.begin()
        postfix.mail(b"From: Ravi \xe9\xff <ravi@example.org>", b"Sender: \xffravi@example.org", b"X\xff: y")
        assert postfix.read() == CONTINUE
    [(login, headers)] = postfix.asked
    assert rule.refusal(login, headers[:1]) is None
    assert str(rule.refusal(login, headers)).startswith("550 5.7.1 The Sender line")


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("!IcIII", 13, b"O", 2, 0, ALL),
        struct.pack("!IcIII", 13, b"O", VERSION, 0, 0x7F),
        struct.pack("!IcI", 5, b"O", VERSION),
        struct.pack("!I", 0),
        struct.pack("!I", PACKET_LIMIT + 1),
        struct.pack("!Ic", 10, b"L") + b"From",
        struct.pack("!Ic", 5, b"L") + b"From",
        struct.pack("!Ic", 6, b"L") + b"From\0",
        struct.pack("!Ic", 5, b"B") + b"body",
        b"\0\0",
    ],
)
def test_postfix_that_speaks_otherwise_gets_no_answer(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with Postfix() as postfix:
        postfix.send_raw(sent)
        postfix.hang_up()
        assert postfix.read() == b""
    assert "milter protocol" in caplog.text
    assert postfix.asked == []


def test_a_bug_ends_one_session_and_says_nothing_of_the_mail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def serve(_: socket.socket) -> None:
        raise RuntimeError("a piece of somebody's mail")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sender"))
        listener.listen()
        program = threading.Thread(target=Activated(listener, serve, idle=0.5).run)
        program.start()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as postfix:
                postfix.settimeout(10)
                postfix.connect(str(tmp_path / "sender"))
                assert postfix.recv(1) == b""
        program.join(10)
        assert not program.is_alive(), "without work it ends"
    assert "RuntimeError" in caplog.text and "somebody" not in caplog.text


def test_the_program_that_systemd_did_not_begin_says_what_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert main() == 2
    assert "systemctl start mojomail-sender.socket" in caplog.text

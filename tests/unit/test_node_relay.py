"""The relay between Postfix and providers that take tokens: what each side hears, against a provider in a thread."""

from __future__ import annotations

import base64
import json
import os
import re
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mojomail.relay.replies import Failed, Reply, reply_of
from mojomail.relay.service import Relay, main
from mojomail.relay.session import PART, Way
from mojomail.relay.submission import Patience
from mojomail.relay.tokens import Access, Tokens
from node_mailservers import AUTHORITY, HOST, STRANGER, Line, dripping, rubbish, serving, silent
from node_relay import relaying

ASHA, BINA, CHITRA = "asha@outlook.com", "bina@far.example", "chitra@far.example"
TOKEN, STALE = "token-kanarie", "stale-kanarie"
HURRY = Patience(connect=0.6, answer=0.6, reach=1.2, data=0.6, part=0.6, done=0.6)
MAIL = b"Subject: hello\r\n\r\n..a dot\r\nbye\r\n"


@dataclass
class Provider:
    """A submission server that does as told; `replies` are by the beginning of a command, or `.` for the message."""

    replies: dict[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ("AUTH XOAUTH2", "SIZE 1000000", "8BITMIME", "SMTPUTF8")
    starttls: bool = False
    good: str = TOKEN
    refusal: str = "535 5.7.3 Authentication unsuccessful"
    seen: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    drop: str = ""
    """The beginning of the command at which the connection is closed."""

    def __call__(self, line: Line) -> None:
        line.write(self.replies.get("connect", "220 ready"))
        secure = not self.starttls
        while True:
            command = line.read().decode()
            command = command.replace("ehlo ", "EHLO ", 1)
            self.seen.append("AUTH" if command.startswith("AUTH") else command)
            if self.drop and command.startswith(self.drop):
                return
            told = next((reply for start, reply in self.replies.items() if command.startswith(start)), "")
            if told:
                line.write(*told.split("\n"))
            elif command.startswith("EHLO"):
                features = self.features if secure else ("STARTTLS",)
                line.write("250-far away", *(f"250-{feature}" for feature in features), "250 HELP")
            elif command == "STARTTLS":
                line.write("220 go ahead")
                line.start_tls(AUTHORITY.server())
                secure = True
            elif command.startswith("AUTH XOAUTH2 "):
                assert len(command) <= 510
                self._log_in(line, command.split()[2])
            elif command == "AUTH XOAUTH2":
                line.write("334 ")
                self._log_in(line, line.read().decode())
            elif command == "DATA":
                line.write("354 go ahead")
                if not self._receive(line):
                    return
            elif command == "QUIT":
                return
            else:
                line.write("250 2.1.0 fine")

    def _log_in(self, line: Line, answer: str) -> None:
        user, token = base64.b64decode(answer).decode().split("\1")[:2]
        self.tried.append(token.removeprefix("auth=Bearer "))
        if (user, self.tried[-1]) == (f"user={ASHA}", self.good):
            line.write("235 2.7.0 welcome")
            return
        line.write("334 " + base64.b64encode(b'{"status":"400"}').decode())
        assert line.read() == b""
        line.write(*self.refusal.split("\n"))

    def _receive(self, line: Line) -> bool:
        lines = []
        while (one := line.read()) != b".":
            lines.append(one + b"\r\n")
            if self.drop == "message":
                return False
        self.messages.append(b"".join(lines))
        if self.drop == ".":
            return False
        line.write(*self.replies.get(".", "250 2.0.0 OK 1795 queued").split("\n"))
        return True


@dataclass
class Vault:
    """Knows one person's way; the first token is stale until somebody says that it was refused."""

    port: int
    tls: str = "tls"
    tokens: tuple[str, str] = (TOKEN, TOKEN)
    failure: Failed | None = None

    def access(self, sender: str, *, refused: bool = False) -> Access:
        if self.failure is not None:
            raise self.failure
        assert sender == ASHA
        return Access(HOST, self.port, self.tls, ASHA, self.tokens[refused])


class Postfix(smtplib.LMTP):
    """Speaks to the relay as Postfix does: one command at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), timeout=20)
        self.lhlo = self.docmd("LHLO node.home.arpa")

    def begin(self, *recipients: str, sender: str = ASHA, options: str = "") -> list[tuple[int, str]]:
        """MAIL and RCPT; what is said to each recipient."""
        assert self.docmd(f"MAIL FROM:<{sender}>{options}")[0] == 250
        return [self._text(self.docmd(f"RCPT TO:<{one}>")) for one in recipients]

    def message(self, content: bytes, count: int = 1) -> list[tuple[int, str]]:
        """DATA and the message, dots doubled as it stands; what is said for each recipient."""
        answer = self._text(self.docmd("DATA"))
        if answer[0] != 354:
            return [answer]
        self.send(content + b".\r\n")
        return [self._text(self.getreply()) for _ in range(count)]

    @staticmethod
    def _text(answer: tuple[int, bytes]) -> tuple[int, str]:
        return answer[0], answer[1].decode()


def way_to(vault: Vault) -> Way:
    return Way(vault, AUTHORITY.trusting, patience=HURRY)


Talk = Callable[..., Postfix]


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    """`talk(provider)` is Postfix at a relay to that provider."""
    with ExitStack() as stack:

        def begin(provider: Callable[[Line], None], trust: Any = AUTHORITY, **more: Any) -> Postfix:
            wrapped = not getattr(provider, "starttls", False)
            port = stack.enter_context(serving(provider, trust.server() if wrapped else None))
            vault = Vault(port, "tls" if wrapped else "starttls", **more)
            client = Postfix(stack.enter_context(relaying(way_to(vault), tmp_path)))
            stack.callback(client.close)
            return client

        yield begin


@pytest.mark.parametrize("starttls", [False, True])
def test_mail_goes_to_the_provider_as_it_came(talk: Talk, starttls: bool) -> None:
    provider = Provider(starttls=starttls)
    postfix = talk(provider)
    assert postfix.begin(BINA, options=f" SIZE={len(MAIL)} BODY=8BITMIME") == [(250, "2.1.0 fine")]
    assert postfix.message(MAIL) == [(250, "2.0.0 OK 1795 queued")]
    assert provider.messages == [MAIL]
    assert f"MAIL FROM:<{ASHA}> SIZE={len(MAIL)} BODY=8BITMIME" in provider.seen
    assert f"RCPT TO:<{BINA}>" in provider.seen


def test_postfix_waits_for_each_reply_and_may_send_what_providers_take(talk: Talk) -> None:
    features = talk(Provider()).lhlo[1].decode().upper().split("\n")
    assert {"8BITMIME", "SMTPUTF8", "SIZE", "ENHANCEDSTATUSCODES"} <= set(features)
    assert "PIPELINING" not in features


def test_each_recipient_gets_the_providers_own_reply(talk: Talk) -> None:
    provider = Provider(replies={f"RCPT TO:<{BINA}": "550-5.1.1 no such\n550 5.1.1 person", "RCPT TO:<x@": "451 later"})
    postfix = talk(provider)
    assert postfix.begin(BINA, CHITRA, "x@far.example", "dev@far.example") == [
        (550, "5.1.1 no such person"),
        (250, "2.1.0 fine"),
        (451, "later"),
        (250, "2.1.0 fine"),
    ]
    assert postfix.message(MAIL, 2) == [(250, "2.0.0 OK 1795 queued")] * 2


@pytest.mark.parametrize("said", ["552 5.3.4 too big", "451 4.3.0 not now", "550 5.7.1 this is spam"])
def test_word_on_the_message_goes_to_each_recipient(talk: Talk, said: str) -> None:
    postfix = talk(Provider(replies={".": said}))
    postfix.begin(BINA, CHITRA)
    code, text = said.split(" ", 1)
    assert postfix.message(MAIL, 2) == [(int(code), text)] * 2


def test_sender_that_the_provider_refuses_is_told_for_each_recipient(talk: Talk) -> None:
    provider = Provider(replies={"MAIL": "550 5.7.60 not your address"})
    postfix = talk(provider)
    assert postfix.begin(BINA, CHITRA) == [(550, "5.7.60 not your address")] * 2
    assert not any(command.startswith("RCPT") for command in provider.seen)


def test_provider_that_closes_with_a_word_is_heard_and_postfix_stays_connected(talk: Talk) -> None:
    postfix = talk(Provider(replies={"RCPT": "421 4.3.2 going down"}))
    assert postfix.begin(BINA) == [(451, "4.3.2 going down")]
    assert postfix.docmd("RSET")[0] == 250


def test_stale_token_is_replaced_once_without_a_word(talk: Talk) -> None:
    provider = Provider()
    postfix = talk(provider, tokens=(STALE, TOKEN))
    assert postfix.begin(BINA) == [(250, "2.1.0 fine")]
    assert provider.tried == [STALE, TOKEN]


@pytest.mark.parametrize("length", [310, 350, 351, 352, 353, 354, 355, 2500])
def test_token_of_any_length_gets_there_and_no_line_is_too_long(talk: Talk, length: int) -> None:
    provider = Provider(good="t" * length)
    assert talk(provider, tokens=("t" * length, "")).begin(BINA) == [(250, "2.1.0 fine")]
    assert provider.tried == ["t" * length]


def test_refused_token_holds_the_mail_and_is_asked_for_twice_only(talk: Talk) -> None:
    provider = Provider(good="another", refusal="535-5.7.8 Username and Password\n535 5.7.8 not accepted")
    [(code, text)] = talk(provider).begin(BINA)
    assert (code, text[:6]) == (454, "4.7.8 ")
    assert "535 5.7.8 Username and Password not accepted" in text
    assert provider.tried == [TOKEN, TOKEN]
    assert TOKEN not in text


def test_login_that_is_put_off_is_not_taken_for_a_refusal(talk: Talk) -> None:
    provider = Provider(good="another", refusal="454 4.7.0 Temporary authentication failure")
    assert talk(provider).begin(BINA) == [(454, "4.7.0 Temporary authentication failure")]
    assert provider.tried == [TOKEN]


def test_access_that_was_taken_back_holds_the_mail(talk: Talk) -> None:
    gone = Failed(454, "4.7.8 Authentication failed: the provider no longer lets this node in")
    assert talk(Provider(), failure=gone).begin(BINA, CHITRA) == [(gone.reply.code, gone.reply.text)] * 2


@pytest.mark.parametrize("at", ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "message", "."])
def test_dropped_link_holds_the_mail_wherever_it_drops(talk: Talk, at: str) -> None:
    postfix = talk(Provider(drop=at))
    told = postfix.begin(BINA, CHITRA)
    if told[0][0] == 250:
        told = postfix.message(MAIL + b"x" * 70 + b"\r\n", 2)
    for code, text in told:
        assert (code, text[:6]) == (451, "4.4.2 "), text
    assert postfix.docmd("RSET")[0] == 250


@pytest.mark.parametrize(
    ("far", "told"), [(silent, "4.4.2 "), (rubbish, "4.5.0 "), (dripping, "4.5.0 ")], ids=["silent", "rubbish", "drips"]
)
def test_provider_that_is_none_holds_the_mail(talk: Talk, far: Callable[[Line], None], told: str) -> None:
    [(code, text)] = talk(far).begin(BINA)
    assert (code, text[:6]) == (451, told), text


def test_stranger_with_the_providers_name_never_sees_the_token(talk: Talk) -> None:
    provider = Provider()
    [(code, text)] = talk(provider, STRANGER).begin(BINA)
    assert (code, text[:6]) == (451, "4.7.5 ")
    assert provider.tried == []


def test_provider_without_starttls_never_sees_the_token(talk: Talk) -> None:
    provider = Provider(starttls=True, replies={"EHLO": "250-far away\n250 AUTH XOAUTH2"})
    assert talk(provider).begin(BINA)[0][1].startswith("4.7.4 ")
    assert provider.tried == []


def test_provider_without_tokens_or_address_holds_the_mail(talk: Talk, tmp_path: Path) -> None:
    assert talk(Provider(features=("AUTH PLAIN",))).begin(BINA)[0][1].startswith("4.7.0 ")
    (tmp_path / "other").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with relaying(way_to(Vault(port)), tmp_path / "other") as path:
        postfix = Postfix(path)
        [(code, text)] = postfix.begin(BINA)
        postfix.close()
    assert (code, text[:6]) == (451, "4.4.1 ")


@pytest.mark.parametrize(
    ("lacks", "options", "code"), [("SMTPUTF8", " SMTPUTF8", "5.6.7 "), ("8BITMIME", " BODY=8BITMIME", "5.6.3 ")]
)
def test_message_that_the_provider_cannot_take_comes_back_with_the_reason(
    talk: Talk, lacks: str, options: str, code: str
) -> None:
    features = tuple(feature for feature in Provider().features if feature != lacks)
    [(number, text)] = talk(Provider(features=features)).begin(BINA, options=options)
    assert (number, text[:6]) == (550, code)


def test_address_in_another_script_is_handed_on(talk: Talk) -> None:
    provider = Provider()
    postfix = talk(provider)
    postfix.command_encoding = "utf-8"
    postfix.begin("आशा@far.example", options=" SMTPUTF8")
    assert f"MAIL FROM:<{ASHA}> SMTPUTF8" in provider.seen
    assert "RCPT TO:<आशा@far.example>" in provider.seen


def test_large_message_passes_whole(talk: Talk) -> None:
    provider = Provider()
    postfix = talk(provider)
    content = b"".join(b"%08d " % number + b"y" * 60 + b"\r\n" for number in range(10_000)) + b"z" * 3 * PART + b"\r\n"
    postfix.begin(BINA)
    assert postfix.message(content)[0][0] == 250
    assert provider.messages == [content]


def test_message_that_postfix_breaks_off_never_ends_at_the_provider(talk: Talk) -> None:
    provider = Provider()
    postfix = talk(provider)
    postfix.begin(BINA)
    assert postfix.docmd("DATA")[0] == 354
    postfix.send(b"Subject: half\r\n\r\n" + b"x" * (2 * PART))
    postfix.close()
    assert provider.messages == []


@pytest.mark.parametrize("end", [b"\n.\r\n", b"a\n", b"\n.\n"])
def test_message_whose_end_is_in_doubt_goes_nowhere(talk: Talk, end: bytes) -> None:
    provider = Provider()
    postfix = talk(provider)
    postfix.begin(BINA)
    [(code, text)] = postfix.message(b"Subject: x\r\n\r\nfirst" + end + b"MAIL FROM:<spy@far.example>\r\n")
    assert (code, text[:6]) == (550, "5.5.2 ")
    assert provider.messages == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("EHLO x", 500),
        ("MAIL FROM:<>", 550),
        ("MAIL TO:<a@b>", 501),
        ("MAIL FROM:<a@b> X> Y", 250),
        ("MAIL FROM:<a b@c>", 501),
        ("RCPT TO:<a@b>", 503),
        ("RCPT TO:a@b", 501),
        ("DATA", 503),
        ("NOOP", 250),
        ("QUIT", 221),
    ],
)
def test_command_out_of_place_is_refused(talk: Talk, command: str, code: int) -> None:
    assert talk(Provider()).docmd(command)[0] == code


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (250, b"2.0.0 OK", Reply(250, "2.0.0 OK")),
        (550, b"5.7.1 one\n5.7.1 two\n", Reply(550, "5.7.1 one two")),
        (421, b"", Reply(451, "4.3.2 h closes the connection")),
        (354, b"go", Reply(451, "4.5.0 h answered something that is no answer")),
        (-1, b"<html>", Reply(451, "4.5.0 h answered something that is no answer")),
        (550, b"", Reply(550, "no reason given")),
        (550, b"a\x07b\xff", Reply(550, "a?b\ufffd")),
    ],
)
def test_reply_is_one_line_that_means_the_same(code: int, said: bytes, expected: Reply) -> None:
    assert reply_of("h", code, said) == expected


def test_long_reply_fits_a_line() -> None:
    line = reply_of("h", 550, "5.1.1 नहीं ".encode() * 100).line()
    assert len(line) <= 512
    assert line.endswith(b"\r\n")
    line.decode()


@contextmanager
def vault_that_says(directory: Path, answer: bytes) -> Iterator[tuple[Tokens, list[bytes]]]:
    asked: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(directory / "tokens"))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            asked.append(lines.readline())
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield Tokens(directory / "tokens"), asked


def test_vault_is_asked_by_sender_and_told_of_a_refusal(tmp_path: Path) -> None:
    answer = {"user": ASHA, "secret": TOKEN, "host": "smtp.office365.com", "port": 587, "tls": "starttls"}
    with vault_that_says(tmp_path, json.dumps(answer).encode() + b"\n") as (tokens, asked):
        access = tokens.access(ASHA, refused=True)
    assert access == Access("smtp.office365.com", 587, "starttls", ASHA, TOKEN)
    assert TOKEN not in repr(access)
    assert json.loads(asked[0]) == {"sender": ASHA, "refused": True}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b'{"error": "no", "kind": "Refused"}', "4.7.8 "),
        (b'{"error": "no", "kind": "no-secret"}', "4.7.8 "),
        (b'{"error": "no", "kind": "SystemFault"}', "4.4.1 "),
        (b'{"error": "no", "kind": "VaultLocked"}', "4.3.0 "),
        (b'{"error": "no"}', "4.3.0 "),
        (b"{}", "4.3.0 "),
        (b"[]", "4.3.0 "),
        (b'{"host": 1, "port": "x"', "4.3.0 "),
        (b"", "4.3.0 "),
    ],
)
def test_vault_that_gives_nothing_holds_the_mail(tmp_path: Path, answer: bytes, code: str) -> None:
    with vault_that_says(tmp_path, answer + b"\n") as (tokens, _), pytest.raises(Failed) as failed:
        tokens.access(ASHA)
    assert 400 <= failed.value.reply.code < 500
    assert failed.value.reply.text.startswith(code)


def test_vault_that_is_not_there_holds_the_mail(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="does not answer"):
        Tokens(tmp_path / "tokens").access(ASHA)


def test_postfix_waits_longer_for_everything_than_the_relay() -> None:
    postfix = Path(__file__).resolve().parents[2] / "overlay/etc/postfix"
    main = dict(re.findall(r"^(\w+) = (\d+)s$", (postfix / "main.cf").read_text(), re.MULTILINE))
    block = (postfix / "master.cf").read_text().partition("\noauth ")[2].partition("\n\n")[0]
    given = dict(re.findall(r"-o (\w+)=\$?(\w+)", block))
    seconds = {name: float(main.get(value, value).removesuffix("s")) for name, value in given.items() if "time" in name}
    ours = Patience()
    assert ours.reach + 2 * ours.answer < seconds["lmtp_rcpt_timeout"]
    assert ours.data < seconds["lmtp_data_init_timeout"]
    assert ours.part < seconds["lmtp_data_xfer_timeout"]
    assert ours.done < seconds["lmtp_data_done_timeout"]


def test_relay_takes_the_socket_that_systemd_gives(tmp_path: Path) -> None:
    program = "import os\nos.environ['LISTEN_PID'] = str(os.getpid())\n" + (
        "from mojomail.activation import listening_socket\nprint(listening_socket().getsockname())"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "relay"))
        listener.listen()
        child = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2] / "node"), "LISTEN_FDS": "1"},
            preexec_fn=lambda: os.dup2(listener.fileno(), 3, inheritable=True),
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )
    assert child.stdout.strip() == str(tmp_path / "relay")


def test_relay_that_systemd_did_not_begin_says_what_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert main() == 2
    assert "systemctl start mojomail-relay.socket" in caplog.text


def test_relay_without_work_ends_and_leaves_its_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "relay"))
        listener.listen()
        Relay(listener, Way(Vault(1), AUTHORITY.trusting), idle=0.05).run()
        with socket.socket(socket.AF_UNIX) as postfix:
            postfix.connect(str(tmp_path / "relay"))

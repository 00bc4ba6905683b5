"""Servers of a provider without a preset: what its own pages and its MX names tell."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mojomail import nameservice
from mojomail.addresses import parse_address
from mojomail.autoconfig import Found, NotConfig, look_up, parse
from mojomail.mailboxnames import decode, encode, folders_by_role, parse_list
from mojomail.nameservice import NoAnswer, mail_exchangers, read_answer
from mojomail.providers import Server

ASHA = parse_address("Asha@example.org")

SERVER = """<{tag}Server type="{kind}"><hostname>{host}</hostname><port>{port}</port>
<socketType>{tls}</socketType><authentication>{way}</authentication><username>{user}</username></{tag}Server>"""


def config(*servers: dict[str, object]) -> bytes:
    base = {"tls": "SSL", "way": "password-cleartext", "user": "%EMAILADDRESS%"}
    body = "".join(SERVER.format(**(base | server)) for server in servers)
    whole = f'<clientConfig version="1.1"><emailProvider id="x">{body}</emailProvider></clientConfig>'
    return f'<?xml version="1.0"?>{whole}'.encode()


POP = {"tag": "incoming", "kind": "pop3", "host": "pop.example.org", "port": 995}
PLAIN = {"tag": "incoming", "kind": "imap", "host": "plain.example.org", "port": 143, "tls": "plain"}
IMAP = {"tag": "incoming", "kind": "imap", "host": "imap.%EMAILDOMAIN%", "port": 993, "user": "%EMAILLOCALPART%"}
SMTP = {"tag": "outgoing", "kind": "smtp", "host": "smtp.example.org", "port": 587, "tls": "STARTTLS"}
KERBEROS = {"tag": "outgoing", "kind": "smtp", "host": "krb.example.org", "port": 465, "way": "GSSAPI"}


def test_servers_with_tls_and_a_password_are_taken_and_names_filled_in() -> None:
    found = parse(config(POP, PLAIN, IMAP, KERBEROS, SMTP), ASHA, "page")
    assert found == Found(
        Server("imap.example.org", 993, "tls"),
        Server("smtp.example.org", 587, "starttls"),
        "Asha",
        "Asha@example.org",
        "page",
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        b"\xff\xfe\x00",
        config(IMAP),
        config(SMTP),
        config(PLAIN, SMTP),
        config(IMAP | {"port": "x"}, SMTP),
        config(IMAP | {"host": "a]b"}, SMTP),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + config(IMAP, SMTP),
        config(IMAP, SMTP) + b" " * 300_000,
    ],
)
def test_what_names_no_such_servers_is_no_config(content: bytes) -> None:
    with pytest.raises(NotConfig):
        parse(content, ASHA, "page")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_refused(content: bytes) -> None:
    with pytest.raises(NotConfig):
        parse(content, ASHA, "page")


def test_first_place_that_knows_is_asked_for_the_domain_alone() -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        if "well-known" in url:
            return config(IMAP, SMTP)
        raise OSError

    found = look_up(ASHA, fetch=fetch)
    assert found is not None
    assert found.source == asked[-1] == "https://example.org/.well-known/autoconfig/mail/config-v1.1.xml"
    assert len(asked) == 2
    assert not any("asha" in url.lower() for url in asked)


def test_list_of_others_is_asked_only_when_told_to() -> None:
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        raise OSError

    assert look_up(ASHA, fetch=fetch) is None
    assert not any("thunderbird" in url for url in asked)
    assert look_up(ASHA, ispdb=True, fetch=fetch) is None
    assert asked[-1].startswith("https://autoconfig.thunderbird.net/")
    assert all(url.startswith("https://") for url in asked)


def packet(names: list[tuple[int, bytes]], query_id: bytes = b"\0\0") -> bytes:
    """An answer with MX records (type 15) whose names are given as they lie on the wire, after a CNAME (5)."""
    question = b"\7example\3org\0" + struct.pack("!2H", 15, 1)
    records = b"\xc0\x0c" + struct.pack("!2HIH", 5, 1, 60, 2) + b"\xc0\x0c"
    for preference, name in names:
        records += b"\xc0\x0c" + struct.pack("!2HIH", 15, 1, 60, len(name) + 2) + struct.pack("!H", preference) + name
    return query_id + struct.pack("!5H", 0x8180, 1, len(names) + 1, 0, 0) + question + records


def test_mx_names_are_read_best_first_also_when_they_point_back() -> None:
    answer = packet([(20, b"\4alt1\5aspmx\1l\6google\3com\0"), (10, b"\2mx\xc0\x0c")])
    assert read_answer(answer) == ["mx.example.org", "alt1.aspmx.l.google.com"]


def test_answer_that_points_in_circles_ends() -> None:
    with pytest.raises(IndexError, match="does not end"):
        read_answer(packet([(10, b"\xc0\x39")]))  # the name lies at 0x39


@given(st.binary(max_size=120))
def test_any_bytes_are_an_answer_or_refused(content: bytes) -> None:
    with suppress(struct.error, IndexError, UnicodeError):
        assert isinstance(read_answer(content), list)


def test_name_server_is_asked_and_forged_answers_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameservice, "PATIENCE", 5.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            for forged in (True, False):
                query, peer = server.recvfrom(512)
                query_id = b"zz" if forged else query[:2]
                server.sendto(packet([(10, b"\2mx\xc0\x0c")], query_id), peer)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert mail_exchangers("example.org", asked=["127.0.0.1"], port=server.getsockname()[1]) == ["mx.example.org"]
        thread.join()
    with pytest.raises(NoAnswer):
        mail_exchangers("example.org", asked=[])


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_folder_name_survives_the_way_to_the_provider_and_back(name: str) -> None:
    assert encode(name).isascii()
    assert decode(encode(name)) == name


@pytest.mark.parametrize(
    ("spelled", "name"),
    [("Entw&APw-rfe", "Entwürfe"), ("R&-D", "R&D"), ("&CS0DBwk,-", "&CS0DBwk,-"), ("&zzz", "&zzz"), ("INBOX", "INBOX")],
)
def test_folder_name_is_read_as_the_provider_spells_it(spelled: str, name: str) -> None:
    assert decode(spelled) in (name, decode(name))


def test_folders_of_a_provider_are_told_by_their_use() -> None:
    lines: list[bytes | tuple[bytes, bytes]] = [
        b'(\\HasNoChildren) "/" "INBOX"',
        b'(\\All \\HasNoChildren) "/" "All mail"',
        b'(\\HasNoChildren \\Archive) "/" Archive',
        b'(\\Noselect \\Sent) "/" Never',
        b'(\\Sent) "/" "a \\"quoted\\" one"',
        (b'(\\Trash) "/" {5}', b"Trash"),
        b"(\\Junk) NIL Junk",
        b"rubbish",
    ]
    assert folders_by_role(parse_list(lines)) == {
        "archive": "All mail",
        "sent": 'a "quoted" one',
        "trash": "Trash",
        "junk": "Junk",
    }

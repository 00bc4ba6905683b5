"""The far providers without a machine: a stand-in for the node sees of them what the node will see."""

from __future__ import annotations

import base64
import contextlib
import http.client
import imaplib
import json
import os
import re
import smtplib
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.flows.fakenode import node_at
from tests.flows.leftovers import descendants, still_there, wait_until
from tests.lab import dhcp, dns
from tests.lab.daemontree import ensure_tree
from tests.lab.farside import authority
from tests.lab.processes import LabError
from tests.lab.providers import PROVIDERS, Provider
from tests.lab.tokens import DEVICE_GRANT
from tests.lab.village import Place
from tests.lab.world import World

ASHA, BINA, CHITRA, DEV = "asha@gmail.com", "bina@yahoo.com", "chitra@outlook.com", "dev@example.org"
SECRETS = {ASHA: "abcdefghijklmnop", BINA: "bina-secret", CHITRA: "asked for by nobody", DEV: "dev-secret"}
"""Passwords. Chitra's provider takes none: she logs in by a token (see access)."""
PROGRAM = "a program"
"""How it is registered with the providers that give tokens."""
ARRIVAL = 20.0
"""Seconds that mail may take from one provider to another on a busy host; it takes a fraction of one."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ensure_tree()
    with World(tmp_path_factory.mktemp("world"), seed=1) as made:
        yield made


@pytest.fixture(scope="module")
def node(world: World) -> Iterator[Place]:
    """Where the clients are: behind the uplink, asking the far side for names."""
    with node_at(world.wires) as standing:
        standing.place.dns_server = "192.0.2.1"
        yield standing.place


@pytest.fixture
def internet(world: World) -> Iterator[Any]:
    """The far providers with an account at each, and nothing left of the test before."""
    for address, secret in SECRETS.items():
        world.internet.add_account(address, secret)
    world.internet.register("outlook", PROGRAM)
    yield world.internet
    world.internet.clear()


def message(sender: str, *recipients: str, subject: str = "hello", size: int = 0) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(recipients), subject
    mail["Message-ID"] = f"<{time.monotonic_ns()}@test>"
    mail.set_content("a line of text\n" + "x" * 70 + "\n" * (size > 0) + ("y" * 70 + "\n") * (size // 71))
    return mail


def imap(node: Place, host: str, port: int = 993, **options: Any) -> imaplib.IMAP4:
    return node.imap(host, port, ca=authority().certificate, **options)


def access(node: Place, address: str, agree: Callable[[str, str], None]) -> Callable[[bytes | None], str]:
    """What a program answers that logs in by token (XOAUTH2), which it was given as the person agreed to its code."""
    site = PROVIDERS["outlook"].tokens
    assert site is not None

    def ask(path: str, **form: str) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=str(authority().certificate))
        server = http.client.HTTPSConnection(site.names[0], context=context)
        with node.connect(site.names[0], 443) as plain:
            server.sock = context.wrap_socket(plain, server_hostname=site.names[0])
            server.request("POST", path, urllib.parse.urlencode({"client_id": PROGRAM, **form}))
            answer: dict[str, Any] = json.load(server.getresponse())
            server.sock.close()
        return answer

    asked = ask(site.device_path, scope=site.scope)
    agree(asked["user_code"], address)
    given = ask(site.token_path, grant_type=DEVICE_GRANT, device_code=asked["device_code"])
    return lambda challenge=None: f"user={address}\1auth=Bearer {given['access_token']}\1\1" if not challenge else ""


def logged_in(node: Place, address: str, host: str, agree: Callable[[str, str], None] | None = None) -> imaplib.IMAP4:
    """A program's session: with a password, or by token where the person can `agree`."""
    client = imap(node, host)
    if agree:
        answer = access(node, address, agree)
        client.authenticate("XOAUTH2", lambda challenge: answer(challenge).encode())
    else:
        client.login(address, SECRETS[address])
    return client


@contextlib.contextmanager
def smtp(
    node: Place,
    host: str,
    port: int = 465,
    login: str = "",
    agree: Callable[[str, str], None] | None = None,
    **options: Any,
) -> Iterator[smtplib.SMTP]:
    client = node.smtp(host, port, ca=authority().certificate, **options)
    try:
        if login and agree:
            client.ehlo()
            client.auth("XOAUTH2", access(node, login, agree))  # type: ignore[arg-type]
        elif login:
            client.login(login, SECRETS[login])
        yield client
    finally:
        client.close()


def wait_for(look: Callable[[], Any], limit: float = ARRIVAL) -> Any:
    end = time.monotonic() + limit
    while not (seen := look()):
        assert time.monotonic() < end, f"nothing to be seen after {limit:.0f} s"
        time.sleep(0.05)
    return seen


def subjects(internet: Any, address: str, folder: str = "INBOX") -> list[str]:
    return [mail.subject for mail in internet.messages(address, folder)]


# ---- names and networks


def test_every_name_leads_to_its_provider(internet: Any, node: Place) -> None:
    for provider in PROVIDERS.values():
        for name, address in provider.names.items():
            assert node.resolve(name) == [address]


def test_a_name_of_nobody_does_not_exist(internet: Any, node: Place) -> None:
    for name in ("www.debian.org", "imap.gmail.com.example", "nothing"):
        with pytest.raises(dns.NoSuchName, match="NXDOMAIN"):
            node.resolve(name)
    with pytest.raises(dns.NoSuchName, match="NODATA"):
        node.resolve("imap.gmail.com", kind=dns.AAAA)


def test_the_uplink_gives_out_addresses(internet: Any, node: Place) -> None:
    with node.socket(kind=socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"uplink")
        client.bind(("", dhcp.CLIENT_PORT))
        client.settimeout(10)
        head = bytes((1, 1, 6, 0)) + b"mojo" + bytes((0, 0, 0x80, 0)) + bytes(16)
        mac = bytes.fromhex("525400aabbcc").ljust(16, b"\0") + bytes(192)
        wish = bytes((dhcp.MESSAGE_TYPE, 1, dhcp.DISCOVER, dhcp.END))
        client.sendto(head + mac + dhcp.COOKIE + wish, ("255.255.255.255", dhcp.SERVER_PORT))
        offer = client.recv(2048)
    options = dhcp.read_options(offer[dhcp.OPTIONS_AT :])
    assert options[dhcp.MESSAGE_TYPE] == bytes([dhcp.OFFER])
    assert 100 <= offer[19] <= 150 and offer[16:19] == bytes((192, 0, 2))
    router, name_server = 3, 6
    assert options[router] == options[name_server] == socket.inet_aton("192.0.2.1")


def test_every_server_proves_its_name_and_listens_where_the_real_one_does(internet: Any, node: Place) -> None:
    for provider in PROVIDERS.values():
        for name in provider.imap_names + provider.smtp_names:
            service = "imap" if name in provider.imap_names else "smtp"
            served = {port.number for port in provider.ports if port.service == service}
            for port in {143, 465, 587, 993} - served:
                with pytest.raises(ConnectionRefusedError):
                    node.connect(name, port)
            for port in served & {465, 587}:
                with smtp(node, name, port) as client:
                    client.ehlo()
                    assert client.has_extn("auth")
            if service == "imap":
                imap(node, name).logout()


def test_a_provider_can_show_another_certificate(internet: Any, node: Place) -> None:
    def seen(host: str, port: int) -> str:
        """The common name in the certificate, empty without one, or why it is refused."""
        context = ssl.create_default_context(cafile=str(authority().certificate))
        with node.connect(host, port) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=host) as wrapped:
                    subject: Any = (wrapped.getpeercert() or {}).get("subject", ())
                    return next((value for ((key, value),) in subject if key == "commonName"), "")
            except ssl.SSLCertVerificationError as error:
                return error.verify_message

    for host, port in (("imap.gmail.com", 993), ("smtp.gmail.com", 465)):
        assert seen(host, port) == "imap.gmail.com"
    internet.certificate("gmail", "nameless")
    for host, port in (("imap.gmail.com", 993), ("smtp.gmail.com", 465)):
        wait_for(lambda host=host, port=port: seen(host, port) == "")  # type: ignore[misc]
    internet.certificate("gmail", "wrong")
    for host, port in (("imap.gmail.com", 993), ("smtp.gmail.com", 465)):
        wait_for(lambda host=host, port=port: "Hostname mismatch" in seen(host, port))  # type: ignore[misc]
    internet.clear()
    wait_for(lambda: seen("imap.gmail.com", 993) == "imap.gmail.com")


def test_who_sends_is_let_in_right_after_the_certificate_has_changed(internet: Any, node: Place) -> None:
    for kind in ("nameless", "wrong", "good") * 5:
        internet.certificate("gmail", kind)
        with contextlib.suppress(ssl.SSLCertVerificationError), smtp(node, "smtp.gmail.com", login=ASHA) as client:
            assert client.noop()[0] == 250


def test_nobody_can_log_in_without_tls(internet: Any, node: Place) -> None:
    client = imap(node, "imap.example.org", 143, tls=False)
    assert "LOGINDISABLED" in client.capabilities
    with smtp(node, "smtp.example.org", 587, tls=False) as sender:
        sender.ehlo()
        assert sender.has_extn("starttls") and not sender.has_extn("auth")
    context = ssl.create_default_context(cafile=str(authority().certificate))
    client.starttls(context)
    client.login(DEV, SECRETS[DEV])
    client.logout()


# ---- logins


def test_gmail_refuses_a_wrong_password_in_its_own_words(internet: Any, node: Place) -> None:
    client = imap(node, "imap.gmail.com")
    with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\] Invalid credentials \(Failure\)"):
        client.login(ASHA, "guess")
    client.login(ASHA, SECRETS[ASHA])
    with smtp(node, "smtp.gmail.com", 587) as sender, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        sender.login(ASHA, "guess")
    assert refused.value.smtp_code == 535
    assert b"Username and Password not accepted" in refused.value.smtp_error
    ours = [(login.service, login.how) for login in internet.logins(ASHA)]
    assert ours[:2] == [("imap", "wrong"), ("imap", "ok")] and ("smtp", "wrong") in ours[2:]


def test_gmail_asks_for_an_app_password_when_it_gets_the_ordinary_one(internet: Any, node: Place) -> None:
    internet.add_account("esha@gmail.com", "abcd efgh ijkl mnop", ordinary="my web password")
    client = imap(node, "imap.gmail.com")
    with pytest.raises(imaplib.IMAP4.error, match="Application-specific password required"):
        client.login("esha@gmail.com", "my web password")
    client.login("esha@gmail.com", "abcdefghijklmnop")
    assert [login.ok for login in internet.logins("esha@gmail.com")] == [False, True]


def test_only_gmail_takes_a_password_with_or_without_spaces(internet: Any, node: Place) -> None:
    for address, host, good in ((ASHA, "imap.gmail.com", True), (BINA, "imap.mail.yahoo.com", False)):
        internet.set_password(address, "abcd efgh ijkl mnop")
        imap(node, host).login(address, "abcd efgh ijkl mnop")
        if good:
            imap(node, host).login(address, "abcdefghijklmnop")
        else:
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                imap(node, host).login(address, "abcdefghijklmnop")


def test_outlook_asks_for_a_token_and_takes_no_password(internet: Any, node: Place) -> None:
    client = imap(node, "outlook.office365.com")
    offered = {name for name in client.capabilities if name.startswith(("AUTH=", "LOGINDIS"))}
    assert offered == {"AUTH=XOAUTH2", "LOGINDISABLED"}
    with pytest.raises(imaplib.IMAP4.error):
        client.login(CHITRA, SECRETS[CHITRA])
    with pytest.raises(imaplib.IMAP4.error):
        client.authenticate("PLAIN", lambda _: f"\0{CHITRA}\0{SECRETS[CHITRA]}".encode())
    for host in ("smtp.office365.com", "smtp-mail.outlook.com"):
        with smtp(node, host, 587) as sender:
            sender.ehlo()
            assert sender.esmtp_features["auth"].split() == ["XOAUTH2"]
            login = base64.b64encode(f"\0{CHITRA}\0{SECRETS[CHITRA]}".encode()).decode()
            assert sender.docmd("AUTH", f"PLAIN {login}")[0] == 535
    assert not any(login.ok for login in internet.logins(CHITRA))
    logged_in(node, CHITRA, "outlook.office365.com", internet.agree).select()


@pytest.mark.parametrize(("address", "host"), [(BINA, "imap.mail.yahoo.com"), (DEV, "imap.example.org")])
def test_who_is_unknown_is_refused_as_who_errs(internet: Any, node: Place, address: str, host: str) -> None:
    for name in (address, f"no{address}"):
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            imap(node, host).login(name, "guess")


def test_a_changed_password_holds_from_then_on(internet: Any, node: Place) -> None:
    session = logged_in(node, ASHA, "imap.gmail.com")
    internet.set_password(ASHA, "another")
    with pytest.raises(imaplib.IMAP4.error):
        logged_in(node, ASHA, "imap.gmail.com")
    imap(node, "imap.gmail.com").login(ASHA, "another")
    session.noop()


# ---- mail


def test_mail_goes_from_one_provider_to_another_by_its_mx(internet: Any, node: Place) -> None:
    mail = message(ASHA, BINA, DEV, subject="to two")
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        client.send_message(mail)
    for address in (BINA, DEV):
        wait_for(lambda address=address: subjects(internet, address) == ["to two"])  # type: ignore[misc]
        (arrived,) = internet.arrived(address)
        assert arrived.client == PROVIDERS["gmail"].addresses["mx"]
    (sent,) = internet.sent("gmail")
    assert (sent.login, sent.sender, sent.recipients) == (ASHA, ASHA, (BINA, DEV))
    assert (sent.message_id, sent.subject, sent.size) == (mail["Message-ID"], "to two", len(sent.message))
    assert b"a line of text" in sent.message and sent.client == "192.0.2.10"
    assert b"\r\nSubject: to two\r\n" in internet.fetch(BINA, 1)


@pytest.mark.parametrize(
    ("sender", "host", "port", "folder"),
    [
        (ASHA, "smtp.gmail.com", 587, "[Gmail]/Sent Mail"),
        (CHITRA, "smtp.office365.com", 587, "Sent"),
        (BINA, "smtp.mail.yahoo.com", 465, None),
        (DEV, "smtp.example.org", 465, None),
    ],
)
def test_who_files_a_copy_of_what_is_sent(
    internet: Any, node: Place, sender: str, host: str, port: int, folder: str | None
) -> None:
    with smtp(node, host, port, login=sender, agree=internet.agree if sender == CHITRA else None) as client:
        client.send_message(message(sender, DEV, subject="a copy?"))
    if folder:
        (copy,) = internet.messages(sender, folder)
        assert copy.subject == "a copy?" and "\\Seen" in copy.flags
    else:
        assert subjects(internet, sender, "Sent") == []


def test_what_cannot_be_filed_is_refused_for_now_and_was_not_sent(internet: Any, node: Place) -> None:
    internet.fill(ASHA)
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        with pytest.raises(smtplib.SMTPDataError, match="Quota exceeded") as refused:
            client.send_message(message(ASHA, DEV, subject="too much"))
        assert refused.value.smtp_code == 452
        assert internet.sent() == [] == internet.arrived(DEV)
        internet.empty(ASHA)
        client.send_message(message(ASHA, DEV, subject="fits"))
    assert [mail.subject for mail in internet.sent()] == ["fits"]


def test_gmail_keeps_all_mail_in_all_mail(internet: Any, node: Place) -> None:
    internet.put(ASHA, message(DEV, ASHA, subject="put").as_bytes())
    with smtp(node, "smtp.example.org", login=DEV) as client:
        client.send_message(message(DEV, ASHA, subject="come"))
    wait_for(lambda: subjects(internet, ASHA) == ["put", "come"])
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        client.send_message(message(ASHA, DEV, subject="sent"))
    wait_for(lambda: subjects(internet, ASHA, "[Gmail]/All Mail") == ["put", "come", "sent"])
    internet.delete(ASHA, 1)
    assert "put" in subjects(internet, ASHA, "[Gmail]/All Mail")


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_folders_have_the_provider_s_names_and_uses(internet: Any, provider: Provider) -> None:
    address = next(one for one in SECRETS if one.endswith(provider.domains[0]))
    folders = internet.folders(address)
    for folder in provider.folders:
        assert f"\\{folder.use}" in folders[folder.name]
    assert set(folders) - {"[Gmail]", "INBOX"} == {folder.name for folder in provider.folders}


def test_what_is_put_in_is_as_it_was_given(internet: Any, node: Place) -> None:
    mail = message(DEV, ASHA, subject="कल मिलेंगे").as_bytes().replace(b"\n", b"\r\n")
    uid = internet.put(ASHA, mail, flags=("\\Flagged",), date=1_000_000_000.0)
    assert internet.fetch(ASHA, uid) == mail
    client = logged_in(node, ASHA, "imap.gmail.com")
    client.select()
    seen = client.uid("FETCH", str(uid), "(FLAGS INTERNALDATE)")[1][0]
    assert isinstance(seen, bytes) and b"\\Flagged" in seen and b"09-Sep-2001" in seen
    internet.flag(ASHA, uid, ("\\Seen",))
    assert set(internet.messages(ASHA)[0].flags) >= {"\\Seen", "\\Flagged"}
    assert internet.messages(ASHA)[0].subject == "कल मिलेंगे"


def test_many_messages_are_put_in_at_once(internet: Any, node: Place) -> None:
    mails = [message(DEV, BINA, subject=f"number {number}").as_bytes() for number in range(200)]
    assert internet.put_all(BINA, mails) == list(range(1, 201))
    assert subjects(internet, BINA)[::199] == ["number 0", "number 199"]


def test_gmail_puts_its_own_address_in_place_of_a_foreign_one(internet: Any, node: Place) -> None:
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        client.send_message(message("Asha <asha@village.example>", DEV))
    (sent,) = internet.sent()
    assert sent.sender == ASHA and sent.header_from == "Asha <asha@village.example>"
    wait_for(lambda: internet.messages(DEV))
    assert b"\r\nFrom: Asha <asha@gmail.com>\r\n" in internet.fetch(DEV, 1)


def test_outlook_refuses_a_foreign_sender(internet: Any, node: Place) -> None:
    with (
        smtp(node, "smtp.office365.com", 587, login=CHITRA, agree=internet.agree) as client,
        pytest.raises(smtplib.SMTPSenderRefused),
    ):
        client.send_message(message(DEV, ASHA))
    assert internet.sent() == []


def test_nobody_sends_without_a_login_and_no_mx_relays(internet: Any, node: Place) -> None:
    with smtp(node, "smtp.gmail.com", 587) as client, pytest.raises(smtplib.SMTPSenderRefused, match="530"):
        client.send_message(message(ASHA, DEV))
    with smtp(node, PROVIDERS["gmail"].mx_name, 25) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="Relay access denied"):
            client.send_message(message(DEV, BINA))
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="does not exist"):
            client.send_message(message(DEV, "nobody@gmail.com"))


def test_mail_to_nobody_comes_back_to_its_sender(internet: Any, node: Place) -> None:
    with smtp(node, "smtp.mail.yahoo.com", login=BINA) as client:
        client.send_message(message(BINA, "nobody@gmail.com"))
    wait_for(lambda: internet.messages(BINA))
    assert b"does not exist" in internet.fetch(BINA, 1)


# ---- limits


def test_a_full_mailbox_takes_nothing_more(internet: Any, node: Place) -> None:
    internet.put(ASHA, message(DEV, ASHA).as_bytes())
    internet.fill(ASHA)
    client = logged_in(node, ASHA, "imap.gmail.com")
    assert client.append("INBOX", "", "", message(DEV, ASHA).as_bytes())[1][0].startswith(b"[OVERQUOTA]")
    with smtp(node, "smtp.example.org", login=DEV) as sender:
        sender.send_message(message(DEV, ASHA))
    wait_for(lambda: internet.messages(DEV))
    assert b"over quota" in internet.fetch(DEV, 1)
    internet.empty(ASHA)
    assert logged_in(node, ASHA, "imap.gmail.com").append("INBOX", "", "", b"Subject: x\r\n\r\n")[0] == "OK"


def test_a_quota_counts_bytes(internet: Any, node: Place) -> None:
    internet.set_quota(BINA, 20_000)
    internet.put(BINA, message(DEV, BINA, size=15_000).as_bytes())
    with pytest.raises(LabError, match="OVERQUOTA"):
        internet.put(BINA, message(DEV, BINA, size=15_000).as_bytes())
    with smtp(node, "smtp.example.org", login=DEV) as sender:
        sender.send_message(message(DEV, BINA, size=15_000))
    wait_for(lambda: internet.messages(DEV))
    assert len(internet.messages(BINA)) == 1


def test_a_message_over_the_limit_is_refused(internet: Any, node: Place) -> None:
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        client.ehlo()
        assert int(client.esmtp_features["size"]) == 26_214_400
    internet.set_size_limit("gmail", 50_000)

    def announced() -> bool:
        with smtp(node, "smtp.gmail.com", login=ASHA) as client:
            client.ehlo()
            return int(client.esmtp_features["size"]) == 50_000

    wait_for(announced)
    with smtp(node, "smtp.gmail.com", login=ASHA) as client, pytest.raises(smtplib.SMTPSenderRefused, match="552"):
        client.send_message(message(ASHA, DEV, size=60_000))


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "message"])
@pytest.mark.parametrize("code", [450, 554])
def test_mail_can_be_refused_at_each_stage(internet: Any, node: Place, stage: str, code: int) -> None:
    internet.reject("gmail", stage, code, f"{code // 100}.7.1 Not now", times=1)
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        with pytest.raises(smtplib.SMTPException, match=rf"{code}.*Not now"):
            client.send_message(message(ASHA, DEV, subject="first"))
        client.rset()
        client.send_message(message(ASHA, DEV, subject="second"))
    assert [mail.subject for mail in internet.sent()] == ["second"]


def test_a_refusal_can_be_for_some_only(internet: Any, node: Place) -> None:
    internet.reject("yahoo", "rcpt", 550, "5.7.1 Not him", recipient="dev@*")
    with smtp(node, "smtp.mail.yahoo.com", login=BINA) as client:
        assert list(client.send_message(message(BINA, ASHA, DEV))) == [DEV]


# ---- faults


def test_a_provider_that_is_down_refuses_connections(internet: Any, node: Place) -> None:
    session = logged_in(node, ASHA, "imap.gmail.com")
    internet.down("gmail", "imap", "refuse")
    with pytest.raises((OSError, imaplib.IMAP4.abort)):
        session.noop()
    with pytest.raises(ConnectionRefusedError):
        node.connect("imap.gmail.com", 993)
    node.connect("smtp.gmail.com", 465).close()
    internet.up("gmail")
    logged_in(node, ASHA, "imap.gmail.com").logout()


def test_packets_to_a_provider_can_be_dropped(internet: Any, node: Place) -> None:
    session = logged_in(node, ASHA, "imap.gmail.com")
    internet.down("gmail", "imap", "drop")
    with pytest.raises(TimeoutError):
        node.connect("imap.gmail.com", 993, limit=1.0)
    node.connect("smtp.gmail.com", 465, limit=5.0).close()
    internet.up("gmail")
    session.noop()


def test_a_provider_that_hangs_takes_connections_and_says_nothing(internet: Any, node: Place) -> None:
    session = logged_in(node, ASHA, "imap.gmail.com")
    session.socket().settimeout(1.0)
    internet.down("gmail", "imap", "hang")
    with pytest.raises(TimeoutError):
        session.noop()
    with pytest.raises(TimeoutError):
        imap(node, "imap.gmail.com", limit=1.0)
    internet.up("gmail")
    logged_in(node, ASHA, "imap.gmail.com").logout()


def test_a_slow_provider_takes_its_time(internet: Any, node: Place) -> None:
    session = logged_in(node, ASHA, "imap.gmail.com")
    internet.slow("gmail", seconds=0.5)
    start = time.monotonic()
    session.noop()
    assert time.monotonic() - start > 0.5
    internet.put(ASHA, message(DEV, ASHA, size=40_000).as_bytes())
    session.select()
    internet.slow("gmail", rate=40_000)
    start = time.monotonic()
    session.fetch("1", "(BODY[])")
    assert time.monotonic() - start > 0.9


@pytest.mark.parametrize("slowness", [{"seconds": 1.6}, {"rate": 25}])
def test_a_slow_provider_says_its_last_words_too(internet: Any, node: Place, slowness: dict[str, float]) -> None:
    internet.slow("generic", **slowness)
    with node.connect("imap.example.org", 143, limit=60.0) as client, client.makefile("rb") as said:
        assert said.readline().startswith(b"* OK ")
        client.sendall(b"a LOGOUT\r\n")
        client.shutdown(socket.SHUT_WR)
        assert re.fullmatch(rb"\* BYE .*\r\na OK .*\r\n", said.read())


@pytest.mark.parametrize("port", [465, 587, 993])
def test_a_provider_can_talk_rubbish(internet: Any, node: Place, port: int) -> None:
    internet.rubbish("gmail")
    with pytest.raises((imaplib.IMAP4.error, smtplib.SMTPException, OSError)):
        if port == 993:
            imap(node, "imap.gmail.com", limit=5.0).login(ASHA, SECRETS[ASHA])
        else:
            with smtp(node, "smtp.gmail.com", port, login=ASHA, limit=5.0):
                pass
    internet.up("gmail")
    logged_in(node, ASHA, "imap.gmail.com").logout()


def test_connections_can_be_cut(internet: Any, node: Place) -> None:
    session = logged_in(node, ASHA, "imap.gmail.com")
    assert internet.cut("gmail", "imap") >= 1
    with pytest.raises((OSError, imaplib.IMAP4.abort)):
        session.noop()


def test_a_folder_can_get_a_new_uidvalidity(internet: Any, node: Place) -> None:
    for subject in ("one", "two", "three"):
        internet.put(ASHA, message(DEV, ASHA, subject=subject).as_bytes(), flags=("\\Seen",))
    internet.delete(ASHA, 1)
    old = internet.uidvalidity(ASHA)
    session = logged_in(node, ASHA, "imap.gmail.com")
    session.select()
    new = internet.change_uidvalidity(ASHA)
    assert new != old
    assert [(mail.uid, mail.subject) for mail in internet.messages(ASHA)] == [(1, "two"), (2, "three")]
    assert all("\\Seen" in mail.flags for mail in internet.messages(ASHA))
    session = logged_in(node, ASHA, "imap.gmail.com")
    session.select()
    assert session.response("UIDVALIDITY")[1] == [str(new).encode()]


# ---- the lab's own


def test_clear_leaves_nothing(internet: Any, node: Place) -> None:
    internet.put(ASHA, message(DEV, ASHA).as_bytes())
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        client.send_message(message(ASHA, DEV))
    internet.reject("gmail", "mail", 554, "no")
    internet.down("yahoo", "all", "drop")
    internet.rubbish("outlook")
    internet.down("generic")
    internet.clear()
    with pytest.raises(LabError, match="no account"):
        internet.messages(ASHA)
    assert internet.sent() == [] and internet.logins(ASHA) == []
    for address, secret in SECRETS.items():
        internet.add_account(address, secret)
        assert subjects(internet, address) == []
    for address, host in ((BINA, "imap.mail.yahoo.com"), (DEV, "imap.example.org")):
        logged_in(node, address, host).logout()
    internet.register("outlook", PROGRAM)
    logged_in(node, CHITRA, "outlook.office365.com", internet.agree).logout()
    with smtp(node, "smtp.gmail.com", login=ASHA) as client:
        client.send_message(message(ASHA, DEV, subject="after"))
    wait_for(lambda: subjects(internet, DEV) == ["after"])


def test_a_closed_account_is_gone(internet: Any, node: Place) -> None:
    internet.put(ASHA, message(DEV, ASHA).as_bytes())
    internet.remove_account(ASHA)
    with pytest.raises(imaplib.IMAP4.error):
        logged_in(node, ASHA, "imap.gmail.com")
    internet.add_account(ASHA, SECRETS[ASHA])
    assert subjects(internet, ASHA) == []


def test_mistakes_are_told(internet: Any) -> None:
    with pytest.raises(LabError, match=r"no provider of the lab has mail for 'x@nowhere.org'"):
        internet.add_account("x@nowhere.org", "x")
    with pytest.raises(LabError, match="no provider is called 'gmial'; there are: gmail"):
        internet.down("gmial")
    with pytest.raises(LabError, match="no way to be down"):
        internet.down("gmail", "all", "sulk")


def test_every_daemon_ends_with_the_world(tmp_path: Path) -> None:
    with World(tmp_path, seed=2) as world:
        world.internet.add_account(ASHA, SECRETS[ASHA])
        world.internet.put(ASHA, b"Subject: x\r\n\r\n")
        below = descendants(world.process.pid)
        names = {Path(f"/proc/{number}/comm").read_text().strip() for number in below}
        assert {"dovecot", "master", "dnsmasq"} <= names
        os.kill(world.process.pid, 9)
        wait_until(lambda: not still_there(below), 90)


def test_what_was_kept_comes_back_with_its_numbers(world: World, internet: Any, node: Place) -> None:
    internet.put(ASHA, message("x@far.example", ASHA, subject="kept").as_bytes())
    before = (internet.uidvalidity(ASHA), [(mail.uid, mail.subject) for mail in internet.messages(ASHA)])
    internet.keep()
    internet.set_password(ASHA, "zzzzzzzzzzzzzzzz")
    internet.put(ASHA, message("x@far.example", ASHA, subject="later").as_bytes())
    internet.remove_account(BINA)
    internet.take_back()
    assert (internet.uidvalidity(ASHA), [(mail.uid, mail.subject) for mail in internet.messages(ASHA)]) == before
    with node.imap("imap.gmail.com", ca=authority().certificate) as app:
        assert app.login(ASHA, SECRETS[ASHA])[0] == "OK"
    internet.put(BINA, message("x@far.example", BINA).as_bytes())

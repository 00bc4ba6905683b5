"""The doctor tells in plain words what is wrong with an account, whatever servers and links do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from mojomail.accounts import account, change_account
from mojomail.doctor import Patience, Report, examine, examine_waiting, record, state_of
from mojomail.doctor import findings as findings_module
from mojomail.doctor.findings import LINK, SAYINGS, finding_for_error, has_default_route, said_key
from mojomail.errors import SystemFault
from mojomail.oauth import AccessToken, OAuthProvider, Refused
from mojomail.providers import Server
from mojomail.vault import Vault
from node_mailservers import (
    AUTHORITY,
    HOST,
    STRANGER,
    Imap,
    Script,
    Smtp,
    dripping,
    endless,
    gone,
    rubbish,
    serving,
    silent,
)
from node_village import CANARY, Village, village_fixture

village = pytest.fixture(village_fixture)

SHORT = Patience(connect=2.0, answer=0.3, visit=0.6)
LONG = Patience(connect=20.0, answer=20.0, visit=60.0)


def visited(
    village: Village,
    imap: Script | None = None,
    smtp: Script | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    kind: str = "tls",
    patience: Patience = LONG,
    vault: Vault | None = None,
    **settings: object,
) -> Report:
    """What the doctor finds of an account at two servers; a server that is not given works."""
    context = tls or AUTHORITY.server()
    wrapped = context if kind == "tls" else None
    later = None if kind == "tls" else context
    with ExitStack() as stack:
        ports = [
            stack.enter_context(serving(imap or Imap(tls=later), wrapped)),
            stack.enter_context(serving(smtp or Smtp(tls=later), wrapped)),
        ]
        servers = [Server(HOST, port, "tls" if kind == "tls" else "starttls") for port in ports]
        if village.database.row("SELECT 1 FROM person") is None:
            village.person()
        made = village.account(imap=servers[0], smtp=servers[1])
        if settings:
            made = change_account(village.database, made.address, dict(settings))
        return examine(made, vault or village.vault, patience=patience, context=AUTHORITY.trusting)


def checked(user: str, secret: str, good: str, bad: str) -> str:
    return good if (user, secret) == ("asha@example.org", CANARY) else bad


@pytest.mark.parametrize("kind", ["tls", "starttls"])
@pytest.mark.parametrize("ways", ["AUTH=PLAIN", ""])
def test_account_that_works_is_told_with_what_was_seen(village: Village, kind: str, ways: str) -> None:
    tls = AUTHORITY.server()
    later = tls if kind == "starttls" else None
    imap = Imap(
        login=lambda u, s: checked(u, s, "OK in", "NO [AUTHENTICATIONFAILED] no"),
        capabilities=f"IMAP4rev1 STARTTLS {ways}",
        tls=later,
    )
    smtp = Smtp(
        login=lambda u, s: checked(u, s, "235 ok", "535 no"),
        features=("SIZE 26214400", "AUTH PLAIN" if ways else "AUTH LOGIN"),
        tls=later,
    )
    report = visited(village, imap, smtp, kind=kind)
    assert (report.imap.key, report.smtp.key, report.ok) == ("ok", "ok", True)
    assert report.messages == 42
    assert report.largest == 26214400
    assert {"UIDPLUS", "COMPRESS=DEFLATE"} <= set(report.capabilities)
    assert report.folders == {
        "sent": "[Gmail]/Gesendet",
        "drafts": "[Gmail]/Entwürfe",
        "archive": "[Gmail]/Alle",
    }


IMAP_SAYS = [
    ("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", "wrong-password"),
    ("NO LOGIN failed.", "wrong-password"),
    ("NO [ALERT] Application-specific password required: https://support.google.com/", "app-password-needed"),
    ("NO [WEBALERT https://accounts.google.com/] Web login required.", "browser-needed"),
    ("NO [ALERT] Your account is not enabled for IMAP use.", "imap-off"),
    ("BAD User is authenticated but not connected.", "imap-off"),
    ("NO LogonDenied-BasicAuthBlocked-38", "oauth-needed"),
    ("NO [ALERT] Too many simultaneous connections. (Failure)", "too-many"),
    ("NO [LIMIT] Maximum number of connections from user exceeded", "too-many"),
    ("NO [OVERQUOTA] Account exceeded command or bandwidth limits.", "bandwidth"),
    ("NO [UNAVAILABLE] Temporary authentication failure.", "try-later"),
    ("NO Because I say so", "says-no"),
    ("* BYE Too many connections", "too-many"),
    ("OK [ALERT] fine", "ok"),
]


@pytest.mark.parametrize(("answer", "key"), IMAP_SAYS)
def test_imap_server_that_says_no_is_understood(village: Village, answer: str, key: str) -> None:
    report = visited(village, Imap(login=lambda user, secret: answer))
    assert (report.imap.key, report.smtp.key) == (key, "ok")
    assert CANARY not in report.imap.sentence()


SMTP_SAYS = [
    ("535 5.7.8 Username and Password not accepted. For more information, go to x", "wrong-password"),
    ("535 5.7.3 Authentication unsuccessful [BM1PR01CA0123.INDPRD01.PROD.OUTLOOK.COM]", "wrong-password"),
    ("535 (#AUTH005) Too many bad auth attempts.", "wrong-password"),
    ("534 5.7.9 Application-specific password required", "app-password-needed"),
    ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [x]", "oauth-needed"),
    ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "smtp-auth-off"),
    ("454 4.7.0 Temporary authentication failure", "try-later"),
    ("421 4.7.0 Too many concurrent connections", "too-many"),
    ("538 5.7.11 Encryption required", "smtp-auth-off"),
]


@pytest.mark.parametrize(("answer", "key"), SMTP_SAYS)
def test_smtp_server_that_says_no_is_understood(village: Village, answer: str, key: str) -> None:
    report = visited(village, smtp=Smtp(login=lambda user, secret: answer))
    assert (report.imap.key, report.smtp.key) == ("ok", key)
    assert CANARY not in report.smtp.sentence()


def test_smtp_server_that_offers_no_login_is_told(village: Village) -> None:
    assert visited(village, smtp=Smtp(features=("SIZE 1000",))).smtp.key == "smtp-auth-off"


def test_imap_server_that_takes_no_password_is_told(village: Village) -> None:
    report = visited(village, Imap(capabilities="IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2"))
    assert report.imap.key == "oauth-needed"


@pytest.mark.parametrize(
    ("answer", "key"), [("552 5.2.2 Mailbox full", "quota-full"), ("553 5.7.1 Sender address rejected", "says-no")]
)
def test_sender_that_the_provider_does_not_take_is_told(village: Village, answer: str, key: str) -> None:
    assert visited(village, smtp=Smtp(mail=answer)).smtp.key == key


@pytest.mark.parametrize(
    "imap", [Imap(quota="* QUOTA root (STORAGE 1000 1000)"), Imap(examine="NO [OVERQUOTA] Quota exceeded")]
)
def test_full_mailbox_is_told(village: Village, imap: Imap) -> None:
    assert visited(village, imap).imap.key == "quota-full"


@pytest.mark.parametrize(
    ("script", "keys"),
    [
        (rubbish, {"rubbish"}),
        (endless, {"rubbish"}),
        (gone, {"dropped"}),
        (silent, {"hangs"}),
        (dripping, {"hangs"}),
    ],
)
@pytest.mark.parametrize("protocol", ["imap", "smtp"])
def test_server_that_answers_rubbish_hangs_or_goes_is_told(
    village: Village, script: Script, keys: set[str], protocol: str
) -> None:
    patience = SHORT if script in (silent, dripping) else LONG
    report = visited(village, **{protocol: script}, patience=patience)  # type: ignore[arg-type]
    assert (report.imap if protocol == "imap" else report.smtp).key in keys


@pytest.mark.parametrize(
    ("tls", "key"),
    [
        (lambda: STRANGER.server(), "tls-untrusted"),
        (lambda: AUTHORITY.server("imap.gmail.com"), "tls-name"),
        (lambda: AUTHORITY.server(days=(-20, -10)), "tls-expired"),
        (lambda: AUTHORITY.server(days=(10, 20)), "tls-not-yet"),
    ],
)
@pytest.mark.parametrize("kind", ["tls", "starttls"])
def test_certificate_that_cannot_be_believed_is_told_before_any_password_is_sent(
    village: Village, tls: Callable[[], ssl.SSLContext], key: str, kind: str
) -> None:
    context = tls()
    imap = Imap(tls=context if kind == "starttls" else None)
    report = visited(village, imap, tls=context, kind=kind)
    assert (report.imap.key, report.smtp.key) == (key, key)
    assert not {"LOGIN", "AUTHENTICATE"} & set(imap.seen)


def test_server_without_tls_gets_no_password(village: Village) -> None:
    imap = Imap(capabilities="IMAP4rev1 AUTH=PLAIN")
    with serving(imap) as plain, serving(Smtp()) as open_smtp:
        village.person()
        wrapped, later = Server(HOST, plain, "tls"), Server(HOST, open_smtp, "starttls")
        report = examine(
            village.account(imap=wrapped, smtp=later), village.vault, patience=LONG, context=AUTHORITY.trusting
        )
        assert (report.imap.key, report.smtp.key) == ("no-tls", "no-tls")
        stripped = change_account(village.database, "asha@example.org", {"imap_tls": "starttls"})
        assert examine(stripped, village.vault, patience=LONG, context=AUTHORITY.trusting).imap.key == "no-tls"
    assert not {"LOGIN", "AUTHENTICATE"} & set(imap.seen)


def test_port_where_nobody_answers_is_told(village: Village) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    village.person()
    made = village.account(imap=Server("127.0.0.1", port, "tls"), smtp=Server("127.0.0.1", port, "tls"))
    assert examine(made, village.vault, patience=SHORT).imap.key == "refused"


@pytest.mark.parametrize(
    ("error", "route", "key"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), True, "name-unknown"),
        (socket.gaierror(socket.EAI_AGAIN, "again"), True, "no-name-service"),
        (socket.gaierror(socket.EAI_AGAIN, "again"), False, "no-link"),
        (OSError(101, "Network is unreachable"), False, "no-link"),
        (OSError(113, "No route to host"), True, "unreachable"),
        (TimeoutError(), True, "no-answer"),
        (ConnectionResetError(), True, "dropped"),
    ],
)
def test_trouble_of_the_link_is_told_from_trouble_of_the_name(
    error: OSError, route: bool, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings_module, "has_default_route", lambda: route)
    found = finding_for_error(error, "IMAP", "imap.gmail.com", 993)
    assert found.key == key
    assert "imap.gmail.com" in found.sentence() or key == "no-link"


def test_default_route_is_seen_in_the_kernels_tables(tmp_path: Path) -> None:
    header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    (tmp_path / "ipv6_route").write_text("")
    (tmp_path / "route").write_text(header + "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
    assert not has_default_route(tmp_path)
    (tmp_path / "route").write_text(header + "wwan0\t00000000\t01002D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
    assert has_default_route(tmp_path)


def test_bug_of_ours_is_no_finding() -> None:
    with pytest.raises(KeyError):
        finding_for_error(KeyError("x"), "IMAP", "h", 1)


def test_app_password_provider_that_only_says_wrong_is_understood(village: Village) -> None:
    refuse = Imap(login=lambda user, secret: "NO [AUTHENTICATIONFAILED] LOGIN Invalid credentials")
    settings = {"provider": "yahoo", "secret_kind": "app-password"}
    village.person()
    for secret, key in (("my usual one", "app-password-needed"), ("abcdefghijklmnop", "wrong-password")):
        with serving(refuse, AUTHORITY.server()) as imap, serving(Smtp(), AUTHORITY.server()) as smtp:
            made = village.account(imap=Server(HOST, imap, "tls"), smtp=Server(HOST, smtp, "tls"))
            made = change_account(village.database, made.address, dict(settings))
            village.vault.store(village.database, made.id, "app-password", secret)
            report = examine(made, village.vault, patience=LONG, context=AUTHORITY.trusting)
        assert report.imap.key == key
        assert "login.yahoo.com" in report.advice
        from mojomail.accounts import remove_account

        remove_account(village.database, made.address)


def oauth_village(village: Village, refresh: Callable[[OAuthProvider, str], AccessToken]) -> Vault:
    vault = Vault(village.vault._ring, village.vault.database, refresh_token=refresh)
    vault.set_oauth_client(village.database, "microsoft", "client-1", "")
    return vault


def test_fresh_access_token_is_what_a_provider_with_oauth_sees(village: Village) -> None:
    vault = oauth_village(village, lambda provider, token: AccessToken(f"access-for-{token}", 1e12))
    seen: list[tuple[str, str]] = []

    def login(user: str, secret: str) -> str:
        seen.append((user, secret))
        return "OK in"

    report = visited_with_oauth(
        village, vault, Imap(login=login), Smtp(login=lambda u, s: f"235 {seen.append((u, s))}")
    )
    assert report.ok
    assert seen == [("asha@example.org", "access-for-refresh-1")] * 2


def visited_with_oauth(village: Village, vault: Vault, imap: Imap, smtp: Smtp) -> Report:
    village.person()
    with serving(imap, AUTHORITY.server()) as one, serving(smtp, AUTHORITY.server()) as two:
        made = village.account(imap=Server(HOST, one, "tls"), smtp=Server(HOST, two, "tls"))
        made = change_account(village.database, made.address, {"provider": "outlook", "secret_kind": "oauth2"})
        vault.store(village.database, made.id, "oauth2", "refresh-1")
        return examine(made, vault, patience=LONG, context=AUTHORITY.trusting)


def test_provider_that_no_longer_takes_the_token_is_told(village: Village) -> None:
    vault = oauth_village(village, lambda provider, token: AccessToken("old", 1e12))
    bad_imap = Imap(login=lambda u, s: "NO AUTHENTICATE failed.")
    report = visited_with_oauth(
        village, vault, bad_imap, Smtp(login=lambda u, s: "535 5.7.3 Authentication unsuccessful")
    )
    assert (report.imap.key, report.smtp.key) == ("oauth-refused", "oauth-refused")


@pytest.mark.parametrize(
    ("error", "key"), [(Refused("no"), "oauth-refused"), (SystemFault("far"), "oauth-unreachable")]
)
def test_token_that_cannot_be_had_is_told(village: Village, error: Exception, key: str) -> None:
    def fail(provider: OAuthProvider, token: str) -> AccessToken:
        raise error

    assert visited_with_oauth(village, oauth_village(village, fail), Imap(), Smtp()).imap.key == key


def test_account_without_a_secret_is_told(village: Village) -> None:
    village.person()
    assert examine(village.account(secret=""), village.vault, patience=SHORT).imap.key == "no-secret"


def test_account_added_without_a_link_is_tested_when_it_comes(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    village.person()
    with serving(Imap(), AUTHORITY.server()) as imap, serving(Smtp(), AUTHORITY.server()) as smtp:
        made = village.account(imap=Server(HOST, imap, "tls"), smtp=Server(HOST, smtp, "tls"))
        with monkeypatch.context() as offline:

            def unreachable(*_: object, **__: object) -> object:
                raise socket.gaierror(socket.EAI_AGAIN, "again")

            offline.setattr(socket, "getaddrinfo", unreachable)
            offline.setattr(findings_module, "has_default_route", lambda: False)
            [report] = examine_waiting(village.database, village.vault, patience=LONG, context=AUTHORITY.trusting)
        assert (report.imap.key, report.smtp.key) == ("no-link", "no-link")
        assert state_of(village.database, made)["state"] == "not-tested"
        [report] = examine_waiting(village.database, village.vault, patience=LONG, context=AUTHORITY.trusting)
        assert report.ok
        assert state_of(village.database, made)["state"] == "ok"
        assert examine_waiting(village.database, village.vault) == []
    learnt = account(village.database, made.address)
    assert (learnt.remote_sent, learnt.remote_drafts, learnt.remote_trash) == (
        "[Gmail]/Gesendet",
        "[Gmail]/Entwürfe",
        "Trash",
    )


def test_account_whose_provider_is_busy_is_tried_again(village: Village) -> None:
    report = visited(village, Imap(login=lambda u, s: "NO [ALERT] Too many simultaneous connections"))
    made = account(village.database, "asha@example.org")
    record(village.database, made, report)
    state = state_of(village.database, made)
    assert (state["state"], state["text"]) == ("not-tested", report.imap.sentence())


def test_state_tells_the_finding_until_the_secret_is_given_anew(village: Village) -> None:
    report = visited(village, Imap(login=lambda u, s: "NO [AUTHENTICATIONFAILED] no"))
    made = account(village.database, "asha@example.org")
    record(village.database, made, report)
    state = state_of(village.database, made)
    assert state["state"] == "wrong-password"
    assert state["text"] == report.imap.sentence()
    village.vault.store(village.database, made.id, "password", "another one")
    assert state_of(village.database, made)["state"] == "not-tested"


def test_every_finding_has_a_sentence() -> None:
    from mojomail.catalogue import texts

    keys = {key.removeprefix("finding.") for key in texts("en") if key.startswith("finding.")}
    assert keys >= LINK | findings_module.SECRET | findings_module.PASSING | {key for key, _ in SAYINGS}
    assert said_key("whatever", 0, "IMAP") in keys


@pytest.mark.parametrize("said", ["a\x1b[31mb\r\n", "x" * 5000, "ಕನ್ನಡ"])
def test_what_a_server_says_is_shown_as_one_harmless_line(said: str) -> None:
    shown = findings_module.readable(said)
    assert len(shown) <= 200
    assert shown.isprintable()

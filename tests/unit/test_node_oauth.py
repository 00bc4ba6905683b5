"""OAuth2 against a token server of our own: what comes back, and what is told when it does not."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mojomail import oauth
from mojomail.errors import InputError, MojoError, SystemFault
from mojomail.oauth import (
    KNOWN,
    OAuthProvider,
    Refused,
    ask_device_flow,
    begin_device_flow,
    begin_errand,
    end_errand,
    refresh,
    wait_for_device,
)

REFRESH = "refresh-kanarie"


class TokenServer:
    """Answers each POST with the next of `answers`, and keeps the forms."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.forms: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.forms.append(dict(urllib.parse.parse_qsl(form)))
                status, body = outer.answers.pop(0)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def says(self, status: int, **body: object) -> None:
        self.answers.append((status, json.dumps(body).encode()))

    @property
    def provider(self) -> OAuthProvider:
        url = f"http://127.0.0.1:{self.server.server_port}"
        ends = {"token_url": f"{url}/token", "device_url": f"{url}/device", "authorize_url": f"{url}/auth"}
        return replace(KNOWN["microsoft"], client_id="client-1", client_secret="", **ends)


@pytest.fixture
def server() -> Iterator[TokenServer]:
    running = TokenServer()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_refresh_token_becomes_an_access_token(server: TokenServer) -> None:
    server.says(200, access_token="access-1", expires_in=3600, refresh_token="refresh-2")
    token = refresh(server.provider, REFRESH)
    assert (token.secret, token.refresh_token) == ("access-1", "refresh-2")
    assert token.lasts(3500)
    assert not token.lasts(3700)
    assert server.forms == [{"client_id": "client-1", "grant_type": "refresh_token", "refresh_token": REFRESH}]


def test_client_secret_is_sent_only_when_there_is_one(server: TokenServer) -> None:
    server.says(200, access_token="a")
    refresh(replace(server.provider, client_secret="geheim"), REFRESH)
    assert server.forms[0]["client_secret"] == "geheim"


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"error": "invalid_grant", "error_description": REFRESH}, Refused, "no longer lets"),
        (400, {"error": "interaction_required"}, Refused, "no longer lets"),
        (401, {"error": "invalid_client"}, InputError, "does not know this node"),
        (500, {"error": "server_error"}, SystemFault, "server_error"),
        (503, {"error": f"<h1>{REFRESH}</h1>"}, SystemFault, "HTTP 503"),
        (200, {"token": REFRESH}, SystemFault, "no answer"),
        (200, {"access_token": "a", "expires_in": REFRESH}, SystemFault, "no answer"),
    ],
)
def test_error_is_told_without_any_token(
    server: TokenServer, status: int, body: dict[str, str], kind: type[MojoError], said: str
) -> None:
    server.says(status, **body)
    with pytest.raises(kind, match=said) as error:
        refresh(server.provider, REFRESH)
    assert REFRESH not in str(error.value)
    assert REFRESH not in repr(error.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 400])
def test_rubbish_is_told_as_such(server: TokenServer, body: bytes, status: int) -> None:
    server.answers.append((status, body))
    with pytest.raises(SystemFault, match="no answer"):
        refresh(server.provider, REFRESH)


def test_provider_that_is_not_there_or_silent_is_told(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/token"
        with pytest.raises(SystemFault, match="cannot be reached"):
            refresh(replace(server.provider, token_url=url), REFRESH)
    with pytest.raises(SystemFault, match="cannot be reached"):
        refresh(replace(server.provider, token_url=url), REFRESH)


def test_person_types_a_code_on_a_phone(server: TokenServer) -> None:
    server.says(
        200, user_code="ABCD-EFGH", verification_uri="https://x/device", device_code="d1", expires_in=900, interval=5
    )
    code = begin_device_flow(server.provider)
    assert (code.user_code, code.url, code.interval) == ("ABCD-EFGH", "https://x/device", 5)
    assert "d1" not in repr(code)
    server.says(400, error="authorization_pending")
    server.says(400, error="slow_down")
    server.says(400, error="authorization_pending")
    server.says(200, access_token="a", refresh_token=REFRESH, expires_in=3600)
    waits: list[float] = []
    token = wait_for_device(server.provider, code, sleep=waits.append)
    assert token.refresh_token == REFRESH
    assert waits == [5, 5, 10, 10]
    assert server.forms[0] == {"client_id": "client-1", "scope": KNOWN["microsoft"].scope}
    assert server.forms[-1]["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"


@pytest.mark.parametrize(
    ("error", "said"),
    [("access_denied", "not allowed"), ("authorization_declined", "not allowed"), ("expired_token", "in time")],
)
def test_person_who_says_no_or_nothing_is_told(server: TokenServer, error: str, said: str) -> None:
    server.says(200, user_code="A", verification_url="https://x", device_code="d1", expires_in=900)
    code = begin_device_flow(server.provider)
    server.says(400, error=error)
    with pytest.raises(Refused, match=said):
        ask_device_flow(server.provider, code)
    late = replace(code, expires=time.monotonic() - 1)
    with pytest.raises(Refused, match="in time"):
        wait_for_device(server.provider, late, sleep=lambda _: None)


def test_person_pastes_the_address_the_browser_ended_at(server: TokenServer) -> None:
    errand = begin_errand(server.provider, "asha@gmail.com")
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(errand.url).query))
    assert asked["login_hint"] == "asha@gmail.com"
    assert asked["code_challenge_method"] == "S256"
    server.says(200, access_token="a", refresh_token=REFRESH)
    pasted = f"http://127.0.0.1:8901/?state={errand.state}&code=4/abc&scope=x\n"
    assert end_errand(server.provider, errand, pasted).refresh_token == REFRESH
    [form] = server.forms
    assert form["code"] == "4/abc"
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]


@pytest.mark.parametrize(
    ("query", "kind"),
    [("state=other&code=x", InputError), ("code=x", InputError), ("", InputError), ("error=access_denied", Refused)],
)
def test_pasted_address_of_another_visit_is_refused(server: TokenServer, query: str, kind: type[MojoError]) -> None:
    errand = begin_errand(server.provider, "asha@gmail.com")
    with pytest.raises(kind):
        end_errand(server.provider, errand, f"http://127.0.0.1:8901/?{query}")
    assert server.forms == []


def test_known_providers_are_asked_by_https_alone() -> None:
    for provider in KNOWN.values():
        for url in (provider.token_url, provider.device_url, provider.authorize_url):
            assert url.startswith("https://")

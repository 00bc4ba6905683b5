"""The lab's token servers do what the real ones do where a program could trip over it."""

from __future__ import annotations

import urllib.parse

import pytest

from tests.lab.processes import LabError
from tests.lab.providers import GMAIL, OUTLOOK, TokenSite
from tests.lab.tokens import DEVICE_GRANT, TokenBook, TokenError

CHITRA = "chitra@outlook.com"
CLIENT = {"client_id": "node", "client_secret": ""}
AUTHORIZE = "https://accounts.google.com/o/oauth2/v2/auth?"


def book(site: TokenSite | None = OUTLOOK.tokens) -> TokenBook:
    assert site is not None
    made = TokenBook(site, refused=lambda address: None)
    made.clients["node"] = ""
    return made


def granted(one: TokenBook, interval: int = 0) -> dict[str, object]:
    one.times.interval = interval
    asked = one.device_code(CLIENT)
    one.agree(str(asked["user_code"]), CHITRA)
    return one.token(CLIENT | {"grant_type": DEVICE_GRANT, "device_code": str(asked["device_code"])})


def refreshed(one: TokenBook, token: object) -> dict[str, object]:
    return one.token(CLIENT | {"grant_type": "refresh_token", "refresh_token": str(token)})


def good(one: TokenBook, token: object) -> bool:
    return bool(one.introspect({"token": str(token)})["active"])


def test_code_is_pending_until_the_person_agrees_and_good_once() -> None:
    one = book()
    asked = one.device_code(CLIENT)
    form = CLIENT | {"grant_type": DEVICE_GRANT, "device_code": str(asked["device_code"])}
    for expected in ("authorization_pending", "slow_down"):
        with pytest.raises(TokenError, match=expected):
            one.token(form)
    one.agree(str(asked["user_code"]), CHITRA)
    assert good(one, one.token(form)["access_token"])
    with pytest.raises(TokenError, match="invalid_grant"):
        one.token(form)


def test_code_that_is_over_or_declined_gives_nothing() -> None:
    one = book()
    said_no = one.device_code(CLIENT)
    one.agree(str(said_no["user_code"]), CHITRA, no=True)
    one.times.code = -1
    late = one.device_code(CLIENT)
    for asked, expected in ((said_no, "authorization_declined"), (late, "expired_token")):
        with pytest.raises(TokenError, match=expected):
            one.token(CLIENT | {"grant_type": DEVICE_GRANT, "device_code": str(asked["device_code"])})
    with pytest.raises(LabError, match="nobody asked"):
        one.agree(str(late["user_code"]), CHITRA)


def test_refresh_token_is_over_once_its_successor_was_used() -> None:
    one = book()
    first = granted(one)["refresh_token"]
    second = refreshed(one, first)["refresh_token"]
    again = refreshed(one, first)["refresh_token"]  # the answer was lost on its way
    with pytest.raises(TokenError, match="invalid_grant"):
        refreshed(one, second)
    third = refreshed(one, again)
    assert good(one, third["access_token"])
    with pytest.raises(TokenError, match="invalid_grant"):
        refreshed(one, first)


def test_access_ends_with_time_with_the_provider_or_with_the_person() -> None:
    one = book()
    first = granted(one)
    one.end_access(CHITRA)
    assert not good(one, first["access_token"])
    second = refreshed(one, first["refresh_token"])
    one.revoke(CHITRA)
    assert not good(one, second["access_token"])
    with pytest.raises(TokenError, match="invalid_grant"):
        refreshed(one, second["refresh_token"])
    one.times.access = -1
    assert not good(one, granted(one)["access_token"])


@pytest.mark.parametrize(
    ("client", "expected"),
    [({}, "unauthorized_client"), ({"client_id": "x"}, "unauthorized_client"), (CLIENT, "invalid_client")],
)
def test_program_that_is_not_known_or_does_not_prove_itself_gets_nothing(client: dict[str, str], expected: str) -> None:
    one = book()
    one.clients["node"] = "secret"
    for ask in (one.device_code, one.token):
        with pytest.raises(TokenError, match=expected):
            ask(client)


def test_google_gives_no_mail_by_code_and_keeps_its_refresh_token() -> None:
    one = book(GMAIL.tokens)
    with pytest.raises(TokenError, match="invalid_scope"):
        one.device_code(CLIENT)


@pytest.mark.parametrize(("verifier", "fits"), [("v" * 43, True), ("w" * 43, False)])
def test_code_from_a_browser_is_good_for_who_sent_it_there(verifier: str, fits: bool) -> None:
    one = book(GMAIL.tokens)
    challenge = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"
    asked = {"client_id": "node", "response_type": "code", "redirect_uri": "http://127.0.0.1:8901/", "state": "s"}
    url = AUTHORIZE + urllib.parse.urlencode(asked | {"code_challenge": challenge})
    ended = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(one.visit(url, "asha@gmail.com")).query))
    assert ended["state"] == "s"
    form = {"grant_type": "authorization_code", "code": ended["code"], "redirect_uri": asked["redirect_uri"]}
    try:
        given = one.token(CLIENT | form | {"code_verifier": verifier})
    except TokenError as error:
        assert not fits and error.code == "invalid_grant"
        return
    assert fits
    assert "refresh_token" not in refreshed(one, given["refresh_token"])
    assert good(one, given["access_token"])


def test_page_knows_no_stranger_and_sends_nobody_elsewhere() -> None:
    one = book(GMAIL.tokens)
    for asked in (
        {"client_id": "x", "response_type": "code", "redirect_uri": "http://127.0.0.1:1/"},
        {"client_id": "node", "response_type": "code", "redirect_uri": "https://evil.example/"},
    ):
        with pytest.raises(LabError, match="the page says"):
            one.visit(AUTHORIZE + urllib.parse.urlencode(asked), "asha@gmail.com")

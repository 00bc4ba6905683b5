"""OAuth2 for mail: refresh tokens turned into access tokens, and two ways to get one on a machine without a browser.

    device code (RFC 8628)   the person types a code on a phone; Microsoft's way. Google gives no mail scope this way
                             ("Allowed scopes" of its guide for limited-input devices), but other providers may.
    pasted address (RFC 8252, 7.3, with PKCE)  the person opens an address on a phone, agrees, and is sent on to
                             http://127.0.0.1, which does not answer there; its address holds the code and is pasted.

No provider lets a program in that it does not know: the node's keeper registers one and gives its client id (and with
Google the client secret, which the vault keeps). No error holds a token or what a server sent beside its error code.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .catalogue import say
from .database import Database
from .errors import InputError, SystemFault

PATIENCE = 60.0
"""Seconds for each request to answer; 2G needs 5 to 10 for the TLS handshake alone."""
ANSWER_LIMIT = 65536
REDIRECT = "http://127.0.0.1:8901/"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LEAST_INTERVAL = 5
"""Seconds between two polls where the server names none (RFC 8628, 3.5)."""


class Refused(SystemFault):
    """The provider does not take the token any more: the person must allow the access anew."""


class Pending(Exception):
    """The person has not agreed yet; `slower` when the server wants longer waits."""

    def __init__(self, *, slower: bool) -> None:
        super().__init__("authorization pending")
        self.slower = slower


@dataclass(frozen=True)
class OAuthProvider:
    """Where a provider gives tokens, and as whom this node asks."""

    name: str
    token_url: str
    device_url: str
    authorize_url: str
    scope: str
    device_flow: bool
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


KNOWN = {
    "microsoft": OAuthProvider(
        name="microsoft",
        token_url="https://login.microsoftonline.com/common/oauth2/v2.0/token",
        device_url="https://login.microsoftonline.com/common/oauth2/v2.0/devicecode",
        authorize_url="https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        scope="https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access",
        device_flow=True,
    ),
    "google": OAuthProvider(
        name="google",
        token_url="https://oauth2.googleapis.com/token",
        device_url="https://oauth2.googleapis.com/device/code",
        authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
        scope="https://mail.google.com/",
        device_flow=False,
    ),
}


@dataclass(frozen=True)
class AccessToken:
    """An access token; `expires` is on the clock of time.monotonic(), which no wrong date upsets."""

    secret: str = field(repr=False)
    expires: float
    refresh_token: str | None = field(default=None, repr=False)

    def lasts(self, seconds: float) -> bool:
        """Whether it is good for so many seconds more."""
        return time.monotonic() + seconds < self.expires


@dataclass(frozen=True)
class DeviceCode:
    """What the person is shown (`user_code` to type at `url`), and what the node polls with."""

    user_code: str
    url: str
    interval: int
    expires: float
    device_code: str = field(repr=False)


@dataclass(frozen=True)
class Errand:
    """A visit to the provider's page on another device: its address, and what the way back is checked with."""

    url: str
    state: str
    verifier: str = field(repr=False)


def oauth_provider(database: Database, name: str | None, client_secret: str = "") -> OAuthProvider:
    """The provider as this node's keeper registered with it. Raises InputError when nobody did."""
    known = KNOWN.get(name or "")
    if known is None:
        raise InputError(say("oauth.none"))
    client_id = database.setting(f"oauth-client-{known.name}")
    if not client_id:
        raise InputError(
            say("oauth.no-client", provider=known.name), hint=say("hint.oauth-client", provider=known.name)
        )
    return OAuthProvider(**{**vars(known), "client_id": client_id, "client_secret": client_secret})


def refresh(provider: OAuthProvider, refresh_token: str) -> AccessToken:
    """A fresh access token. Raises Refused when the refresh token is no longer good, SystemFault for the link."""
    return _token(provider, {"grant_type": "refresh_token", "refresh_token": refresh_token})


def begin_device_flow(provider: OAuthProvider) -> DeviceCode:
    """Ask for a code that the person types elsewhere. Raises SystemFault."""
    given = _post(provider, provider.device_url, {"client_id": provider.client_id, "scope": provider.scope})
    try:
        return DeviceCode(
            user_code=str(given["user_code"]),
            url=str(given.get("verification_uri") or given["verification_url"]),
            interval=int(given.get("interval", LEAST_INTERVAL)),
            expires=time.monotonic() + int(given["expires_in"]),
            device_code=str(given["device_code"]),
        )
    except (KeyError, ValueError, TypeError):
        raise SystemFault(say("oauth.rubbish", provider=provider.name)) from None


def ask_device_flow(provider: OAuthProvider, code: DeviceCode) -> AccessToken:
    """The token, once the person has agreed. Raises Pending until then, Refused when the person or time said no."""
    return _token(provider, {"grant_type": DEVICE_GRANT, "device_code": code.device_code})


def wait_for_device(
    provider: OAuthProvider, code: DeviceCode, *, sleep: Callable[[float], None] = time.sleep
) -> AccessToken:
    """Poll until the person has agreed. Raises Refused when the code has expired or access was denied."""
    interval = code.interval
    while time.monotonic() < code.expires:
        sleep(interval)
        try:
            return ask_device_flow(provider, code)
        except Pending as pending:
            interval += 5 if pending.slower else 0
    raise Refused(say("oauth.expired"))


def begin_errand(provider: OAuthProvider, address: str) -> Errand:
    """An address for the person to open on a phone, for the account with this mail address."""
    import base64
    import hashlib
    import secrets
    from urllib.parse import urlencode

    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": provider.client_id,
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "scope": provider.scope,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": address,
        "access_type": "offline",
        "prompt": "consent",
    }
    return Errand(f"{provider.authorize_url}?{urlencode(query)}", state, verifier)


def end_errand(provider: OAuthProvider, errand: Errand, pasted: str) -> AccessToken:
    """The token for the address that the phone's browser ended at. Raises InputError, Refused, SystemFault."""
    from urllib.parse import parse_qs, urlsplit

    answer = parse_qs(urlsplit(pasted.strip()).query)
    if "error" in answer:
        raise Refused(say("oauth.denied"))
    if answer.get("state") != [errand.state] or len(answer.get("code", [])) != 1:
        raise InputError(say("oauth.pasted"))
    fields = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": REDIRECT}
    return _token(provider, fields | {"code_verifier": errand.verifier})


def _token(provider: OAuthProvider, fields: dict[str, str]) -> AccessToken:
    client = {"client_id": provider.client_id}
    if provider.client_secret:
        client["client_secret"] = provider.client_secret
    given = _post(provider, provider.token_url, client | fields)
    try:
        token = str(given["access_token"])
        expires = time.monotonic() + int(given.get("expires_in", 3600))
        again = given.get("refresh_token")
    except (KeyError, ValueError, TypeError):
        raise SystemFault(say("oauth.rubbish", provider=provider.name)) from None
    return AccessToken(token, expires, str(again) if again else None)


def _post(provider: OAuthProvider, url: str, fields: dict[str, str]) -> dict[str, Any]:
    """Post a form and read the JSON that comes back."""
    import http.client
    import ssl
    import urllib.error
    import urllib.request
    from urllib.parse import urlencode

    request = urllib.request.Request(url, urlencode(fields).encode(), {"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=ssl.create_default_context()) as answer:
            return _object(provider, answer.read(ANSWER_LIMIT))
    except urllib.error.HTTPError as error:
        with error:
            code = str(_object(provider, error.read(ANSWER_LIMIT)).get("error", ""))
        raise _refusal(provider, code, error.code) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SystemFault(say("oauth.unreachable", provider=provider.name, reason=type(reason).__name__)) from None


def _object(provider: OAuthProvider, content: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(content)
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict):
        raise SystemFault(say("oauth.rubbish", provider=provider.name))
    return loaded


def _refusal(provider: OAuthProvider, code: str, status: int) -> Exception:
    """What an error of RFC 6749, 5.2, or RFC 8628, 3.5, means for the person."""
    if code in ("authorization_pending", "slow_down"):
        return Pending(slower=code == "slow_down")
    if code in ("invalid_grant", "interaction_required", "consent_required"):
        return Refused(say("oauth.refused"))
    if code in ("access_denied", "authorization_declined"):
        return Refused(say("oauth.denied"))
    if code in ("expired_token", "bad_verification_code"):
        return Refused(say("oauth.expired"))
    if code in ("invalid_client", "unauthorized_client"):
        return InputError(
            say("oauth.bad-client", provider=provider.name), hint=say("hint.oauth-client", provider=provider.name)
        )
    shown = code if re.fullmatch(r"[a-z_]{1,40}", code) else f"HTTP {status}"
    return SystemFault(say("oauth.error", provider=provider.name, code=shown))

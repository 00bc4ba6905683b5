"""Who may log in by token at a provider: codes that people agree to, refresh tokens, access tokens (RFC 6749, 8628).

A token is nothing but a long word. What the real ones do is kept where a program could trip over it: Microsoft's are
long and its refresh token changes with each use, Google lets no program without a browser have mail.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.lab.processes import LabError
from tests.lab.providers import TokenSite

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class Times:
    """Seconds: how long an access token and a code are good for, and how far apart polls must be."""

    access: float = 3600.0
    code: float = 900.0
    interval: int = 5


@dataclass
class Code:
    """A code that a person is asked to agree to; `address` says who did, `no` that the person said no."""

    client: str
    expires: float
    user_code: str = ""
    challenge: str = ""
    redirect: str = ""
    address: str = ""
    no: bool = False
    polled: float = 0.0


@dataclass
class Grant:
    """What a person allowed a program: its refresh tokens that are good, and its access tokens with their ends."""

    address: str
    client: str
    refresh: list[str] = field(default_factory=list)
    access: dict[str, float] = field(default_factory=dict)


class TokenError(Exception):
    """A refusal by its code in RFC 6749, 5.2, or RFC 8628, 3.5."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class TokenBook:
    """All that one provider's token server knows. `refused` is called with the address of each token that was good
    once and is tried in vain."""

    def __init__(self, site: TokenSite, refused: Callable[[str], None]) -> None:
        self.site = site
        self.times = Times()
        self.clients: dict[str, str] = {}
        """The programs that are registered, each with its secret ('' for none)."""
        self.given: dict[str, list[str]] = {}
        """Every token that an address was ever given."""
        self._refused = refused
        self._codes: dict[str, Code] = {}
        self._grants: list[Grant] = []
        self._lock = threading.RLock()

    def clear(self) -> None:
        """As at the start."""
        with self._lock:
            self.times = Times()
            self.clients.clear()
            self.given.clear()
            self._codes.clear()
            self._grants.clear()

    # ---- what people do

    def agree(self, user_code: str, address: str, *, no: bool = False) -> None:
        """The person types a code and allows the access, or says no. Raises LabError for a code that is not asked."""
        with self._lock:
            waiting = [one for one in self._codes.values() if one.user_code == user_code and one.expires > time.time()]
            if not waiting:
                raise LabError(f"nobody asked with the code {user_code!r}")
            waiting[0].address, waiting[0].no = address, no

    def visit(self, url: str, address: str, *, no: bool = False) -> str:
        """The person opens an address, allows the access or says no; returns where the browser is sent on to.

        RFC 6749, 4.1. Raises LabError for what the real page would not show.
        """
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        if asked.get("client_id") not in self.clients or asked.get("response_type") != "code":
            raise LabError("the page says: this program is not known here")
        if not asked.get("redirect_uri", "").startswith("http://127.0.0.1"):
            raise LabError("the page says: redirect_uri_mismatch")
        answer = {"state": asked.get("state", "")}
        if no:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(24)
            expires = time.time() + self.times.code
            code = Code(asked["client_id"], expires, "", asked["code_challenge"], asked["redirect_uri"], address)
            with self._lock:
                self._codes[answer["code"]] = code
        return f"{asked['redirect_uri']}?{urllib.parse.urlencode(answer)}"

    def revoke(self, address: str) -> None:
        """The person takes back what was allowed: no token of theirs is good any more."""
        with self._lock:
            self._grants = [grant for grant in self._grants if grant.address != address]

    def end_access(self, address: str) -> None:
        """Let an address's access tokens be refused before their time; its refresh tokens stay good."""
        with self._lock:
            for grant in self._grants:
                if grant.address == address:
                    grant.access.clear()

    # ---- what the provider's own servers ask

    def introspect(self, form: Mapping[str, str]) -> dict[str, object]:
        """Whether an access token is good now, and whose it is (RFC 7662, 2.2)."""
        token = form.get("token", "")
        with self._lock:
            for address, given in self.given.items():
                if token in given:
                    good = any(grant.access.get(token, 0.0) > time.time() for grant in self._grants)
                    if good:
                        return {"active": True, "username": address}
                    self._refused(address)
        return {"active": False}

    # ---- what programs ask

    def device_code(self, form: Mapping[str, str]) -> dict[str, object]:
        """A code to show to a person (RFC 8628, 3.2). Raises TokenError."""
        client = self._client(form)
        if not self.site.device:
            raise TokenError("invalid_scope")
        device_code = secrets.token_urlsafe(48)
        letters = "BCDFGHJKLMNPQRSTVWXYZ23456789"
        user_code = "".join(secrets.choice(letters) for _ in range(9))
        with self._lock:
            self._codes[device_code] = Code(client, time.time() + self.times.code, user_code)
        return {
            "user_code": user_code,
            "device_code": device_code,
            "verification_uri": self.site.verification,
            "expires_in": int(self.times.code),
            "interval": self.times.interval,
            "message": f"To sign in, open {self.site.verification} and enter {user_code}.",
        }

    def token(self, form: Mapping[str, str]) -> dict[str, object]:
        """An access token, and a refresh token with it where it is due. Raises TokenError."""
        client = self._client(form)
        kind = form.get("grant_type", "")
        with self._lock:
            if kind == "refresh_token":
                return self._refresh(client, form.get("refresh_token", ""))
            if kind == DEVICE_GRANT:
                return self._redeem(client, self._agreed(client, form.get("device_code", "")))
            if kind == "authorization_code":
                return self._redeem(client, self._returned(client, form))
        raise TokenError("unsupported_grant_type")

    def _client(self, form: Mapping[str, str]) -> str:
        name = form.get("client_id", "")
        if name not in self.clients:
            raise TokenError("unauthorized_client")
        if form.get("client_secret", "") != self.clients[name]:
            raise TokenError("invalid_client", 401)
        return name

    def _agreed(self, client: str, device_code: str) -> str:
        """Whose a device code is by now."""
        code = self._codes.get(device_code)
        if code is None or code.client != client or not code.user_code:
            raise TokenError("invalid_grant")
        last, code.polled = code.polled, time.time()
        if code.expires < code.polled:
            raise TokenError("expired_token")
        if code.no:
            raise TokenError("authorization_declined")
        if not code.address:
            raise TokenError("slow_down" if code.polled - last < 0.9 * self.times.interval else "authorization_pending")
        del self._codes[device_code]
        return code.address

    def _returned(self, client: str, form: Mapping[str, str]) -> str:
        """Whose the code is that a browser brought back; it is good once, for who can prove the visit (RFC 7636)."""
        code = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if code is None or code.client != client or code.expires < time.time():
            raise TokenError("invalid_grant")
        if code.challenge != proof or code.redirect != form.get("redirect_uri"):
            raise TokenError("invalid_grant")
        return code.address

    def _redeem(self, client: str, address: str) -> dict[str, object]:
        grant = Grant(address, client)
        self._grants.append(grant)
        return self._give(grant, with_refresh=True)

    def _refresh(self, client: str, refresh_token: str) -> dict[str, object]:
        found = [grant for grant in self._grants if grant.client == client and refresh_token in grant.refresh]
        if not found:
            raise TokenError("invalid_grant")
        [grant] = found
        # One that was lost on its way may be asked for again; once its successor is used, it is over.
        del grant.refresh[: grant.refresh.index(refresh_token)]
        if self.site.rotates:
            del grant.refresh[1:]
        return self._give(grant, with_refresh=self.site.rotates)

    def _give(self, grant: Grant, *, with_refresh: bool) -> dict[str, object]:
        access = self._word("access", self.site.length)
        grant.access[access] = time.time() + self.times.access
        given = self.given.setdefault(grant.address, [])
        given.append(access)
        answer: dict[str, object] = {
            "token_type": "Bearer",
            "scope": self.site.scope,
            "expires_in": int(self.times.access),
            "access_token": access,
        }
        if with_refresh:
            refresh = self._word("refresh", self.site.length // 2)
            grant.refresh.append(refresh)
            given.append(refresh)
            answer["refresh_token"] = refresh
        return answer

    @staticmethod
    def _word(kind: str, length: int) -> str:
        return f"{kind}-{secrets.token_urlsafe(length)}"[:length]

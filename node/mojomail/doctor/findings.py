"""What can be wrong with an account: one finding for each way it fails, told from what servers and sockets say."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from pathlib import Path

from ..accountstate import Finding, Protocol

LINK = frozenset({"no-link", "no-answer", "no-name-service", "unreachable", "dropped", "hangs", "oauth-unreachable"})
"""Findings that tell of the link rather than of the account: it stays "not tested yet" and is tried again."""
PASSING = frozenset({"too-many", "try-later", "bandwidth"})
"""Findings that go away by themselves."""
SECRET = frozenset(
    {
        "wrong-password",
        "app-password-needed",
        "oauth-needed",
        "oauth-refused",
        "oauth-client",
        "no-secret",
        "browser-needed",
    }
)
"""Findings that only the account's owner can mend, at the provider or by giving the secret anew."""

SAID_LIMIT = 200
"""Characters of what a server said that are shown."""


class ServerSaid(Exception):
    """A server answered no; `said` is its text, `code` the reply code of SMTP (0 in IMAP)."""

    def __init__(self, said: str, code: int = 0) -> None:
        super().__init__(said)
        self.said = said
        self.code = code


class Rubbish(Exception):
    """A server answered something that is not its protocol."""


class Hangs(Exception):
    """A server kept the connection open and did not come to an end in time."""


class Dropped(Exception):
    """The connection was closed in the middle."""


class NoTls(Exception):
    """The server offers no STARTTLS, or somebody between has taken the offer away."""


class NoAuth(Exception):
    """The server offers no way to log in that fits the secret."""


SAYINGS: tuple[tuple[str, str], ...] = (
    ("app-password-needed", r"application[- ]specific password|app password|invalidsecondfactor|5\.7\.9 "),
    ("browser-needed", r"web ?login ?required|webalert|log ?in via your web browser|verify (it's|your) you"),
    ("smtp-auth-off", r"smtpclientauthentication is disabled|smtp auth(entication)? (is )?(disabled|not enabled)"),
    ("oauth-needed", r"basic ?auth(entication)? ?(is )?(disabled|blocked)|logondenied-basicauthblocked|5\.7\.139"),
    (
        "imap-off",
        r"(not enabled|disabled) for imap|imap (access |use )?(is )?(disabled|not enabled|turned off)|enable imap"
        r"|authenticated but not connected|not (allowed|permitted) to use imap|yet to enable imap",
    ),
    ("bandwidth", r"bandwidth limit"),
    ("too-many", r"too many (simultaneous |concurrent )?(connections|logins|sessions)|\[limit\]|connection limit"
                 r"|maximum number of connections|request is throttled"),
    ("quota-full", r"over ?quota|quota (is )?exceeded|mailbox (is )?full|out of storage|5\.2\.2|4\.2\.2"),
    ("try-later", r"\[(unavailable|inuse|serverbug)\]|temporar|try again later|\[sys/temp\]"),
    ("wrong-password", r"\[authenticationfailed\]|invalid credentials|invalid login|authenti\w+ (failed|unsuccessful)"
                       r"|(username|login|user).*(password).*(not accepted|incorrect|invalid)|login failed|5\.7\.8"),
)  # fmt: skip
"""What servers say, in lower case, and the finding that it is; the first that fits counts."""


def finding_for_error(error: BaseException, protocol: Protocol, host: str, port: int) -> Finding:
    """What an error means that came up while talking to a server."""
    values = {"host": host, "port": str(port)}
    return Finding(_key(error, protocol, values), protocol, values)


def _key(error: BaseException, protocol: Protocol, values: dict[str, str]) -> str:
    if isinstance(error, ServerSaid):
        values["said"] = readable(error.said)
        return said_key(error.said, error.code, protocol)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, values)
    if isinstance(error, ssl.SSLError):
        return "dropped" if "EOF" in str(error) else "no-tls"
    if isinstance(error, socket.gaierror):
        return _name(error)
    for kind, key in (
        (Rubbish, "rubbish"),
        (Hangs, "hangs"),
        (Dropped, "dropped"),
        (NoTls, "no-tls"),
        (NoAuth, "smtp-auth-off" if protocol == "SMTP" else "oauth-needed"),
        (ConnectionRefusedError, "refused"),
        (TimeoutError, "no-answer"),
        (ConnectionError, "dropped"),
    ):
        if isinstance(error, kind):
            return key
    if isinstance(error, OSError):
        values["reason"] = error.strerror or type(error).__name__
        unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)
        return "no-link" if error.errno in unreachable and not has_default_route() else "unreachable"
    raise error


def said_key(said: str, code: int, protocol: Protocol) -> str:
    """The finding for a server's words and (SMTP) reply code."""
    lower = said.lower()
    for key, pattern in SAYINGS:
        if re.search(pattern, lower):
            return key
    if code in (535, 534):
        return "wrong-password"
    if code in (530, 538, 502, 503, 504) and protocol == "SMTP":
        return "smtp-auth-off"
    if 400 <= code < 500:
        return "try-later"
    return "says-no"


def _certificate(error: ssl.SSLCertVerificationError, values: dict[str, str]) -> str:
    """Codes are OpenSSL's X509_V_ERR_*: 9 not yet valid, 10 expired, 62 and 64 another name."""
    values["reason"] = error.verify_message
    return {9: "tls-not-yet", 10: "tls-expired", 62: "tls-name", 64: "tls-name"}.get(error.verify_code, "tls-untrusted")


def _name(error: socket.gaierror) -> str:
    if not has_default_route():
        return "no-link"
    return "no-name-service" if error.errno == socket.EAI_AGAIN else "name-unknown"


def has_default_route(proc: Path = Path("/proc/net")) -> bool:
    """Whether this machine has a way to the internet at all, by the kernel's routing tables."""
    try:
        routes = [line.split() for line in (proc / "route").read_text().splitlines()[1:]]
        if any(len(route) > 7 and route[1] == "00000000" and route[7] == "00000000" for route in routes):
            return True
        routes = [line.split() for line in (proc / "ipv6_route").read_text().splitlines()]
        return any(
            len(route) > 9 and set(route[0]) == {"0"} and route[1] == "00" and route[9] != "lo" for route in routes
        )
    except OSError:
        return True


def readable(said: str) -> str:
    """A server's words for a terminal or a page: one line, no control signs, not too long."""
    line = " ".join(said.split())
    return "".join(sign for sign in line if sign.isprintable())[:SAID_LIMIT]

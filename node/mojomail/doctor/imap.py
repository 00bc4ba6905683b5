"""A visit to an IMAP server: log in, look around, leave."""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from .. import xoauth2
from ..mailboxnames import RemoteFolder, parse_list
from ..providers import Server
from ..vault import Login
from .findings import Dropped, NoAuth, NoTls, Rubbish, ServerSaid
from .wire import Patience, Wire, visit


@dataclass(frozen=True)
class ImapSight:
    """What was seen: capabilities, folders, messages in INBOX, and whether the mailbox is full."""

    capabilities: tuple[str, ...]
    folders: tuple[RemoteFolder, ...]
    messages: int
    full: bool


class _Client(imaplib.IMAP4):
    """imaplib's client on a connection that is there already."""

    def __init__(self, wire: Wire, server: Server) -> None:
        self._wire = wire
        super().__init__(server.host, server.port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        return self._wire.socket


def look_at_imap(server: Server, login: Login, context: ssl.SSLContext, patience: Patience) -> ImapSight:
    """Log in and look around. Raises what `findings.finding_for_error` knows."""
    with visit(server, context, patience) as wire:
        client: _Client | None = None
        try:
            client = _Client(wire, server)
            if server.tls == "starttls":
                if "STARTTLS" not in client.capabilities:
                    raise NoTls
                client.starttls(context)
                wire.socket = client.sock
            _log_in(client, login)
            return _look_around(client)
        except imaplib.IMAP4.abort as error:
            raise _broken(error, client) from None
        except imaplib.IMAP4.error as error:
            raise _refused(error) from None
        except ssl.SSLError:
            raise  # a certificate that is refused is also a ValueError
        except (UnicodeError, ValueError, IndexError):
            raise Rubbish from None


def _log_in(client: _Client, login: Login) -> None:
    capabilities = {str(name).upper() for name in client.capabilities}
    if login.token:
        if "AUTH=XOAUTH2" not in capabilities:
            raise NoAuth
        answers = iter([xoauth2.response(login.user, login.secret).encode()])
        # What the server says of a bad token comes as a challenge; the answer to it is empty.
        client.authenticate("XOAUTH2", lambda _: next(answers, b""))
    elif "AUTH=PLAIN" in capabilities:
        client.authenticate("PLAIN", lambda _: f"\0{login.user}\0{login.secret}".encode())
    elif "LOGINDISABLED" not in capabilities:
        client.login(login.user, login.secret)
    else:
        raise NoAuth


def _look_around(client: _Client) -> ImapSight:
    _, told = client.capability()
    capabilities = tuple(sorted(set(_text(told).upper().split())))
    status, lines = client.list()
    folders = parse_list([line for line in lines if line]) if status == "OK" else []
    status, counted = client.select("INBOX", readonly=True)
    if status != "OK":
        raise ServerSaid(_text(counted))
    messages = int(counted[0] or 0)
    full = "QUOTA" in capabilities and _is_full(client)
    client.logout()
    return ImapSight(capabilities, tuple(folders), messages, full)


def _is_full(client: _Client) -> bool:
    try:
        status, answer = client.getquotaroot("INBOX")
    except imaplib.IMAP4.error:
        return False
    text = b" ".join(part for lines in answer for part in lines if isinstance(part, bytes))
    found = re.search(rb"STORAGE (\d+) (\d+)", text)
    return status == "OK" and found is not None and 0 < int(found[2]) <= int(found[1])


def _text(lines: Sequence[object]) -> str:
    return b" ".join(line for line in lines if isinstance(line, bytes)).decode("utf-8", "replace")


def _broken(error: Exception, client: _Client | None) -> Exception:
    """imaplib aborts when the connection ends, also after a BYE that says why, and when a reply is not IMAP."""
    text = str(error)
    farewell = client.untagged_responses.get("BYE") if client is not None else None
    if farewell:
        return ServerSaid(_text(farewell))
    if "EOF" in text or "socket error" in text:
        return Dropped()
    return Rubbish() if "unexpected response" in text or "got more than" in text else ServerSaid(text)


def _refused(error: Exception) -> Exception:
    """The words of a NO or BAD, or of a greeting that says no."""
    given = error.args[0] if error.args else b""
    text = given.decode("utf-8", "replace") if isinstance(given, bytes) else str(given)
    return Rubbish() if not text or text.startswith(("unexpected", "got more than")) else ServerSaid(text)

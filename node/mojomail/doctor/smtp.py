"""A visit to a submission server: log in, name the sender, leave without sending."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass

from .. import xoauth2
from ..providers import Server
from ..vault import Login
from .findings import Dropped, Hangs, NoAuth, NoTls, Rubbish, ServerSaid
from .wire import Patience, Wire, visit

HELLO = "[127.0.0.1]"
"""What the node calls itself: an address literal, since it has no name that others know (RFC 5321, 4.1.3)."""


@dataclass(frozen=True)
class SmtpSight:
    """What was seen: bytes of the largest message it takes (0: it does not say)."""

    largest: int


class _Client(smtplib.SMTP):
    """smtplib's client on a connection that is there already."""

    def __init__(self, wire: Wire, server: Server) -> None:
        self._wire = wire
        super().__init__(server.host, server.port, local_hostname=HELLO)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._wire.socket


def look_at_smtp(server: Server, login: Login, sender: str, context: ssl.SSLContext, patience: Patience) -> SmtpSight:
    """Log in and ask whether `sender` may send. Raises what `findings.finding_for_error` knows."""
    with visit(server, context, patience) as wire:
        try:
            client = _Client(wire, server)
            _expect(client.ehlo())
            if server.tls == "starttls":
                _start_tls(client, wire, context)
            _log_in(client, login)
            largest = client.esmtp_features.get("size", "")
            _expect(client.mail(sender))
            client.rset()
            client.docmd("QUIT")
            return SmtpSight(int(largest) if largest.isdigit() else 0)
        except smtplib.SMTPServerDisconnected as error:
            # smtplib makes one exception of a closed connection and of one that is silent.
            raise (Hangs if isinstance(error.__context__, TimeoutError) else Dropped)() from None
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from None
        except smtplib.SMTPException:
            raise NoAuth from None
        except ssl.SSLError:
            raise  # a certificate that is refused is also a ValueError
        except (UnicodeError, ValueError):
            raise Rubbish from None


def _start_tls(client: _Client, wire: Wire, context: ssl.SSLContext) -> None:
    if not client.has_extn("starttls"):
        raise NoTls
    _expect(client.starttls(context=context))
    if client.sock is not None:
        wire.socket = client.sock
    _expect(client.ehlo())


def _log_in(client: _Client, login: Login) -> None:
    offered = client.esmtp_features.get("auth", "").upper().split()
    client.user, client.password = login.user, login.secret
    if login.token:
        if "XOAUTH2" not in offered:
            raise NoAuth
        first = xoauth2.response(login.user, login.secret)
        at_once = xoauth2.fits_the_command(first)
        _expect(client.auth("XOAUTH2", lambda challenge=None: "" if challenge else first, initial_response_ok=at_once))
    elif "PLAIN" in offered:
        # smtplib's own sends ASCII only.
        _expect(client.auth("PLAIN", lambda challenge=None: f"\0{login.user}\0{login.secret}"))
    elif "LOGIN" in offered:
        _expect(client.auth("LOGIN", client.auth_login))
    else:
        raise NoAuth


def _expect(answer: tuple[int, bytes]) -> None:
    code, text = answer
    if not 200 <= code < 400:
        raise _refused(code, text)


def _refused(code: int, text: bytes | str) -> Exception:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    # smtplib makes a 500 of a line that is longer than any may be.
    return ServerSaid(said, code) if 200 <= code < 600 and said != "Line too long." else Rubbish()

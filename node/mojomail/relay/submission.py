"""One message's session with its sender's provider: TLS verified, XOAUTH2, and the provider's own replies."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from .. import xoauth2
from .replies import Failed, Reply, reply_of
from .tokens import Access

HELLO = "[127.0.0.1]"
"""What the node calls itself, as in main.cf (smtp_helo_name): an address literal (RFC 5321, 4.1.3)."""
SEND_BUFFER = 65536
"""Bytes that may be on their way unseen; at 3 kB/s the provider gets the last of them 40 s after we wrote it, and
only then does the wait for its word begin. The kernel's own would grow to minutes."""

Connect = Callable[[str, int, float], socket.socket]


@dataclass(frozen=True)
class Patience:
    """Seconds for each thing, all a little shorter than Postfix's for the same (master.cf, `oauth`), so that it hears
    why: to connect, for an answer, until we are logged in, tokens included, for the word on DATA, to take a part of the
    message, and for the word on the whole. The first recipient waits for `reach` and two answers."""

    connect: float = 90.0
    answer: float = 240.0
    reach: float = 600.0
    data: float = 240.0
    part: float = 540.0
    done: float = 1100.0


class TokenRefused(Exception):
    """The provider does not take the token; `reply` is its own."""

    def __init__(self, reply: Reply) -> None:
        super().__init__("token refused")
        self.reply = reply


def connect(host: str, port: int, limit: float) -> socket.socket:
    """A connection by the first of the host's addresses that takes one, each within `limit` seconds."""
    return socket.create_connection((host, port), limit)


class _Client(smtplib.SMTP):
    """smtplib's client over our connections, which can be cut from another thread."""

    def __init__(self, access: Access, context: ssl.SSLContext, connect: Connect, patience: Patience) -> None:
        self._tls, self._context, self._connect, self._patience = access.tls == "tls", context, connect, patience
        self._wire: socket.socket | None = None
        super().__init__(local_hostname=HELLO)
        self._host = access.host  # whom STARTTLS expects
        self.command_encoding = "utf-8"

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self._wire = made = self._connect(host, port, self._patience.connect)
        made.settimeout(self._patience.answer)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if self._tls:
            wrapped = self._context.wrap_socket(made, server_hostname=host, do_handshake_on_connect=False)
            self._wire = wrapped
            wrapped.do_handshake()
        return self._wire

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the connection when the block takes longer, whatever the provider drips meanwhile."""
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        connection = self.sock or self._wire
        if connection is not None:
            with suppress(OSError):
                # The base class's: SSLSocket.shutdown would forget TLS while another thread reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, also one whose TLS did not come about."""
        super().close()
        if self._wire is not None:
            self._wire.close()


class Submission:
    """A session that is open and logged in. Every method may raise Failed, after which only `close` is of use."""

    def __init__(self, host: str, client: _Client, patience: Patience) -> None:
        self._host, self._client, self._patience = host, client, patience
        self._midway = False

    @classmethod
    def open(
        cls, access: Access, *, context: ssl.SSLContext, connect: Connect = connect, patience: Patience | None = None
    ) -> Submission:
        """Connect and log in. Raises TokenRefused, or Failed for what may go by itself."""
        patience = patience or Patience()
        client = _Client(access, context, connect, patience)
        made = cls(access.host, client, patience)
        try:
            with client.within(patience.reach):
                made._greet(access, context)
                made._log_in(access)
        except BaseException:
            made.close()
            raise
        return made

    def _greet(self, access: Access, context: ssl.SSLContext) -> None:
        client, host = self._client, self._host
        with _told(host, "connecting"):
            self._expect(client.connect(access.host, access.port))
        with _told(host, "greeting it"):
            self._expect(client.ehlo())
            if access.tls != "tls":
                if not client.has_extn("starttls"):
                    raise Failed(451, f"4.7.4 {host} offers no TLS")
                self._expect(client.starttls(context=context))
                self._expect(client.ehlo())
        if "XOAUTH2" not in client.esmtp_features.get("auth", "").upper().split():
            raise Failed(451, f"4.7.0 {host} takes no tokens")

    def _log_in(self, access: Access) -> None:
        """XOAUTH2 as Google's and Microsoft's protocol pages have it: a refusal is a challenge that says why in JSON,
        to be answered with nothing, and then a 535. What does not fit a command's line must wait until it is asked for
        (RFC 4954, 4)."""
        first = xoauth2.response(access.user, access.token)
        at_once = xoauth2.fits_the_command(first)
        with _told(self._host, "logging in"):
            try:
                self._client.auth(
                    "XOAUTH2", lambda challenge=None: "" if challenge else first, initial_response_ok=at_once
                )
            except smtplib.SMTPAuthenticationError as error:
                reply = self._reply(error.smtp_code, error.smtp_error)
                if reply.code >= 500:
                    raise TokenRefused(reply) from None
                raise Failed(reply.code, reply.text) from None

    def mail(self, path: str, size: int | None, *, eight: bool, utf8: bool) -> Reply:
        """Name the sender; `size` is bytes, `eight` and `utf8` say what the message needs."""
        options = []
        if size is not None and self._client.has_extn("size"):
            options.append(f"SIZE={size}")
        # Nobody between can change the message, and a provider that does not take it now will not later.
        if utf8 and not self._client.has_extn("smtputf8"):
            return Reply(550, f"5.6.7 {self._host} takes only addresses and headers in Latin letters")
        if eight and not self._client.has_extn("8bitmime"):
            return Reply(550, f"5.6.3 {self._host} takes no messages of 8 bits")
        options += ["BODY=8BITMIME"] * eight + ["SMTPUTF8"] * utf8
        return self._ask("naming the sender", " ".join([f"MAIL FROM:<{path}>", *options]))

    def rcpt(self, path: str) -> Reply:
        """Name a recipient."""
        return self._ask("naming a recipient", f"RCPT TO:<{path}>")

    def data(self) -> Reply | None:
        """Ask to send the message: None when the provider is ready for it, else its reply."""
        with _told(self._host, "beginning the message"), self._client.within(self._patience.data):
            code, said = self._client.docmd("DATA")
        self._midway = code == 354
        return None if self._midway else self._reply(code, said)

    def send(self, part: bytes) -> None:
        """Pass a part of the message on, as it stands in LMTP: dots doubled, the last line a dot alone."""
        with _told(self._host, "sending the message"):
            connection = self._connection()
            connection.settimeout(self._patience.part)
            connection.sendall(part)

    def done(self) -> Reply:
        """The provider's word on the whole message, whose last line was sent."""
        with _told(self._host, "waiting for its word on the message"), self._client.within(self._patience.done):
            self._connection().settimeout(self._patience.done)
            self._midway = False
            return self._reply(*self._client.getreply())

    def close(self) -> None:
        """End the session; nobody waits for the provider's good-bye. In the middle of a message, drop it."""
        with suppress(OSError, smtplib.SMTPException):
            if not self._midway:
                self._connection().settimeout(0.0)
                self._client.putcmd("QUIT")
        self._client.close()

    def _connection(self) -> socket.socket:
        if self._client.sock is None:
            raise smtplib.SMTPServerDisconnected
        return self._client.sock

    def _ask(self, doing: str, command: str) -> Reply:
        with _told(self._host, doing):
            return self._reply(*self._client.docmd(command))

    def _reply(self, code: int, said: bytes | str) -> Reply:
        return reply_of(self._host, code, said.encode() if isinstance(said, str) else said)

    def _expect(self, answer: tuple[int, bytes]) -> None:
        reply = self._reply(*answer)
        if not reply.good:
            raise Failed(reply.code if reply.code < 500 else 451, _passing(reply.text))


def _passing(text: str) -> str:
    """A text with an enhanced code for "not now", whatever it was: nobody has looked at the mail yet."""
    return f"4{text[1:]}" if text[:2] == "5." else text


@contextmanager
def _told(host: str, doing: str) -> Iterator[None]:
    """Tell as Failed what sockets, TLS and smtplib raise while we are `doing` something with the provider."""
    try:
        yield
    except smtplib.SMTPServerDisconnected as error:
        # smtplib makes one exception of a closed connection and of one that is silent.
        raise _lost(host, doing, silent=isinstance(error.__context__, TimeoutError)) from None
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()
        reply = reply_of(host, error.smtp_code, said)
        raise Failed(reply.code if reply.code < 500 else 451, _passing(reply.text)) from None
    except smtplib.SMTPException as error:
        raise Failed(451, f"4.5.0 {host} answered something that is no answer ({type(error).__name__})") from None
    except ssl.SSLCertVerificationError as error:
        raise Failed(451, f"4.7.5 {host} does not prove that it is {host}: {error.verify_message}") from None
    except socket.gaierror:
        raise Failed(451, f"4.4.3 The address of {host} cannot be found") from None
    except TimeoutError:
        raise _lost(host, doing, silent=True) from None
    except OSError as error:
        if doing == "connecting":
            raise Failed(451, f"4.4.1 {host} cannot be reached: {error.strerror or type(error).__name__}") from None
        raise _lost(host, doing, silent=False) from None
    except ValueError as error:
        # A challenge that is no base64; a user or a token that does not go into one. The text may hold either.
        raise Failed(451, f"4.5.0 {host}: {doing} came to nothing ({type(error).__name__})") from None


def _lost(host: str, doing: str, *, silent: bool) -> Failed:
    if silent:
        return Failed(451, f"4.4.2 {host} is silent while {doing}")
    return Failed(451, f"4.4.2 Lost connection with {host} while {doing}")

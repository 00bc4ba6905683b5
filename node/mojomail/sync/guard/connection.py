"""Faults of imaplib2 and OfflineIMAP's connections: compression, certificates, log-ins, secrets in logs."""

from __future__ import annotations

import ipaddress
import re
import threading
from typing import Any

import imaplib2.imaplib2 as imaplib2
from offlineimap import imapserver
from offlineimap.error import OfflineImapError
from offlineimap.ui.UIBase import UIBase

from mojomail import xoauth2
from mojomail.sync.events import Kind, Speaker
from mojomail.sync.guard.secret import NoSecret, fetch_secret
from mojomail.sync.guard.settings import Settings

READ_SIZE = 32768
RESPONSE_CODE = re.compile(r"\[([A-Z-]+)[^\]]*\]")
"""A response code in a server's answer, RFC 3501 section 7.1 and RFC 5530."""


class Traffic:
    """Bytes on all connections of the run."""

    def __init__(self) -> None:
        self.down = 0
        self.up = 0


def guard_reading(traffic: Traffic) -> None:
    """F1: give the reader all that a piece of compressed data holds.

    imaplib2 inflates 32 kB at most and keeps the rest where its poll(2) on the socket does not see it: a reply that
    compresses well never arrives whole.
    """

    def reading(raw: Any) -> Any:
        def read(self: Any, size: int) -> bytes:
            while True:
                data: bytes = raw(self, size if self.decompressor is None else READ_SIZE)
                traffic.down += len(data)
                if self.decompressor is None or not data:
                    return data
                # A piece may hold nothing but the beginning of a block, and "nothing" means "closed" to the reader.
                if inflated := self.decompressor.decompress(data):
                    return bytes(inflated)

        return read

    def sending(original: Any) -> Any:
        def send(self: Any, data: bytes) -> None:
            traffic.up += len(data)
            original(self, data)

        return send

    imaplib2.IMAP4.read = reading(lambda self, size: self.sock.recv(size))
    imaplib2.IMAP4_SSL.read = reading(lambda self, size: self.sock.read(size))
    imaplib2.IMAP4.send = sending(imaplib2.IMAP4.send)
    imaplib2.IMAP4_SSL.send = sending(imaplib2.IMAP4_SSL.send)


def name_matches(pattern: str, host: str) -> bool:
    """Whether a name in a certificate is that of the host; `*` stands for one whole label, RFC 6125 section 6.4.3."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if pattern.startswith("*."):
        return "." in host and host.split(".", 1)[1] == pattern[2:] and pattern.count(".") > 1
    return pattern == host


def certificate_fault(certificate: dict[str, Any], host: str) -> str | None:
    """What is wrong with a verified certificate (ssl.getpeercert()) for this host; None when nothing is.

    F6: OfflineIMAP wants a commonName, which certificates need not have; where there are other names it does not
    count (RFC 6125 section 6.4.4).
    """
    if not certificate:
        return "no certificate"
    others = certificate.get("subjectAltName", ())
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        said = [value for kind, value in others if kind == "IP Address"]
        return None if any(ipaddress.ip_address(each) == address for each in said) else "another address"
    names = [value for kind, value in others if kind == "DNS"]
    if not others:
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    if any(name_matches(name, host) for name in names):
        return None
    return f"it is for {', '.join(names) or 'nobody'}"


def guard_certificates(speaker: Speaker) -> None:
    """F6: check the certificate's names as RFC 6125 has it; the chain is checked by OpenSSL."""

    def verify(self: Any, certificate: dict[str, Any], host: str) -> str | None:
        fault = certificate_fault(certificate, host)
        if fault:
            speaker.say(Kind.UNTRUSTED, text=fault)
        return f"certificate of {host}: {fault}" if fault else None

    imapserver.IMAPServer._IMAPServer__verifycert = verify


def response_code(answer: str) -> str:
    """The response code in a server's answer, or nothing."""
    found = RESPONSE_CODE.search(answer)
    return found[1] if found else ""


def mechanism_for(method: str, capabilities: tuple[str, ...]) -> str:
    """The one way to log in: a refused password is not offered a second time in another way."""
    if method == "xoauth2":
        return "XOAUTH2"
    return "PLAIN" if "AUTH=PLAIN" in capabilities else "LOGIN"


def plain_answer(user: str, secret: str) -> bytes:
    """RFC 4616."""
    return f"\0{user}\0{secret}".encode()


def guard_login(settings: Settings, speaker: Speaker) -> None:
    """Log in once, in one way, never without TLS, with what the vault hands out; and tell how it went.

    F10: OfflineIMAP's own XOAUTH2 writes the refresh token into the log when the provider refuses it.
    """

    def authenticate(self: Any, connection: Any) -> None:
        if not self.usessl:
            # OfflineIMAP's own STARTTLS looks at no certificate.
            verify = self._IMAPServer__verifycert
            connection.starttls(ca_certs=self.sslcacertfile, cert_verify_cb=verify)
        try:
            secret = fetch_secret(settings.secret_socket, settings.account)
        except NoSecret as error:
            speaker.say(Kind.NO_SECRET, text=str(error))
            raise OfflineImapError(str(error), OfflineImapError.ERROR.REPO) from None
        refusal = ""
        answers = [plain_answer(self.username, secret)]
        mechanism = mechanism_for(settings.method, connection.capabilities)
        try:
            if mechanism == "LOGIN":
                connection.login(self.username, secret)
            else:
                if mechanism == "XOAUTH2":
                    answers = [xoauth2.response(self.username, secret).encode()]
                # A second question is the provider's account of a refusal, to be answered with nothing.
                connection.authenticate(mechanism, lambda _: answers.pop() if answers else b"")
        except connection.abort:
            raise
        except connection.error as error:
            reason = error.args[0] if error.args else ""
            refusal = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            refusal = refusal.replace(secret, "***")
        if refusal:
            speaker.say(Kind.REFUSED, text=refusal, code=response_code(refusal))
            raise OfflineImapError(f"log-in refused: {refusal}", OfflineImapError.ERROR.REPO)
        speaker.say(Kind.LOGIN)

    def compress(self: Any) -> None:
        # Only after the log-in do servers tell all they can.
        kind, told = self.capability()
        if kind == "OK" and told and told[-1]:
            self.capabilities = tuple(told[-1].decode("ascii", "replace").upper().split())
        offered = "COMPRESS=DEFLATE" in self.capabilities
        if offered:
            original(self)
        speaker.say(Kind.CONNECTED, compressed=offered)

    def connecting(_: Any, __: str, host: str, port: int) -> None:
        speaker.say(Kind.CONNECTING, host=host, port=port)

    original = imaplib2.IMAP4.enable_compression
    imaplib2.IMAP4.enable_compression = compress
    imapserver.IMAPServer._IMAPServer__authn_helper = authenticate
    UIBase.connecting = connecting


def guard_reports(speaker: Speaker) -> None:
    """Tell what OfflineIMAP reports as errors; keep its collection of debug messages, with secrets in it, from being.

    F7: an error with a text for a cause makes OfflineIMAP's own end crash.
    """
    original = UIBase.error
    seen = threading.local()

    def error(self: Any, exc: Any, exc_traceback: Any = None, msg: str | None = None) -> None:
        if not isinstance(exc, BaseException):
            exc = OfflineImapError(str(exc), OfflineImapError.ERROR.MESSAGE)
        if not isinstance(exc.__cause__, BaseException | None):
            exc.__cause__ = None
        if getattr(seen, "last", None) is not exc:
            severity = getattr(exc, "severity", OfflineImapError.ERROR.CRITICAL)
            speaker.say(Kind.TROUBLE, text=str(exc), severity=severity, failure=failure_of(exc))
        seen.last = exc
        original(self, exc, None, msg)

    def debug(self: Any, debugtype: str, msg: str) -> None:
        if debugtype in self.debuglist:
            self.logger.debug("[%s]: %s", debugtype, msg)

    UIBase.error = error
    UIBase.debug = debug


def failure_of(error: BaseException) -> str:
    """The kind of a failure, by its class where that tells: `link`, `trust`, `rubbish`, `disk`, `provider` or `bug`."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if "SSLCertVerificationError" in names or any("certificate of" in str(each) for each in chain):
        return "trust"
    if any(getattr(each, "errno", None) in (28, 122, 30, 5) for each in chain if isinstance(each, OSError)):
        return "disk"  # ENOSPC, EDQUOT, EROFS, EIO
    text = " ".join(str(each) for each in chain)
    if "abort" in names or {"OSError", "TimeoutError", "EOFError"} & names:
        return "rubbish" if "unexpected" in text.lower() else "link"
    if "OfflineImapError" in names or "error" in names:
        if re.search(r"resolve name|does not answer|refused\.|socket error|no response after", text):
            return "link"
        return "provider"
    return "bug"

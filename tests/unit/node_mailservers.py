"""Tiny IMAP and SMTP servers in threads, that do as told, for the doctor to visit."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "localhost"


@dataclass(frozen=True)
class Authority:
    """A CA that vouches for servers."""

    name: str

    @property
    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this CA alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=_made(self.name)[1].public_bytes(serialization.Encoding.PEM).decode())
        return context

    def server(self, name: str = HOST, *, days: tuple[int, int] = (-2, 30)) -> ssl.SSLContext:
        """A server's context with a certificate for `name`, valid between two days from now."""
        return _server_context(self.name, name, days)


@cache
def _made(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate(name, key, name, key, (-400, 400), authority=True)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: tuple[int, int],
    *,
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    else:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


@cache
def _server_context(authority: str, name: str, days: tuple[int, int]) -> ssl.SSLContext:
    issuer_key, _ = _made(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key, authority, issuer_key, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


AUTHORITY = Authority("Far Away CA")
STRANGER = Authority("Somebody Else's CA")


class Line:
    """A connection by lines, on which TLS can begin later."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._rest = b""

    def read(self) -> bytes:
        """A line without its end; raises ConnectionError at the end of the stream."""
        while b"\n" not in self._rest:
            part = self.socket.recv(4096)
            if not part:
                raise ConnectionError
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.rstrip(b"\r")

    def write(self, *lines: str) -> None:
        self.socket.sendall("".join(line + "\r\n" for line in lines).encode())

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_side=True)


Script = Callable[[Line], None]


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on a port of its own that runs the script for each connection; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError, IndexError):
            line = Line(connection)
            if tls is not None:
                line.start_tls(tls)
            script(line)
            with suppress(OSError):
                line.socket.close()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


FOLDERS = (
    '* LIST (\\HasNoChildren) "/" INBOX',
    '* LIST (\\HasChildren \\Noselect) "/" "[Gmail]"',
    '* LIST (\\Sent) "/" "[Gmail]/Gesendet"',
    '* LIST (\\Drafts) "/" "[Gmail]/Entw&APw-rfe"',
    '* LIST (\\All) "/" "[Gmail]/Alle"',
)


@dataclass
class Imap:
    """An IMAP server's way of answering; `login` gives what follows the tag, by user and password or token."""

    login: Callable[[str, str], str] = lambda user, secret: "OK logged in"
    greeting: str = "* OK ready"
    capabilities: str = "IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 STARTTLS"
    after: str = "IMAP4rev1 UIDPLUS COMPRESS=DEFLATE QUOTA SPECIAL-USE"
    folders: tuple[str, ...] = FOLDERS
    examine: str = "OK [READ-ONLY] done"
    quota: str = "* QUOTA root (STORAGE 10 1000)"
    tls: ssl.SSLContext | None = None
    seen: list[str] = field(default_factory=list)

    def __call__(self, line: Line) -> None:
        line.write(self.greeting)
        capabilities = self.capabilities
        while True:
            words = line.read().decode().split(" ", 2)
            tag, command, rest = words[0], words[1].upper(), words[2] if len(words) > 2 else ""
            self.seen.append(command)
            if command == "CAPABILITY":
                line.write(f"* CAPABILITY {capabilities}", f"{tag} OK done")
            elif command == "STARTTLS" and self.tls is not None:
                line.write(f"{tag} OK go ahead")
                line.start_tls(self.tls)
            elif command in ("LOGIN", "AUTHENTICATE"):
                answer = self._login(line, command, rest)
                if answer.startswith("OK"):
                    capabilities = self.after
                line.write(answer if answer.startswith("*") else f"{tag} {answer}")
                if answer.startswith("* BYE"):
                    return
            elif command == "LIST":
                line.write(*self.folders, f"{tag} OK done")
            elif command == "EXAMINE":
                line.write("* 42 EXISTS", f"{tag} {self.examine}")
            elif command == "GETQUOTAROOT":
                line.write("* QUOTAROOT INBOX root", self.quota, f"{tag} OK done")
            elif command == "LOGOUT":
                line.write("* BYE", f"{tag} OK bye")
                return
            else:
                line.write(f"{tag} BAD what?")

    def _login(self, line: Line, command: str, rest: str) -> str:
        if command == "LOGIN":
            user, secret = (word.strip('"') for word in rest.split(" ", 1))
            return self.login(user, secret)
        line.write("+ ")
        given = base64.b64decode(line.read()).decode()
        if rest.upper() == "XOAUTH2":
            user = given.split("\1")[0].removeprefix("user=")
            answer = self.login(user, given.split("\1")[1].removeprefix("auth=Bearer "))
            if not answer.startswith("OK"):
                line.write("+ " + base64.b64encode(b'{"status":"400"}').decode())
                assert line.read() == b""
            return answer
        _, user, secret = given.split("\0")
        return self.login(user, secret)


@dataclass
class Smtp:
    """A submission server's way of answering; `login` gives the whole reply, by user and password or token."""

    login: Callable[[str, str], str] = lambda user, secret: "235 2.7.0 ok"
    greeting: str = "220 ready"
    features: tuple[str, ...] = ("SIZE 26214400", "AUTH PLAIN LOGIN XOAUTH2")
    mail: str = "250 2.1.0 ok"
    tls: ssl.SSLContext | None = None

    def __call__(self, line: Line) -> None:
        line.write(self.greeting)
        secure = self.tls is None
        while True:
            words = line.read().decode().split(" ")
            command = words[0].upper()
            if command == "EHLO":
                features = ("far away", *self.features) if secure else ("far away", "STARTTLS")
                line.write(*(f"250-{feature}" for feature in features), "250 8BITMIME")
            elif command == "STARTTLS" and self.tls is not None:
                line.write("220 go ahead")
                line.start_tls(self.tls)
                secure = True
            elif command == "AUTH":
                line.write(self._login(line, words))
            elif command == "MAIL":
                line.write(self.mail)
            elif command == "QUIT":
                line.write("221 bye")
                return
            else:
                line.write("250 ok")

    def _login(self, line: Line, words: list[str]) -> str:
        given = base64.b64decode(words[2]).decode()
        if words[1].upper() == "XOAUTH2":
            user, token = given.split("\1")[:2]
            answer = self.login(user.removeprefix("user="), token.removeprefix("auth=Bearer "))
            if not answer.startswith("235"):
                line.write("334 " + base64.b64encode(b'{"status":"400"}').decode())
                assert line.read() == b""
            return answer
        if words[1].upper() == "LOGIN":
            line.write("334 " + base64.b64encode(b"Password:").decode())
            return self.login(given, base64.b64decode(line.read()).decode())
        _, user, secret = given.split("\0")
        return self.login(user, secret)


def silent(line: Line) -> None:
    """Takes the connection, and waits for the other side to go."""
    with suppress(ConnectionError):
        while True:
            line.read()


def dripping(line: Line) -> None:
    """Sends a sign now and then, so that no single wait is too long, and never comes to an end."""
    never = threading.Event()
    while not never.wait(0.02):
        line.socket.sendall(b"*")


def rubbish(line: Line) -> None:
    """A web server, say."""
    line.write("HTTP/1.1 400 Bad Request", "Content-Type: text/html", "", "<h1>no</h1>")


def endless(line: Line) -> None:
    """One line without an end."""
    while True:
        line.socket.sendall(b"x" * 65536)


def gone(line: Line) -> None:
    """Ends the connection at once."""

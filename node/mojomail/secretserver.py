"""The three sockets by which the vault hands secrets out. Who asks is told by the kernel, not by what is said.

    /run/mojomail/secrets   for Postfix's smtp_sasl_password_maps = socketmap:unix:/run/mojomail/secrets:password
                            (socketmap_table(5)): requests `password <sender address>`, one netstring each, answered
                            `OK user:secret`, `NOTFOUND `, or `TEMP why`, so that mail waits while the vault is locked.
                            Passwords only: Postfix could do nothing with a token
    /run/mojomail/tokens    for mojomail-relay, which logs in by tokens: one line of JSON, {"sender": "asha@live.com"},
                            answered {"user": ..., "secret": ..., "host": ..., "port": ..., "tls": ...} or
                            {"error": ..., "kind": ...}. With "refused": true the token of before is forgotten and a
                            fresh one is fetched
    /run/mojomail/secret    for a sync run: one line of JSON, {"account": 7}, answered {"user": ..., "secret": ...,
                            "token": true|false} or {"error": ...}. The peer must be the account's owner by uid, and a
                            run for this account must be under way, in the unit that the scheduler started

Nothing that is asked or answered goes to a log.
"""

from __future__ import annotations

import json
import logging
import os
import pwd
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row

from .addresses import Address, lookup_keys, parse_address
from .catalogue import say
from .errors import InputError, MojoError
from .places import give_to
from .vault import NoSecret, Vault

LOG = logging.getLogger(__name__)

MAP = "password"
RELAY = "mojomail-relay"
"""The user and group of what speaks to providers that take tokens."""
REQUEST_LIMIT = 1000
"""Bytes of a request; a socketmap client's longest address is 254."""
IDLE = 120.0
"""Seconds that Postfix may keep a connection open without asking; it closes idle ones itself."""


class BadRequest(Exception):
    """What came is not of the protocol; the connection is closed."""


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a socket."""

    pid: int
    uid: int


def peer_of(connection: socket.socket) -> Peer:
    """Who has connected (SO_PEERCRED: at the time of the connection)."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(pid, uid)


def unit_of(pid: int) -> str:
    """The systemd unit a process runs in, or ''."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return ""
    paths = [line.partition("::")[2] for line in lines if line.startswith("0::")]
    return Path(paths[0]).name if paths else ""


class Grants:
    """The sync runs that are under way: which account may be asked for, by which uid, from which unit."""

    def __init__(self, unit_of: Callable[[int], str] = unit_of) -> None:
        self._open: dict[int, tuple[int, str | None]] = {}
        self._unit_of = unit_of

    @contextmanager
    def open(self, account: int, uid: int, unit: str | None = None) -> Iterator[None]:
        """Let the owner's run ask for the account's secret inside the block; from `unit` alone, if given."""
        self._open[account] = (uid, unit)
        try:
            yield
        finally:
            self._open.pop(account, None)

    def allows(self, account: int, peer: Peer) -> bool:
        """Whether this process may have the secret now."""
        uid, unit = self._open.get(account, (-1, None))
        return uid == peer.uid and (unit is None or self._unit_of(peer.pid) == unit)


def read_netstring(connection: socket.socket, limit: int = REQUEST_LIMIT) -> bytes | None:
    """One netstring, or None at the end of the stream. Raises BadRequest."""
    digits = b""
    while True:
        sign = connection.recv(1)
        if not sign and not digits:
            return None
        if sign == b":" and digits:
            break
        if not sign.isdigit() or len(digits) >= 6:
            raise BadRequest
        digits += sign
    length = int(digits)
    if length > limit:
        raise BadRequest
    content = b""
    while len(content) <= length:
        part = connection.recv(length + 1 - len(content))
        if not part:
            raise BadRequest
        content += part
    if content[-1:] != b",":
        raise BadRequest
    return content[:-1]


def netstring(content: bytes) -> bytes:
    """A netstring: length, colon, content, comma."""
    return b"%d:%s," % (len(content), content)


def read_line(connection: socket.socket, limit: int = REQUEST_LIMIT) -> bytes:
    """What comes up to the end of a line, of the stream or of the limit."""
    line = b""
    while not line.endswith(b"\n") and len(line) < limit:
        part = connection.recv(limit)
        if not part:
            break
        line += part
    return line


class SecretServer:
    """Serves the sockets in threads of its own, from `start()` to `stop()`."""

    def __init__(
        self,
        vault: Vault,
        grants: Grants,
        run: Path,
        *,
        postfix_uid: int | None = None,
        relay_uid: int | None = None,
        poll: float = 2.0,
    ) -> None:
        """`run` is where the sockets lie; the uids are those of the users postfix and mojomail-relay unless given.

        poll   seconds between two looks whether to stop
        """
        self._poll = poll
        self._vault = vault
        self._grants = grants
        self._postfix = _uid("postfix") if postfix_uid is None else postfix_uid
        self._relay = _uid(RELAY) if relay_uid is None else relay_uid
        self._servers: list[socketserver.ThreadingUnixStreamServer] = []
        self._run = run

    def start(self) -> None:
        """Make the sockets and begin to answer. Raises OSError when they cannot be made."""
        self._run.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._serve(self._run / "secrets", self._answer_postfix, mode=0o660, group="postfix")
        self._serve(self._run / "tokens", self._answer_relay, mode=0o660, group=RELAY)
        # Any person's run may connect; whom it is answered to is decided above.
        self._serve(self._run / "secret", self._answer_run, mode=0o666, group=None)

    def stop(self) -> None:
        """Stop answering and take the sockets away."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
            Path(str(server.server_address)).unlink(missing_ok=True)
        self._servers.clear()

    def _serve(self, path: Path, answer: Callable[[socket.socket], None], *, mode: int, group: str | None) -> None:
        path.unlink(missing_ok=True)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection: socket.socket = self.request
                connection.settimeout(IDLE)
                with suppress(OSError, BadRequest):
                    answer(connection)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                # A traceback may show what was asked for, so only its kind is told.
                LOG.exception("secret socket", exc_info=False)

        old = os.umask(0o177)
        try:
            server = Server(str(path), Handler)
        finally:
            os.umask(old)
        give_to(path, mode=mode, group=group)
        self._servers.append(server)
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": self._poll}, daemon=True, name=path.name
        ).start()

    def _answer_postfix(self, connection: socket.socket) -> None:
        if peer_of(connection).uid not in (self._postfix, 0):
            return
        while (request := read_netstring(connection)) is not None:
            name, _, key = request.partition(b" ")
            if name != MAP.encode():
                connection.sendall(netstring(b"PERM no such map"))
                continue
            connection.sendall(netstring(self._postfix_login(key)))

    def _postfix_login(self, key: bytes) -> bytes:
        """The reply for a sender's address. Postfix also asks for the destination host: that is not found."""
        try:
            address = parse_address(key.decode())
        except (InputError, UnicodeDecodeError):
            return b"NOTFOUND "
        try:
            row = self._account_of(address)
            if row is None:
                return b"NOTFOUND "
            if row["secret_kind"] == "oauth2":
                return b"TEMP this account has a token and no password"
            login = self._vault.login(row["id"], smtp=True)
        except MojoError as error:
            # Mail waits, and its owner is told by the account's state.
            return f"TEMP {error.message}"[:500].encode()
        return f"OK {login.user}:{login.secret}".encode()

    def _answer_run(self, connection: socket.socket) -> None:
        peer = peer_of(connection)
        connection.sendall(json.dumps(self._run_login(read_line(connection), peer)).encode() + b"\n")

    def _run_login(self, line: bytes, peer: Peer) -> dict[str, object]:
        try:
            number = json.loads(line)["account"]
        except (ValueError, KeyError, TypeError):
            return {"error": 'a request is one line: {"account": 7}'}
        if not isinstance(number, int) or not self._grants.allows(number, peer) or not self._owns(number, peer.uid):
            return {"error": say("vault.not-yours")}
        try:
            login = self._vault.login(number)
        except MojoError as error:
            return _failure(error)
        return {"user": login.user, "secret": login.secret, "token": login.token}

    def _answer_relay(self, connection: socket.socket) -> None:
        if peer_of(connection).uid not in (self._relay, 0):
            return
        connection.sendall(json.dumps(self._relay_login(read_line(connection))).encode() + b"\n")

    def _relay_login(self, line: bytes) -> dict[str, object]:
        """Where a sender's mail goes, and the token to log in with there."""
        try:
            asked = json.loads(line)
            address, refused = parse_address(asked["sender"]), asked.get("refused") is True
        except (ValueError, KeyError, TypeError, AttributeError, InputError):
            return {"error": 'a request is one line: {"sender": "asha@outlook.com"}', "kind": "request"}
        try:
            row = self._account_of(address)
            if row is None or row["secret_kind"] != "oauth2":
                raise NoSecret(say("vault.no-secret"))
            if refused:
                self._vault.token_refused(row["id"])
            login = self._vault.login(row["id"], smtp=True)
            if not login.token:
                raise NoSecret(say("vault.no-secret"))
        except MojoError as error:
            return _failure(error)
        server = {"host": row["smtp_host"], "port": row["smtp_port"], "tls": row["smtp_tls"]}
        return {"user": login.user, "secret": login.secret, **server}

    def _account_of(self, sender: Address) -> Row | None:
        """The account that sends from an address, also from one with an extension: a socketmap is never asked for the
        address without it (dict_sockmap.c: DICT_FLAG_PATTERN, and mail_addr_find.c: PARTIAL).
        """
        query = "SELECT id, secret_kind, smtp_host, smtp_port, smtp_tls FROM account WHERE address_ascii = ?"
        with self._vault.database() as database:
            rows = [database.row(query, key) for key in lookup_keys(sender.ascii)]
        return next((row for row in rows if row is not None), None)

    def _owns(self, number: int, uid: int) -> bool:
        with self._vault.database() as database:
            return database.row("SELECT 1 FROM account WHERE id = ? AND uid = ?", number, uid) is not None


def _failure(error: MojoError) -> dict[str, object]:
    return {"error": error.message, "kind": "no-secret" if isinstance(error, NoSecret) else type(error).__name__}


def _uid(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return 0

"""The control socket, as the daemon serves it: /run/mojomail/control, one JSON object a line each way.

    {"v": 1, "do": "sync", "person": "asha"}        -> {"v": 1, "ok": true, ...}
                                                    or {"v": 1, "ok": false, "error": ..., "hint": ..., "exit_code": 2}

Who asks is told by the kernel. Root may ask for all; a person for what is their own, as `person` or without it; the
webmail (www-data) for one named person at a time, since it has let that person in through Dovecot: it holds these
people's sessions anyway, and learns no secret and no text of a mail here.
"""

from __future__ import annotations

import json
import logging
import pwd
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .controlclient import PATIENCE, VERSION
from .errors import InputError, MojoError
from .places import give_to
from .secretserver import Peer, peer_of

LOG = logging.getLogger(__name__)
LIMIT = 65536
FIRST_PERSON, LAST_PERSON = 20001, 59999
VERBS = {
    "status": "anybody",
    "sync": "person",
    "outbox": "person",
    "hold": "person",
    "release": "person",
    "cancel": "person",
    "reload": "root",
}
"""What can be asked for, and by whom: `root` alone, for one `person`, or by `anybody`."""


@dataclass(frozen=True)
class Request:
    """What was asked for, and for whom; `uid` None means everybody."""

    verb: str
    uid: int | None
    arguments: Mapping[str, Any]


def allow(question: Mapping[str, Any], peer: Peer, uid_of: Callable[[str], int | None], webmail: int | None) -> Request:
    """The request in a question. Raises InputError when it is none, or not this peer's to make."""
    verb = str(question.get("do", ""))
    if question.get("v") != VERSION or verb not in VERBS:
        raise InputError("not a request of this version")
    login = question.get("person")
    named = uid_of(login) if isinstance(login, str) else None
    if login is not None and named is None:
        raise InputError("nobody here has that login")
    needed = VERBS[verb]
    if peer.uid == 0:
        return Request(verb, named, question)
    if needed == "root":
        raise InputError("only root may ask for that")
    if FIRST_PERSON <= peer.uid <= LAST_PERSON and named in (None, peer.uid):
        return Request(verb, peer.uid, question)
    if webmail is not None and peer.uid == webmail and named is not None:
        return Request(verb, named, question)
    if needed == "anybody":
        return Request(verb, None, {**question, "public": True})
    raise InputError("that is not yours to ask for")


def failure(error: MojoError) -> dict[str, Any]:
    """An error as an answer."""
    return {"v": VERSION, "ok": False, "error": error.message, "hint": error.hint, "exit_code": error.exit_code}


class ControlServer:
    """Serves the socket in threads of its own; each question is answered by `answer`."""

    def __init__(
        self, path: Path, uid_of: Callable[[str], int | None], answer: Callable[[Request], dict[str, Any]]
    ) -> None:
        self._path, self._uid_of, self._answer = path, uid_of, answer
        self._server: socketserver.ThreadingUnixStreamServer | None = None
        try:
            self._webmail: int | None = pwd.getpwnam("www-data").pw_uid
        except KeyError:
            self._webmail = None

    def start(self) -> None:
        """Make the socket and begin to answer."""
        self._path.unlink(missing_ok=True)
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = PATIENCE

            def handle(self) -> None:
                try:
                    while line := self.rfile.readline(LIMIT):
                        self.wfile.write(json.dumps(outer.reply(line, self.connection)).encode() + b"\n")
                except OSError:
                    return

        server = socketserver.ThreadingUnixStreamServer(str(self._path), Handler)
        server.daemon_threads = True
        give_to(self._path, mode=0o666)
        self._server = server
        threading.Thread(target=server.serve_forever, daemon=True, name="control").start()

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._path.unlink(missing_ok=True)

    def reply(self, line: bytes, connection: socket.socket) -> dict[str, Any]:
        """The answer to one line."""
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise InputError("a request is an object")
            request = allow(question, peer_of(connection), self._uid_of, self._webmail)
            return {"v": VERSION, "ok": True, **self._answer(request)}
        except (ValueError, RecursionError):
            return failure(InputError("a request is one line of JSON"))
        except MojoError as error:
            return failure(error)
        except Exception as error:
            LOG.error("control: %s", type(error).__name__)
            return failure(MojoError("mojomaild could not answer: a bug of ours"))

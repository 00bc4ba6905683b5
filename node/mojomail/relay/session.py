"""A session with Postfix's lmtp client (RFC 2033): each mail goes to its sender's provider while it comes.

The provider is visited at the first RCPT, whose reply Postfix awaits for long (master.cf). Its replies are handed on;
what was accepted is decided by its reply to the end of the message, which every recipient that it took then gets.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from .replies import Failed, Reply
from .submission import Connect, Patience, Submission, TokenRefused, connect
from .tokens import Access

LOG = logging.getLogger(__name__)
COMMAND_LIMIT = 4096
"""Bytes of a command line."""
PART = 16384
"""Bytes of the message that are handed on at once."""
PATH = re.compile(r'(?P<word>FROM|TO):\s*<(?P<path>(?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>(?P<options>(?: \S+)*)\s*', re.I)
FEATURES = ("8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE")
"""Not PIPELINING, with which Postfix would count the wait for the provider into that for something else."""


class Vault(Protocol):
    """Who knows where a sender's mail goes."""

    def access(self, sender: str, *, refused: bool = False) -> Access: ...


@dataclass(frozen=True)
class Way:
    """How providers are reached."""

    vault: Vault
    context: ssl.SSLContext
    connect: Connect = connect
    patience: Patience = field(default_factory=Patience)

    def open(self, sender: str) -> Submission:
        """A session with a sender's provider, with a fresh token if the one at hand is refused. Raises Failed."""
        end, access, reply = time.monotonic() + self.patience.reach, None, None
        for refused in (False, True):
            access = self.vault.access(sender, refused=refused)
            left = replace(self.patience, reach=max(end - time.monotonic(), 1.0))
            try:
                return Submission.open(access, context=self.context, connect=self.connect, patience=left)
            except TokenRefused as error:
                reply = error.reply
                LOG.info("%s refuses a token", access.host)
        assert access is not None and reply is not None
        raise Failed(454, f"4.7.8 Authentication failed: {access.host} said: {reply.code} {reply.text}")


@dataclass
class Mail:
    """The mail in hand: who sends it, what the provider must be able to do, and what has come of it so far."""

    sender: str
    size: int | None
    eight: bool
    utf8: bool
    submission: Submission | None = None
    refusal: Reply | None = None
    """What every further recipient is told without asking."""
    accepted: int = 0


class Session:
    """One connection from Postfix."""

    def __init__(self, connection: socket.socket, way: Way) -> None:
        self._connection, self._way = connection, way
        self._in = connection.makefile("rb")
        self._mail: Mail | None = None

    def serve(self) -> None:
        """Answer until Postfix goes."""
        try:
            self._say(Reply(220, "mojomail-relay LMTP"))
            while line := self._in.readline(COMMAND_LIMIT):
                if not line.endswith(b"\n") or not self._do(line.decode("utf-8", "replace").rstrip("\r\n")):
                    return
        except OSError:
            return
        finally:
            self._forget()
            with suppress(OSError):
                self._in.close()

    def _say(self, *replies: Reply) -> None:
        self._connection.sendall(b"".join(reply.line() for reply in replies))

    def _do(self, command: str) -> bool:
        """Do one command; False when it was the last."""
        verb, _, rest = command.partition(" ")
        verb = verb.upper()
        if verb == "LHLO":
            self._forget()
            lines = [f"250-{line}\r\n" for line in ("mojomail-relay", *FEATURES[:-1])]
            self._connection.sendall("".join([*lines, f"250 {FEATURES[-1]}\r\n"]).encode())
        elif verb == "MAIL":
            self._say(self._begin(rest))
        elif verb == "RCPT":
            self._say(self._add(rest))
        elif verb == "DATA":
            return self._take()
        elif verb == "RSET":
            self._forget()
            self._say(Reply(250, "2.0.0 done"))
        elif verb == "NOOP":
            self._say(Reply(250, "2.0.0 done"))
        elif verb == "QUIT":
            self._say(Reply(221, "2.0.0 bye"))
            return False
        else:
            self._say(Reply(500, "5.5.1 LHLO, MAIL, RCPT, DATA, RSET, NOOP and QUIT are known here"))
        return True

    def _forget(self) -> None:
        if self._mail is not None and self._mail.submission is not None:
            self._mail.submission.close()
        self._mail = None

    def _begin(self, rest: str) -> Reply:
        found = PATH.fullmatch(rest)
        if found is None or found["word"].upper() != "FROM":
            return Reply(501, "5.5.4 MAIL FROM:<address>")
        if self._mail is not None:
            return Reply(503, "5.5.1 one mail at a time")
        if not found["path"]:
            return Reply(550, "5.7.1 Mail without a sender goes to no provider")
        options = found["options"].upper().split()
        sizes = [int(one[5:]) for one in options if re.fullmatch(r"SIZE=\d{1,18}", one)]
        self._mail = Mail(
            found["path"], sizes[0] if sizes else None, eight="BODY=8BITMIME" in options, utf8="SMTPUTF8" in options
        )
        return Reply(250, "2.1.0 its provider will be asked")

    def _add(self, rest: str) -> Reply:
        found, mail = PATH.fullmatch(rest), self._mail
        if found is None or found["word"].upper() != "TO" or not found["path"]:
            return Reply(501, "5.5.4 RCPT TO:<address>")
        if mail is None:
            return Reply(503, "5.5.1 MAIL comes first")
        if mail.refusal is not None:
            return mail.refusal
        try:
            if mail.submission is None:
                mail.submission = self._way.open(mail.sender)
                reply = mail.submission.mail(mail.sender, mail.size, eight=mail.eight, utf8=mail.utf8)
                if not reply.good:
                    mail.refusal = reply
                    return reply
            reply = mail.submission.rcpt(found["path"])
        except Failed as failed:
            mail.refusal = failed.reply
            return failed.reply
        mail.accepted += reply.good
        return reply

    def _take(self) -> bool:
        """Hand the message on, and the provider's word on it back, once for each recipient (RFC 2033, 4.2)."""
        mail = self._mail
        if mail is None or mail.submission is None or not mail.accepted:
            self._say(Reply(503, "5.5.1 there is nobody to send it to"))
            return True
        # One that was taken is not sent to without those for which the session came to its end.
        refusal = mail.refusal
        if refusal is None:
            try:
                refusal = mail.submission.data()
            except Failed as failed:
                refusal = failed.reply
        if refusal is not None:
            self._forget()
            self._say(refusal if not refusal.good else Reply(451, "4.5.0 the provider did not ask for the message"))
            return True
        self._say(Reply(354, "the message, and a dot at its end"))
        reply = self._hand_on(mail.submission)
        if reply is None:
            return False
        self._forget()
        self._say(*[reply] * mail.accepted)
        return True

    def _hand_on(self, submission: Submission) -> Reply | None:
        """The message from Postfix to the provider, part by part; its word on it. None: Postfix has gone."""
        part, last, reply = b"", b"\r\n", None
        while True:
            line = self._in.readline(PART)
            if not line:
                return None
            end = line == b".\r\n" and last == b"\r\n"
            tail = (last + line)[-2:]
            if line.endswith(b"\n") and tail != b"\r\n" and reply is None:
                # To one server the end of a line, to another not: where the message ends would be in doubt.
                reply = Reply(550, "5.5.2 A line of the message ends in LF alone")
            part += line
            last = tail
            if reply is None and (end or len(part) >= PART):
                try:
                    submission.send(part)
                    part = b""
                except Failed as failed:
                    reply = failed.reply
            if reply is not None:
                part = b""
            if end:
                break
        if reply is not None:
            return reply
        try:
            return submission.done()
        except Failed as failed:
            return failed.reply

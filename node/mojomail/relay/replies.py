"""Replies of SMTP and LMTP (RFC 5321, 4.2), in one line each."""

from __future__ import annotations

import re
from dataclasses import dataclass

TEXT_LIMIT = 480
"""Bytes of a reply's text that are handed on; a reply line has 512 (RFC 5321, 4.5.3.1.5)."""
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?= |$)")


@dataclass(frozen=True)
class Reply:
    """A reply: its code, and its text with an enhanced code (RFC 3463) in front where there is one."""

    code: int
    text: str

    @property
    def good(self) -> bool:
        """Whether what was asked for is done."""
        return 200 <= self.code < 300

    def line(self) -> bytes:
        """As it is sent."""
        text = self.text.encode()[:TEXT_LIMIT].decode(errors="ignore")
        return f"{self.code} {text}\r\n".encode()


class Failed(Exception):
    """Nothing comes of it now. `reply` says why, and never that it is for good."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, text)


def reply_of(host: str, code: int, said: bytes) -> Reply:
    """What a provider's reply is handed on as.

    Several lines become one. 421 also says that the connection is closed, which is true of the provider's alone; what
    is neither yes nor no must not become either.
    """
    lines = [" ".join(line.split()) for line in said.decode("utf-8", "replace").splitlines()]
    found = ENHANCED.match(lines[0]) if lines else None
    if found:  # it stands in front of each line
        lines = [line.removeprefix(found[0]).strip() for line in lines]
        lines[0] = f"{found[0]} {lines[0]}".strip()
    text = "".join(sign if sign.isprintable() else "?" for sign in " ".join(filter(None, lines)))
    if code == 421:
        return Reply(451, text or "4.3.2 " + host + " closes the connection")
    if not 200 <= code < 600 or code // 100 == 3:
        return Reply(451, f"4.5.0 {host} answered something that is no answer")
    return Reply(code, text or ("no reason given" if code >= 400 else "done"))

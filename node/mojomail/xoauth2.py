"""XOAUTH2, the SASL mechanism by which Google and Microsoft take access tokens."""

from __future__ import annotations

COMMAND_LIMIT = 512
"""Bytes of a command line of SMTP (RFC 5321, 4.5.3.1.4)."""


def response(user: str, token: str) -> str:
    """What the client says, before Base64."""
    return f"user={user}\1auth=Bearer {token}\1\1"


def fits_the_command(said: str) -> bool:
    """Whether it may stand in SMTP's AUTH command itself; a longer one is said when it is asked for (RFC 4954, 4)."""
    return len(said) * 4 / 3 + len("AUTH XOAUTH2 ==\r\n") <= COMMAND_LIMIT

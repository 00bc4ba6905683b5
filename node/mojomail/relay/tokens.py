"""Asks the vault in mojomaild for a sender's provider and a token (secretserver.py has the protocol)."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .replies import Failed

PATIENCE = 150.0
"""Seconds for an answer; the vault may have to fetch a fresh token, which takes up to 60 over 2G, behind another."""
LIMIT = 65536
REASONS = {
    # The owner must do something, at the provider or here: the outbox knows 4.7.8.
    "Refused": (454, "4.7.8 Authentication failed"),
    "no-secret": (454, "4.7.8 Authentication failed"),
    "VaultLocked": (451, "4.3.0 The vault is locked"),
    "InputError": (451, "4.3.5 No token can be fetched"),
    "SystemFault": (451, "4.4.1 No token can be fetched"),
}
"""By the kind of error: the reply to Postfix, which the vault's own words follow."""


@dataclass(frozen=True)
class Access:
    """Where a sender's mail goes and what to log in with there. `tls`: `tls` from the first byte, or `starttls`."""

    host: str
    port: int
    tls: str
    user: str
    token: str = field(repr=False)


class Tokens:
    """The vault's socket for this program."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def access(self, sender: str, *, refused: bool = False) -> Access:
        """The way for a sender's mail; `refused`: with a fresh token, since the one of before was. Raises Failed."""
        answer = self._ask({"sender": sender, "refused": refused})
        if "error" in answer:
            code, text = REASONS.get(str(answer.get("kind")), (451, "4.3.0 The vault does not help"))
            raise Failed(code, f"{text}: {answer['error']}")
        try:
            return Access(
                host=str(answer["host"]),
                port=int(answer["port"]),
                tls=str(answer["tls"]),
                user=str(answer["user"]),
                token=str(answer["secret"]),
            )
        except (KeyError, ValueError, TypeError):
            raise Failed(451, "4.3.0 The vault answered something that is no answer") from None

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as vault:
                vault.settimeout(PATIENCE)
                vault.connect(str(self._path))
                vault.sendall(json.dumps(question).encode() + b"\n")
                with vault.makefile("rb") as answers:
                    answer = json.loads(answers.readline(LIMIT))
        except (OSError, ValueError):
            raise Failed(451, "4.3.0 The vault does not answer") from None
        return answer if isinstance(answer, dict) else {}

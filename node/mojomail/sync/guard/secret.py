"""Ask the vault for the secret of the one account that this run is for."""

from __future__ import annotations

import json
import socket

ANSWER_LIMIT = 65536
PATIENCE = 90.0
"""Seconds: the vault may have to fetch a fresh access token over a slow link first."""


class NoSecret(Exception):
    """The vault hands out nothing; the message says why and holds no secret."""


def fetch_secret(path: str, account: str) -> str:
    """The password, or the access token, of an account; the vault knows from the socket who asks.

    Raises NoSecret.
    """
    question = json.dumps({"account": int(account) if account.isdigit() else account}).encode() + b"\n"
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as vault:
            vault.settimeout(PATIENCE)
            vault.connect(path)
            vault.sendall(question)
            while not answer.endswith(b"\n") and len(answer) < ANSWER_LIMIT:
                part = vault.recv(4096)
                if not part:
                    break
                answer += part
        found = json.loads(answer)
        secret = found.get("secret") or found.get("token")
    except (OSError, ValueError, AttributeError) as error:
        raise NoSecret(f"the vault does not answer: {type(error).__name__}") from None
    if not isinstance(secret, str) or not secret:
        raise NoSecret(str(found.get("error", "the vault has no secret for this account")))
    return secret

"""Secrets on their way through the journal: sealed with the node's own key, as systemd's credentials are.

The key lies on the same card, so this protects copies and backups of the journal, not a stolen card.
"""

from __future__ import annotations

from typing import Protocol

from .process import Runner, demand, run

SECRET_NAMES = frozenset(("password", "passphrase", "pin", "hash"))
"""The last part of the path of every answer that is a secret."""


def is_secret(path: str) -> bool:
    """Whether the answer at a path is a secret."""
    return path.rpartition(".")[2] in SECRET_NAMES


class Seal(Protocol):
    """Seals and opens short texts. `name` is bound into the seal: one answer cannot be put in the place of another."""

    def close(self, name: str, text: str) -> str: ...

    def open(self, name: str, sealed: str) -> str: ...


class CredentialSeal:
    """systemd-creds(1) with the host's key. Secrets go by standard input and output."""

    def __init__(self, runner: Runner = run) -> None:
        self._run = runner

    def close(self, name: str, text: str) -> str:
        """Raises SystemFault when systemd cannot."""
        return "".join(demand(self._run, *_words("encrypt", name), stdin=text).split())

    def open(self, name: str, sealed: str) -> str:
        """Raises SystemFault when it was not sealed on this node under this name."""
        return demand(self._run, *_words("decrypt", name), stdin=sealed)


def _words(verb: str, name: str) -> list[str]:
    key = ["--with-key=host"] if verb == "encrypt" else []
    return ["systemd-creds", verb, *key, f"--name=mojomail.{name}", "-", "-"]

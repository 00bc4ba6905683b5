"""The mail office's own knowledge and commands, where they are installed: providers, people, accounts.

People and accounts are made through the `mojomail` command, as an operator makes them; secrets go by standard input.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

from .errors import SystemFault
from .process import Runner, demand, run
from .surroundings import KnownAccount, Provider
from .texts import FIRST

COMMAND = "mojomail"
NO_LINK = "no-link"
"""The finding of a test when there is no link."""
LIMIT = 300.0
"""Seconds that the command may take: it is Python, and a node that has just started has other things to do."""


def provider_of(address: str, language: str) -> Provider | None:
    """What is known of an address's provider; None for an unknown one, or where the mail office is not installed."""
    try:
        providers = importlib.import_module("mojomail.providers")
        catalogue = importlib.import_module("mojomail.catalogue")
    except ImportError:
        return None
    found = providers.provider_for_domain(address.rpartition("@")[2].lower())
    if found is None:
        return None
    with catalogue.speaking(language):
        return Provider(found.name, "oauth2" if found.secrets[0] == "oauth2" else "password", found.how_to())


def spoken(language: str) -> str:
    """The language in which the mail office speaks to somebody who reads `language`: it has fewer than the screens."""
    try:
        return str(importlib.import_module("mojomail.catalogue").spoken(language))
    except ImportError:
        return FIRST


@dataclass(frozen=True)
class Verdict:
    """What became of trying an account: ok, wait (no link), or trouble with the reason in plain words."""

    finding: str
    reason: str = ""


class Office:
    """The `mojomail` command."""

    def __init__(self, runner: Runner = run) -> None:
        self._run = runner

    def prepare(self) -> None:
        """Let the database take the node's name, and finish what a power cut has left."""
        self._demand("database", "prepare")

    def people(self) -> dict[str, str]:
        """Everybody's name, by login. Raises SystemFault."""
        listed = self._list("person", "list", "--json")
        return {str(one["login"]): str(one.get("name") or one["login"]) for one in listed}

    def add_person(self, login: str, name: str, language: str, password: str) -> None:
        """Make a person, who can log in at once. Raises SystemFault."""
        words = ("person", "add", login, "--name", name, "--language", spoken(language), "--password-fd", "0")
        self._demand(*words, stdin=f"{password}\n")

    def accounts(self) -> list[KnownAccount]:
        """Everybody's accounts. Raises SystemFault."""
        return [
            KnownAccount(
                address=str(one["address"]),
                login=str(one["login"]),
                by_token=one.get("secret_kind") == "oauth2",
                complete=bool(one.get("has_secret", True)),
            )
            for one in self._list("account", "list", "--json")
        ]

    def add_account(self, login: str, address: str, imap: str, smtp: str, secret: str) -> None:
        """Give a person an address; `imap` and `smtp` are "" for a known provider, the secret may come later."""
        words = ["account", "add", login, address, "--no-test"]
        words += ["--imap", server(imap, 993, 143)] if imap else []
        words += ["--smtp", server(smtp, 465, 587)] if smtp else []
        words += ["--secret-fd", "0"] if secret else ["--no-secret"]
        self._demand(*words, stdin=f"{secret}\n" if secret else "")

    def change_person(self, login: str, name: str, language: str, password: str) -> None:
        """Bring a person up to date. Raises SystemFault."""
        self._demand("person", "set", login, "--name", name, "--language", spoken(language))
        self._demand("person", "passwd", login, "--password-fd", "0", stdin=f"{password}\n")

    def change_account(self, address: str, imap: str, smtp: str, secret: str) -> None:
        """Bring an account up to date, as far as servers and a secret are given. Raises SystemFault."""
        words = ["--imap", server(imap, 993, 143)] if imap else []
        words += ["--smtp", server(smtp, 465, 587)] if smtp else []
        if words:
            self._demand("account", "set", address, *words)
        if secret:
            self._demand("account", "passwd", address, "--no-test", "--secret-fd", "0", stdin=f"{secret}\n")

    def remove_person(self, login: str) -> None:
        """Remove a person with accounts; mail that has arrived stays on the card. Raises SystemFault."""
        self._demand("person", "remove", login, "--yes")

    def remove_account(self, address: str) -> None:
        """Remove an account; mail that was fetched stays with the person. Raises SystemFault."""
        self._demand("account", "remove", address, "--yes")

    def try_account(self, address: str, language: str) -> Verdict:
        """Log in to an account's servers for real, which takes some time; reasons come in the given language."""
        done = self._run(COMMAND, "account", "test", address, "--json", limit=LIMIT, language=language)
        try:
            told = json.loads(done.output)[0]
            for part in (told["imap"], told["smtp"]):
                if part["finding"] != "ok":
                    # The advice that comes with it stands on the screen that asks for the password again.
                    return Verdict("wait" if part["finding"] == NO_LINK else "trouble", str(part["text"]))
        except (ValueError, LookupError, TypeError, AttributeError):
            return Verdict("trouble", done.said.splitlines()[0] if done.said else f"mojomail: {done.code}")
        return Verdict("ok")

    def remove_everybody(self) -> None:
        """Remove every person with all mail, also what waits to be sent, for ever."""
        for one in self._list("person", "list", "--json"):
            self._demand("person", "remove", str(one["login"]), "--erase", "--cancel-waiting", "--yes")

    def _demand(self, *words: str, stdin: str = "") -> str:
        return demand(self._run, COMMAND, *words, stdin=stdin, limit=LIMIT)

    def _list(self, *words: str) -> list[dict[str, Any]]:
        try:
            listed = json.loads(self._demand(*words))
        except ValueError:
            listed = None
        if not isinstance(listed, list):
            raise SystemFault(f"mojomail {' '.join(words)} did not answer with a list")
        return listed


def server(text: str, usual: int, starttls: int) -> str:
    """A server as the command takes it, "HOST PORT TLS", from "host" or "host:port"."""
    host, _, port = text.partition(":")
    number = int(port or usual)
    return f"{host} {number} {'starttls' if number == starttls else 'tls'}"

"""The mail office's own knowledge and commands, where they are installed: providers, people, accounts.

People and accounts are made through the `mojomail` command, as an operator makes them; secrets go by standard input.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

from .errors import SystemFault
from .process import Done, Runner, demand, run
from .surroundings import Provider

COMMAND = "mojomail"
ANSWERED_NO = 2
"""Exit code of the command when what was asked for cannot be: nobody with that login, an address that is none."""


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


@dataclass(frozen=True)
class Verdict:
    """What became of trying an account: ok, wait (no link), password, server, or other with the reason in words."""

    finding: str
    reason: str = ""


class Office:
    """The `mojomail` command."""

    def __init__(self, runner: Runner = run) -> None:
        self._run = runner

    def _call(self, *words: str, stdin: str = "", limit: float = 60.0) -> Done:
        return self._run(COMMAND, *words, stdin=stdin, limit=limit)

    def has_person(self, login: str) -> bool:
        """Whether there is a person with this login. Raises SystemFault when the command does not work."""
        done = self._call("person", "show", login, "--json")
        if done.code not in (0, ANSWERED_NO):
            raise SystemFault(f"mojomail person show failed with exit code {done.code}: {done.said}")
        return done.code == 0

    def add_person(self, login: str, name: str, language: str, password: str) -> None:
        """Make a person; the password may be used at once. Raises SystemFault."""
        demand(
            self._run,
            *(COMMAND, "person", "add", login, "--name", name, "--language", language, "--password-stdin"),
            stdin=password + "\n",
        )

    def has_account(self, login: str, address: str) -> bool:
        """Whether a person has this address."""
        return address.lower() in {item.lower() for item in self._addresses(login)}

    def _addresses(self, login: str) -> list[str]:
        listed = self._json("account", "list", login, "--json")
        found = listed if isinstance(listed, list) else listed.get("accounts", [])
        return [str(item["address"]) for item in found]

    def _json(self, *words: str) -> Any:
        output = demand(self._run, COMMAND, *words)
        try:
            return json.loads(output)
        except ValueError:
            raise SystemFault(f"mojomail {' '.join(words)} did not answer in JSON") from None

    def add_account(self, login: str, address: str, imap: str, smtp: str, secret: str) -> None:
        """Give a person an address; `imap` and `smtp` are "" for a known provider, the secret may come later."""
        words = [COMMAND, "account", "add", login, address]
        words += ["--imap", imap] if imap else []
        words += ["--smtp", smtp] if smtp else []
        words += ["--password-stdin"] if secret else ["--no-password"]
        demand(self._run, *words, stdin=secret + "\n" if secret else "")

    def try_account(self, address: str, language: str) -> Verdict:
        """Log in to an account's servers for real, two minutes at most."""
        done = self._call("account", "test", address, "--json", "--language", language, limit=120.0)
        try:
            told = json.loads(done.output)
            told = told[0] if isinstance(told, list) else told
            finding, reason = str(told.get("finding", "")), str(told.get("message", ""))
        except (ValueError, AttributeError, IndexError):
            return Verdict("other", done.said.splitlines()[0] if done.said else f"mojomail: {done.code}")
        known = ("ok", "wait", "password", "server")
        return Verdict(finding if finding in known else "other", reason)

    def remove_everybody(self) -> None:
        """Remove every person with all mail, for ever."""
        listed = self._json("person", "list", "--json")
        for item in listed if isinstance(listed, list) else listed.get("people", []):
            demand(self._run, COMMAND, "person", "remove", str(item["login"]), "--erase", "--yes")

    def name_node(self, name: str) -> None:
        """Tell the office what the node is called: its pseudo-domain follows."""
        demand(self._run, COMMAND, "setting", "set", "node", name)

"""What commands work with: the database, the vault, and the person at the terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..catalogue import say
from ..errors import InputError, MojoError
from ..places import Places

if TYPE_CHECKING:
    from ..database import Database
    from ..vault import Vault

SECRET_LIMIT = 8192
"""Bytes read from standard input or a file descriptor."""


@dataclass(frozen=True)
class Result:
    """What a command says: `text` for people, `data` for programs."""

    text: str = ""
    data: Any = field(default_factory=dict)
    exit_code: int = 0


class Context:
    """Opens the database and the vault when a command first wants them."""

    def __init__(self, places: Places, *, json: bool) -> None:
        self.places = places
        self.json = json
        self._database: Database | None = None
        self._vault: Vault | None = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        if self._database is not None:
            self._database.close()

    @property
    def database(self) -> Database:
        """The database. Raises InputError without the right to it."""
        if self._database is None:
            from ..database import Database

            self._database = Database.open(self.places)
        return self._database

    def announce(self) -> None:
        """Tell the daemon at once of what was changed; without this, or while it is not there, it looks by itself."""
        if self._database is not None and self._database.changed:
            from ..controlclient import ask

            with suppress(MojoError):
                ask(self.places.run / "control", "reload")

    @property
    def vault(self) -> Vault:
        """The vault. Raises VaultLocked."""
        if self._vault is None:
            from ..vault import Vault

            self._vault = Vault.open(self.places)
        return self._vault

    def tell(self, text: str) -> None:
        """Say something while the command goes on; on standard error, so that --json stays clean."""
        print(text, file=sys.stderr)

    def confirm(self, question: str, word: str, *, yes: bool) -> None:
        """Let the person type `word` to go on. Raises InputError when something else comes, or nobody is there."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise InputError(say("ask.nobody"), hint=say("hint.yes"))
        print(f"{question} {say('ask.type-word', word=word)} ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != word:
            raise InputError(say("ask.not-confirmed"))

    def ask_secret(self, prompt: str, *, descriptor: int | None, twice: bool = False) -> str:
        """A secret: from a file descriptor, else typed unseen at a terminal, else one line of standard input.

        Raises InputError when there is none, or the two typed ones differ.
        """
        if descriptor is not None:
            return _first_line(_read(descriptor))
        if not sys.stdin.isatty():
            return _first_line(_read(sys.stdin.fileno()))
        from getpass import getpass

        typed = getpass(f"{prompt}: ")
        if twice and getpass(f"{say('ask.again')}: ") != typed:
            raise InputError(say("password.differ"))
        return typed


def _read(descriptor: int) -> bytes:
    content = b""
    try:
        while len(content) < SECRET_LIMIT and b"\n" not in content:
            part = os.read(descriptor, SECRET_LIMIT)
            if not part:
                break
            content += part
    except OSError as error:
        raise InputError(say("ask.descriptor", descriptor=descriptor, reason=error.strerror)) from None
    return content


def _first_line(content: bytes) -> str:
    try:
        line = content.partition(b"\n")[0].decode().rstrip("\r")
    except UnicodeDecodeError:
        raise InputError(say("ask.not-utf8")) from None
    if not line:
        raise InputError(say("ask.empty"))
    return line


Run = Callable[[Context, argparse.Namespace], Result]
Commands = Any
"""What argparse's add_subparsers() returns, which has no public name."""


def group(commands: Commands, name: str, help_text: str, description: str) -> Commands:
    """A word that several commands stand behind, such as `person`."""
    formatter = argparse.RawDescriptionHelpFormatter
    sub = commands.add_parser(name, help=help_text, description=description, formatter_class=formatter)
    return sub.add_subparsers(title="commands", dest=f"{name}_command", metavar="COMMAND", required=True)


def command(commands: Commands, name: str, run: Run, help_text: str, description: str) -> argparse.ArgumentParser:
    """A command; every one takes --json. What stands behind `example:` in its description is shown as it is."""
    sub: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sub.add_argument("--json", action="store_true", help="give the result as JSON")
    sub.set_defaults(run=run)
    return sub


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, as wide as they need to be."""
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def wrapped(text: str, indent: str = "  ") -> str:
    """A paragraph for a terminal; addresses of pages stay whole."""
    import textwrap

    return textwrap.fill(
        text, 100, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )

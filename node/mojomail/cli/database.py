"""`mojomail database`: what units run before others, and what an operator looks at after a fright."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from ..catalogue import say
from ..database import FILES
from ..people import finish_erasures, make_homes
from .context import Commands, Context, Result, command, group


def add_to(commands: Commands) -> None:
    """Add the commands of `database` to the grammar."""
    sub = group(commands, "database", "the database", "Prepares and checks the database.")
    command(
        sub,
        "prepare",
        _prepare,
        "make it ready for Postfix and Dovecot",
        "Makes the database or brings it up to date, takes the node's name from the host name, and finishes what a\n"
        "power cut left half-done. Runs before Postfix, Dovecot and the daemon.\n\n  mojomail database prepare",
    )
    command(
        sub, "check", _check, "look for damage", "Reads every page of every file.\n\n  mojomail database check --json"
    )
    one = command(
        sub,
        "backup",
        _backup,
        "write people, accounts and logins to a file",
        "Providers' passwords are in it only with --secrets, under a passphrase that is asked for.\n"
        "Mail is no part of it.\n\n  mojomail database backup /media/stick/mojomail.backup --secrets",
    )
    one.add_argument("file", metavar="FILE", type=Path, help="where to write it")
    one.add_argument("--secrets", action="store_true", help="with providers' passwords, under a passphrase")
    one.add_argument("--passphrase-fd", type=int, metavar="N", help="read the passphrase from this file descriptor")
    one = command(
        sub,
        "restore",
        _restore,
        "take a backup back on a node that has nobody yet",
        "All of it or nothing. Asks for the passphrase if there are providers' passwords in it.\n\n"
        "  mojomail database restore /media/stick/mojomail.backup",
    )
    one.add_argument("file", metavar="FILE", type=Path, help="the backup")
    one.add_argument("--passphrase-fd", type=int, metavar="N", help="read the passphrase from this file descriptor")
    one.add_argument("--no-secrets", action="store_true", help="leave providers' passwords out")


def _prepare(context: Context, _: argparse.Namespace) -> Result:
    node = socket.gethostname().partition(".")[0].lower()
    with context.database.change():
        context.database.set("node", node)
    make_homes(context.database)
    finish_erasures(context.database)
    return Result("", {"node": node, "files": [f"{file.name}.db" for file in FILES]})


def _check(context: Context, _: argparse.Namespace) -> Result:
    found = context.database.check()
    text = "\n".join(found) if found else say("database.fine")
    return Result(text, {"damage": found}, 3 if found else 0)


def _backup(context: Context, options: argparse.Namespace) -> Result:
    from ..backup import write_backup

    vault = context.vault if options.secrets else None
    passphrase = ""
    if options.secrets:
        passphrase = context.ask_secret(say("ask.passphrase"), descriptor=options.passphrase_fd, twice=True)
    count = write_backup(context.database, options.file, vault, passphrase)
    key = "backup.written-with-secrets" if options.secrets else "backup.written"
    return Result(say(key, file=options.file, count=count), {"file": str(options.file), "secrets": count})


def _restore(context: Context, options: argparse.Namespace) -> Result:
    from ..backup import has_secrets, restore_backup

    wanted = has_secrets(options.file) and not options.no_secrets
    vault = context.vault if wanted else None
    passphrase = context.ask_secret(say("ask.passphrase"), descriptor=options.passphrase_fd) if wanted else ""
    people, secrets = restore_backup(context.database, options.file, vault, passphrase)
    return Result(say("backup.restored", people=people, secrets=secrets), {"people": people, "secrets": secrets})

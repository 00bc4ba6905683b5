"""`mojomail database`: what units run before others, and what an operator looks at after a fright."""

from __future__ import annotations

import argparse
import socket

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

"""`mojomail vault`: the key that providers' passwords are encrypted with."""

from __future__ import annotations

import argparse

from ..catalogue import say
from ..process import find_program, run
from .context import Commands, Context, Result, command, group


def add_to(commands: Commands) -> None:
    """Add the commands of `vault` to the grammar."""
    sub = group(commands, "vault", "the key of the vault", "Makes and changes the key of the vault.")
    command(
        sub,
        "init",
        _init,
        "make the key, once",
        "Makes the key on the first boot; does nothing when there is one.\n\n  mojomail vault init",
    )
    command(
        sub,
        "rotate",
        _rotate,
        "change the key",
        "Encrypts all passwords with a new key and restarts the daemon, which holds the old one.\n\n"
        "  mojomail vault rotate",
    )


def _init(context: Context, _: argparse.Namespace) -> Result:
    from ..vault import make_vault

    made = make_vault(context.places)
    return Result(say("vault.made" if made else "vault.there"), {"made": made})


def _rotate(context: Context, _: argparse.Namespace) -> Result:
    from ..vault import rotate

    count = rotate(context.database)
    if find_program("systemctl") is not None:
        run("systemctl", "try-restart", "mojomaild.service", ok=tuple(range(256)))
    return Result(say("vault.rotated", count=count), {"secrets": count})

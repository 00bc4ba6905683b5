"""The command `mojomail`: reads the command line, runs one command, says what came of it, and ends with a code."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..catalogue import speaking
from ..errors import MojoError, ProblemsError
from ..places import Places
from .context import Context, Result

GROUPS = {
    "people": ("person",),
    "accounts": ("account",),
    "office": ("status", "link", "sync", "outbox"),
    "vault": ("vault",),
    "database": ("database",),
    "completion": ("completion",),
}
"""Modules of commands, and the words that these begin with; a module is listed here and nowhere else.

Importing takes most of a command's time on a small Pi, so a command line that begins with such a word brings in the
module it needs alone, and what only some commands of a module need is imported where they need it.
"""

DESCRIPTION = """\
Keeps the people of this village, their mail accounts and all that belongs to them.

  mojomail person add asha --name "Asha Devi"        a person with a mailbox of her own
  mojomail account add asha asha@gmail.com           her address at Gmail; asks for the app password
  mojomail account test asha@gmail.com               logs in for real, and says what is wrong
"""
EPILOG = """\
Passwords are asked for, or read from standard input, never given as an argument.
--json behind any command gives its result for programs.
Exit codes: 0 done, 2 your input needs a change, 3 the far side or this machine failed, 1 a bug of ours.
Completion for your shell:  source <(mojomail completion)
"""


def parser(word: str | None = None) -> argparse.ArgumentParser:
    """The command line's grammar: all of it, or what matters for one that begins with `word`.

    Help texts are meant to be read.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="mojomail", description=DESCRIPTION, epilog=EPILOG, formatter_class=formatter)
    top.add_argument("--version", action="version", version=f"MojoMail {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in [name for name, words in GROUPS.items() if word in words] or GROUPS:
        import_module(f".{module}", __package__).add_to(commands)
    return top


def main(arguments: Sequence[str] | None = None, *, places: Places | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(given[0] if given else None).parse_args(given)
    language = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or "en"
    as_json = bool(getattr(options, "json", False))
    with speaking(language), Context(places or Places(), json=as_json) as context:
        return guarded(context, options)


def guarded(context: Context, options: argparse.Namespace) -> int:
    """Run the command; turn its errors into messages for the person who can mend them, and an exit code."""
    try:
        result: Result = options.run(context, options)
        context.announce()
        if context.json:
            print(json.dumps(result.data, ensure_ascii=False, indent=2))
        elif result.text:
            print(result.text)
        sys.stdout.flush()
        return result.exit_code
    except MojoError as error:
        if context.json:
            print(json.dumps(error_data(error), ensure_ascii=False, indent=2))
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; nothing was changed that was not said", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        import traceback

        # The values in frames may be secrets: only places and the kind of the error are shown.
        frames = "".join(traceback.format_tb(error.__traceback__))
        print(f"{frames}{type(error).__name__}", file=sys.stderr)
        print(f"\nThis is a bug in mojomail {__version__}. Please report it with the lines above.", file=sys.stderr)
        return 1


def error_data(error: MojoError) -> dict[str, object]:
    """An error for --json."""
    data: dict[str, object] = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
    if isinstance(error, ProblemsError):
        data["problems"] = [vars(problem) for problem in error.problems]
    return data

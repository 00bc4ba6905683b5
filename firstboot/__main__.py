"""`python3 -m firstboot setup|later|state|clean|check`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import SetupError, SystemFault
from .readiness import COMING, notify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the programs; returns its exit code."""
    notify(COMING)
    top = argparse.ArgumentParser(prog="firstboot", description="Sets a node up, and shows how it is afterwards.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    setup = commands.add_parser("setup", help="ask what the node needs to know, and set it up")
    setup.add_argument("--text", action="store_true", help="in plain text, on standard input and output")
    commands.add_parser("later", help="the keeper's menu, after the set-up")
    commands.add_parser("state", help="show the node's state on the TV")
    commands.add_parser("clean", help="take the passwords of the set-up off the card, where that failed before")
    check = commands.add_parser("check", help="check a preset file, and change nothing")
    check.add_argument("file", type=Path, help="the file, such as /boot/firmware/mojomail.yaml")
    options = top.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return _run(options)
    except SetupError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    if options.command == "state":
        from .watching import run_state

        return run_state()
    if options.command == "clean":
        from .cleaning import leave_clean

        return 0 if leave_clean(Path("/")) else SystemFault.exit_code
    from . import service
    from .preset import read_file
    from .surroundings import Surroundings

    if options.command == "setup":
        return service.run_setup(text=options.text)
    if options.command == "later":
        return service.run_later()
    read_file(options.file, Surroundings())
    print(f"{options.file}: in order")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Completion for bash, made from the command line's own grammar."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from .context import Commands, Context, Result

LOGINS = '$(mojomail person list --json 2>/dev/null | sed -n \'s/^    "login": "\\(.*\\)",$/\\1/p\')'
ADDRESSES = '$(mojomail account list --json 2>/dev/null | sed -n \'s/^    "address": "\\(.*\\)",$/\\1/p\')'
WORDS = {"LOGIN": LOGINS, "ADDRESS": ADDRESSES}


def add_to(commands: Commands) -> None:
    """Add `completion` to the grammar."""
    one = commands.add_parser(
        "completion",
        help="print the completion script for bash",
        description="For bash:  source <(mojomail completion)",
    )
    one.set_defaults(run=_completion)


def _completion(_: Context, __: argparse.Namespace) -> Result:
    from . import parser

    return Result(script(parser()))


def script(grammar: argparse.ArgumentParser) -> str:
    """A bash completion script for the grammar."""
    return "\n".join(
        [
            "# bash completion for mojomail:  source <(mojomail completion)",
            "# An address is one word, also with its @.",
            "COMP_WORDBREAKS=${COMP_WORDBREAKS//@}",
            "_mojomail() {",
            '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words="" path="" one',
            '    for one in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do [[ $one == -* ]] || path+=" $one"; done',
            "    case $before in",
            *(f'    {option}) words="{" ".join(choices)}" ;;' for option, choices in _choices(grammar)),
            "    *)",
            '        case "${path# } " in',
            *(f'        {_pattern(path, leaf)}) words="{words}" ;;' for path, words, leaf in _levels(grammar)),
            "        esac",
            "    esac",
            '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")',
            "}",
            "complete -o default -F _mojomail mojomail",
        ]
    )


def _pattern(path: str, leaf: bool) -> str:
    """A shell pattern for the words typed so far; a command's own arguments follow its name, a group's do not."""
    return f"'{path} '{'*' if leaf else ''}"


def _subcommands(grammar: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in grammar._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _levels(grammar: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, str, bool]]:
    """Each path of words, deepest first, with what may follow it, and whether it is a command of its own."""
    children = _subcommands(grammar)
    for name, child in children.items():
        yield from _levels(child, f"{path} {name}".strip())
    options = [flag for action in grammar._actions for flag in action.option_strings if flag.startswith("--")]
    if children:
        yield path, " ".join(["--help", *(flag for flag in options if flag != "--help"), *children]), False
    else:
        arguments = [WORDS.get(str(action.metavar), "") for action in grammar._actions if not action.option_strings]
        yield path, " ".join([*filter(None, arguments), *options]), True


def _choices(grammar: argparse.ArgumentParser) -> list[tuple[str, list[str]]]:
    """Options that take one of a few words, and these words."""
    found: dict[str, list[str]] = {}
    stack = [grammar]
    while stack:
        one = stack.pop()
        stack += _subcommands(one).values()
        for action in one._actions:
            if action.option_strings and action.choices:
                found.setdefault(action.option_strings[0], [str(choice) for choice in action.choices])
    return sorted(found.items())

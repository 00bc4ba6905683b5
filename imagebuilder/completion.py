"""Shell completion, made from the command line's own grammar."""

from __future__ import annotations

import argparse


def script() -> str:
    """A bash completion script for build.py."""
    from .cli import parser

    top = parser()
    cases = []
    names = []
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                names.append(name)
                flags = [flag for one in sub._actions for flag in one.option_strings if flag.startswith("--")]
                takes_profile = any(one.dest == "profile" for one in sub._actions)
                cases.append(_case(name, flags, takes_profile))
    return "\n".join(
        [
            "# bash completion for build.py:  source <(./build.py completion)",
            "_mojomail_build() {",
            '    local word=${COMP_WORDS[COMP_CWORD]} root; root=$(dirname "${COMP_WORDS[0]}")',
            '    if [ "$COMP_CWORD" -eq 1 ]; then',
            f'        mapfile -t COMPREPLY < <(compgen -W "{" ".join(names)} --help --version" -- "$word")',
            "        return",
            "    fi",
            "    case ${COMP_WORDS[1]} in",
            *cases,
            "    esac",
            "}",
            "complete -o default -F _mojomail_build build.py ./build.py",
        ]
    )


def _case(name: str, flags: list[str], takes_profile: bool) -> str:
    lines = [
        f"    {name})",
        "        if [[ $word == -* ]]; then",
        f'            mapfile -t COMPREPLY < <(compgen -W "{" ".join(flags)}" -- "$word")',
    ]
    if takes_profile:
        lines += [
            "        else",
            '            mapfile -t COMPREPLY < <(cd "$root/profiles" 2>/dev/null &&'
            " compgen -W \"$(printf '%s\\n' *.yaml | sed 's/\\.yaml$//')\" -- \"$word\")",
        ]
    lines += ["        fi", "        ;;"]
    return "\n".join(lines)

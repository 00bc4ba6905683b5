"""Writes docs/profiles.md from the table of settings: `python -m imagebuilder.profiledocs > docs/profiles.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from .scriptvariables import PI_GEN_DEFAULTS
from .settings import Kind, Setting, sections, table

EXAMPLE = """\
# profiles/school.yaml: an image with a stage of its own, a few tools and a key to log in with
description: The mail office of the school
stages:
  - base                       # stages/base
  - ./school-stage             # the directory profiles/school-stage
packages: [tcpdump, vim-tiny]
system:
  hostname: school
  locale: hi_IN.UTF-8
ssh:
  enabled: yes
  authorized_keys:
    - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1kOIiB7vmJQ3pKd1d0OUmvlNUPpEhPzyc3m0dYbwIQ keeper@example.org
image:
  free_space: 500              # MiB
variables:
  SCHOOL_BELL: "08:30"         # for the scripts of ./school-stage
"""

INTRODUCTION = f"""\
# Profiles

<!-- Written by `python -m imagebuilder.profiledocs > docs/profiles.md` from the table in imagebuilder/settings.py. -->

A profile says what to build. It is a YAML file; those in `profiles/` go by their name:

    ./build.py check school          # every mistake at once, each with its line and column
    ./build.py build school          # profiles/school.yaml
    ./build.py build ~/my/card.yaml  # any other file

## A worked example

```yaml
{EXAMPLE}```

The image is called `mojomail-school`, after the file. A setting that is not given has the default below, so that an
almost empty profile gives a working image. Paths are read from the profile's own directory and may begin with `~`.

A mistake is told with its place and, where there is one, what was meant:

    profiles/school.yaml:8:3: unknown setting 'system.hostnam' (did you mean 'hostname'?)
    profiles/school.yaml:16:15: 'image.free_space': found the text 'lots', a whole number is right

## Settings

"Variable" is the environment variable that the scripts of a stage see the setting in. A list is joined with spaces
there, keys with line ends; yes is `1` and no is `0`.
"""


def write_docs() -> str:
    """The whole of docs/profiles.md."""
    parts = [INTRODUCTION, _table([row for row in table() if "." not in row.name])]
    for name, (_, help) in sections().items():
        rows = [row for row in table() if row.name.startswith(name + ".")]
        parts.append(f"### `{name}:`\n\n{help}\n\n{_table(rows)}")
    parts.append(_variables())
    return "\n".join(parts)


def _table(rows: list[Setting]) -> str:
    lines = ["| Setting | What it is | Default | Kind | Variable |", "|---|---|---|---|---|"]
    for row in rows:
        variables = ", ".join(f"`{name}`" for name in row.environment)
        cells = (f"`{row.name}`", row.help, _default(row), _kind(row), variables)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(row: Setting) -> str:
    if row.kind is Kind.FLAG:
        return "yes" if row.default else "no"
    if row.kind is Kind.TEXTS:
        return ", ".join(f"`{item}`" for item in row.default)
    return f"`{row.default}`" if row.default not in (None, "", ()) else ""


def _kind(row: Setting) -> str:
    return " or ".join(f"`{choice}`" for choice in row.choices) if row.choices else row.kind.value


def _variables() -> str:
    own = "\n".join(f"- `{name}` (`{value}`)" for name, value in PI_GEN_DEFAULTS.items())
    return f"""\
## Variables of the build itself

Scripts also see what pi-gen gives to its own: `IMG_NAME`, `ARCH`, `FIRST_USER_PASS` (always empty: no password is put
into an image), `PUBKEY_ONLY_SSH` (`1` when there is a key), `STAGE_DIR`, `ROOTFS_DIR`, `STAGE_WORK_DIR`,
`PREV_ROOTFS_DIR`, `WORK_DIR`, `DEPLOY_DIR`, `IMG_DATE`, `IMG_SUFFIX` and more. `variables` cannot change these, nor one
that belongs to a setting. It can change:

{own}
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(f"usage: python -m imagebuilder.{Path(__file__).stem} > docs/profiles.md")
    sys.stdout.write(write_docs())

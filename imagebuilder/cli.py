"""The command: plan, check, build, shell, flash and clean."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from . import __version__
from .cache import Cache, default_cache
from .completion import script
from .errors import BuildError, InputError, MojoError
from .process import last_log

ROOT = Path(__file__).resolve().parent.parent
"""The project's root: stages/, overlay/ and profiles/ lie there."""

DESCRIPTION = """\
Bakes MojoMail, a village's mail office, into an image for a Raspberry Pi's SD card.

  build.py build                 build profiles/village.yaml into deploy/
  build.py flash /dev/sdX        write it to a card and read it back
"""

EPILOG = """\
PROFILE is a name in profiles/ (village) or the path of a YAML file; docs/profiles.md lists every setting.
Exit codes: 0 done, 2 your input needs a change, 3 the build or the far side failed, 1 a bug of ours.
Environment: MOJOMAIL_CACHE names the cache (~/.cache/mojomail), SOURCE_DATE_EPOCH the image's date.
Completion for your shell:  source <(./build.py completion)
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar; help texts are meant to be read."""
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="build.py", description=DESCRIPTION, epilog=EPILOG, formatter_class=formatter)
    top.add_argument("--version", action="version", version=f"MojoMail image builder {__version__}")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)

    def command(name: str, help_text: str, description: str, *, profile: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_text, description=description, formatter_class=formatter)
        if profile:
            sub.add_argument("profile", nargs="?", default="village", metavar="PROFILE", help="what to build (village)")
        sub.add_argument("--cache", type=Path, metavar="DIR", help="keep layers and downloads here")
        return sub

    plan = command("plan", "show stages and layers, which are cached and why the others are not", PLAN_HELP)
    check = command("check", "report every error in profile and stages", CHECK_HELP)
    build = command("build", "build the image and its release files", BUILD_HELP)
    shell = command("shell", "enter the root file system, as it stood where a build failed", SHELL_HELP)
    for sub in (plan, build, shell):
        sub.add_argument(
            "--no-native", dest="native", action="store_false", help="emulate everything: slow, and the same files"
        )
    build.add_argument("--frozen", action="store_true", help="do not ask the package sources for anything newer")
    build.add_argument(
        "--raw",
        action="store_true",
        help="stop at the uncompressed image, deploy/NAME.img, read-only; older files of NAME go",
    )
    build.add_argument("--deploy", type=Path, default=Path("deploy"), metavar="DIR", help="where the files go (deploy)")
    shell.add_argument("--layer", metavar="NAME", help="the finished layer NAME, such as base/04-network, instead")
    check.set_defaults(native=True)

    flash = command("flash", "write an image to a card, and verify it by reading it back", FLASH_HELP, profile=False)
    flash.add_argument("device", type=Path, metavar="DEVICE", help="the card (/dev/sdX, /dev/mmcblk0), or a plain file")
    flash.add_argument("--image", type=Path, metavar="FILE", help=".img or .img.xz (the newest in deploy/)")
    flash.add_argument("--bmap", type=Path, metavar="FILE", help="the image's block map (the one beside the image)")
    flash.add_argument(
        "--allow-fixed", type=Path, metavar="DEVICE", help="name the device again if it is not removable"
    )
    flash.add_argument("--allow-mounted", type=Path, metavar="DEVICE", help="name the device again if it is mounted")

    clean = command("clean", "show what the cache holds, and prune it", CLEAN_HELP, profile=False)
    clean.add_argument("--prune", action="store_true", help="remove what the last builds of the profiles do not use")
    clean.add_argument("--layers", action="store_true", help="remove all layers and images, keep downloads")
    clean.add_argument("--all", action="store_true", help="remove everything")

    commands.add_parser("completion", help="print the completion script for bash", description="For bash.")
    return top


PLAN_HELP = """\
Shows every layer of the profile in order: cached, or to be built and why. Does not touch the network;
'build' may find newer package indexes."""
CHECK_HELP = """\
Checks the profile and all its stages at once, each error as file:line:column with what would be right.
Package names are checked when the package indexes were fetched before."""
BUILD_HELP = """\
Builds what is missing and writes NAME.img.xz, .img.bmap, .spdx.json, .info, .rpi-imager-manifest,
.report.html, .report.json and SHA256SUMS. A build that was stopped or failed goes on at the sub-stage it
stopped at. Needs no root: it runs in a user namespace."""
SHELL_HELP = """\
    build.py shell                          look around
    build.py shell village -- apt list      run one command

Opens a shell in the root file system: where the last build failed, else of the finished image. What you
change there is thrown away at the next build."""
FLASH_HELP = """\
Writes by block map, so only what the image holds, syncs, and reads everything back. Refuses a device that
is mounted, is not removable or is too small. A plain file as DEVICE is made or replaced."""
CLEAN_HELP = """\
Without options only shows what the cache holds. Nothing in it is precious: a build makes anew what is
missing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Everything after "--" is a command for `shell`; argparse would look for options in it.
    cut = words.index("--") if "--" in words else len(words)
    options = parser().parse_args(words[:cut])
    if words[cut + 1 :] and options.command != "shell":
        parser().error(f"only shell takes a command after --, not {options.command}")
    options.arguments = words[cut + 1 :]
    return guarded(lambda: _commands()[options.command](options))


SYSTEM_ERRORS = {
    errno.ENOSPC: (BuildError, "make room there; a build needs about 6 GB in the cache, which --cache puts elsewhere"),
    errno.EDQUOT: (BuildError, "your quota there is used up; --cache puts the cache elsewhere"),
    errno.EIO: (BuildError, "the disk does not work as it should: see the kernel's messages (dmesg)"),
    errno.EROFS: (InputError, "name a place that can be written to with --cache and --deploy"),
    errno.EACCES: (InputError, "give yourself the right to it, or name other places with --cache and --deploy"),
}
"""What the machine can do to any command, by error number, who can mend it, and how."""


def guarded(work: Callable[[], int]) -> int:
    """Run `work`; turn its errors into messages for the person who can mend them, and an exit code."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except MojoError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; a build goes on next time with the sub-stage it was at", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in SYSTEM_ERRORS:
            return _bug()
        kind, hint = SYSTEM_ERRORS[error.errno]
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {kind(f'{where}{error.strerror}', hint=hint)}", file=sys.stderr)
        return kind.exit_code
    except Exception:
        return _bug()


def _bug() -> int:
    """Tell of the exception that is being handled as of our own fault."""
    traceback.print_exc()
    print(
        f"\nThis is a bug in the image builder {__version__}. Please report it with the lines above, the profile"
        f" and the log ({last_log() or 'none'}).",
        file=sys.stderr,
    )
    return 1


def _commands() -> dict[str, Callable[[argparse.Namespace], int]]:
    from . import commands

    return {
        "plan": commands.plan,
        "check": commands.check,
        "build": commands.build,
        "shell": commands.shell,
        "flash": commands.flash,
        "clean": commands.clean,
        "completion": lambda _options: (print(script()), 0)[1],
    }


def chosen_cache(options: argparse.Namespace) -> Cache:
    """The cache that --cache or the environment names. Raises InputError for a path overlayfs cannot take."""
    cache = Cache(options.cache.absolute()) if options.cache else default_cache()
    if any(sign in str(cache.path) for sign in ':,\\"\n'):
        raise InputError(f"the cache's path must not hold any of : , \\ \" but is {cache.path}", hint="--cache DIR")
    return cache

"""A machine to play with: boot an image, look at its TV, and ask it things at a Python prompt.

python -m tests.lab.prompt [IMAGE] [--lane virt] [--screen 1280x720] [--alone]

At the prompt, `node` is the machine (tests/lab/machine.py), and `world` is what is around it. Ctrl-D ends all of it.
"""

from __future__ import annotations

import argparse
import code
import importlib
import readline
import rlcompleter
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tests.lab import processes
from tests.lab.control import ControlError
from tests.lab.machine import LANES, LabError, Machine, MachineFailure

ROOT = Path(__file__).resolve().parents[2]
HISTORY = Path("~/.cache/mojomail/lab-history").expanduser()
BOOT_LIMIT = 1500.0
"""Seconds after which nobody waits for the boot any more."""


def screen_size(text: str) -> tuple[int, int]:
    """ "1280x720" as pixels; raises ValueError."""
    width, height = text.split("x")
    return int(width), int(height)


def newest_image() -> Path:
    """What the last build left."""
    places = [ROOT / f"deploy/mojomail-village.img{end}" for end in ("", ".xz")]
    return max((path for path in places if path.exists()), key=lambda path: path.stat().st_mtime, default=places[0])


def open_world(stack: ExitStack) -> Any:
    """The internet and the village around the machine."""
    directory = stack.enter_context(processes.temporary_directory())
    return stack.enter_context(importlib.import_module("tests.lab.world").World(directory))


def announce(node: Machine, world: Any) -> None:
    """Say where everything is."""
    if node.vnc:
        width, height = node.screen
        print(f"TV           vnc://127.0.0.1:{node.vnc_port}   ({width}x{height})")
    else:
        print("TV           none: the kernel drives a part of the Pi that QEMU lacks")
    print(f"serial line  {node.console.log}   (such as: tail -f {node.console.log})")
    address = getattr(world, "webmail", None)
    if address is not None:
        print(f"webmail      {address}")
    print(f"log in       nobody can; ask instead: node.succeed('systemctl status'), in about {_minutes(node)} minutes")
    print("prompt       node, world; node.screenshot(Path('tv.png')), node.key('ctrl-alt-f2'), help(node); Ctrl-D ends")


def _minutes(node: Machine) -> int:
    return max(1, round(node.lane.seconds_to_boot / 60))


def report_boot(node: Machine) -> None:
    """Say when the machine is up, while the prompt is already there."""
    with suppress(MachineFailure, ControlError):
        seconds = node.wait_for_login(BOOT_LIMIT)
        print(f"\n{node.name} is up, {seconds:.0f} s after power-on", flush=True)


def prompt(names: dict[str, Any]) -> None:
    """A Python prompt with completion and a history, until Ctrl-D."""
    HISTORY.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        readline.read_history_file(HISTORY)
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    try:
        code.interact(banner="", local=names, exitmsg="")
    except SystemExit:
        pass
    finally:
        with suppress(OSError):
            readline.write_history_file(HISTORY)


def main(arguments: list[str] | None = None) -> int:
    """Boot, and give the prompt. Exit code 2 when this host cannot."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.prompt", description="Boot an image, and ask it things.")
    parser.add_argument("image", nargs="?", type=Path, help="the image: .img or .img.xz; it is not changed")
    parser.add_argument("--lane", choices=sorted(LANES), default="virt", help="the board (default: %(default)s)")
    parser.add_argument("--screen", type=screen_size, default=(1280, 720), metavar="WxH", help="pixels of the TV")
    parser.add_argument("--alone", action="store_true", help="no internet and no village around it")
    parser.add_argument("--append", default="", help="to add to the kernel's command line")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        with ExitStack() as stack:
            world = None if given.alone else open_world(stack)
            node = stack.enter_context(
                Machine(
                    given.image or newest_image(),
                    LANES[given.lane],
                    screen=given.screen,
                    wires=world.wires if world else None,
                    append=given.append,
                    vnc=bool(LANES[given.lane].screen),
                )
            )
            node.start()
            announce(node, world)
            threading.Thread(target=report_boot, args=(node,), daemon=True).start()
            prompt({"node": node, "world": world, "Path": Path, "Machine": Machine, "LANES": LANES})
    except (LabError, MachineFailure) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

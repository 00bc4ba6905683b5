"""A machine to play with: boot an image, look at its TV, and ask it things at a Python prompt.

python -m tests.lab.prompt [IMAGE] [--lane virt] [--screen 1280x720] [--alone] [--power-cuts]

At the prompt, `node` is the machine (tests/lab/machine.py), `room` is where its TV and keyboard are
(room.py), `world` is what is around it (world.py), `village` is where the phones are
(village.py), and `dongle` is one that can be plugged in (dongle.py). Ctrl-C ends what is being waited for, Ctrl-D all
of it.
MOJOMAIL_SEED=N decides by chance as another run did.
"""

from __future__ import annotations

import argparse
import builtins
import code
import os
import random
import readline
import rlcompleter
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tests.lab import processes
from tests.lab.console import ConsoleError
from tests.lab.control import ControlError
from tests.lab.daemontree import ensure_tree
from tests.lab.dongle import Dongle
from tests.lab.forward import Forward
from tests.lab.machine import LANES, LabError, Machine, MachineFailure
from tests.lab.room import WizardRoom
from tests.lab.sim import Sim
from tests.lab.world import World

ROOT = Path(__file__).resolve().parents[2]
BOOT_LIMIT = 1500.0
"""Seconds after which nobody waits for the boot any more."""
SIM_PIN = "4242"
"""What the card in the dongle wants."""
TOLD = (LabError, MachineFailure, ControlError, ConsoleError, AssertionError)
"""Errors whose words, if they have any, say all there is to know: what was waited for, and what was seen."""
WEBMAIL, WIZARD = 443, 8080
"""The node's ports for its pages, and for the wizard's until it is set up."""


def screen_size(text: str) -> tuple[int, int]:
    """ "1280x720" as pixels; raises ValueError."""
    width, height = text.split("x")
    return int(width), int(height)


def newest_image() -> Path:
    """What the last build left."""
    places = [ROOT / f"deploy/mojomail-village.img{end}" for end in ("", ".xz")]
    return max((path for path in places if path.exists()), key=lambda path: path.stat().st_mtime, default=places[0])


def chosen_seed() -> int:
    """MOJOMAIL_SEED, or one by chance; raises LabError when it is no number."""
    given = os.environ.get("MOJOMAIL_SEED") or str(random.SystemRandom().randrange(1 << 31))
    try:
        return int(given)
    except ValueError:
        raise LabError(f"MOJOMAIL_SEED is {given!r}: give a number, or nothing") from None


def open_world(stack: ExitStack, seed: int) -> World:
    """The internet and the village around the machine."""
    print("The world comes up; for the first one, the far providers' programs are fetched.", flush=True)
    ensure_tree()  # here, for the world has no way to a package archive
    directory = stack.enter_context(processes.temporary_directory())
    world = stack.enter_context(World(directory, seed=seed))
    world.internet.providers()  # it is there from now on, and with it DHCP and DNS on the uplink
    return world


def names_of(node: Machine, world: World | None, dongle: Dongle) -> dict[str, Any]:
    """What the prompt knows by name."""
    village = world.village if world else None
    given = {"node": node, "room": WizardRoom(node), "world": world, "village": village, "dongle": dongle}
    return {**given, "Path": Path, "Machine": Machine, "LANES": LANES}


def open_pages(stack: ExitStack, world: World) -> tuple[Forward, Forward]:
    """Ports of this machine that lead to the webmail and to the wizard, which is best at its own number: the node's
    first page leads there by that.
    """
    webmail = stack.enter_context(world.village.forward(WEBMAIL))
    try:
        wizard = world.village.forward(WIZARD, here=WIZARD)
    except OSError:
        wizard = world.village.forward(WIZARD)
        print(
            f"Port {WIZARD} of this machine is taken: the node's first page leads to whoever has it. Open the wizard by"
            f" its own address, or end that one (ss -ltnp 'sport = {WIZARD}' names it).",
            flush=True,
        )
    return webmail, stack.enter_context(wizard)


def announce(node: Machine, seed: int, pages: tuple[Forward, Forward] | None) -> None:
    """Say where everything is. `pages` lead to webmail and wizard; None when there is no village to do so from."""
    if node.vnc:
        width, height = node.screen
        print(f"TV           vnc://127.0.0.1:{node.vnc_port}   ({width}x{height})")
    else:
        print("TV           none: the kernel drives a part of the Pi that QEMU lacks")
    print(f"serial line  {node.console.log}   (such as: tail -f {node.console.log})")
    if pages is not None:
        (host, port), (_, wizard) = (page.address for page in pages)
        print(f"wizard       http://{host}:{wizard}/   (as on a phone, until the node is set up; the PIN is on the TV)")
        print(f"webmail      https://{host}:{port}/   (afterwards; the node's port {WEBMAIL})")
    print(f"seed         {seed}   (MOJOMAIL_SEED={seed} decides by chance in the same way)")
    print(f"log in       nobody can; ask instead: node.succeed('systemctl status'), in about {_minutes(node)} minutes")
    there = "node, room, world, village, dongle" if pages is not None else "node, room, dongle"
    print(f"prompt       {there}; node.screenshot('tv.png'), room.told(), help(node); Ctrl-D ends", flush=True)


def _minutes(node: Machine) -> int:
    return max(1, round(node.lane.seconds_to_boot / 60))


def report_boot(node: Machine, world: World | None) -> None:
    """Say when the machine is up, while the prompt is already there, and let it trust the far providers."""
    try:
        seconds = node.wait_for_login(BOOT_LIMIT)
        print(f"\n{node.name} is up, {seconds:.0f} s after power-on", flush=True)
        if world is not None:
            node.wait_for_control(BOOT_LIMIT)
            world.trusted_by(node)
    except (*TOLD, OSError) as error:
        if node.is_on:  # who switches it off knows
            print(f"\n{node.name} does not come up: {str(error).splitlines()[0]}", flush=True)


class Prompt(code.InteractiveConsole):
    """A Python prompt that says what went wrong in the lab's own words, and shows text as it is."""

    def showtraceback(self) -> None:
        """What a line ended with: the message alone where that says it all."""
        error = sys.exc_info()[1]
        if isinstance(error, KeyboardInterrupt):
            self.write("\nKeyboardInterrupt\n")
        elif isinstance(error, TOLD) and str(error):
            self.write(f"{error}\n")
        else:
            super().showtraceback()


def show(value: object) -> None:
    """Print what a line gave: text of several lines as it is, all else as Python writes it."""
    if isinstance(value, str) and "\n" in value:
        builtins._ = value  # type: ignore[attr-defined]
        print(value.removesuffix("\n"))
    else:
        sys.__displayhook__(value)


def history_file() -> Path:
    """Where the lines that were typed are kept (XDG Base Directory Specification: state)."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local/state") / "mojomail/lab-history"


def prompt(names: dict[str, Any]) -> None:
    """A Python prompt with completion and a history, until Ctrl-D."""
    history = history_file()
    history.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_completer(rlcompleter.Completer(names).complete)
    readline.parse_and_bind("tab: complete")
    before, sys.displayhook = sys.displayhook, show
    try:
        Prompt(names).interact(banner="", exitmsg="")
    except SystemExit:
        pass
    finally:
        sys.displayhook = before
        with suppress(OSError):
            readline.write_history_file(history)


def main(arguments: list[str] | None = None) -> int:
    """Boot, and give the prompt. Exit code 2 when this host cannot, 130 when Ctrl-C ends it before the prompt."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.prompt", description="Boot an image, and ask it things.")
    parser.add_argument("image", nargs="?", type=Path, help="the image: .img or .img.xz; it is not changed")
    parser.add_argument("--lane", choices=sorted(LANES), default="virt", help="the board (default: %(default)s)")
    parser.add_argument("--screen", type=screen_size, default=(1280, 720), metavar="WxH", help="pixels of the TV")
    parser.add_argument("--alone", action="store_true", help="no internet and no village around it")
    parser.add_argument("--power-cuts", action="store_true", help="for node.power_cut(); there are no snapshots then")
    parser.add_argument("--append", default="", help="to add to the kernel's command line")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        with ExitStack() as stack:
            seed = chosen_seed()
            world = None if given.alone else open_world(stack, seed)
            node = stack.enter_context(
                Machine(
                    given.image or newest_image(),
                    LANES[given.lane],
                    screen=given.screen,
                    wires=world.wires if world else None,
                    power_cuts=given.power_cuts,
                    append=given.append,
                    vnc=bool(LANES[given.lane].screen),
                    seed=seed,
                )
            )
            node.start()
            announce(node, seed, open_pages(stack, world) if world else None)
            threading.Thread(target=report_boot, args=(node, world), daemon=True).start()
            dongle = Dongle(node.work, Sim(pin=SIM_PIN), wires=world.wires if world else None)
            stack.callback(dongle.close)
            prompt(names_of(node, world, dongle))
    except (LabError, MachineFailure) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

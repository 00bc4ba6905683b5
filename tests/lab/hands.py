"""What a person at the machine can do: look at its screen, press its keys, plug and pull its cables."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab import keyboard, screen
from tests.lab.dongle import RULE, Dongle
from tests.lab.guest import EVERY, Guest
from tests.lab.qmp import Qmp, QmpError
from tests.lab.screen import Picture

VISIBLE = "visible"
"""For type(): what was typed must be on the text screen that is shown."""
LINE = "dongle"
"""What QEMU's names for the lines of a dongle begin with; a number follows."""
NAMES = {"usb-kbd": "keyboard"}
"""What people call QEMU's kinds of device."""
UNPLUG = {"usb-serial": "unplug the dongle first", "usb-kbd": "pull the keyboard that was plugged in first"}
"""What to do about a device that a snapshot cannot have, by QEMU's kind of it."""


class Hands(Guest):
    """A machine that somebody stands at. `links` says which cables are plugged in."""

    work: Path
    links: dict[str, bool]
    _at_power_on: dict[str, str]
    """The devices that the machine was switched on with."""
    _qmp: Qmp
    _dark: Picture
    """The screen at power-on."""

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """Whether QEMU runs."""

    def qmp(self, command: str, limit: float = 60.0, /, **arguments: Any) -> Any:
        """Run a QMP command, and give what it returns; raises MachineFailure when it fails or the machine is off."""
        if not self.is_on:
            raise self.failure(f"QMP {command}: the machine is off")
        try:
            return self._qmp.command(command, limit, **arguments)
        except QmpError as error:
            raise self.failure(str(error)) from None

    def qmp_job(self, command: str, limit: float, /, **arguments: Any) -> None:
        """Run a QMP command that is a job to its end; raises as qmp() does, and after `limit` seconds."""
        self.check_on(command)
        try:
            self._qmp.job(command, limit, **arguments)
        except QmpError as error:
            raise self.failure(str(error)) from None

    @property
    def vnc_port(self) -> int:
        """The port of 127.0.0.1 where the screen can be looked at (only with `vnc`)."""
        return int(self.qmp("query-vnc")["service"])

    def screenshot(self, path: str | Path) -> Path:
        """What the screen shows, as PNG."""
        self.check_on("screenshot")
        return screen.save(self._qmp, Path(path))

    def check_on(self, what: str) -> None:
        """Raise MachineFailure when the machine is off."""
        if not self.is_on:
            raise self.failure(f"{what}: the machine is off")

    def lit_pixels(self) -> int:
        """How many pixels differ from the first; 0 while the screen is as at power-on, when QEMU writes on it."""
        self.check_on("picture")
        picture = screen.picture(self._qmp, self.work)
        return 0 if picture == self._dark else picture.lit()

    def wait_for_picture(self, limit: float = 60.0, pixels: int = 500) -> int:
        """Wait until the machine shows something: at least `pixels` lit ones, some 10 letters."""
        self.wait_until(lambda: self.lit_pixels() >= pixels, limit, what=f"a picture of {pixels} pixels")
        return self.lit_pixels()

    def key(self, keys: str) -> None:
        """Press keys together, such as "ctrl-alt-f2" or "ret"."""
        self.check_on("key")
        try:
            keyboard.press(self._qmp, keyboard.chord(keys))
        except QmpError as error:
            raise self.failure(str(error)) from None

    def type(self, text: str, check: Callable[[], str] | str | None = VISIBLE, limit: float = 20.0) -> None:
        """Type `text` at the keyboard, and see that it arrived.

        check   VISIBLE: each line must come before the cursor of the text screen, and only then its return is
                struck; a function: what the field holds, to which `text` must be added (without a last line end);
                None: nothing is looked at, as for a password
        limit   seconds until it must be there

        Raises MachineFailure when something else arrived. Nothing is typed again.
        """
        self.check_on("type")
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            bare = line.removesuffix("\n")
            without = self._look(bare, check) if check is not None and bare else None
            self._strike(bare)
            if without:
                self._wait_for_typed(bare, without, limit)
            self._strike(line[len(bare) :])

    def _strike(self, text: str) -> None:
        try:
            keyboard.strike(self._qmp, text)
        except QmpError as error:
            raise self.failure(str(error)) from None

    def _look(self, text: str, check: Callable[[], str] | str) -> Callable[[], str | None]:
        """Look where `text` will be typed. What is given tells later what is there without it; None: it has come."""
        if callable(check):
            look, held = check, check()
            return lambda: None if (there := look()) == held + text else there
        tty = self.active_tty()
        before = self.text_screen(tty)

        def without() -> str | None:
            now = self.text_screen(tty)
            return None if now.has_gained(text, before) else now.typed[-len(text) - 20 :]

        return without

    def _wait_for_typed(self, text: str, without: Callable[[], str | None], limit: float) -> None:
        until = time.monotonic() + limit
        while (there := without()) is not None:
            if time.monotonic() >= until:
                raise self.failure(f"typed {text!r}, but there is {there!r}")
            self.wait(EVERY)

    def link(self, up: bool, card: str = "uplink") -> None:
        """Plug the cable of a network card in, or pull it out."""
        if card not in self.links:
            raise ValueError(f"there is no card {card!r}, only {', '.join(self.links)}")
        self.qmp("set_link", name=card, up=up)
        self.links[card] = up

    def _devices(self) -> dict[str, str]:
        """The kind of each device that the machine has besides its board's own, by its path in QEMU."""
        return {
            f"{place}/{part['name']}": part["type"].removeprefix("child<").removesuffix(">")
            for place in ("/machine/peripheral", "/machine/peripheral-anon")  # what was plugged in; what was there
            for part in self.qmp("qom-list", path=place)
            if part["type"].startswith("child<")
        }

    def unlike_power_on(self) -> str | None:
        """What to do, in one line, so that the machine has the devices that it was switched on with; None: nothing."""
        now = self._devices()
        if gone := [kind for path, kind in self._at_power_on.items() if path not in now]:
            return f"the {NAMES.get(gone[0], gone[0])} was pulled, restore() or stop() and start() the machine first"
        if more := [kind for path, kind in now.items() if path not in self._at_power_on]:
            return UNPLUG.get(more[0], f"unplug the {more[0]} first")
        return None

    def pull_keyboard(self) -> None:
        """Pull the plug of a keyboard, the one that was plugged in last. Raises MachineFailure when there is none."""
        for path, kind in self._devices().items():
            if kind == "usb-kbd":
                self.qmp("device_del", id=path)
                return
        raise self.failure("there is no keyboard to be pulled")

    def plug_keyboard(self) -> None:
        """Plug a keyboard in, as another one or in place of one that was pulled.

        Raises MachineFailure when one was plugged in before.
        """
        if "/machine/peripheral/keyboard" in self._devices():
            raise self.failure("a keyboard was plugged in already: pull_keyboard() first")
        self.qmp("device_add", driver="usb-kbd", id="keyboard")

    def plug_dongle(self, dongle: Dongle) -> None:
        """Plug a dongle in. Raises MachineFailure when one is there; it is gone after a restore()."""
        if self._lines():
            raise self.failure("there is a dongle already: unplug_dongle() first")
        self.succeed("mkdir -p /run/udev/rules.d")
        self.send_file(RULE.encode(), "/run/udev/rules.d/78-dongle.rules")
        self.succeed("udevadm control --reload")
        for number, port in enumerate(dongle.ports):
            name = f"{LINE}{number}"
            place = {"type": "unix", "data": {"path": str(port)}}
            backend = {"type": "socket", "data": {"addr": place, "server": False}}
            self.qmp("chardev-add", id=name, backend=backend)
            self.qmp("device_add", driver="usb-serial", id=name, chardev=name)

    def unplug_dongle(self) -> None:
        """Pull the dongle out. Raises MachineFailure when there is none."""
        lines = self._lines()
        if not lines:
            raise self.failure("there is no dongle to be unplugged")
        for name in lines:
            since = self._qmp.count
            self.qmp("device_del", id=name)
            try:
                self._qmp.wait_for(partial(_is_gone, name), since, 60)
            except QmpError as error:
                raise self.failure(str(error)) from None
            self.qmp("chardev-remove", id=name)

    def _lines(self) -> list[str]:
        """The names of the lines of the dongle that is plugged in."""
        names = [Path(path).name for path in self._devices()]
        return [name for name in names if name.startswith(LINE)]


def _is_gone(name: str, event: dict[str, Any]) -> bool:
    return event["event"] == "DEVICE_DELETED" and bool(event["data"].get("device") == name)

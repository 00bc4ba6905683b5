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


class Hands(Guest):
    """A machine that somebody stands at. `links` says which cables are plugged in."""

    work: Path
    links: dict[str, bool]
    _lines = 0
    """Of the dongle that is plugged in."""
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

    def pull_keyboard(self) -> None:
        """Pull the keyboard's plug. Raises MachineFailure when there is none."""
        for place in ("/machine/peripheral-anon", "/machine/peripheral"):
            for part in self.qmp("qom-list", path=place):
                if part["type"] == "child<usb-kbd>":
                    self.qmp("device_del", id=f"{place}/{part['name']}")
                    return
        raise self.failure("there is no keyboard to be pulled")

    def plug_keyboard(self) -> None:
        """Plug a keyboard in. A snapshot does not know it: stop() the machine before it is taken back to one."""
        self.qmp("device_add", driver="usb-kbd", id="keyboard")

    def plug_dongle(self, dongle: Dongle) -> None:
        """Plug a dongle in. A snapshot does not know it: stop() the machine before it is taken back to one."""
        self.succeed("mkdir -p /run/udev/rules.d")
        self.send_file(RULE.encode(), "/run/udev/rules.d/78-dongle.rules")
        self.succeed("udevadm control --reload")
        for number, port in enumerate(dongle.ports):
            name = f"dongle{number}"
            place = {"type": "unix", "data": {"path": str(port)}}
            backend = {"type": "socket", "data": {"addr": place, "server": False}}
            self.qmp("chardev-add", id=name, backend=backend)
            self.qmp("device_add", driver="usb-serial", id=name, chardev=name)
        self._lines = len(dongle.ports)

    def unplug_dongle(self) -> None:
        """Pull the dongle out."""
        for number in range(self._lines):
            name, since = f"dongle{number}", self._qmp.count
            self.qmp("device_del", id=name)
            try:
                self._qmp.wait_for(partial(_is_gone, name), since, 60)
            except QmpError as error:
                raise self.failure(str(error)) from None
            self.qmp("chardev-remove", id=name)


def _is_gone(name: str, event: dict[str, Any]) -> bool:
    return event["event"] == "DEVICE_DELETED" and bool(event["data"].get("device") == name)

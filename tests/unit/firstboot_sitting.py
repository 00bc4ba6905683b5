"""Somebody who sits before a made-up TV, or has gone away; run by /usr/bin/python3, which has Pango and Cairo.

Prints what came of one scene, which is named by its function.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from firstboot.answers import Answers
from firstboot.aside import Aside
from firstboot.later import Later
from firstboot.patience import MENU_WAITS, Patience, leave
from firstboot.tv.canvas import Canvas
from firstboot.tv.console import Console
from firstboot.tv.devices import Input
from firstboot.tv.framebuffer import Mode
from firstboot.tv.front import Asking, Television
from firstboot.tv.layouts import BACKSPACE, ENTER, ESC
from firstboot.tv.output import Output
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import VILLAGE, MadeUp, walk, wizard_at
from tests.unit.firstboot_typing import MemoryScreen, key, text

Deed = list[Input] | Callable[[], None]
"""What hands do, or what happens while they rest."""


class Screen(Output):
    """A screen that is a file, and keeps the texts of each picture."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.drawn: list[list[str]] = []
        self._framebuffer = MemoryScreen(root / "fb", Mode(1280, 720, 16, 1280 * 2))
        self.canvas = Canvas(1280, 720, 16)

    def present(self, *, all_of_it: bool = False) -> None:
        assert self.canvas is not None
        self.drawn.append([one.text for one in self.canvas.inked])
        super().present(all_of_it=all_of_it)


@dataclass
class Sofa:
    """Devices by which deeds come, one at each look; each look takes as long as it may."""

    deeds: list[Deed]
    has_keyboard: bool = True
    has_mouse: bool = True
    now: float = 0.0
    looks: list[int] = field(default_factory=list)
    television: Television | None = None
    screen: Screen | None = None

    def wake(self) -> None:
        """Nobody waits."""

    def wait(self, limit: float | None) -> list[Input]:
        assert self.television is not None and self.screen is not None
        self.looks.append(len(self.screen.drawn))
        if not self.deeds:
            self.television.stop()
            return []
        deed = self.deeds.pop(0)
        if isinstance(deed, list):
            return deed
        self.now += limit or 0.0
        deed()
        return []


def rest() -> None:
    """Nothing happens."""


def sit(
    root: Path, asking: Asking, sofa: Sofa, aside: Callable[[], Aside] = Aside, patience: Patience | None = None
) -> Television:
    """Sit before the TV until all is done, or the wizard is."""
    screen = Screen(root)
    television = Television(
        asking,
        sofa,  # type: ignore[arg-type]  # devices enough
        Console(root=root),
        screen,
        aside=aside,
        patience=patience,
    )
    sofa.television, sofa.screen = television, screen
    television.run()
    return television


def village(root: Path, at: str, second: str = "Ravi") -> Wizard:
    """A set-up with two people and three addresses, at one of its questions again."""
    wizard = wizard_at(root)
    walk(wizard, VILLAGE | {"keyboard": "us", "language": "en", "people.1.name": second}, until="ready")
    while wizard.at != at:
        assert wizard.back(wizard.at)
    return wizard


def told(wizard: Wizard, television: Television) -> dict[str, object]:
    """Where the wizard is, what stands on the TV, and who gets mail."""
    people = [
        [wizard.answers.need(f"people.{index}.name"), wizard.answers.count(f"people.{index}.accounts")]
        for index in range(wizard.answers.count("people"))
    ]
    entry = television.entry
    return {"at": wizard.at, "text": entry.text, "caret": entry.caret, "touched": entry.touched, "people": people}


def emptied(root: Path, at: str, *, once_more: bool, second: str = "Ravi") -> dict[str, object]:
    """What stands in a field is taken away, and Enter pressed, once or twice."""
    wizard = village(root, at, second)
    letters = len(wizard.screen().value)
    deeds: list[Deed] = [*[key(BACKSPACE)] * letters, key(ENTER), *([key(ENTER)] if once_more else [])]
    return told(wizard, sit(root, wizard, Sofa(deeds)))


def name(root: Path) -> dict[str, object]:
    return emptied(root, "people.0.name", once_more=False)


def name_and_enter(root: Path) -> dict[str, object]:
    return emptied(root, "people.0.name", once_more=True)


def namesake_and_enter(root: Path) -> dict[str, object]:
    """The next person has the same name: the screen is the same, too."""
    return emptied(root, "people.0.name", once_more=True, second="Asha Rao")


def address(root: Path) -> dict[str, object]:
    return emptied(root, "people.0.accounts.0.address", once_more=False)


def address_and_enter(root: Path) -> dict[str, object]:
    return emptied(root, "people.0.accounts.0.address", once_more=True)


def name_by_phone(root: Path) -> dict[str, object]:
    """A phone takes the person off the list whose name is being changed on the TV."""
    wizard = village(root, "people.0.name")

    def phone() -> None:
        assert wizard.answer("people.0.name", "")

    return told(wizard, sit(root, wizard, Sofa([key(BACKSPACE), phone])))


def name_refused(root: Path) -> dict[str, object]:
    """A name that cannot be taken stays as it was typed, also while a phone renews the screen."""
    wizard = village(root, "people.0.name")
    deeds: list[Deed] = [*text("<  X"), key(ENTER), [Input("wake")], rest]
    return told(wizard, sit(root, wizard, Sofa(deeds)))


def locked(root: Path) -> dict[str, object]:
    """Too many wrong PINs: minutes go by, and nobody touches anything."""
    minutes = [2]

    def aside() -> Aside:
        return Aside(brief=f"locked for {minutes[0]}" if minutes[0] else "PIN 123 456")

    def later() -> None:
        minutes[0] -= 1

    wizard = wizard_at(root)
    sofa = Sofa([rest, rest, later, rest, later, rest, [Input("move", x=0.1)], rest])
    sit(root, wizard, sofa, aside)
    assert sofa.screen is not None
    seen = [next(words for words in drawn if words.startswith(("locked", "PIN"))) for drawn in sofa.screen.drawn]
    return {"seen": seen, "looks": sofa.looks}


def keyboard_gone(root: Path) -> dict[str, object]:
    """A keyboard goes without the kernel having said so."""
    wizard, sofa = wizard_at(root), Sofa([])

    def pull() -> None:
        sofa.has_keyboard = False

    sofa.deeds += [rest, pull, rest]
    sit(root, wizard, sofa)
    return {"looks": sofa.looks}


def menu(root: Path, deeds: list[Deed], fits: str = "good") -> dict[str, object]:
    """The keeper's menu, in seconds that go by as the TV waits."""
    later = Later(Answers({"language": "en"}), lambda password: password == fits, MadeUp())
    sofa = Sofa(deeds)
    patience = Patience(MENU_WAITS, lambda: leave(later), lambda: sofa.now)
    sit(root, later, sofa, patience=patience)
    assert sofa.screen is not None
    last = " ".join(sofa.screen.drawn[-1])
    return {"at": later.at, "outcome": later.outcome, "seconds": sofa.now, "last": last}


def asked(root: Path) -> dict[str, object]:
    """Nobody answers the question for the password, of which some letters are typed."""
    return menu(root, [*text("goo"), *[rest] * 20])


def opened(root: Path) -> dict[str, object]:
    """The keeper opens the menu, goes to erase everything, and away."""
    down: list[Deed] = [key(107)]  # End
    anew: list[Deed] = [*down, key(103), key(ENTER), *down, key(ENTER)]
    return menu(root, [*text("good"), key(ENTER), *anew, *[rest] * 20])


def trembling(root: Path) -> dict[str, object]:
    """A mouse that moves by itself, a key on which something lies, and a device that comes: nobody is there."""

    def tremble(sofa_of: list[Deed]) -> list[Deed]:
        moves = [Input("move", x=0.01), Input("key", code=57, value=2), Input("wake")]
        return [one for _ in range(10) for one in (sofa_of[0], moves)]

    return menu(root, tremble([rest]))


def slow(root: Path) -> dict[str, object]:
    """Somebody slow, who touches a key now and then, and goes back in the end."""
    keys: list[Deed] = [one for letter in text("good") for one in (rest, rest, letter)]
    return menu(root, [*keys, rest, rest, key(ENTER), rest, rest, key(ESC)])


def main() -> None:
    scene = globals()[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(scene(Path(folder)), default=str))


if __name__ == "__main__":
    main()

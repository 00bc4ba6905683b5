"""Types answers on a made-up TV; run by /usr/bin/python3, which has Pango and Cairo. Prints what came of it."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from firstboot.aside import Aside
from firstboot.texts import languages
from firstboot.tv.canvas import Canvas
from firstboot.tv.console import Console
from firstboot.tv.devices import Input
from firstboot.tv.framebuffer import Framebuffer, Mode
from firstboot.tv.front import Television
from firstboot.tv.layouts import BACKSPACE, DOWN, ENTER, ESC, LAYOUTS, LEFT_SHIFT
from firstboot.tv.output import Output
from tests.unit.firstboot_machine import wizard_at

CODES = {sign: (code,) for code, sign in LAYOUTS["us"].plain.items()} | {" ": (57,)}
CODES |= {sign: (LEFT_SHIFT, code) for code, sign in LAYOUTS["us"].shifted.items() if sign not in CODES}


class MemoryScreen(Framebuffer):
    """A framebuffer that is a file."""

    def __init__(self, path: Path, mode: Mode) -> None:
        import os

        path.write_bytes(bytes(mode.stride * mode.height))
        self._descriptor = os.open(path, os.O_RDWR)
        self.mode, self._bands = mode, {}

    def read_mode(self) -> Mode:
        return self.mode


class Hands:
    """Somebody who types, one thing at a time, and looks at the screen in between."""

    has_keyboard = has_mouse = True

    def __init__(self, deeds: list[list[Input]]) -> None:
        self.deeds = deeds
        self.television: Television | None = None

    def wake(self) -> None:
        """Nobody waits."""

    def wait(self, limit: float | None) -> list[Input]:
        if not self.deeds:
            assert self.television is not None
            self.television.stop()
            return []
        return self.deeds.pop(0)


def key(*codes: int) -> list[Input]:
    downs = [Input("key", code=code, value=1) for code in codes]
    return downs + [Input("key", code=code, value=0) for code in reversed(codes)]


def text(words: str) -> list[list[Input]]:
    return [key(*CODES[sign]) for sign in words]


def main() -> None:
    bits, stride = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        wizard = wizard_at(Path(folder))
        hindi, kannada = languages().index("hi"), languages().index("kn")
        deeds = [*[key(DOWN)] * hindi, key(ENTER), key(ESC), *[key(DOWN)] * (kannada - hindi), key(ENTER)]
        deeds += [key(ENTER)] * 3  # keyboard, place, clock
        deeds += [*text("Ram!"), key(BACKSPACE), *text("Pur"), key(ENTER)]
        pulled = [Input("key", code=LEFT_SHIFT, value=1), Input("gone")]  # a keyboard with Shift down, and put back
        deeds += [*text("Keep"), pulled, *text("er's \\ {1}"), key(ENTER)]
        deeds += [[Input("place", x=0.5, y=0.99)], [Input("move", x=0.1, y=-0.2)], [Input("wake")]]
        hands = Hands(deeds)
        output = Output(Path(folder))
        screen = MemoryScreen(Path(folder) / "fb", Mode(720, 576, bits, stride))
        output._framebuffer, output.canvas = screen, Canvas(720, 576, bits)
        frames: list[str] = []
        television = Television(
            wizard,
            hands,  # type: ignore[arg-type]  # hands are devices enough
            Console(root=Path(folder)),
            output,
            aside=lambda: Aside(brief="By phone"),
            on_frame=lambda: frames.append(wizard.at),
        )
        hands.television = television
        television.run()
        pixels = (Path(folder) / "fb").read_bytes()
        print(
            json.dumps(
                {
                    "at": wizard.at,
                    "answers": wizard.answers.tree,
                    "frames": len(frames),
                    "drawn": len(set(pixels)) > 40,
                    "beyond": any(pixels[720 * bits // 8 : stride]),
                }
            )
        )


if __name__ == "__main__":
    main()

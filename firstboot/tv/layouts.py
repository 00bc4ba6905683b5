"""What keys mean: their codes are places on the keyboard, and a layout says what is printed there.

Codes from linux/input-event-codes.h; layouts as in xkeyboard-config: us, gb, in(eng).
"""

from __future__ import annotations

from dataclasses import dataclass, field

ESC, BACKSPACE, TAB, ENTER, LEFT_CTRL, LEFT_SHIFT, RIGHT_SHIFT = 1, 14, 15, 28, 29, 42, 54
LEFT_ALT, SPACE, CAPS_LOCK, RIGHT_CTRL, RIGHT_ALT = 56, 57, 58, 97, 100
HOME, UP, PAGE_UP, LEFT, RIGHT, END, DOWN, PAGE_DOWN, DELETE = 102, 103, 104, 105, 106, 107, 108, 109, 111
KEYPAD_ENTER = 96
F1, F10, F11, F12 = 59, 68, 87, 88

COMMANDS = {
    ESC: "back",
    BACKSPACE: "erase",
    TAB: "show",
    ENTER: "next",
    KEYPAD_ENTER: "next",
    HOME: "home",
    UP: "up",
    PAGE_UP: "page-up",
    LEFT: "left",
    RIGHT: "right",
    END: "end",
    DOWN: "down",
    PAGE_DOWN: "page-down",
    DELETE: "delete",
}

_ROWS = ((2, "1234567890-="), (16, "qwertyuiop[]"), (30, "asdfghjkl;'"), (41, "`"), (43, "\\zxcvbnm,./"))
_SHIFTED = ((2, "!@#$%^&*()_+"), (16, "QWERTYUIOP{}"), (30, 'ASDFGHJKL:"'), (41, "~"), (43, "|ZXCVBNM<>?"))
_KEYPAD = {71: "7", 72: "8", 73: "9", 74: "-", 75: "4", 76: "5", 77: "6", 78: "+", 79: "1", 80: "2", 81: "3"}
_KEYPAD |= {82: "0", 83: ".", 55: "*", 98: "/"}


def _table(rows: tuple[tuple[int, str], ...]) -> dict[int, str]:
    return {first + number: sign for first, signs in rows for number, sign in enumerate(signs)}


@dataclass(frozen=True)
class Layout:
    """What each key types: alone, with Shift, and with AltGr."""

    plain: dict[int, str]
    shifted: dict[int, str]
    third: dict[int, str] = field(default_factory=dict)


_US = Layout(_table(_ROWS) | {86: "<"}, _table(_SHIFTED) | {86: ">"})
LAYOUTS = {
    "us": _US,
    "gb": Layout(
        _US.plain | {43: "#", 86: "\\"},
        _US.shifted | {3: '"', 4: "£", 40: "@", 41: "¬", 43: "~", 86: "|"},
        {5: "€", 41: "¦"},
    ),
    "in": Layout(_US.plain, _US.shifted, {5: "₹", 6: "€"}),
}


@dataclass
class Typist:
    """Turns key events into what they mean, and remembers which shift keys are down."""

    layout: str = "us"
    _down: set[int] = field(default_factory=set)
    _capitals: bool = False

    def event(self, code: int, value: int) -> str:
        """What a key event means: a letter, a command such as "next", "vt3", or "" for nothing.

        `value` is 0 for a key that goes up, 1 for down, 2 for one that repeats.
        """
        if code in (LEFT_CTRL, RIGHT_CTRL, LEFT_SHIFT, RIGHT_SHIFT, LEFT_ALT, RIGHT_ALT):
            (self._down.add if value else self._down.discard)(code)
            return ""
        if not value:
            return ""
        if code == CAPS_LOCK:
            self._capitals ^= value == 1
            return ""
        if self._down & {LEFT_CTRL, RIGHT_CTRL, LEFT_ALT}:
            return self._chord(code)
        if code in COMMANDS:
            return COMMANDS[code]
        return self._letter(code)

    def _chord(self, code: int) -> str:
        both = LEFT_ALT in self._down and self._down & {LEFT_CTRL, RIGHT_CTRL}
        if both and F1 <= code <= F10:
            return f"vt{code - F1 + 1}"
        return ""

    def _letter(self, code: int) -> str:
        layout = LAYOUTS.get(self.layout, _US)
        if RIGHT_ALT in self._down:
            return layout.third.get(code, "")
        if code == SPACE:
            return " "
        if code in _KEYPAD:
            return _KEYPAD[code]
        shift = bool(self._down & {LEFT_SHIFT, RIGHT_SHIFT})
        sign = layout.plain.get(code, "")
        if self._capitals and sign.isalpha():
            shift = not shift
        return layout.shifted.get(code, "") if shift else sign

    def forget(self) -> None:
        """All keys are up: the keyboard is gone, or another terminal was shown."""
        self._down.clear()

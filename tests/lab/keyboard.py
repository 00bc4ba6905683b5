"""Keys of a US keyboard, by QEMU's names for them (QKeyCode in its QMP reference)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.lab.qmp import Qmp

PACE = 1 / 12
"""Seconds from one key to the next: slower than what an emulated machine is known to lose."""
HOLD = 30
"""Milliseconds that a key stays down."""

_NAMES = {
    " ": "spc",
    "\n": "ret",
    "\t": "tab",
    "\b": "backspace",
    "\x1b": "esc",
    "-": "minus",
    "=": "equal",
    "[": "bracket_left",
    "]": "bracket_right",
    "\\": "backslash",
    ";": "semicolon",
    "'": "apostrophe",
    "`": "grave_accent",
    ",": "comma",
    ".": "dot",
    "/": "slash",
}
_SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))


def keys_of(character: str) -> list[str]:
    """The keys to press together for one character. Raises ValueError for one that a US keyboard has not."""
    if character in _SHIFTED:
        return ["shift", *keys_of(_SHIFTED[character])]
    if character.isascii() and character.isalnum():
        return ["shift", character.lower()] if character.isupper() else [character]
    if character in _NAMES:
        return [_NAMES[character]]
    raise ValueError(f"{character!r} is not on a US keyboard")


def chord(keys: str) -> list[str]:
    """The keys of a name such as "ctrl-alt-f2" or "a"; a single character may stand for its key."""
    names = keys.split("-") if len(keys) > 1 else [keys]
    return [key for name in names for key in (keys_of(name) if len(name) == 1 else [name])]


def press(qmp: Qmp, keys: list[str]) -> None:
    """Press keys together, and let go of them. Raises QmpError for a key that QEMU does not know."""
    qmp.command("send-key", keys=[{"type": "qcode", "data": key} for key in keys], hold_time=HOLD)


def strike(qmp: Qmp, text: str) -> None:
    """Type `text`, a character every PACE seconds. Raises ValueError before the first key when one cannot be typed."""
    for keys in _paced([keys_of(character) for character in text]):
        press(qmp, keys)


def _paced(strokes: list[list[str]]) -> Iterator[list[str]]:
    due = time.monotonic()
    for keys in strokes:
        time.sleep(max(0.0, due - time.monotonic()))
        yield keys
        due = time.monotonic() + PACE
    time.sleep(max(0.0, due - time.monotonic()))

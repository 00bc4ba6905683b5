"""Sizes and colours, for a screen that may be an old TV three metres away.

The picture's edge may be cut off by 5 % on each side; strokes are at least two lines thick, since a CRT shows every
line only half of the time; no saturated red or blue, and white is at 90 %; body text has 24 lines or more.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]

SAFE = 0.05
"""Part of the width and height on each side where nothing is drawn but the ground."""
FONT = "Noto Sans, Noto Sans Devanagari, Noto Sans Kannada"


def colour(code: str) -> Colour:
    """A colour from "rrggbb"."""
    return tuple(int(code[at : at + 2], 16) / 255 for at in (0, 2, 4))  # type: ignore[return-value]


GROUND = colour("0f2027")
PANEL = colour("1a323d")
RAISED = colour("24434f")
TEXT = colour("e6e6de")
MUTED = colour("a8bcc2")
ACCENT = colour("f0bf56")
ON_ACCENT = colour("1b1b16")
GOOD = colour("93d39b")
TROUBLE = colour("f0936a")


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        return self.x <= x < self.right and self.y <= y < self.bottom


@dataclass(frozen=True)
class Theme:
    """Sizes for one screen, in pixels; `squeeze` below 1 makes the middle part smaller when it would not fit."""

    width: int
    height: int
    squeeze: float = 1.0

    @property
    def safe(self) -> Box:
        """What every TV shows."""
        x, y = round(self.width * SAFE), round(self.height * SAFE)
        return Box(x, y, self.width - 2 * x, self.height - 2 * y)

    @property
    def wide(self) -> bool:
        """Whether there is room for a panel at the side."""
        return self.width / self.height > 1.5

    @property
    def title(self) -> float:
        return max(32, self.height * 0.052)

    @property
    def body(self) -> float:
        return max(22.0, max(26.0, self.height * 0.036) * self.squeeze)

    @property
    def small(self) -> float:
        return max(22, self.height * 0.026)

    @property
    def gap(self) -> float:
        """The usual distance between things."""
        return max(11, self.height * 0.022) * self.squeeze

    @property
    def stroke(self) -> float:
        """The thinnest line there is."""
        return max(2, round(self.height / 360))

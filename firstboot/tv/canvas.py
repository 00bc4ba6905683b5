"""Drawing to memory: text shaped by Pango, shapes by Cairo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cairo
import gi

gi.require_version("Pango", "1.0")
gi.require_version("PangoCairo", "1.0")
from gi.repository import Pango, PangoCairo  # noqa: E402  # their versions are chosen before

from .qr import MARGIN  # noqa: E402
from .theme import FONT, Box, Colour  # noqa: E402


@dataclass(frozen=True)
class Inked:
    """A text that was drawn: where its ink is, how many of its letters no font has, and whether it was cut short."""

    text: str
    ink: Box
    unknown: int
    cut: bool


ASCENT, LINE = 1.06, 1.36
"""From a line's top to its baseline, and to the next line, as parts of the size: those of Noto Sans."""


MOST_MEASURED = 300
"""Measures of texts that are kept: a screen is measured often and changes little."""


def _height(laid: Any, size: float) -> float:
    """The height of a text: that of one line is the same in all scripts."""
    rest = laid.get_pixel_size()[1] - laid.get_baseline() / Pango.SCALE - (LINE - ASCENT) * size
    return float(LINE * size + (max(0.0, rest) if laid.get_line_count() > 1 else 0.0))


class Canvas:
    """A picture of `width` by `height` pixels, 32 or 16 bits each; `inked` lists the texts on it."""

    def __init__(self, width: int, height: int, bits: int = 32) -> None:
        self.width, self.height = width, height
        form = cairo.FORMAT_RGB16_565 if bits == 16 else cairo.FORMAT_RGB24
        self.surface = cairo.ImageSurface(form, width, height)
        self.context: Any = cairo.Context(self.surface)
        self.inked: list[Inked] = []
        self._measured: dict[tuple[object, ...], tuple[float, float]] = {}
        self._pango = PangoCairo.create_context(self.context)
        options = cairo.FontOptions()
        options.set_antialias(cairo.ANTIALIAS_GRAY)
        options.set_hint_style(cairo.HINT_STYLE_NONE)
        options.set_hint_metrics(cairo.HINT_METRICS_OFF)
        PangoCairo.context_set_font_options(self._pango, options)
        PangoCairo.context_set_resolution(self._pango, 72)
        # Where a line ends inside a word, a hyphen would be taken for one of the password or the address.
        self._attributes = Pango.AttrList.new()
        self._attributes.insert(Pango.attr_insert_hyphens_new(False))

    def clear(self, ground: Colour) -> None:
        """Paint everything in one colour."""
        self.inked.clear()
        self.context.set_source_rgb(*ground)
        self.context.paint()

    def layout(self, text: str, size: float, width: float | None, *, bold: bool, lines: int, align: str) -> Any:
        """A text set in lines. `lines` is the most there may be; what is over ends in an ellipsis."""
        made = Pango.Layout.new(self._pango)
        font = Pango.FontDescription.from_string(FONT)
        font.set_absolute_size(size * Pango.SCALE)
        font.set_weight(Pango.Weight.BOLD if bold else Pango.Weight.NORMAL)
        made.set_font_description(font)
        if width is not None:
            made.set_width(int(width * Pango.SCALE))
            made.set_wrap(Pango.WrapMode.WORD_CHAR)
            if lines:
                made.set_height(-lines)
                made.set_ellipsize(Pango.EllipsizeMode.END)
        made.set_alignment({"left": Pango.Alignment.LEFT, "centre": Pango.Alignment.CENTER}[align])
        made.set_auto_dir(False)
        made.set_attributes(self._attributes)
        made.set_text(text, -1)
        return made

    def measure(
        self, text: str, size: float, width: float | None = None, *, bold: bool = False, lines: int = 0
    ) -> tuple[float, float]:
        """Width and height that a text takes."""
        key = (text, size, width, bold, lines)
        if key not in self._measured:
            if len(self._measured) >= MOST_MEASURED:
                self._measured.clear()
            laid = self.layout(text, size, width, bold=bold, lines=lines, align="left")
            self._measured[key] = (laid.get_pixel_size()[0], _height(laid, size))
        return self._measured[key]

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: Colour,
        *,
        width: float | None = None,
        bold: bool = False,
        lines: int = 0,
        align: str = "left",
    ) -> float:
        """Draw a text with its top left corner at x, y; returns its height. Baselines of all scripts are the same."""
        laid = self.layout(text, size, width, bold=bold, lines=lines, align=align)
        top, y = y, y + ASCENT * size - laid.get_baseline() / Pango.SCALE
        self.context.set_source_rgb(*colour)
        self.context.move_to(x, y)
        PangoCairo.show_layout(self.context, laid)
        ink, _ = laid.get_pixel_extents()
        place = Box(x + ink.x, y + ink.y, ink.width, ink.height)
        self.inked.append(Inked(text, place, laid.get_unknown_glyphs_count(), laid.is_ellipsized()))
        return max(_height(laid, size), y + laid.get_pixel_size()[1] - top if laid.get_line_count() > 1 else 0.0)

    def caret(self, x: float, text: str, at: int, size: float) -> float:
        """Where the caret stands before letter `at` of a text on one line that begins at x."""
        laid = self.layout(text, size, None, bold=False, lines=0, align="left")
        strong, _ = laid.get_cursor_pos(len(text[:at].encode()))
        return float(x + strong.x / Pango.SCALE)

    def fill(self, box: Box, colour: Colour, radius: float = 0.0) -> None:
        """Fill a box, its corners rounded."""
        self._path(box, radius)
        self.context.set_source_rgb(*colour)
        self.context.fill()

    def outline(self, box: Box, colour: Colour, line: float, radius: float = 0.0) -> None:
        """Draw the edge of a box, inside it."""
        half = line / 2
        self._path(Box(box.x + half, box.y + half, box.width - line, box.height - line), radius)
        self.context.set_source_rgb(*colour)
        self.context.set_line_width(line)
        self.context.stroke()

    def strokes(self, points: list[tuple[float, float]], colour: Colour, line: float) -> None:
        """Draw a line through points, with round ends."""
        self.context.set_line_cap(cairo.LINE_CAP_ROUND)
        self.context.set_line_join(cairo.LINE_JOIN_ROUND)
        self.context.set_line_width(line)
        self.context.set_source_rgb(*colour)
        self.context.move_to(*points[0])
        for point in points[1:]:
            self.context.line_to(*point)
        self.context.stroke()

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle around a point."""
        self.context.arc(x, y, radius, 0, 2 * math.pi)
        self.context.set_source_rgb(*colour)
        self.context.fill()

    def squares(self, box: Box, rows: list[list[bool]], dark: Colour, light: Colour) -> None:
        """Draw a QR code and the light margin that readers need."""
        count = len(rows) + 2 * MARGIN
        side = int(min(box.width, box.height) // count)
        offset_x, offset_y = (
            box.x + (box.width - side * count) // 2,
            box.y + (box.height - side * count) // 2,
        )
        self.fill(Box(offset_x, offset_y, side * count, side * count), light, side * 2)
        self.context.set_source_rgb(*dark)
        for y, row in enumerate(rows):
            for x, is_dark in enumerate(row):
                if is_dark:
                    self.context.rectangle(offset_x + (x + MARGIN) * side, offset_y + (y + MARGIN) * side, side, side)
        self.context.fill()

    def _path(self, box: Box, radius: float) -> None:
        radius = min(radius, box.width / 2, box.height / 2)
        if not radius:
            self.context.rectangle(box.x, box.y, box.width, box.height)
            return
        corners = (
            (box.right - radius, box.y + radius, -math.pi / 2),
            (box.right - radius, box.bottom - radius, 0.0),
            (box.x + radius, box.bottom - radius, math.pi / 2),
            (box.x + radius, box.y + radius, math.pi),
        )
        self.context.new_sub_path()
        for x, y, start in corners:
            self.context.arc(x, y, radius, start, start + math.pi / 2)
        self.context.close_path()

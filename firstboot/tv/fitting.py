"""How the parts of a screen share its room: what is made smaller, what is cut, and what is left out.

Choices are never left out. Where the room is short even at the smallest size, long texts end in an ellipsis, then lines
go, those that matter least first, and how many went is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..aside import Aside
from ..screens import Line, Screen
from ..texts import texts
from .canvas import LINE, Canvas
from .editing import Entry
from .qr import LEAST_MODULE, MARGIN, modules
from .theme import Box, Theme

SQUEEZES = (1.0, 0.94, 0.88, 0.82, 0.76, 0.7)
RANK = {"trouble": 0, "running": 1, "": 2, "wait": 3, "ok": 4}
"""Which lines stay the longest."""
AID_LINES = 2
"""What is said to a helper takes no more lines."""
ROWS, ROWS_OF_MANY, ROWS_OF_MANY_AT_LEAST, ROWS_BELOW_LINES = 8, 5, 3, 4
"""Choices that are all seen at once, those that are seen of a longer list, and those that are seen below lines."""


@dataclass(frozen=True)
class Cut:
    """How texts are made to take less room.

    title, help, problem  lines of letters that each may take; 0 is any number
    line                  the same for each of the two parts of a line
    small_title           the title is no larger than the rest
    rows                  choices of a long list that are seen
    """

    title: int = 0
    help: int = 0
    problem: int = 0
    line: int = 0
    small_title: bool = True
    rows: int = ROWS_OF_MANY


FULL = Cut(small_title=False)
CUTS = (Cut(), Cut(rows=ROWS_OF_MANY_AT_LEAST), *(Cut(line=most) for most in (6, 4, 3, 2)))
"""Before lines are left out that say what is wrong, the mildest first."""
LAST_CUTS = (
    *(Cut(rows=ROWS_OF_MANY_AT_LEAST, title=most, problem=6, line=2) for most in (0, 3, 2)),
    *(Cut(rows=ROWS_OF_MANY_AT_LEAST, title=2, help=most, problem=3, line=2) for most in (7, 6, 5, 4, 3, 2, 1)),
)
"""When such lines are left out, too."""


class Fitting:
    """One screen at one squeeze, before it is drawn: how much room each part takes."""

    def __init__(self, canvas: Canvas, theme: Theme, screen: Screen, entry: Entry, aside: Aside) -> None:
        self.canvas, self.theme, self.screen, self.entry, self.aside = canvas, theme, screen, entry, aside
        self.say = texts(screen.language).say
        self.lines: tuple[Line, ...] = screen.lines
        self.cut = FULL
        self.below = False
        """Whether lines stand below the QR code, at full width, rather than beside it."""
        safe = theme.safe
        self.panel = self._panel_box() if theme.wide and (aside.lines or screen.qr) else None
        self.width = (self.panel.x - safe.x - 2 * theme.gap) if self.panel else safe.width
        self.top = safe.y + theme.small * 2.1
        self.bottom = safe.bottom - self._footer_height()
        self.qr_box = self._qr_box(safe.width * 0.3) if screen.qr and not self.panel else None

    def _panel_box(self) -> Box:
        safe = self.theme.safe
        width = safe.width * 0.27
        return Box(safe.right - width, safe.y, width, safe.height)

    def _qr_box(self, side: float) -> Box:
        return Box(self.theme.safe.right - side, self.top, side, side)

    @property
    def row(self) -> float:
        """The height of one choice."""
        return self.theme.body * LINE + self.theme.gap * 0.9

    def _footer_height(self) -> float:
        lines = 1.0
        if self.aside.warning:
            lines += 1.1
        if not self.panel and self.aside.brief:
            lines += self._brief_lines() * 1.2
        return self.theme.small * LINE * lines + self._aid_height() + self.theme.gap

    def _brief_lines(self) -> int:
        _, height = self.canvas.measure(self.aside.brief, self.theme.small, self.theme.safe.width)
        return max(1, round(height / (self.theme.small * LINE)))

    def _aid_height(self) -> float:
        if not self.screen.aid:
            return 0.0
        return self.canvas.measure(self.screen.aid, self.theme.small, self.width, lines=AID_LINES)[1] + self.theme.gap

    def _head_width(self) -> float:
        return self.width - (self.qr_box.width + self.theme.gap if self.qr_box else 0)

    @property
    def title(self) -> float:
        """The size of the title's letters."""
        return self.theme.body if self.cut.small_title else self.theme.title

    def _head_height(self) -> float:
        theme, width, cut = self.theme, self._head_width(), self.cut
        height = self.canvas.measure(self.screen.title, self.title, width, bold=True, lines=cut.title)[1]
        height += theme.gap * 0.6
        if self.screen.help:
            height += self.canvas.measure(self.screen.help, theme.body, width, lines=cut.help)[1] + theme.gap
        if self.screen.problem:
            height += self._problem_height() + theme.gap
        return max(height, self.qr_box.height + theme.gap) if self.below and self.qr_box else height

    def _problem_height(self) -> float:
        inner = self.width - 3 * self.theme.gap - self.theme.body
        height = self.canvas.measure(self.screen.problem, self.theme.body, inner, lines=self.cut.problem)[1]
        return height + self.theme.gap

    def _lines_height(self) -> float:
        return sum(self._line_height(line) for line in self.lines) + (self.theme.gap if self.lines else 0)

    def _columns(self) -> tuple[float, float, float]:
        """Where a line's label and value begin, and where they end, from the left edge."""
        marked = any(line.mark for line in self.lines) or self.screen.look == "busy"
        begin = self.theme.body * 1.5 if marked else 0.0
        width = self.width if self.below else self._head_width()
        widest = max(
            (self.canvas.measure(line.label, self.theme.body)[0] for line in self.lines if line.value), default=0
        )
        return begin, min(begin + widest + self.theme.body, begin + width * 0.5), width

    def _line_height(self, line: Line) -> float:
        begin, second, end = self._columns()
        first = (second - self.theme.body * 0.5) if line.value else end
        most = self.cut.line
        height = self.canvas.measure(line.label, self.theme.body, first - begin, lines=most)[1]
        if line.value:
            height = max(height, self.canvas.measure(line.value, self.theme.body, end - second, lines=most)[1])
        return height + self.theme.gap * 0.5

    def _field_height(self) -> float:
        height = self.theme.body * 2.5
        if self._note():
            height += self.theme.small * LINE + self.theme.gap * 0.5
        return height

    def _note(self) -> str:
        if self.screen.suggested and not self.entry.touched:
            return self.say("keys|suggestion")
        return self.say("keys|optional") if self.screen.optional else ""

    def fits(self) -> bool:
        """Whether everything has room, choices too, or as many of a long list, which scrolls, as are to be seen."""
        count = len(self.screen.choices)
        most, of_more = (ROWS_BELOW_LINES, ROWS_BELOW_LINES) if self.screen.lines else (ROWS, self.cut.rows)
        needed = self._head_height() + self._lines_height() + (count if count <= most else of_more) * self.row
        if self.screen.look in ("text", "secret"):
            needed += self._field_height()
        return self.top + needed <= self.bottom

    def make_fit(self) -> None:
        """Cut texts and leave out lines until the choices have room.

        Beside a QR code stands what has to be typed, and nobody can type half a password: lines stay whole there.
        """
        self._move_below_the_code()
        for cut in (FULL, *CUTS, *LAST_CUTS):
            self.cut = replace(cut, line=0) if self.screen.qr else cut
            self._leave_out(calm=cut not in LAST_CUTS)
            if self.fits():
                return

    def _move_below_the_code(self) -> None:
        """Have lines below the QR code, at full width, and make the code smaller if that helps."""
        if self.qr_box is None:
            return
        self.below, self.cut = True, CUTS[0]
        count = len(modules(self.screen.qr)) + 2 * MARGIN
        for module in range(int(self.qr_box.width // count), int(LEAST_MODULE) - 1, -1):
            self.qr_box = self._qr_box(module * count)
            if self.fits():
                return

    def _leave_out(self, *, calm: bool) -> None:
        """Leave out lines, those that matter least first, until the rest has room; how many, is said.

        With `calm` only such go that are in order, beside others that are in trouble.
        """
        listed = self.screen.lines
        ranked = sorted(range(len(listed)), key=lambda number: (RANK[listed[number].mark], number))
        wrong = sum(line.mark == "trouble" for line in listed)
        least = (wrong or len(listed)) if calm else 1
        self.lines = listed
        while len(ranked) > least and not self.fits():
            ranked.pop()
            more = Line(self.say("preset|more", n=len(listed) - len(ranked)), "")
            self.lines = (*(listed[number] for number in sorted(ranked)), more)

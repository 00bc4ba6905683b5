"""How a screen of the wizard looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..aside import Aside
from ..screens import Mark, Screen
from .canvas import LINE, Canvas
from .editing import Entry
from .fitting import AID_LINES, SQUEEZES, Fitting
from .qr import modules, readable
from .theme import ACCENT, GOOD, GROUND, MUTED, ON_ACCENT, PANEL, RAISED, TEXT, TROUBLE, Box, Colour, Theme

DOT = "•"


@dataclass
class Spots:
    """Where the mouse can click: a choice by its number, "next" or "back"."""

    boxes: list[tuple[Box, int | str]] = field(default_factory=list)

    def at(self, x: float, y: float) -> int | str | None:
        """What lies at a point."""
        return next((what for box, what in self.boxes if box.holds(x, y)), None)


class Painter:
    """Draws screens on a canvas."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas

    def paint(self, screen: Screen, entry: Entry, aside: Aside | None = None) -> Spots:
        """Draw a screen; returns where it can be clicked."""
        aside = Aside() if aside is None or screen.qr else aside
        for drawing in self._tries(screen, entry, aside):
            if drawing.fits():
                return drawing.draw()
        drawing.make_fit()
        return drawing.draw()

    def _tries(self, screen: Screen, entry: Entry, aside: Aside) -> Iterator[_Drawing]:
        """The screen as it should be, then smaller and with less beside it."""
        alone = replace(aside, brief="")
        tries = [(squeeze, screen, aside) for squeeze in SQUEEZES[:3]]
        tries += [(squeeze, screen, alone) for squeeze in SQUEEZES]
        tries += [(squeeze, replace(screen, aid=""), alone) for squeeze in SQUEEZES if screen.aid]
        for squeeze, shown, beside in tries:
            yield _Drawing(self.canvas, Theme(self.canvas.width, self.canvas.height, squeeze), shown, entry, beside)


class _Drawing(Fitting):
    """One screen, at one squeeze."""

    def draw(self) -> Spots:
        """Draw it all."""
        self.spots = Spots()
        self.canvas.clear(GROUND)
        self._header()
        y = self._head(self.top)
        y = self._lines(y)
        if self.screen.look in ("text", "secret"):
            self._field(y)
        self._choices(y)
        if self.qr_box:
            self._qr(self.qr_box)
        self._footer()
        if self.panel:
            self._panel(self.panel)
        return self.spots

    def _header(self) -> None:
        theme, safe = self.theme, self.theme.safe
        self.canvas.text(safe.x, safe.y, self.screen.chapter, theme.small, ACCENT, width=self.width * 0.6, lines=1)
        width, gap = theme.small * 0.8, theme.small * 0.4
        x = safe.x + self.width - self.screen.parts * (width + gap) + gap
        thick = max(6.0, theme.small * 0.3)
        for part in range(self.screen.parts):
            shade = ACCENT if part == self.screen.part else MUTED if part < self.screen.part else RAISED
            self.canvas.fill(Box(x, safe.y + theme.small * 0.55, width, thick), shade, thick / 2)
            x += width + gap

    def _head(self, y: float) -> float:
        theme, x, width, cut = self.theme, self.theme.safe.x, self._head_width(), self.cut
        title, help_text, most = self.screen.title, self.screen.help, cut.title
        y += self.canvas.text(x, y, title, self.title, TEXT, width=width, bold=True, lines=most) + theme.gap * 0.6
        if help_text:
            y += self.canvas.text(x, y, help_text, theme.body, MUTED, width=width, lines=cut.help) + theme.gap
        if self.screen.problem:
            box = Box(x, y, self.width, self._problem_height())
            self.canvas.fill(box, PANEL, theme.gap * 0.6)
            self.canvas.fill(Box(x, y, theme.gap * 0.5, box.height), TROUBLE, theme.gap * 0.25)
            inner = self.width - 3 * theme.gap - theme.body
            middle = y + theme.gap * 0.5 + theme.body * 0.68
            self._mark("trouble", x + theme.gap * 1.4 + theme.body * 0.3, middle)
            left = x + theme.gap * 2 + theme.body
            problem, above = self.screen.problem, theme.gap * 0.5
            self.canvas.text(left, y + above, problem, theme.body, TEXT, width=inner, lines=cut.problem)
            y += box.height + theme.gap
        return max(y, self.qr_box.bottom + theme.gap) if self.below and self.qr_box else y

    def _lines(self, y: float) -> float:
        theme, x = self.theme, self.theme.safe.x
        begin, second, end = self._columns()
        most = self.cut.line
        for line in self.lines:
            waits = self.screen.look == "busy" and not line.mark
            shade = MUTED if line.value or waits else TEXT
            first = (second - theme.body * 0.5) if line.value else end
            self._mark(line.mark, x + theme.body * 0.5, y + theme.body * 0.68)
            self.canvas.text(x + begin, y, line.label, theme.body, shade, width=first - begin, lines=most)
            if line.value:
                value = TROUBLE if line.mark == "trouble" else TEXT
                self.canvas.text(x + second, y, line.value, theme.body, value, width=end - second, lines=most)
            y += self._line_height(line)
        return y + (theme.gap if self.lines else 0)

    def _mark(self, mark: Mark, x: float, y: float) -> None:
        size = self.theme.body * 0.3
        line = max(3.0, self.theme.body * 0.12)
        if mark == "ok":
            points = [(x - size, y), (x - size * 0.25, y + size * 0.75), (x + size, y - size * 0.75)]
            self.canvas.strokes(points, GOOD, line)
        elif mark == "trouble":
            self.canvas.strokes([(x, y - size), (x, y + size * 0.25)], TROUBLE, line)
            self.canvas.disc(x, y + size, line * 0.7, TROUBLE)
        elif mark == "running":
            self.canvas.disc(x, y, size * 0.7, ACCENT)
        elif mark == "wait":
            for step in (-1, 0, 1):
                self.canvas.disc(x + step * size, y, line * 0.65, ACCENT)

    def _field(self, y: float) -> None:
        theme, x, entry = self.theme, self.theme.safe.x, self.entry
        size = theme.body * 1.2
        box = Box(x, y, self.width, theme.body * 2.2)
        self.canvas.fill(box, PANEL, theme.gap * 0.6)
        self.canvas.outline(box, ACCENT, theme.stroke + 1, theme.gap * 0.6)
        hidden = self.screen.look == "secret" and not entry.shown and not (self.screen.suggested and not entry.touched)
        shown = DOT * len(entry.text) if hidden else entry.text
        left, room = x + theme.gap, self.width - 2 * theme.gap
        before = 0
        while self.canvas.measure(shown[before:], size)[0] > room and before < entry.caret:
            before += max(1, len(shown) // 40)
        before = min(before, entry.caret)
        visible = shown[before:]
        while visible and self.canvas.measure(visible, size)[0] > room:
            visible = visible[:-1]
        height = self.canvas.measure("Ag", size)[1]
        top = y + (box.height - height) / 2
        if visible:
            self.canvas.text(left, top, visible, size, TEXT)
        caret = self.canvas.caret(left, visible, entry.caret - before, size)
        bar = max(3.0, theme.stroke)
        self.canvas.fill(Box(min(caret, left + room), y + box.height * 0.2, bar, box.height * 0.6), ACCENT)
        if self._note():
            self.canvas.text(x, box.bottom + theme.gap * 0.5, self._note(), theme.small, MUTED, width=self.width)

    def _choices(self, y: float) -> None:
        theme, x = self.theme, self.theme.safe.x
        choices, chosen = self.screen.choices, self.entry.chosen
        if not choices:
            return
        room = max(1, int((self.bottom - y + theme.gap * 0.3) // self.row))
        pitch = min(self.row * 1.35, (self.bottom - y) / min(room, len(choices)))
        first = 0 if len(choices) <= room else min(max(0, chosen - room // 2), len(choices) - room)
        height = pitch - theme.gap * 0.45
        for number in range(first, min(first + room, len(choices))):
            box = Box(x, y, self.width, height)
            is_chosen = number == chosen
            self.canvas.fill(box, ACCENT if is_chosen else PANEL, theme.gap * 0.6)
            shade: Colour = ON_ACCENT if is_chosen else TEXT
            label = choices[number].label
            top = y + (height - self.canvas.measure(label, theme.body, bold=is_chosen)[1]) / 2
            inner = self.width - 3 * theme.gap
            left = x + theme.gap * 1.2
            self.canvas.text(left, top, label, theme.body, shade, width=inner, bold=is_chosen, lines=1)
            self.spots.boxes.append((box, number))
            y += pitch
        if len(choices) > room:
            self._scrollbar(
                y - room * pitch, room * pitch - theme.gap * 0.45, room / len(choices), first / len(choices)
            )

    def _scrollbar(self, y: float, height: float, part: float, begin: float) -> None:
        width = max(6.0, self.theme.gap * 0.4)
        x = self.theme.safe.x + self.width - width
        self.canvas.fill(Box(x, y, width, height), RAISED, width / 2)
        self.canvas.fill(Box(x, y + height * begin, width, max(20, height * part)), MUTED, width / 2)

    def _footer(self) -> None:
        theme, safe = self.theme, self.theme.safe
        size = theme.small
        y = safe.bottom - size * LINE
        if self.screen.look != "busy":
            x = self._key(safe.x, y, "Enter", self.say("keys|next"), "next")
            if self.screen.can_go_back:
                x = self._key(x, y, "Esc", self.say("keys|back"), "back")
            if self.screen.look == "secret" and (self.entry.touched or not self.screen.suggested):
                self._key(x, y, "Tab", self.say("keys|hide" if self.entry.shown else "keys|show"), "show")
            elif len(self.screen.choices) > 1:
                self._key(x, y, "↑↓", self.say("keys|choose"), "choose")
        y -= size * 0.35
        if self.screen.aid:
            y -= self._aid_height() - theme.gap
            self.canvas.text(safe.x, y, self.screen.aid, size, MUTED, width=self.width, lines=AID_LINES)
            y -= theme.gap * 0.5
        if self.aside.brief and not self.panel:
            y -= size * LINE * self._brief_lines()
            self.canvas.text(safe.x, y, self.aside.brief, size, MUTED, width=safe.width)
        if self.aside.warning:
            y -= size * 1.45
            self.canvas.text(safe.x, y, self.aside.warning, size, TROUBLE, width=self.width, lines=1)

    def _key(self, x: float, y: float, key: str, label: str, what: str) -> float:
        size, pad = self.theme.small, self.theme.small * 0.35
        width, height = self.canvas.measure(key, size * 0.85, bold=True)
        if key == "↑↓":
            width = size * 1.5
        box = Box(x, y, width + 2 * pad, size * LINE)
        self.canvas.fill(box, RAISED, size * 0.25)
        if key == "↑↓":
            self._arrows(box)
        else:
            self.canvas.text(x + pad, y + (box.height - height) / 2, key, size * 0.85, TEXT, bold=True)
        words, tall = self.canvas.measure(label, size)
        self.canvas.text(box.right + pad, y + (box.height - tall) / 2, label, size, MUTED)
        self.spots.boxes.append((Box(x, y, box.width + pad + words, box.height), what))
        return box.right + pad + words + size

    def _arrows(self, box: Box) -> None:
        size, line = box.height * 0.24, max(3.0, box.height * 0.09)
        for turn, x in ((-1, box.x + box.width * 0.32), (1, box.x + box.width * 0.68)):
            y = box.y + box.height / 2
            self.canvas.strokes([(x, y - turn * size), (x, y + turn * size)], TEXT, line)
            tip = y + turn * size
            self.canvas.strokes(
                [(x - size * 0.7, tip - turn * size * 0.7), (x, tip), (x + size * 0.7, tip - turn * size * 0.7)],
                TEXT,
                line,
            )

    def _qr(self, box: Box) -> None:
        rows = modules(self.screen.qr or self.aside.qr)
        if rows:
            self.canvas.squares(box, rows, ON_ACCENT, TEXT)

    def _panel(self, panel: Box) -> None:
        theme = self.theme
        if self.screen.qr:
            side = panel.width - 2 * theme.gap
            self.canvas.fill(Box(panel.x, panel.y, panel.width, panel.width), PANEL, theme.gap)
            self._qr(Box(panel.x + theme.gap, panel.y + theme.gap, side, side))
            return
        self.canvas.fill(panel, PANEL, theme.gap)
        inner = Box(panel.x + theme.gap, panel.y + theme.gap, panel.width - 2 * theme.gap, panel.height - 2 * theme.gap)
        texts = [(theme.small, ACCENT, True, self.aside.title)]
        for label, value in self.aside.lines:
            texts += [(theme.small * 0.9, MUTED, False, label), (theme.small, TEXT, True, value)]
        measure = self.canvas.measure
        heights = [measure(text, size, inner.width, bold=bold)[1] for size, _, bold, text in texts]
        y, code = inner.y, modules(self.aside.qr)
        side = min(inner.width, inner.height - sum(heights) - theme.gap * (1 + 0.6 * len(self.aside.lines)))
        if code and readable(code, side):
            self.canvas.squares(Box(inner.x, y, inner.width, side), code, ON_ACCENT, TEXT)
            y += side + theme.gap
        for number, (size, shade, bold, text) in enumerate(texts):
            y += theme.gap * 0.6 if number % 2 else 0.0
            self.canvas.text(inner.x, y, text, size, shade, width=inner.width, bold=bold)
            y += heights[number]

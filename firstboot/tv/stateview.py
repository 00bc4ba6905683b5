"""How the state of the node looks on the TV: what goes on at the left, how to join at the right."""

from __future__ import annotations

from ..aside import unbroken
from ..join import Join
from ..status import Status, facts
from ..texts import texts
from .canvas import LINE, Canvas
from .qr import modules, readable
from .theme import ACCENT, GROUND, MUTED, ON_ACCENT, PANEL, TEXT, TROUBLE, Box, Theme


class StateView:
    """Draws the state screen on a canvas."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.theme = Theme(canvas.width, canvas.height)

    def paint(self, name: str, join: Join, status: Status, now: float, language: str) -> None:
        """Draw it; `now` is in seconds since 1970."""
        said = texts(language)
        canvas, theme, safe = self.canvas, self.theme, self.theme.safe
        canvas.clear(GROUND)
        side = safe.width * (0.34 if theme.wide else 0.42)
        panel = Box(safe.right - side, safe.y, side, safe.height)
        width = panel.x - safe.x - 2 * theme.gap
        canvas.text(safe.x, safe.y, said.say("state|title"), theme.small, ACCENT, width=width, lines=1)
        y = safe.y + theme.small * 1.7
        y += canvas.text(safe.x, y, name, theme.title, TEXT, width=width, bold=True, lines=1) + theme.gap
        bottom = safe.bottom - theme.small * LINE - theme.gap
        self._facts(facts(status, now, said), Box(safe.x, y, width, bottom - y))
        keeper = said.say("state|keeper")
        canvas.text(safe.x, safe.bottom - theme.small * LINE, keeper, theme.small, MUTED, width=width, lines=1)
        self._join(panel, join, language)

    def _facts(self, told: list[tuple[str, str, bool]], room: Box) -> None:
        """What goes on. Where the room is short letters are smaller, then values have one line, then calm ones go."""
        canvas, small = self.canvas, self.theme.small * LINE
        for body, lines in ((self.theme.body, 2), (self.theme.small, 2), (self.theme.small, 1)):
            heights = [
                small + canvas.measure(value, body, room.width, bold=True, lines=lines)[1] for _, value, _ in told
            ]
            if sum(heights) <= room.height:
                break
        while sum(heights) > room.height:
            calm = [number for number, (_, _, wrong) in enumerate(told) if not wrong] or [len(told) - 1]
            told, heights = ([*each[: calm[-1]], *each[calm[-1] + 1 :]] for each in (told, heights))
        pitch = min(self.theme.gap * 2.4, (room.height - sum(heights)) / len(told))
        y = room.y
        for (label, value, wrong), height in zip(told, heights, strict=True):
            canvas.text(room.x, y, label, self.theme.small, MUTED, width=room.width, lines=1)
            shade = TROUBLE if wrong else TEXT
            canvas.text(room.x, y + small, value, body, shade, width=room.width, bold=True, lines=lines)
            y += height + pitch

    def _join(self, panel: Box, join: Join, language: str) -> None:
        said = texts(language)
        canvas, theme = self.canvas, self.theme
        canvas.fill(panel, PANEL, theme.gap)
        x, width = panel.x + theme.gap, panel.width - 2 * theme.gap
        rows = [(said.say("state|join"), join.wifi), (said.say("state|password"), unbroken(join.passphrase))]
        rows = rows if join.wifi else []
        rows.append((said.say("state|open"), join.address.removeprefix("https://")))
        if join.plain_address:
            rows.append(("", join.plain_address.removeprefix("https://")))
        needed = sum(
            (theme.small * 0.92 * LINE if label else 0.0) + canvas.measure(value, theme.small, width, bold=True)[1]
            for label, value in rows
        )
        needed += theme.gap * (0.5 * len(rows) + 1)
        code = modules(join.qr())
        room = min(width, panel.height - needed - 2 * theme.gap)
        y = panel.y + theme.gap
        if code and readable(code, room):
            canvas.squares(Box(x, y, width, room), code, ON_ACCENT, TEXT)
            y += room + theme.gap
        for label, value in rows:
            if label:
                y += canvas.text(x, y, label, theme.small * 0.92, MUTED, width=width, lines=1)
            y += canvas.text(x, y, value, theme.small, TEXT, width=width, bold=True) + theme.gap * 0.5

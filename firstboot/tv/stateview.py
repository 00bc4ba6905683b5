"""How the state of the node looks on the TV: what goes on at the left, how to join at the right."""

from __future__ import annotations

from ..aside import unbroken
from ..join import Join
from ..status import Status, facts
from ..texts import texts
from .canvas import LINE, Canvas
from .qr import modules
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
        told = facts(status, now, said)
        bottom = safe.bottom - theme.small * LINE - theme.gap
        heights = [
            theme.small * LINE + canvas.measure(value, theme.body, width, bold=True, lines=2)[1] for _, value, _ in told
        ]
        pitch = min(theme.gap * 2.4, max(0.0, (bottom - y - sum(heights)) / len(told)))
        for (label, value, wrong), height in zip(told, heights, strict=True):
            canvas.text(safe.x, y, label, theme.small, MUTED, width=width, lines=1)
            shade = TROUBLE if wrong else TEXT
            canvas.text(safe.x, y + theme.small * LINE, value, theme.body, shade, width=width, bold=True, lines=2)
            y += height + pitch
        keeper = said.say("state|keeper")
        canvas.text(safe.x, safe.bottom - theme.small * LINE, keeper, theme.small, MUTED, width=width, lines=1)
        self._join(panel, join, language)

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
        if code:
            canvas.squares(Box(x, y, width, room), code, ON_ACCENT, TEXT)
            y += room + theme.gap
        for label, value in rows:
            if label:
                y += canvas.text(x, y, label, theme.small * 0.92, MUTED, width=width, lines=1)
            y += canvas.text(x, y, value, theme.small, TEXT, width=width, bold=True) + theme.gap * 0.5

"""The picture on its way to the screen, with the mouse's arrow on top."""

from __future__ import annotations

from pathlib import Path

import cairo

from .canvas import Canvas
from .framebuffer import BAND, Framebuffer, NoScreen
from .theme import ACCENT, ON_ACCENT

ARROW = ((0.0, 0.0), (0.0, 0.82), (0.22, 0.64), (0.36, 0.96), (0.5, 0.9), (0.36, 0.6), (0.64, 0.58))
"""The arrow's corners, as parts of its height."""


class Output:
    """A screen that may not be there yet. `canvas` is None until it is.

    One that is there, but can show no picture, is a SystemFault, so that plain text is shown instead.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._framebuffer: Framebuffer | None = None
        self.canvas: Canvas | None = None
        self.pointer: tuple[float, float] | None = None
        self.look()

    def look(self) -> bool:
        """Take up a screen that came or changed its size; whether the picture must be drawn anew."""
        if self._framebuffer is not None and self._another(self._framebuffer):
            self.close()
        if self._framebuffer is not None:
            return False
        try:
            self._framebuffer = Framebuffer(self._root)
        except NoScreen:
            return False
        self.refill()
        return True

    def _another(self, framebuffer: Framebuffer) -> bool:
        """Whether the screen has another size now, or another driver has taken it over."""
        try:
            return framebuffer.read_mode() != framebuffer.mode
        except OSError:
            return True

    def refill(self) -> None:
        """Have a canvas again, if there is a screen."""
        if self._framebuffer is not None and self.canvas is None:
            mode = self._framebuffer.mode
            self.canvas = Canvas(mode.width, mode.height, mode.bits)

    def rest(self) -> None:
        """Let go of the canvas, 8 MB for a large screen, until there is something to draw."""
        self.canvas = self.pointer = None

    def present(self, *, all_of_it: bool = False) -> None:
        """Bring what is on the canvas to the screen."""
        if self._framebuffer is None or self.canvas is None:
            return
        if all_of_it:
            self._framebuffer.forget()
        surface = self.canvas.surface
        surface.flush()
        try:
            self._framebuffer.show(memoryview(surface.get_data()), surface.get_stride())
        except OSError:
            self.close()  # another driver has taken it over, and look() finds that one
            return
        if self.pointer is not None:
            self._show_pointer(self.pointer)

    def point(self, x: float, y: float) -> None:
        """Put the arrow's tip at a place in pixels, which is kept on the picture."""
        if self._framebuffer is None or self.canvas is None:
            return
        old = self.pointer
        self.pointer = (min(max(x, 0), self.canvas.width - 1), min(max(y, 0), self.canvas.height - 1))
        if old is not None:
            surface = self.canvas.surface
            top, lines = self._band(old[1])
            self._framebuffer.show_lines(memoryview(surface.get_data()), surface.get_stride(), top, top, lines)
        self._show_pointer(self.pointer)

    def _band(self, y: float) -> tuple[int, int]:
        assert self.canvas is not None
        size = self._size()
        top = int(y) // BAND * BAND
        return top, min(self.canvas.height, top + int(size) + 2 * BAND) - top

    def _size(self) -> float:
        assert self.canvas is not None
        return max(28.0, self.canvas.height * 0.045)

    def _show_pointer(self, at: tuple[float, float]) -> None:
        assert self._framebuffer is not None and self.canvas is not None
        top, lines = self._band(at[1])
        strip = cairo.ImageSurface(self.canvas.surface.get_format(), self.canvas.width, lines)
        context = cairo.Context(strip)
        context.set_source_surface(self.canvas.surface, 0, -top)
        context.paint()
        for number, (x, y) in enumerate(ARROW):
            place = (at[0] + x * self._size(), at[1] - top + y * self._size())
            context.line_to(*place) if number else context.move_to(*place)
        context.close_path()
        context.set_source_rgb(*ACCENT)
        context.fill_preserve()
        context.set_source_rgb(*ON_ACCENT)
        context.set_line_width(3)
        context.stroke()
        strip.flush()
        self._framebuffer.show_lines(memoryview(strip.get_data()), strip.get_stride(), 0, top, lines)

    def close(self) -> None:
        """Let go of the screen."""
        if self._framebuffer is not None:
            self._framebuffer.close()
        self._framebuffer = self.canvas = self.pointer = None

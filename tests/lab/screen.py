"""The picture on the machine's screen, as QEMU dumps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab.qmp import Qmp


@dataclass(frozen=True)
class Picture:
    """A screen's picture: three bytes (red, green, blue) a pixel, row by row."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def from_ppm(cls, data: bytes) -> Picture:
        """Read what `screendump` writes: ppm(5) with one byte a colour and no comments."""
        kind, size, depth, pixels = data.split(b"\n", 3)
        if (kind, depth) != (b"P6", b"255"):
            raise ValueError(f"not a picture that QEMU writes: {kind!r} {depth!r}")
        width, height = map(int, size.split())
        return cls(width, height, pixels)

    def lit(self) -> int:
        """How many pixels are not of the first one's colour."""
        first = self.pixels[:3]
        if self.pixels == first * (self.width * self.height):
            return 0
        pixels = memoryview(self.pixels)
        return sum(pixels[at : at + 3] != first for at in range(0, len(pixels), 3))


def picture(qmp: Qmp, work: Path) -> Picture:
    """The picture of now; a file in `work` (which QEMU must be able to write to) carries it."""
    dump = work / "screen.ppm"
    qmp.command("screendump", filename=str(dump))
    try:
        return Picture.from_ppm(dump.read_bytes())
    finally:
        dump.unlink()


def save(qmp: Qmp, path: Path) -> Path:
    """Write the picture of now to `path`, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    qmp.command("screendump", filename=str(path.resolve()), format="png")
    return path

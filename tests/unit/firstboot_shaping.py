"""Prints the glyphs that the TV draws each text with, from left to right, as JSON; run by /usr/bin/python3.

firstboot_shaping.py regular|bold WIDTH TEXT...        texts are set in lines of so many pixels, 0 is one line
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gi.repository import Pango

from firstboot.tv.canvas import Canvas


def glyphs(canvas: Canvas, text: str, width: int, *, bold: bool) -> list[int]:
    """The numbers of a text's glyphs in their fonts."""
    laid = canvas.layout(text, 40.0, width or None, bold=bold, lines=0, align="left")
    lines = json.loads(laid.serialize(Pango.LayoutSerializeFlags.OUTPUT).get_data())["output"]["lines"]
    return [glyph["glyph"] for line in lines for run in line["runs"] for glyph in run["glyphs"]]


if __name__ == "__main__":
    weight, width, *texts = sys.argv[1:]
    print(json.dumps([glyphs(Canvas(1, 1), text, int(width), bold=weight == "bold") for text in texts]))

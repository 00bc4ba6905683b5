"""QR codes, from libqrencode: 60 kB, and the only thing here that knows their rules."""

from __future__ import annotations

import ctypes
from ctypes.util import find_library

LIBRARY = "libqrencode.so.4"
LEAST_MODULE = 2.0
"""Pixels of a module's side that a camera still tells apart."""
MARGIN = 4
"""Light modules around a code that readers need (ISO/IEC 18004, 6.3.8)."""
LEVEL_M = 1
"""Error correction: 15 % of a code may be unreadable (qrencode.h, QRecLevel)."""


class _Code(ctypes.Structure):
    """QRcode of qrencode.h."""

    _fields_ = (("version", ctypes.c_int), ("width", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_ubyte)))


def readable(rows: list[list[bool]], side: float) -> bool:
    """Whether cameras can read a code that is drawn with its margin in `side` pixels."""
    return side >= LEAST_MODULE * (len(rows) + 2 * MARGIN)


def modules(text: str) -> list[list[bool]]:
    """The code of a text, row by row, True for a dark module; empty without libqrencode."""
    try:
        library = ctypes.CDLL(find_library("qrencode") or LIBRARY)
    except OSError:
        return []
    library.QRcode_encodeData.restype = ctypes.POINTER(_Code)
    library.QRcode_free.argtypes = (ctypes.POINTER(_Code),)
    encoded = text.encode()
    code = library.QRcode_encodeData(len(encoded), encoded, 0, LEVEL_M)
    if not code:
        return []
    try:
        width = code.contents.width
        return [[bool(code.contents.data[y * width + x] & 1) for x in range(width)] for y in range(width)]
    finally:
        library.QRcode_free(code)

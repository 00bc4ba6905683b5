"""The kernel's framebuffer, which every driver of a Pi and of QEMU gives: the picture goes there as bytes.

Drawing to a DRM dumb buffer would mean setting modes ourselves, and again for each TV that is plugged in later; the
kernel's own framebuffer emulation does that, for HDMI, composite and virtio alike, and fbcon has its picture back
when this program ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import SystemFault

DEVICE = Path("dev/fb0")
GET_VARIABLE, PUT_VARIABLE, GET_FIXED = 0x4600, 0x4601, 0x4602
"""FBIOGET_VSCREENINFO, FBIOPUT_VSCREENINFO and FBIOGET_FSCREENINFO (linux/fb.h)."""
ACTIVATE_AT, FORCE = 84, 128
"""Where fb_var_screeninfo says when it is to be in force, and FB_ACTIVATE_FORCE: now, also when nothing changed."""
BAND = 16
"""Lines that are compared and written together."""


@dataclass(frozen=True)
class Mode:
    """Width and height in pixels, bits of a pixel, bytes of a line."""

    width: int
    height: int
    bits: int
    stride: int


class NoScreen(SystemFault):
    """There is no framebuffer: no TV is plugged in, or its driver is not there yet."""


def _fault(error: OSError) -> SystemFault:
    missing = error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO)
    return (NoScreen if missing else SystemFault)(f"{DEVICE}: {error.strerror}")


def can_show_pictures(root: Path) -> bool:
    """Whether the screen shows pictures; where none is there yet, the next one may."""
    try:
        Framebuffer(root).close()
    except NoScreen:
        return True
    except SystemFault:
        return False
    return True


class Framebuffer:
    """The first framebuffer. Raises NoScreen when there is none, SystemFault when no picture can be shown on it."""

    def __init__(self, root: Path = Path("/")) -> None:
        try:
            self._descriptor = os.open(root / DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _fault(error) from None
        try:
            self.mode = self.read_mode()
            if self.mode.bits not in (16, 32):
                raise SystemFault(f"{DEVICE}: {self.mode.bits} bits a pixel, not 16 or 32")
            self._bands: dict[int, int] = {}
            self._switch_on()
        except OSError as error:
            self.close()
            raise _fault(error) from None
        except SystemFault:
            self.close()
            raise

    def _switch_on(self) -> None:
        """Have the driver send a picture: one that found its screen while the terminal was in graphics mode waits."""
        variable = bytearray(fcntl.ioctl(self._descriptor, GET_VARIABLE, bytes(160)))
        struct.pack_into("I", variable, ACTIVATE_AT, FORCE)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._descriptor, PUT_VARIABLE, bytes(variable))

    def read_mode(self) -> Mode:
        """The mode now; it changes when another TV is plugged in."""
        variable = fcntl.ioctl(self._descriptor, GET_VARIABLE, bytes(160))
        fixed = fcntl.ioctl(self._descriptor, GET_FIXED, bytes(80))
        width, height = struct.unpack_from("II", variable)
        (bits,) = struct.unpack_from("I", variable, 24)
        # fb_fix_screeninfo: id[16], smem_start (long), six 32-bit fields with three steps among them, line_length
        (stride,) = struct.unpack_from("I", fixed, 48 if struct.calcsize("l") == 8 else 44)
        return Mode(width, height, bits, stride)

    def show(self, picture: memoryview, stride: int) -> int:
        """Bring a picture with lines of `stride` bytes to the screen; what is there already is not written again.

        Returns the number of lines written.
        """
        mode, written = self.mode, 0
        for top in range(0, mode.height, BAND):
            lines = min(BAND, mode.height - top)
            band = picture[top * stride : (top + lines) * stride]
            digest = zlib.crc32(band)
            if self._bands.get(top) == digest:
                continue
            self._bands[top] = digest
            self.show_lines(picture, stride, top, top, lines)
            written += lines
        return written

    def show_lines(self, picture: memoryview, stride: int, start: int, top: int, lines: int) -> None:
        """Write `lines` lines of a picture, from its line `start`, to the screen's line `top` and below."""
        line = self.mode.width * self.mode.bits // 8
        if stride == self.mode.stride:
            os.pwrite(self._descriptor, picture[start * stride : (start + lines - 1) * stride + line], top * stride)
            return
        for number in range(lines):
            begin = (start + number) * stride
            os.pwrite(self._descriptor, picture[begin : begin + line], (top + number) * self.mode.stride)

    def forget(self) -> None:
        """Write everything the next time: somebody else has drawn."""
        self._bands.clear()

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

"""The virtual terminal that the pictures are shown on: the kernel writes nothing there while we draw."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

SET_MODE, GRAPHICS, TEXT = 0x4B3A, 1, 0
"""KDSETMODE, KD_GRAPHICS and KD_TEXT (linux/kd.h)."""
SET_KEYBOARD, OFF, UNICODE = 0x4B45, 4, 3
"""KDSKBMODE, K_OFF and K_UNICODE: keys go to evdev alone, not to a login prompt besides."""
ACTIVATE = 0x5606
"""VT_ACTIVATE (linux/vt.h)."""
ACTIVE = Path("sys/class/tty/tty0/active")


class Console:
    """Terminal `number`, as a place for pictures; also where there is none, which a machine without screen is."""

    def __init__(self, number: int = 1, root: Path = Path("/")) -> None:
        self.number, self._root = number, root
        self._descriptor: int | None = None

    def __enter__(self) -> Console:
        with contextlib.suppress(OSError):
            self._descriptor = os.open(self._root / f"dev/tty{self.number}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            self._set(ACTIVATE, self.number)
            self._set(SET_MODE, GRAPHICS)
            self._set(SET_KEYBOARD, OFF)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            self._set(SET_KEYBOARD, UNICODE)
            self._set(SET_MODE, TEXT)
            os.close(self._descriptor)
            self._descriptor = None

    def _set(self, request: int, value: int) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._descriptor, request, value)

    def activate(self, number: int) -> None:
        """Switch to another terminal, as Ctrl-Alt-F2 does (the kernel no longer sees these keys).

        It leaves no terminal that shows pictures (change_console() of Linux's vt_ioctl.c), so this one becomes text.
        """
        self._set(SET_MODE, TEXT)
        self._set(ACTIVATE, number)

    def resume(self) -> None:
        """Be a place for pictures again, once somebody has come back."""
        self._set(SET_MODE, GRAPHICS)

    def active(self) -> bool:
        """Whether this terminal is the one on the screen."""
        try:
            return (self._root / ACTIVE).read_text().strip() == f"tty{self.number}"
        except OSError:
            return True

"""Keyboards and mice, as they come and go: /dev/input/event*, and the kernel's word when one is plugged in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import selectors
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EVENT = struct.Struct("llHHi")
"""struct input_event: seconds, microseconds, type, code, value (linux/input.h)."""
SYN, KEY, RELATIVE, ABSOLUTE = 0, 1, 2, 3
REL_X, REL_Y, REL_WHEEL, ABS_X, ABS_Y = 0, 1, 8, 0, 1
BUTTON_LEFT, BUTTON_RIGHT, BUTTON_TOUCH = 0x110, 0x111, 0x14A
SYN_DROPPED = 3
UEVENT_GROUP = 1
NETLINK_KOBJECT_UEVENT = 15


def get_bits(kind: int, size: int) -> int:
    """EVIOCGBIT(kind, size)."""
    return 0x80000000 | (size << 16) | (ord("E") << 8) | (0x20 + kind)


def get_absolute(axis: int) -> int:
    """EVIOCGABS(axis), a struct of six 32-bit numbers."""
    return 0x80000000 | (24 << 16) | (ord("E") << 8) | (0x40 + axis)


@dataclass(frozen=True)
class Input:
    """One thing that somebody did.

    key    a key: `code` and `value` as the kernel has them
    move   the mouse went by x, y (parts of the screen's height)
    place  a tablet or touch screen points to x, y (0 to 1)
    click  the left button or a finger went down; back: the right button; wheel: by y
    gone   a device went, and no key on it is down any more
    wake   a device came, or somebody else called
    """

    kind: Literal["key", "move", "place", "click", "back", "wheel", "gone", "wake"]
    code: int = 0
    value: int = 0
    x: float = 0.0
    y: float = 0.0


class Device:
    """One device that has keys of a keyboard, or points."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._ranges: dict[int, tuple[int, int]] = {}
        self._point = {ABS_X: 0.5, ABS_Y: 0.5}
        try:
            self._ask_abilities()
        except OSError:
            self.close()
            raise

    def _ask_abilities(self) -> None:
        keys = self._bits(KEY, 96)
        self.keyboard = all(keys >> code & 1 for code in (16, 28, 57))  # Q, Enter, space
        self.mouse = bool(keys >> BUTTON_LEFT & 1 or keys >> BUTTON_TOUCH & 1)
        if self._bits(ABSOLUTE, 8) & 3 == 3 and self.mouse:
            for axis in (ABS_X, ABS_Y):
                _, least, most, *_ = struct.unpack("6i", fcntl.ioctl(self.descriptor, get_absolute(axis), bytes(24)))
                self._ranges[axis] = (least, most)

    def _bits(self, kind: int, size: int) -> int:
        try:
            return int.from_bytes(fcntl.ioctl(self.descriptor, get_bits(kind, size), bytes(size)), "little")
        except OSError:
            return 0

    def still_there(self) -> bool:
        """Whether its name still means this device, and not one that was plugged in since."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.path.stat())
        except OSError:
            return False

    def read(self) -> Iterator[Input]:
        """What was done since the last time. Raises OSError when the device is gone."""
        try:
            data = os.read(self.descriptor, EVENT.size * 64)
        except BlockingIOError:
            return
        for _, _, kind, code, value in EVENT.iter_unpack(data):
            if kind == KEY and code in (BUTTON_LEFT, BUTTON_TOUCH):
                if value == 1:
                    yield Input("click")
            elif kind == KEY and code == BUTTON_RIGHT:
                if value == 1:
                    yield Input("back")
            elif kind == KEY:
                yield Input("key", code=code, value=value)
            elif kind == RELATIVE and code in (REL_X, REL_Y):
                step = value / 800
                yield Input("move", x=step if code == REL_X else 0.0, y=step if code == REL_Y else 0.0)
            elif kind == RELATIVE and code == REL_WHEEL:
                yield Input("wheel", value=value)
            elif kind == ABSOLUTE and code in self._ranges:
                least, most = self._ranges[code]
                self._point[code] = (value - least) / max(1, most - least)
                yield Input("place", x=self._point[ABS_X], y=self._point[ABS_Y])

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


class Devices:
    """All keyboards and mice there are at the moment, and a way for other threads to call."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._folder = root / "dev/input"
        self._selector = selectors.DefaultSelector()
        self._devices: dict[str, Device] = {}
        self._wake_here, self._wake_there = socket.socketpair()
        self._wake_here.setblocking(False)
        self._wake_there.setblocking(False)
        self._selector.register(self._wake_here, selectors.EVENT_READ, "wake")
        self._kernel: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._kernel = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT
            )
            self._kernel.bind((0, UEVENT_GROUP))
            self._selector.register(self._kernel, selectors.EVENT_READ, "kernel")
        self.rescan()

    @property
    def has_keyboard(self) -> bool:
        """Whether a keyboard is plugged in."""
        return any(device.keyboard for device in self._devices.values())

    @property
    def has_mouse(self) -> bool:
        """Whether a mouse is plugged in."""
        return any(device.mouse for device in self._devices.values())

    def wake(self) -> None:
        """End a wait from another thread; where nobody waits any more, nothing."""
        with contextlib.suppress(OSError):
            self._wake_there.send(b"!")

    def rescan(self) -> list[Input]:
        """Take up devices that came and let go of those that went; tells what is to be known of it."""
        told: list[Input] = []
        for name in [name for name, device in self._devices.items() if not device.still_there()]:
            self._drop(name)
            told.append(Input("gone"))
        found = {path.name for path in self._folder.glob("event*") if re.fullmatch(r"event\d+", path.name)}
        for name in sorted(found - set(self._devices)):
            with contextlib.suppress(OSError):
                device = Device(self._folder / name)
                self._devices[name] = device
                self._selector.register(device.descriptor, selectors.EVENT_READ, name)
                told += [Input("wake")] if device.keyboard or device.mouse else []
        return told

    def _drop(self, name: str) -> None:
        device = self._devices.pop(name)
        self._selector.unregister(device.descriptor)
        device.close()

    def wait(self, limit: float | None) -> list[Input]:
        """What was done within `limit` seconds; returns as soon as there is something.

        After `limit` seconds without anything all devices are looked for again: the kernel's word may have been lost.
        """
        done: list[Input] = []
        ready = self._selector.select(limit)
        for key, _ in ready:
            if key.data == "wake":
                with contextlib.suppress(BlockingIOError):
                    self._wake_here.recv(4096)
                done.append(Input("wake"))
            elif key.data == "kernel":
                done += self._hear_kernel()
            elif key.data in self._devices:  # and not one that the kernel has just said is gone
                done += self._read(key.data)
        return done if ready else self.rescan()

    def _read(self, name: str) -> list[Input]:
        try:
            return list(self._devices[name].read())
        except OSError:
            self._drop(name)
            # Put back by now, it may have the same name, and the kernel's word of that may have been heard already.
            return [Input("gone"), *self.rescan()]

    def _hear_kernel(self) -> list[Input]:
        assert self._kernel is not None
        interesting = False
        try:
            while True:
                told = self._kernel.recv(8192)
                interesting |= b"SUBSYSTEM=input" in told or b"SUBSYSTEM=drm" in told or b"SUBSYSTEM=graphics" in told
        except BlockingIOError:
            pass
        except OSError:  # it had more to say than there is room for, so some of it is lost (netlink(7), ENOBUFS)
            interesting = True
        return [*self.rescan(), Input("wake")] if interesting else []

    def close(self) -> None:
        """Let go of everything."""
        for name in list(self._devices):
            self._drop(name)
        self._selector.close()
        if self._kernel is not None:
            self._kernel.close()
        self._wake_here.close()
        self._wake_there.close()

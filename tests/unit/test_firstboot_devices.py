"""Keyboards and mice that come and go, and what is done with them: firstboot/tv/devices.py."""

from __future__ import annotations

import os
import selectors
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from firstboot.tv import devices as devices_module
from firstboot.tv.devices import (
    ABS_X,
    ABS_Y,
    ABSOLUTE,
    BUTTON_LEFT,
    BUTTON_RIGHT,
    BUTTON_TOUCH,
    EVENT,
    KEY,
    REL_WHEEL,
    REL_X,
    REL_Y,
    RELATIVE,
    SYN,
    Devices,
    Input,
    get_absolute,
    get_bits,
)

KEYBOARD, MOUSE, TABLET, OTHER = "keyboard", "mouse", "tablet", "other"
KEYS = {KEYBOARD: (16, 28, 57), MOUSE: (BUTTON_LEFT, BUTTON_RIGHT), TABLET: (BUTTON_TOUCH,), OTHER: ()}
RANGE = {ABS_X: (0, 32767), ABS_Y: (100, 1100)}
REL_X_OF_NOTHING = 9


class Kernel:
    """Input devices as the kernel shows them: each a pipe with a name, and answers to what a program asks of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kinds: dict[int, str] = {}
        self._ends: dict[str, int] = {}
        folder.mkdir(parents=True)

    def plug(self, name: str, kind: str) -> None:
        os.mkfifo(self._folder / name)
        self._kinds[(self._folder / name).stat().st_ino] = kind
        self._ends[name] = os.open(self._folder / name, os.O_RDWR)

    def pull(self, name: str) -> None:
        (self._folder / name).unlink()
        os.close(self._ends.pop(name))

    def say(self, name: str, *events: tuple[int, int, int]) -> None:
        os.write(self._ends[name], b"".join(EVENT.pack(1, 2, *event) for event in events))

    def ioctl(self, descriptor: int, request: int, data: bytes) -> bytes:
        kind = self._kinds[os.fstat(descriptor).st_ino]
        if request == get_bits(KEY, len(data)):
            return sum(1 << code for code in KEYS[kind]).to_bytes(len(data), "little")
        if request == get_bits(ABSOLUTE, len(data)):
            return (3 if kind == TABLET else 0).to_bytes(len(data), "little")
        axis = next(axis for axis in RANGE if request == get_absolute(axis))
        return struct.pack("6i", 0, *RANGE[axis], 0, 0, 0)

    @staticmethod
    def read(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        if not data:  # a pipe that nobody writes to: of a device that is gone, the kernel says so
            raise OSError(19, "No such device")
        return data


read = os.read


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel(tmp_path / "dev/input")
    monkeypatch.setattr(devices_module.fcntl, "ioctl", kernel.ioctl)
    monkeypatch.setattr(devices_module.os, "read", kernel.read)
    monkeypatch.setattr(devices_module, "UEVENT_GROUP", 0)  # this machine's own devices are not looked at
    return kernel


@pytest.fixture
def devices(kernel: Kernel, tmp_path: Path) -> Iterator[Devices]:
    devices = Devices(tmp_path)
    yield devices
    devices.close()


# ---- what is done with them


@pytest.mark.parametrize(
    ("kind", "events", "done"),
    [
        (MOUSE, [(RELATIVE, REL_X, 80), (SYN, 0, 0)], [Input("move", x=0.1)]),
        (MOUSE, [(RELATIVE, REL_X, -8), (RELATIVE, REL_Y, 16)], [Input("move", x=-0.01), Input("move", y=0.02)]),
        (MOUSE, [(RELATIVE, REL_WHEEL, -1)], [Input("wheel", value=-1)]),
        (MOUSE, [(RELATIVE, REL_X_OF_NOTHING, 5)], []),
        (MOUSE, [(KEY, BUTTON_LEFT, 1), (SYN, 0, 0), (KEY, BUTTON_LEFT, 0)], [Input("click")]),
        (MOUSE, [(KEY, BUTTON_RIGHT, 1), (KEY, BUTTON_RIGHT, 0)], [Input("back")]),
        (MOUSE, [(ABSOLUTE, ABS_X, 5)], []),
        (TABLET, [(ABSOLUTE, ABS_X, 32767)], [Input("place", x=1.0, y=0.5)]),
        (
            TABLET,
            [(ABSOLUTE, ABS_X, 0), (ABSOLUTE, ABS_Y, 350), (KEY, BUTTON_TOUCH, 1)],
            [Input("place", x=0.0, y=0.5), Input("place", x=0.0, y=0.25), Input("click")],
        ),
        (KEYBOARD, [(KEY, 30, 1), (KEY, 30, 0)], [Input("key", code=30, value=1), Input("key", code=30)]),
    ],
)
@pytest.mark.parametrize("plugged", ["before", "later"])
def test_what_is_done_with_a_device_is_told_whenever_it_was_plugged_in(
    kernel: Kernel, tmp_path: Path, kind: str, events: list[tuple[int, int, int]], done: list[Input], plugged: str
) -> None:
    if plugged == "before":
        kernel.plug("event7", kind)
    devices = Devices(tmp_path)
    if plugged == "later":
        assert not devices.has_mouse and not devices.has_keyboard
        kernel.plug("event7", kind)
        assert devices.wait(0) == [Input("wake")]
    assert (devices.has_mouse, devices.has_keyboard) == (kind in (MOUSE, TABLET), kind == KEYBOARD)
    kernel.say("event7", *events)
    assert devices.wait(5) == done
    devices.close()


# ---- coming and going


def test_a_device_without_keys_and_pointer_is_neither(kernel: Kernel, devices: Devices) -> None:
    kernel.plug("event0", OTHER)
    assert devices.wait(0) == [] and not devices.has_mouse and not devices.has_keyboard


@pytest.mark.parametrize("kind", [KEYBOARD, MOUSE])
@pytest.mark.parametrize("told", ["by reading", "by a look at all"])
def test_one_that_was_pulled_and_put_back_under_its_name_while_nobody_looked_works_again(
    kernel: Kernel, devices: Devices, kind: str, told: str
) -> None:
    kernel.plug("event1", kind)
    devices.wait(0)
    kernel.pull("event1")
    kernel.plug("event1", kind)
    if told == "by reading":
        assert devices.wait(5) == [Input("gone"), Input("wake")]
    else:
        assert devices.rescan() == [Input("gone"), Input("wake")]
    assert devices.has_keyboard is (kind == KEYBOARD) and devices.has_mouse is (kind == MOUSE)
    kernel.say("event1", (KEY, 30, 1))
    assert devices.wait(5) == [Input("key", code=30, value=1)]


def test_one_that_was_put_back_after_its_loss_was_seen_is_found_without_the_kernels_word(
    kernel: Kernel, devices: Devices
) -> None:
    kernel.plug("event1", KEYBOARD)
    devices.wait(0)
    kernel.pull("event1")
    assert devices.wait(5) == [Input("gone")] and not devices.has_keyboard
    kernel.plug("event1", KEYBOARD)
    assert devices.wait(0.01) == [Input("wake")] and devices.has_keyboard


@pytest.mark.parametrize(
    ("words", "comes"),
    [
        ([b"add@/devices\0SUBSYSTEM=input\0"], True),
        ([b"add@/devices\0SUBSYSTEM=usb\0"], False),
        ([b"add@/devices\0SUBSYSTEM=usb\0", OSError(105, "No buffer space available")], True),
    ],
    ids=["told", "of another kind", "lost"],
)
def test_a_device_that_the_kernel_tells_of_is_taken_up_also_when_some_of_its_words_are_lost(
    kernel: Kernel, devices: Devices, monkeypatch: pytest.MonkeyPatch, words: list[Any], comes: bool
) -> None:
    kernel.plug("event4", MOUSE)

    def recv(size: int) -> bytes:
        word = words.pop(0) if words else BlockingIOError()
        if isinstance(word, Exception):
            raise word
        return bytes(word)

    with monkeypatch.context() as telling:
        telling.setattr(devices, "_kernel", SimpleNamespace(recv=recv))
        told = [(SimpleNamespace(data="kernel"), selectors.EVENT_READ)]
        telling.setattr(devices._selector, "select", lambda _limit: told)
        assert (Input("wake") in devices.wait(5)) is comes
    assert devices.has_mouse is comes


@pytest.mark.parametrize("kernel_first", [True, False])
def test_a_keyboard_that_is_pulled_is_let_go_of_whoever_tells_first(
    kernel: Kernel, devices: Devices, monkeypatch: pytest.MonkeyPatch, kernel_first: bool
) -> None:
    kernel.plug("event1", KEYBOARD)
    devices.wait(0)
    kernel.pull("event1")
    told = [(SimpleNamespace(data=data), selectors.EVENT_READ) for data in ("kernel", "event1")]
    with monkeypatch.context() as both:
        both.setattr(devices, "_hear_kernel", devices.rescan)
        both.setattr(devices._selector, "select", lambda _limit: told if kernel_first else told[::-1])
        assert devices.wait(0) == [Input("gone")]
    assert not devices.has_keyboard

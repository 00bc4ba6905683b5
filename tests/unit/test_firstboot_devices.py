"""Keyboards that come and go: firstboot/tv/devices.py."""

from __future__ import annotations

import os
import selectors
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from firstboot.tv.devices import Devices


@pytest.fixture
def keyboard() -> Any:
    """A keyboard that was pulled: there is something to read, and reading fails."""
    here, there = os.pipe()
    os.close(there)

    def read() -> list[Any]:
        raise OSError(19, "No such device")

    return SimpleNamespace(descriptor=here, keyboard=True, mouse=False, read=read, close=lambda: os.close(here))


@pytest.mark.parametrize("kernel_first", [True, False])
def test_a_keyboard_that_is_pulled_is_let_go_of_whoever_tells_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyboard: Any, kernel_first: bool
) -> None:
    devices = Devices(tmp_path)
    devices._devices["event1"] = keyboard
    devices._selector.register(keyboard.descriptor, selectors.EVENT_READ, "event1")
    assert devices.has_keyboard
    told = [(SimpleNamespace(data=data), selectors.EVENT_READ) for data in ("kernel", "event1")]

    def hear() -> list[Any]:
        devices.rescan()
        return []

    monkeypatch.setattr(devices, "_hear_kernel", hear)
    with monkeypatch.context() as both:
        both.setattr(devices._selector, "select", lambda _limit: told if kernel_first else told[::-1])
        devices.wait(0)
    assert not devices.has_keyboard
    devices.close()

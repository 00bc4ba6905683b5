"""Runs as systemd's units: node/mojomail/sync/unit.py, with a system bus that is played."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

NAME = "mojomail-sync-7.service"


class BusError(Exception):
    """In GLib.Error's place."""


class Bus:
    """systemd as it is seen on the bus: which units there are."""

    def __init__(self, *units: str) -> None:
        self.units, self.stopped = set(units), list[str]()

    def call_with_unix_fd_list_sync(self, *words: Any) -> None:
        (name, _, _, _) = words[4]
        if name in self.units:
            raise BusError(f"GDBus.Error:org.freedesktop.systemd1.UnitExists: Unit {name} was already loaded")
        if name == "refused.service":
            raise BusError("GDBus.Error:org.freedesktop.DBus.Error.AccessDenied: no")
        self.units.add(name)

    def call_sync(self, *words: Any) -> Any:
        method, (name, *_) = words[3], words[4]
        if method == "StopUnit":
            self.stopped.append(name)
            self.units.discard(name)
        elif method == "GetUnit" and name not in self.units:
            raise BusError("GDBus.Error:org.freedesktop.systemd1.NoSuchUnit: none")
        return types.SimpleNamespace(unpack=lambda: ("/unit",))


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, where PyGObject is not there."""
    library = types.SimpleNamespace(
        Error=BusError,
        Variant=lambda _kind, value: value,
        io_add_watch=lambda *_: 0,
        PRIORITY_DEFAULT=0,
        IOCondition=types.SimpleNamespace(IN=1, HUP=2),
    )
    descriptors = types.SimpleNamespace(new=lambda: types.SimpleNamespace(append=lambda _: 0))
    repository = types.ModuleType("gi.repository")
    repository.GLib, repository.Gio = library, types.SimpleNamespace(UnixFDList=descriptors)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gi", types.ModuleType("gi"))
    monkeypatch.setitem(sys.modules, "gi.repository", repository)
    monkeypatch.delitem(sys.modules, "mojomail.sync.unit", raising=False)
    yield importlib.import_module("mojomail.sync.unit")
    sys.modules.pop("mojomail.sync.unit", None)


def start(unit: Any, bus: Bus, name: str) -> None:
    unit.Systemd(bus).start(name, [], lambda _event: None, lambda _result: None)


def test_a_run_left_by_a_daemon_that_was_restarted_is_ended_and_the_new_one_starts(unit: Any) -> None:
    bus = Bus(NAME)
    start(unit, bus, NAME)
    assert bus.stopped == [NAME] and NAME in bus.units


def test_a_run_that_nobody_left_stops_nothing(unit: Any) -> None:
    bus = Bus()
    start(unit, bus, NAME)
    assert bus.stopped == []


def test_any_other_refusal_is_told(unit: Any) -> None:
    with pytest.raises(BusError, match="AccessDenied"):
        start(unit, Bus(), "refused.service")

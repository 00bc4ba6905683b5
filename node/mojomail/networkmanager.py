"""NetworkManager's connections over D-Bus: signals wake us, nothing is polled and nobody is asked out there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib  # type: ignore[import-not-found,import-untyped,unused-ignore]

from .link import Connection

NAME = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
ACTIVE = f"{NAME}.Connection.Active"
DEVICE = f"{NAME}.Device"
SETTINGS = f"{NAME}.Settings.Connection"
PATIENCE_MS = 10_000
SETTLE_MS = 500
"""A link that comes changes many properties; they are looked at together."""


class NetworkManager:
    """Tells `changed` the connections at the beginning, and again whenever anything about them changes."""

    def __init__(self, changed: Callable[[list[Connection]], None], bus: Any | None = None) -> None:
        self._changed = changed
        self._bus = bus or Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
        self._timer = 0
        self._bus.signal_subscribe(
            NAME, "org.freedesktop.DBus.Properties", "PropertiesChanged", None, None, 0, self._wake
        )
        Gio.bus_watch_name_on_connection(self._bus, NAME, 0, self._wake, self._gone)

    def read(self) -> list[Connection]:
        """The active connections now; none when NetworkManager is not there."""
        try:
            return [
                connection
                for path in self._get(PATH, NAME, "ActiveConnections")
                if (connection := self._connection(path)) is not None
            ]
        except GLib.Error:
            return []

    def _connection(self, path: str) -> Connection | None:
        try:
            properties = self._all(path, ACTIVE)
            devices = properties.get("Devices", [])
            device = self._all(devices[0], DEVICE) if devices else {}
            settings = self._call(properties["Connection"], SETTINGS, "GetSettings", None)[0]
        except (GLib.Error, KeyError):
            return None  # it went while it was looked at
        return Connection(
            name=str(properties.get("Id", "")),
            zone=str(settings.get("connection", {}).get("zone", "")),
            state=int(properties.get("State", 0)),
            default=bool(properties.get("Default")) or bool(properties.get("Default6")),
            device_type=int(device.get("DeviceType", 0)),
            driver=str(device.get("Driver", "")),
            metered=int(device.get("Metered", 0)),
        )

    def _wake(self, *_: object) -> None:
        if not self._timer:
            self._timer = GLib.timeout_add(SETTLE_MS, self._look)

    def _look(self) -> bool:
        self._timer = 0
        self._changed(self.read())
        return bool(GLib.SOURCE_REMOVE)

    def _gone(self, *_: object) -> None:
        self._changed([])

    def _get(self, path: str, interface: str, name: str) -> Any:
        arguments = GLib.Variant("(ss)", (interface, name))
        return self._call(path, "org.freedesktop.DBus.Properties", "Get", arguments)[0]

    def _all(self, path: str, interface: str) -> dict[str, Any]:
        arguments = GLib.Variant("(s)", (interface,))
        answer: dict[str, Any] = self._call(path, "org.freedesktop.DBus.Properties", "GetAll", arguments)[0]
        return answer

    def _call(self, path: str, interface: str, method: str, arguments: Any) -> Any:
        answer = self._bus.call_sync(NAME, path, interface, method, arguments, None, 0, PATIENCE_MS, None)
        return answer.unpack()

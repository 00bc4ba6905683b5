"""Run in the cell: a NetworkManager of a few properties on a private bus, and ours watching it.

Prints the kind of link, or its absence, each time it changes.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from gi.repository import Gio, GLib  # type: ignore[import-not-found,import-untyped,unused-ignore]
from mojomail.link import LinkWatch
from mojomail.networkmanager import ACTIVE, DEVICE, NAME, PATH, NetworkManager

CONNECTION, DONGLE, PROFILE = f"{PATH}/ActiveConnection/1", f"{PATH}/Devices/1", f"{PATH}/Settings/1"
INTERFACES = f"""<node>
<interface name="{NAME}"><property name="ActiveConnections" type="ao" access="read"/></interface>
<interface name="{ACTIVE}">
  <property name="Id" type="s" access="read"/><property name="State" type="u" access="read"/>
  <property name="Default" type="b" access="read"/><property name="Default6" type="b" access="read"/>
  <property name="Devices" type="ao" access="read"/><property name="Connection" type="o" access="read"/>
</interface>
<interface name="{DEVICE}">
  <property name="DeviceType" type="u" access="read"/><property name="Driver" type="s" access="read"/>
  <property name="Metered" type="u" access="read"/>
</interface>
<interface name="{NAME}.Settings.Connection">
  <method name="GetSettings"><arg type="a{{sa{{sv}}}}" direction="out"/></method>
</interface></node>"""

PROPERTIES: dict[str, dict[str, Any]] = {
    PATH: {"ActiveConnections": GLib.Variant("ao", [])},
    CONNECTION: {
        "Id": GLib.Variant("s", "dongle"),
        "State": GLib.Variant("u", 2),
        "Default": GLib.Variant("b", True),
        "Default6": GLib.Variant("b", False),
        "Devices": GLib.Variant("ao", [DONGLE]),
        "Connection": GLib.Variant("o", PROFILE),
    },
    DONGLE: {
        "DeviceType": GLib.Variant("u", 8),
        "Driver": GLib.Variant("s", "option"),
        "Metered": GLib.Variant("u", 3),
    },
    PROFILE: {},
}


def serve() -> None:
    """Be NetworkManager: a link comes at once, and goes when somebody has looked at it."""
    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    interfaces = Gio.DBusNodeInfo.new_for_xml(INTERFACES).interfaces

    def connections(now: list[str]) -> None:
        PROPERTIES[PATH]["ActiveConnections"] = GLib.Variant("ao", now)
        arguments = GLib.Variant("(sa{sv}as)", (NAME, {"ActiveConnections": GLib.Variant("ao", now)}, []))
        bus.emit_signal(None, PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", arguments)

    def call(*words: Any) -> None:
        settings = {"connection": {"zone": GLib.Variant("s", "uplink")}}
        words[6].return_value(GLib.Variant("(a{sa{sv}})", (settings,)))
        GLib.idle_add(connections, [])

    for (path, properties), interface in zip(PROPERTIES.items(), interfaces, strict=True):

        def get(*words: Any, properties: dict[str, Any] = properties) -> Any:
            return properties[words[4]]

        bus.register_object(path, interface, call, get, None)
    connections([CONNECTION])
    Gio.bus_own_name_on_connection(bus, NAME, 0, None, None)
    GLib.MainLoop().run()


def watch() -> None:
    """Say each state of the link until it has gone."""
    loop = GLib.MainLoop()

    def told(state: Any) -> None:
        print(state.link.kind.value, state.link.metered, flush=True)
        if not state.link.up:
            loop.quit()

    watch = LinkWatch(lambda: 0.0)
    watch.listen(told)
    manager = NetworkManager(watch.changed, Gio.bus_get_sync(Gio.BusType.SESSION, None))
    GLib.timeout_add_seconds(15, loop.quit)
    loop.run()
    assert manager is not None


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        server = subprocess.Popen([sys.executable, __file__, "serve"])
        try:
            watch()
        finally:
            server.kill()

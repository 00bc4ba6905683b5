"""NetworkManager's keyfiles for the village network and the link (nm-settings-keyfile(5))."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from .join import CABLE_ADDRESS, WIFI_ADDRESS
from .settings import AccessPoint, Link, Settings
from .surroundings import TETHERS, Surroundings

NAMESPACE = uuid.UUID("5b0f7a52-3c54-4c39-9a0e-6d6f6a6f6d61")
CONNECTIONS = Path("etc/NetworkManager/system-connections")
ENDING = ".nmconnection"
LAN_WIFI, LAN_CABLE, LINK = "mojomail-lan-wifi", "mojomail-lan-cable", "mojomail-link"
LINK_ROUTER = "mojomail-link-usb"
"""Beside LINK, where that is a dongle: many a dongle is a router, which is to the kernel what a phone is."""
Sections = Mapping[str, Mapping[str, str]]
AUTO: Sections = {"ipv4": {"method": "auto"}, "ipv6": {"method": "auto"}}
HEARTBEAT = {"lcp-echo-interval": "30", "lcp-echo-failure": "4"}
"""A dongle is asked every 30 seconds whether it is there, as Debian's pppd does unless NetworkManager switches it off
(/etc/ppp/options). One that has lost its call and does not drop the carrier would be taken for a link until somebody
pulls it. The question goes no further than the dongle, so it costs nothing."""
PinUse = Literal["untried", "taken", "refused"]
"""What the SIM card has said to a PIN."""


def escape(text: str) -> str:
    """A value as GKeyFile reads it: backslashes doubled, a space at either end kept."""
    text = text.replace("\\", "\\\\")
    if text.startswith(" "):
        text = "\\s" + text[1:]
    return text[:-1] + "\\s" if text.endswith(" ") else text


def network_name(name: str) -> str:
    """A Wi-Fi's name: as it is where that is plain, else as the bytes it is made of."""
    plain = name.isascii() and name.isprintable() and not set(name) & set(";\\") and name == name.strip()
    return name if plain else "".join(f"{byte};" for byte in name.encode())


def keyfile(name: str, kind: str, zone: str, sections: Sections, **connection: str) -> str:
    """A keyfile's text. Its uuid is that of its name, so that writing it again is the same connection."""
    head = {"id": name, "uuid": str(uuid.uuid5(NAMESPACE, name)), "type": kind, "zone": zone, **connection}
    lines = []
    for section, values in {"connection": head, **sections}.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items()), ""]
    return "\n".join(lines)


def access_point(name: str, point: AccessPoint, radio: str, address: str = WIFI_ADDRESS) -> str:
    """The node's own Wi-Fi.

    The Pi's radio cannot protect management frames as an access point, and phones take WPA2 with CCMP alone for
    granted: so both are said, and nothing is left to be negotiated (raspberrypi/linux#3619, #7247).
    """
    sections = {
        "wifi": {"mode": "ap", "ssid": network_name(point.name), "band": "bg"},
        "wifi-security": {
            "key-mgmt": "wpa-psk",
            "psk": escape(point.passphrase),
            "proto": "rsn;",
            "pairwise": "ccmp;",
            "group": "ccmp;",
            "pmf": "1",
        },
        "ipv4": {"method": "shared", "address1": f"{address}/24"},
        "ipv6": {"method": "disabled"},
    }
    return keyfile(name, "wifi", "lan", sections, **{"interface-name": radio})


def _cable(settings: Settings, socket: str) -> str:
    if settings.ethernet == "join":
        way = {"method": "auto", "never-default": "true", "ignore-auto-dns": "true"}
    else:
        address = CABLE_ADDRESS if settings.access_point else WIFI_ADDRESS
        way = {"method": "shared", "address1": f"{address}/24"}
    sections = {"ipv4": way, "ipv6": {"method": "link-local"}}
    return keyfile(LAN_CABLE, "ethernet", "lan", sections, **{"interface-name": socket})


def refused_pin(pin: str) -> str:
    """The line of a connection that keeps in mind which PIN the SIM card has refused, and does not send it."""
    return f"#pin={pin}"


def _dongle(link: Link, use: PinUse) -> str:
    name, _, value = (refused_pin(link.pin) if use == "refused" else f"pin={link.pin}").partition("=")
    sections = {
        "gsm": {"apn": link.apn} | ({name: value} if link.pin else {}),
        "ppp": HEARTBEAT,
        **AUTO,
    }
    by_hand = {"autoconnect": "false"} if link.pin and use == "untried" else {}
    return keyfile(LINK, "gsm", "uplink", sections, metered="1", **by_hand)


def _tether(name: str) -> str:
    """A phone that shares its link by USB, or a dongle that is a router."""
    drivers = {"driver": "".join(f"{driver};" for driver in TETHERS)}
    return keyfile(name, "ethernet", "uplink", {"match": drivers, **AUTO}, metered="1")


def _link(link: Link, radio: str, sockets: list[str], use: PinUse) -> str:
    if link.kind == "dongle":
        return _dongle(link, use)
    if link.kind == "phone":
        return _tether(LINK)
    if link.kind == "ethernet":
        names = {"interface-name": "".join(f"{socket};" for socket in sockets)}
        return keyfile(LINK, "ethernet", "uplink", {"match": names, **AUTO})
    # A Wi-Fi that hides its name is found only when it is asked by name. To ask so does no harm with any other, and
    # nobody has to know which it is.
    wifi = {"mode": "infrastructure", "ssid": network_name(link.wifi), "hidden": "true"}
    sections: dict[str, Mapping[str, str]] = {"wifi": wifi}
    if link.passphrase:
        sections["wifi-security"] = {"key-mgmt": "wpa-psk", "psk": escape(link.passphrase)}
    return keyfile(LINK, "wifi", "uplink", {**sections, **AUTO}, **{"interface-name": radio})


def places(settings: Settings, around: Surroundings) -> dict[str, str]:
    """Which interface is what: lan-wifi, lan-cable, link-wifi.

    A second radio is a USB one, which makes a better access point than the Pi's own.
    """
    radios, sockets = around.radios(), around.sockets()
    found: dict[str, str] = {}
    if settings.access_point:
        found["lan-wifi"] = radios.pop() if radios else "wlan0"
    if settings.ethernet:
        found["lan-cable"] = sockets.pop(0) if sockets else "eth0"
    if settings.link.kind == "wifi":
        found["link-wifi"] = radios[0] if radios else "wlan0"
    return found


def link_sockets(settings: Settings, around: Surroundings) -> list[str]:
    """The sockets that a link by cable may be in: all that the village does not have, and never none, which would mean
    any at all.
    """
    if settings.link.kind != "ethernet":
        return []
    village = places(settings, around).get("lan-cable")
    return [socket for socket in around.sockets() or ["eth0"] if socket != village] or ["eth1"]


def keyfiles(settings: Settings, around: Surroundings, use: PinUse = "untried") -> dict[str, str]:
    """Every keyfile there is to be: file name to text. `use` is what the SIM card has said to the link's PIN."""
    at = places(settings, around)
    made = {}
    if settings.access_point:
        made[LAN_WIFI] = access_point(LAN_WIFI, settings.access_point, at["lan-wifi"])
    if settings.ethernet:
        made[LAN_CABLE] = _cable(settings, at["lan-cable"])
    if settings.link.kind != "none":
        made[LINK] = _link(settings.link, at.get("link-wifi", ""), link_sockets(settings, around), use)
    if settings.link.kind == "dongle":
        made[LINK_ROUTER] = _tether(LINK_ROUTER)
    return {name + ENDING: text for name, text in made.items()}


def firewall(settings: Settings, around: Surroundings) -> str:
    """What the firewall has to know of these networks, beside the mail stage's sets and chains (20-lan.nft).

    A phone asks for an address before it has one, so that question is let in by interface.
    """
    at = places(settings, around)
    uplinks = [at["link-wifi"]] if "link-wifi" in at else link_sockets(settings, around)
    if settings.link.kind in ("phone", "dongle"):
        uplinks += ["usb0", "usb1", *around.tethers()]
    served = [at["lan-wifi"]] if "lan-wifi" in at else []
    served += [at["lan-cable"]] if settings.ethernet == "serve" else []
    lines = ["# The village's networks and the link. Written by the set-up."]
    if uplinks:
        lines.append(f"add element inet filter uplinks {{ {_quoted(uplinks)} }}")
    lines += [f"add rule inet filter lan {protocol} dport 53 accept" for protocol in ("udp", "tcp")]
    if served:
        lines.append(f"add rule inet filter services iifname {{ {_quoted(served)} }} udp dport 67 accept")
    return "\n".join(lines) + "\n"


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(set(names)))

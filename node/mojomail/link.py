"""The link: whether there is a way out, of what kind, and when somebody out there last answered.

A way out is a default route over a connection in NetworkManager's zone `uplink`. That it leads anywhere is known only
from contacts with providers, which are made anyway: nothing is sent just to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

UPLINK_ZONES = ("uplink", "")
"""A connection that nobody has put into a zone is taken for a way out; `lan` and `mesh` never are."""

ETHERNET, WIFI, BLUETOOTH, MODEM = 1, 2, 5, 8
"""NMDeviceType."""
ACTIVATED = 2
"""NMActiveConnectionState."""
METERED = (1, 3)
"""NMMetered: yes, and guessed to be."""

PHONE_DRIVERS = {"rndis_host", "ipheth", "cdc_ether", "cdc_ncm"}
"""Drivers of phones that share their link by a USB cable; to the kernel they are Ethernet."""
DONGLE_DRIVERS = {"huawei_cdc_ncm", "qmi_wwan", "cdc_mbim", "option", "sierra_net", "hso"}


class LinkKind(StrEnum):
    """What the way out goes through."""

    NONE = "none"
    DONGLE = "dongle"
    PHONE = "phone"
    CABLE = "cable"
    WIFI = "wifi"


@dataclass(frozen=True)
class Connection:
    """An active connection of NetworkManager's, as far as it matters here."""

    name: str
    zone: str
    state: int
    default: bool
    device_type: int
    driver: str
    metered: int


@dataclass(frozen=True)
class Link:
    """What there is at the moment."""

    kind: LinkKind = LinkKind.NONE
    name: str = ""
    metered: bool = False

    @property
    def up(self) -> bool:
        """Whether there is a way out."""
        return self.kind is not LinkKind.NONE


def kind_of(connection: Connection) -> LinkKind:
    """What a connection goes through."""
    if connection.device_type == MODEM or connection.driver in DONGLE_DRIVERS:
        return LinkKind.DONGLE
    if connection.device_type == BLUETOOTH or connection.driver in PHONE_DRIVERS:
        return LinkKind.PHONE
    return LinkKind.WIFI if connection.device_type == WIFI else LinkKind.CABLE


def link_of(connections: Iterable[Connection]) -> Link:
    """The link that these connections make: one that costs nothing before one that does."""
    ways = [
        Link(kind_of(each), each.name, each.metered in METERED or kind_of(each) in (LinkKind.DONGLE, LinkKind.PHONE))
        for each in connections
        if each.default and each.state == ACTIVATED and each.zone in UPLINK_ZONES
    ]
    return min(ways, key=lambda link: (link.metered, link.name), default=Link())


@dataclass(frozen=True)
class LinkState:
    """The link and what is known of it. Times are seconds since 1970, None for never."""

    link: Link = Link()
    since: float | None = None
    """When the link came or went."""
    contact: float | None = None
    """When a provider last answered."""
    reached: bool = False
    """Whether one has answered since the link came."""


class LinkWatch:
    """Keeps the state, and tells listeners when a link comes, goes, or turns out to lead somewhere."""

    def __init__(self, clock: Callable[[], float], last_contact: float | None = None) -> None:
        self._clock = clock
        self._listeners: list[Callable[[LinkState], None]] = []
        self.state = LinkState(contact=last_contact)

    def listen(self, listener: Callable[[LinkState], None]) -> None:
        """Call `listener` with each new state."""
        self._listeners.append(listener)

    def changed(self, connections: Iterable[Connection]) -> None:
        """NetworkManager's connections are now these."""
        link = link_of(connections)
        if link == self.state.link:
            return
        same_way = link.up and self.state.link.up and link.name == self.state.link.name
        reached = self.state.reached and same_way
        self._set(replace(self.state, link=link, since=self._clock(), reached=reached))

    def contact(self) -> None:
        """A provider has answered."""
        self._set(replace(self.state, contact=self._clock(), reached=self.state.link.up))

    def _set(self, state: LinkState) -> None:
        told = (state.link, state.reached) != (self.state.link, self.state.reached)
        self.state = state
        if told:
            for listener in self._listeners:
                listener(state)

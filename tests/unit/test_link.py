"""What counts as a link, and what is known of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mojomail.link import BLUETOOTH, ETHERNET, MODEM, WIFI, Connection, Link, LinkKind, LinkState, LinkWatch, link_of

DONGLE = Connection("dongle", "uplink", 2, True, MODEM, "option", 0)
CABLE = Connection("cable", "uplink", 2, True, ETHERNET, "lan78xx", 2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, LinkKind.DONGLE),
        ({"device_type": ETHERNET, "driver": "rndis_host"}, LinkKind.PHONE),
        ({"device_type": ETHERNET, "driver": "huawei_cdc_ncm"}, LinkKind.DONGLE),
        ({"device_type": BLUETOOTH, "driver": "bluez"}, LinkKind.PHONE),
        ({"device_type": WIFI, "driver": "brcmfmac"}, LinkKind.WIFI),
        ({"device_type": ETHERNET, "driver": "lan78xx"}, LinkKind.CABLE),
        ({"zone": ""}, LinkKind.DONGLE),
        ({"zone": "lan"}, LinkKind.NONE),
        ({"zone": "mesh"}, LinkKind.NONE),
        ({"default": False}, LinkKind.NONE),
        ({"state": 1}, LinkKind.NONE),
    ],
)
def test_a_link_is_a_default_route_over_an_uplink(changes: dict[str, object], expected: LinkKind) -> None:
    assert link_of([replace(DONGLE, **changes)]).kind is expected  # type: ignore[arg-type]


def test_what_costs_nothing_goes_before_what_does() -> None:
    assert link_of([DONGLE, CABLE]) == Link(LinkKind.CABLE, "cable", metered=False)
    assert link_of([DONGLE]).metered
    assert link_of([replace(CABLE, metered=3)]).metered


def test_listeners_hear_of_each_change_once() -> None:
    heard: list[LinkState] = []
    watch = LinkWatch(lambda: 1000.0, last_contact=500.0)
    watch.listen(heard.append)
    watch.changed([])
    watch.changed([DONGLE])
    watch.changed([DONGLE])
    watch.contact()
    watch.contact()
    watch.changed([])
    assert [(state.link.up, state.reached) for state in heard] == [(True, False), (True, True), (False, False)]


def test_the_last_contact_is_kept_while_there_is_no_link() -> None:
    times = iter([1.0, 2.0, 3.0])
    watch = LinkWatch(lambda: next(times))
    watch.changed([DONGLE])
    watch.contact()
    watch.changed([])
    assert (watch.state.contact, watch.state.since) == (2.0, 3.0)


def test_another_way_out_has_yet_to_prove_itself() -> None:
    watch = LinkWatch(lambda: 1.0)
    watch.changed([DONGLE])
    watch.contact()
    watch.changed([CABLE])
    assert watch.state.link.up and not watch.state.reached

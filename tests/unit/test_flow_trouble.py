"""Trouble half-way through a flow comes, or the test fails; the link's counts are played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.flows.trouble import Trouble
from tests.lab.wire import Counts


class Uplink:
    """A link that carries what it is told to, and is cut at `point`."""

    def __init__(self, point: int, carried: int = 0) -> None:
        self._point, self._carried = point, carried
        self._left: int | None = None
        self.sizes: list[int] = []
        self.is_up = True

    def cut_after(self, *, size: int, seed: object) -> float:
        self.sizes.append(size)
        self._left = self._point
        return float(self._point)

    def carry(self, size: int) -> None:
        self._carried += size
        if self._left is not None:
            self._left -= size
            self.is_up = self.is_up and self._left > 0

    def counts(self) -> dict[str, Counts]:
        return {"gmail": Counts(to_far=self._carried // 3), "arp": Counts(from_far=self._carried - self._carried // 3)}

    def wait_for_state(self, state: str, limit: float) -> None:
        assert state == "cut" and limit > 0
        if self.is_up:
            raise TimeoutError(f"the link is still 'up' and not 'cut' after {limit:.0f} s")

    def up(self, up: bool) -> None:
        self.is_up = up


class Node:
    """What a trouble does to a node."""

    def __init__(self) -> None:
        self.resets = 0

    def succeed(self, command: str, limit: float = 60.0) -> str:
        return ""

    def reset(self) -> None:
        self.resets += 1

    def wait_for_control(self, limit: float) -> None:
        return

    def wait_for_unit(self, name: str, limit: float) -> None:
        return


def trouble(kind: str, uplink: Uplink, node: Node) -> Trouble:
    office: Any = SimpleNamespace(node=node, world=SimpleNamespace(uplink=uplink), hang_up=lambda: None)
    return Trouble(kind, office, "a flow")


@pytest.mark.parametrize("kind", ["link cut", "node restarted"])
def test_a_flow_that_carries_too_little_for_its_trouble_fails(kind: str) -> None:
    uplink, node = Uplink(point=5_000, carried=70_000), Node()
    made = trouble(kind, uplink, node)
    made.begin(8_000)
    uplink.carry(4_704)
    with pytest.raises(AssertionError, match=r"the flow carried only 4704 bytes, the cut was to come after 5000\b"):
        made.mend()
    assert not node.resets, "and nothing else is done to it"


@pytest.mark.parametrize(("kind", "resets"), [("link cut", 0), ("node restarted", 1)])
def test_a_flow_whose_link_was_cut_goes_on_with_a_good_one(kind: str, resets: int) -> None:
    uplink, node = Uplink(point=5_000), Node()
    made = trouble(kind, uplink, node)
    made.begin(8_000)
    uplink.carry(6_000)
    assert not uplink.is_up
    made.mend()
    assert uplink.is_up and node.resets == resets


def test_a_link_is_cut_well_before_a_flow_has_carried_what_it_carries_at_least() -> None:
    uplink = Uplink(point=1)
    trouble("link cut", uplink, Node()).begin(10_000)
    (size,) = uplink.sizes
    assert 5_000 <= size <= 8_000

"""What goes wrong in the middle of a mail flow, at a point that the seed decides."""

from __future__ import annotations

import random

from tests.conftest import SEED
from tests.flows.mailoffice import ARRIVES, SERVICES, MailOffice

TROUBLES = ("link cut", "servers killed", "node restarted")
BOOT_LIMIT = 1500.0
"""Seconds until the node is up again, with other machines on the same cores."""
HALF_WAY = 0.7
"""The part of what a flow carries at least in which its link is cut; the rest is for a flow that carries less yet."""


class Trouble:
    """One of TROUBLES: `begin` lets it come, `mend` waits for it and makes it good again.

    A node that is restarted loses its link and its power at once, as in a village: what the card was not sent is gone,
    but for what was there before the trouble began.
    """

    def __init__(self, kind: str, office: MailOffice, name: str) -> None:
        self.kind, self._office = kind, office
        self._chance = random.Random(f"{SEED} {name}")

    def begin(self, carries: int) -> None:
        """Let it happen half-way through a flow, or within some seconds where the servers are killed.

        `carries` is what the flow carries at least until it is through, when nothing goes wrong: bytes of IP over the
        uplink, both ways.
        """
        if self.kind == "servers killed":
            wait = self._chance.uniform(0.5, 8.0)
            self._office.node.succeed(
                f"systemd-run --on-active={wait:.1f} --timer-property=AccuracySec=100ms"
                " systemctl kill --signal=KILL 'mojomail-sync-*' mojomaild postfix dovecot"
            )
        else:
            if self.kind == "node restarted":
                self._office.node.succeed("sync", limit=120)
            uplink = self._office.world.uplink
            self._before = self._carried()
            self._point = int(uplink.cut_after(size=int(HALF_WAY * carries), seed=self._chance.random()))

    def mend(self) -> None:
        """Once it has happened, bring the link back; servers that were killed, and the node, must come up alone.

        Raises AssertionError when the flow carried too little for its link to be cut.
        """
        node, uplink = self._office.node, self._office.world.uplink
        if self.kind == "servers killed":
            node.wait_until("journalctl -b -g 'code=killed, status=9/KILL' -q | grep -q mojomaild", 60)
            self._wait_for("mojomaild", "postfix", "dovecot")
            return
        try:
            uplink.wait_for_state("cut", ARRIVES)
        except TimeoutError:
            carried = self._carried() - self._before
            raise AssertionError(
                f"{self.kind}: the flow carried only {carried} bytes, the cut was to come after {self._point}:"
                " measure what it carries at least, and tell begin()"
            ) from None
        if self.kind == "node restarted":
            self._office.hang_up()
            node.reset()
            uplink.up(True)
            node.wait_for_control(BOOT_LIMIT)
            self._wait_for(*SERVICES)
        uplink.up(True)

    def _carried(self) -> int:
        """Bytes of IP that went over the uplink so far, ARP and DHCP among them, which bring a cut nearer as well."""
        return sum(count.to_far + count.from_far for count in self._office.world.uplink.counts().values())

    def _wait_for(self, *services: str) -> None:
        for name in services:
            self._office.node.wait_for_unit(f"{name}.service", BOOT_LIMIT)

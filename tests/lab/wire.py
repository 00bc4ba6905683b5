"""A wire between two network cards: what becomes of each frame, and when.

Time comes from the caller and chance from a seed. No input or output happens here (see relay.py), so that a test can
live through hours of a bad link in a moment. The same seed, link, frames and times give every frame the same fate.
"""

from __future__ import annotations

import ipaddress
import math
import random
import struct
from collections import deque
from dataclasses import dataclass, replace

from tests.lab.links import Link

TO_FAR = 0
"""From the node to the far side."""
FROM_FAR = 1
"""From the far side to the node."""
WAYS = (TO_FAR, FROM_FAR)

ETHERNET_HEADER = 14
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
PLAIN_HEADER = bytes(12) + IPV4.to_bytes(2, "big")
"""What stands before an IPv4 packet on the wire of a link without Ethernet, such as a modem's."""
UDP = 17
DHCP_PORTS = {67, 68}

Key = bytes | str
"""Whom a packet is counted for: the far address as on the wire (4 or 16 bytes), or "arp", "dhcp" or "other"."""


@dataclass(frozen=True)
class Counts:
    """What went over a wire to and from one far address: bytes of IP packets, headers included, and packets.

    What the modem sent counts, also when it went lost on the air, as the operator would bill it. What found the
    link down or the queue full does not.
    """

    to_far: int = 0
    from_far: int = 0
    packets_to_far: int = 0
    packets_from_far: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.to_far + other.to_far,
            self.from_far + other.from_far,
            self.packets_to_far + other.packets_to_far,
            self.packets_from_far + other.packets_from_far,
        )


@dataclass(frozen=True)
class Fates:
    """How many frames, both ways together, came through, and how many did not and why."""

    delivered: int = 0
    lost: int = 0
    """On the air, by the link's loss."""
    overflowed: int = 0
    """They found the modem's queue full."""
    silenced: int = 0
    """They were offered, waiting or on the air while the link was down, in a drop, or became another one."""


@dataclass(slots=True)
class _Waiting:
    sent_at: float
    frame: bytes
    size: int
    key: Key
    counted: bool = True
    """False: it was offered before the counting began anew."""


def describe(frame: bytes, way: int) -> tuple[Key, int]:
    """Whom a frame is counted for, and how many bytes of IP (without Ethernet's header and padding) it carries."""
    size = max(len(frame) - ETHERNET_HEADER, 0)
    kind = int.from_bytes(frame[12:14], "big")
    if kind == IPV4 and size >= 20:
        size = int.from_bytes(frame[16:18], "big") or size
        start = ETHERNET_HEADER + (frame[14] & 0x0F) * 4
        if frame[23] == UDP and len(frame) >= start + 4 and set(struct.unpack_from("!HH", frame, start)) <= DHCP_PORTS:
            return "dhcp", size
        return (frame[30:34] if way == TO_FAR else frame[26:30]), size
    if kind == IPV6 and size >= 40:
        return (frame[38:54] if way == TO_FAR else frame[22:38]), int.from_bytes(frame[18:20], "big") + 40
    return ("arp" if kind == ARP else "other"), size


class Wire:
    """Frames in with `offer`, out with `due`; `next_event` says when to look again. Times: seconds of one clock."""

    def __init__(self, link: Link, seed: object, now: float) -> None:
        self.seed = seed
        self._queues: list[deque[_Waiting]] = [deque(), deque()]
        self._air: list[deque[tuple[float, _Waiting]]] = [deque(), deque()]
        self._free_at = [now, now]
        self._tally: dict[Key, list[int]] = {}
        self._fates = dict.fromkeys(("delivered", "lost", "overflowed", "silenced"), 0)
        self._up = True
        self._was_cut = False
        self._cut_bytes: int | None = None
        self._cut_time = math.inf
        self._silent = False
        self._turn = math.inf
        self.use(link, now)

    def use(self, link: Link, now: float, *, first_drop: float | None = None) -> None:
        """Be this link from now on, as if it had never been another one; what waits or is on the air is gone.

        Losses and drops begin as they did the last time. `first_drop`: the first drop begins at a random, seeded
        point of the next so many seconds; else it may be long in coming. Raises ValueError when the link has none.
        """
        if first_drop is not None and link.drops is None:
            raise ValueError(f"this link has no drops, so none can come in the first {first_drop:g} s: {link}")
        self.link = link
        self._chances = [random.Random(f"{self.seed} loss {way}") for way in WAYS]
        self._drops = random.Random(f"{self.seed} drops")
        self._silent = False
        self._turn = math.inf
        if link.drops is not None:
            wait = self._drops.expovariate(1 / link.drops.every)
            early = random.Random(f"{self.seed} first drop")
            self._turn = now + (wait if first_drop is None else early.uniform(0, first_drop))
        self._silence(now)

    @property
    def open(self) -> bool:
        """Whether anything passes at this moment."""
        return self._up and self.link.passes and not self._silent

    def state(self) -> str:
        """`up`, or why nothing passes: `down`, `cut` (by cut_after), `none` (the link's kind) or `drop`."""
        if not self._up:
            return "cut" if self._was_cut else "down"
        if not self.link.passes:
            return "none"
        return "drop" if self._silent else "up"

    def set_up(self, up: bool, now: float) -> None:
        """Let packets pass, or none; what waits and is on the air when the link goes down is gone. Undoes a cut."""
        self._up = up
        self._was_cut = False
        self._cut_bytes, self._cut_time = None, math.inf
        if not up:
            self._silence(now)

    def cut_after(self, now: float, *, count: int | None = None, seconds: float | None = None) -> None:
        """Go down once `count` more bytes of IP were sent, both ways together, or when `seconds` have passed."""
        self._cut_bytes = count
        self._cut_time = math.inf if seconds is None else now + seconds

    def offer(self, way: int, frame: bytes, now: float) -> None:
        """Take a frame from one side at the time `now`, which must not lie before that of earlier calls."""
        if not self.open:
            self._fates["silenced"] += 1
            return
        start = max(now, self._free_at[way])
        if start - now > self.link.queue:
            self._fates["overflowed"] += 1
            return
        key, size = describe(frame, way)
        if self.link.rate is not None:
            start += size * 8 / self.link.rate
        self._free_at[way] = start
        self._queues[way].append(_Waiting(start, frame, size, key))

    def next_event(self) -> float:
        """When `due` has something to do next; infinity when nothing waits."""
        times = [self._turn, self._cut_time]
        times += [queue[0].sent_at for queue in self._queues if queue]
        times += [air[0][0] for air in self._air if air]
        return min(times)

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """Live on until `now`; returns what comes out at the ends on the way there, as (way, frame), in order."""
        out: list[tuple[int, bytes]] = []
        while True:
            when, what, way = math.inf, "", TO_FAR
            if self._turn < when:
                when, what = self._turn, "turn"
            if self._cut_time < when:
                when, what = self._cut_time, "cut"
            for each in WAYS:
                if self._air[each] and self._air[each][0][0] < when:
                    when, what, way = self._air[each][0][0], "arrive", each
                if self._queues[each] and self._queues[each][0].sent_at < when:
                    when, what, way = self._queues[each][0].sent_at, "send", each
            if when > now or not what:
                return out
            if what == "turn":
                self._take_turn(when)
            elif what == "cut":
                self._cut(when)
            elif what == "send":
                self._send(way)
            else:
                arrived = self._air[way].popleft()[1]
                out.append((way, arrived.frame))
                self._fates["delivered"] += arrived.counted

    def counts(self) -> dict[str, Counts]:
        """What went over the wire so far, by far address in its usual spelling, or by "arp", "dhcp", "other"."""
        return {
            key if isinstance(key, str) else str(ipaddress.ip_address(key)): Counts(*numbers)
            for key, numbers in self._tally.items()
        }

    def fates(self) -> Fates:
        """What became of all frames so far."""
        return replace(Fates(), **self._fates)

    def reset_counts(self) -> None:
        """Begin to count anew: what is offered from now on, and not what waits or is on the air already."""
        for way in WAYS:
            for waiting in (*self._queues[way], *(flying for _, flying in self._air[way])):
                waiting.counted = False
        self._tally.clear()
        self._fates = dict.fromkeys(self._fates, 0)

    def _send(self, way: int) -> None:
        """The modem has sent the first frame of its queue."""
        sent = self._queues[way].popleft()
        if sent.counted:
            numbers = self._tally.setdefault(sent.key, [0, 0, 0, 0])
            numbers[way] += sent.size
            numbers[2 + way] += 1
        if self.link.loss and self._chances[way].random() < self.link.loss:
            self._fates["lost"] += sent.counted
        else:
            self._air[way].append((sent.sent_at + self.link.delay / 2, sent))
        if self._cut_bytes is not None:
            self._cut_bytes -= sent.size
            if self._cut_bytes <= 0:
                self._cut(sent.sent_at)

    def _cut(self, now: float) -> None:
        self.set_up(False, now)
        self._was_cut = True

    def _take_turn(self, now: float) -> None:
        """Begin or end a drop."""
        drops = self.link.drops
        assert drops is not None
        self._silent = not self._silent
        if self._silent:
            self._turn = now + drops.shortest * (drops.longest / drops.shortest) ** self._drops.random()
            self._silence(now)
        else:
            self._turn = now + self._drops.expovariate(1 / drops.every)

    def _silence(self, now: float) -> None:
        """What waits and what is on the air is gone."""
        for way in WAYS:
            gone = (*self._queues[way], *(flying for _, flying in self._air[way]))
            self._fates["silenced"] += sum(waiting.counted for waiting in gone)
            self._queues[way].clear()
            self._air[way].clear()
            self._free_at[way] = now

"""What kinds of link a wire can play, by name: how fast, how far, how lossy, how often gone.

The mobile ones are what a village at the edge of a cell has: `edge` is 2.75G on a good day, `gprs` is 2.5G with
a weak signal. Their queues are those of real modems, which hold seconds of data.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drops:
    """Silences of a link, such as a train of rain or a full cell: nothing passes, then it goes on.

    The time from the end of one to the start of the next is exponential with the mean `every`; how long one lasts
    lies between `shortest` and `longest`, short ones being as much more common as they are shorter. All in seconds.
    """

    every: float
    shortest: float
    longest: float


@dataclass(frozen=True)
class Link:
    """How a wire carries packets, the same in each direction.

    `rate` is in bits a second of IP packets (None: as fast as it goes). `delay` is the round trip in seconds, as ping
    shows it on an idle link; each way takes half. `loss` is the share of packets that go lost on the air, each way
    and each for itself. `queue` is how many seconds of data wait for the modem before it throws new ones away.
    """

    rate: float | None = None
    delay: float = 0.0
    loss: float = 0.0
    drops: Drops | None = None
    queue: float = 2.0
    passes: bool = True
    """False: a link through which nothing ever comes, such as that of a node without a dongle."""

    def __post_init__(self) -> None:
        if (self.rate is not None and self.rate <= 0) or self.delay < 0 or not 0 <= self.loss <= 1 or self.queue < 0:
            raise ValueError(f"no such link can be: {self}")


LINKS = {
    "lan": Link(),
    "edge": Link(rate=120_000, delay=0.4, queue=2.0),
    "gprs": Link(rate=40_000, delay=0.7, loss=0.02, drops=Drops(every=180, shortest=1, longest=60), queue=4.0),
    "none": Link(passes=False),
}


def link_named(name: str) -> Link:
    """The link of that name; raises ValueError that names those there are."""
    try:
        return LINKS[name]
    except KeyError:
        raise ValueError(f"no link is called {name!r}; there are: {', '.join(LINKS)}") from None

"""Postfix's queue and log: what waits, what was tried, what a provider said. Commands: postqueue(1), postsuper(1)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import compat32
from enum import StrEnum
from pathlib import Path

from .errors import InputError, SystemFault
from .process import run

SHOWQ = Path("/var/spool/postfix/public/showq")
"""Where postqueue(1) asks; without it, it looks for the queue by itself, and cries when there is none."""
QUEUE_ID = re.compile(r"[0-9A-Za-z]{6,30}")

DELIVERY = re.compile(
    r"(?P<id>[0-9A-Za-z]{6,30}): to=<(?P<to>[^>]*)>,(?: orig_to=<[^>]*>,)? relay=(?P<relay>.*?), .*"
    r"dsn=(?P<dsn>[245]\.\d{1,3}\.\d{1,3}), status=(?P<status>[a-z-]+) \((?P<text>.*)\)$",
    re.DOTALL,
)
"""A delivery agent's line about one recipient (Postfix's log_adhoc.c)."""

HANDED_ON = re.compile(r"host \S+\[/run/mojomail/relay\] said: ")
"""What Postfix puts in front of a provider's words that mojomail-relay handed on."""

ON_THE_WAY = re.compile(r"4\.4\.\d+|4\.7\.5")
"""The network (RFC 3463, 3.5), and TLS that could not be begun, as it cannot while the clock is wrong."""

AWAY = re.compile(r"postfix/(smtp|relay465/smtp|oauth/lmtp)$")
"""Who speaks to providers. The lmtp of the queue's own hands mail over here, which is not sending."""


@dataclass(frozen=True)
class Waiting:
    """A recipient whom a mail has yet to reach, and why it has not."""

    address: str
    reason: str


@dataclass(frozen=True)
class QueuedMail:
    """A mail in the queue. `size` is bytes, `arrived` seconds since 1970."""

    id: str
    queue: str
    sender: str
    size: int
    arrived: float
    recipients: tuple[Waiting, ...]

    @property
    def held(self) -> bool:
        """Whether its sender stopped it."""
        return self.queue == "hold"

    @property
    def under_way(self) -> bool:
        """Whether Postfix has it in hand at the moment."""
        return self.queue in ("active", "incoming", "maildrop")


class Fate(StrEnum):
    """What a delivery attempt came to."""

    SENT = "sent"
    DEFERRED = "deferred"
    REFUSED = "refused"


@dataclass(frozen=True)
class Attempt:
    """One attempt to reach one recipient; `text` is the provider's own."""

    id: str
    recipient: str
    fate: Fate
    relay: str
    text: str
    on_the_way: bool = False
    """Whether it failed before the provider could judge it."""


def parse_queue(listing: str) -> list[QueuedMail]:
    """What `postqueue -j` printed: one object to a line. A line that is none is left out."""
    mails = []
    for line in listing.splitlines():
        try:
            found = json.loads(line)
            mails.append(
                QueuedMail(
                    id=str(found["queue_id"]),
                    queue=str(found["queue_name"]),
                    sender=str(found["sender"]).lower(),
                    size=int(found["message_size"]),
                    arrived=float(found["arrival_time"]),
                    recipients=tuple(
                        Waiting(str(one["address"]).lower(), str(one.get("delay_reason", "")))
                        for one in found["recipients"]
                    ),
                )
            )
        except (ValueError, KeyError, TypeError):
            continue
    return mails


def parse_delivery(program: str, message: str) -> Attempt | None:
    """The attempt that a line of Postfix's log tells of, if it is one to reach a provider."""
    if not AWAY.search(program):
        return None
    found = DELIVERY.match(message)
    if found is None:
        return None
    fates = {"sent": Fate.SENT, "bounced": Fate.REFUSED, "expired": Fate.REFUSED, "deferred": Fate.DEFERRED}
    fate = fates.get(found["status"])
    if fate is None:
        return None
    on_the_way = ON_THE_WAY.fullmatch(found["dsn"]) is not None
    text = HANDED_ON.sub("", found["text"], count=1)
    return Attempt(found["id"], found["to"].lower(), fate, found["relay"], text, on_the_way)


class MailQueue:
    """The node's Postfix. Everything raises SystemFault when a command fails."""

    def list(self) -> list[QueuedMail]:
        """All mails that wait. Before Postfix has ever started there is no queue, and nobody is asked for it."""
        if not SHOWQ.exists():
            raise SystemFault("Postfix has not started yet", hint="systemctl status postfix")
        return parse_queue(run("postqueue", "-j").decode("utf-8", "replace"))

    def message_id(self, number: str) -> str:
        """A waiting mail's Message-ID, as it is written; '' when it has none or has left."""
        try:
            return message_id_in(run("postcat", "-h", "-q", checked(number)))
        except SystemFault:
            return ""

    def send(self, number: str) -> None:
        """Let this mail be tried now; Postfix answers before it has been."""
        run("postqueue", "-i", checked(number))

    def hold(self, number: str) -> None:
        """Stop a mail until it is released."""
        run("postsuper", "-h", checked(number))

    def release(self, number: str) -> None:
        """Let a held mail go on."""
        run("postsuper", "-H", checked(number))

    def cancel(self, number: str) -> None:
        """Remove a mail for good."""
        run("postsuper", "-d", checked(number))

    def present(self) -> bool:
        """Whether there is a Postfix that answers."""
        try:
            self.list()
        except SystemFault:
            return False
        return True


def message_id_in(header: bytes) -> str:
    """The Message-ID of a header (RFC 5322, 3.6.4), '' for none."""
    found = message_from_bytes(header, policy=compat32).get("Message-ID", "")
    return " ".join(str(found).split())


def checked(number: str) -> str:
    """A queue id that is one; `ALL` is a word to postsuper(1). Raises InputError."""
    if not QUEUE_ID.fullmatch(number) or number.upper() == "ALL":
        raise InputError(f"{number[:40]!r} is not the number of a waiting mail")
    return number

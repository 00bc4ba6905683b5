"""A USB dongle's modem, as its two serial lines show it: AT commands, a SIM card, a mobile network, and PPP if dialled.

Commands and answers by ITU-T V.250 and 3GPP TS 27.007; numbers in docstrings are sections of the latter. Both lines
take commands, one of them data once it has dialled. Bytes go in and out, time comes from the caller, and no input or
output happens here (see dongle.py). The commands themselves are in atcommands.py.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.lab.atcommands import BAD_VALUE, NO_SERVICE, NOT_SUBSCRIBED, UTRAN, CmeError, obey
from tests.lab.ppp import PppEnd
from tests.lab.sim import Sim

HOME, SEARCHING, OFF = 1, 2, 0
"""Registration states (7.2)."""
OPERATOR, SUBSCRIBER = "198.51.100.1", "198.51.100.2"
"""The two ends of the link."""
LINE_END = b"\r"
LONGEST_COMMAND = 1024


@dataclass
class Network:
    """The mobile network around the dongle.

    signal   0 to 31, what +CSQ says (8.5); None where there is none
    apns     those that the SIM card's contract lets in, in small letters
    search   seconds from a signal to being registered
    """

    operator: str = "405840"
    name: str = "Village Telecom"
    apns: frozenset[str] = frozenset(("jionet",))
    signal: int | None = 17
    search: float = 3.0
    own: str = OPERATOR
    subscriber: str = SUBSCRIBER
    dns: str = "192.0.2.1"


@dataclass(eq=False)
class Line:
    """One of the modem's serial lines. `to_host` are bytes to be taken away; `ppp` is the connection it carries."""

    to_host: bytearray = field(default_factory=bytearray)
    ppp: PppEnd | None = None
    _typed: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As it is at power-on (V.250, 6.1.1)."""
        self.echo, self.verbose, self.quiet, self.errors = True, True, False, 0
        self.reports = dict.fromkeys(("CREG", "CGREG"), 0)

    def say(self, text: str) -> None:
        """A line of information, or a result (V.250, 5.7.1)."""
        self.to_host += f"\r\n{text}\r\n".encode()

    def result(self, text: str) -> None:
        """How a command ended."""
        if not self.quiet:
            numbers = {"OK": 0, "NO CARRIER": 3, "ERROR": 4}
            self.to_host += f"\r\n{text}\r\n".encode() if self.verbose else f"{numbers.get(text, 1)}\r".encode()

    def typed(self, data: bytes) -> Iterator[str]:
        """Take bytes in command mode, and give the commands that they complete, without AT (V.250, 5.2.1)."""
        if self.echo:
            self.to_host += data
        self._typed += data
        while LINE_END in self._typed:
            line, _, rest = bytes(self._typed).partition(LINE_END)
            self._typed[:] = rest
            if found := re.search(rb"[Aa][Tt]([\x20-\x7e]*)\Z", line.strip(b"\n\0")):
                yield found[1].decode("ascii")
        del self._typed[:-LONGEST_COMMAND]


class Modem:
    """The dongle's modem. `dialled` are the APNs that connections were asked for with, in order.

    make, model, version, serial   what it says of itself (5.1 to 5.4)
    """

    def __init__(self, sim: Sim | None, network: Network | None = None, lines: int = 2) -> None:
        self.sim, self.network = sim, network or Network()
        self.lines = tuple(Line() for _ in range(lines))
        self.make, self.model, self.version, self.serial = "MojoMail", "Stand-in 3G", "1.0", "490154203237518"
        self.dialled: list[str] = []
        self.packets: list[bytes] = []
        """IPv4 packets for the network, to be taken away."""
        self.contexts: dict[int, tuple[str, str]] = {1: ("IP", "internet")}
        """By number: kind and APN. A dongle comes with one that somebody else has used."""
        self.cause = "no error"
        self._registered_at = math.inf
        self.power_on()

    def power_on(self) -> None:
        """As when it is plugged in: nothing is dialled, and the SIM card wants its PIN again."""
        self.radio = True
        self.operator_form = "0"
        self.active: int | None = None
        self._registered_at = math.inf
        self.registration = OFF
        for line in self.lines:
            line.reset()
            line.ppp = None
        if self.sim:
            self.sim.power_on()
        self.look_around(0.0)

    # ---- the lines

    def receive(self, line: Line, data: bytes, now: float) -> None:
        """Take bytes of one of the `lines`, at the time `now` in seconds."""
        self.tick(now)
        if line.ppp is None:
            for words in line.typed(data):
                obey(self, line, words, now)
            return
        line.ppp.receive(data, now)
        self._after_ppp(line, now)
        if line.ppp is not None and (command := re.search(rb"[Aa][Tt][\x20-\x7e]*\r\Z", line.ppp.rest)):
            # No frame has a plain CR (ppp.py). Who commands has let DTR drop, which ends the call (V.250, 6.3.6);
            # QEMU's cable does not tell.
            self._drop(line, now)
            self.receive(line, command[0], now)

    def _after_ppp(self, line: Line, now: float) -> None:
        """Take what the connection has to say; and where it has ended, the call is over."""
        assert line.ppp is not None
        line.to_host += line.ppp.to_line
        line.ppp.to_line.clear()
        self.packets += line.ppp.packets
        line.ppp.packets.clear()
        if line.ppp.ended:
            self._drop(line, now)

    def _drop(self, line: Line, now: float) -> None:
        """End the call: the line takes commands again."""
        line.ppp, self.active = None, None
        line.result("NO CARRIER")

    def hang_up(self, now: float) -> None:
        """End the call, if there is one."""
        self.active = None
        for line in self.lines:
            if line.ppp is not None:
                self._drop(line, now)

    @property
    def connected(self) -> bool:
        """Whether IP passes."""
        return any(line.ppp is not None and line.ppp.up for line in self.lines)

    def deliver(self, packet: bytes) -> None:
        """Take an IPv4 packet from the network; it is gone where nothing is connected."""
        for line in self.lines:
            if line.ppp is not None:
                line.ppp.deliver(packet)
                line.to_host += line.ppp.to_line
                line.ppp.to_line.clear()

    @property
    def registered(self) -> bool:
        """Whether there is a network."""
        return self.registration == HOME

    # ---- time and the network

    def next_event(self) -> float:
        """When `tick` has something to do next; infinity when nothing waits."""
        calls = [line.ppp.next_event() for line in self.lines if line.ppp is not None]
        return min([self._registered_at, *calls])

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now >= self._registered_at:
            self._registered_at = math.inf
            self._register(HOME)
        for line in self.lines:
            if line.ppp is not None:
                line.ppp.tick(now)
                self._after_ppp(line, now)

    def set_signal(self, signal: int | None, now: float) -> None:
        """The signal comes, goes or changes; without one a call is lost."""
        self.network.signal = signal
        self.look_around(now)

    def set_radio(self, on: bool, now: float) -> None:
        """Switch the radio on or off."""
        self.radio = on
        self.look_around(now)

    def look_around(self, now: float) -> None:
        """Begin to register, or lose what there was (7.2)."""
        ready = self.radio and self.sim is not None and self.sim.wants == "READY"
        if ready and self.network.signal is not None:
            if self.registration != HOME and self._registered_at == math.inf:
                self._register(SEARCHING)
                self._registered_at = now + self.network.search
            return
        self._registered_at = math.inf
        self.hang_up(now)
        self._register(SEARCHING if ready else OFF)

    def _register(self, state: int) -> None:
        if state != self.registration:
            self.registration = state
            for line in self.lines:
                for name, form in line.reports.items():
                    if form and line.ppp is None:
                        line.say(f"+{name}: {self.place(form)}")

    def place(self, form: int) -> str:
        where = f',"1A2B","0C3D4E5F",{UTRAN}' if form >= 2 and self.registration == HOME else ""
        return f"{self.registration}{where}"

    # ---- calls

    def dial(self, line: Line, number: int, now: float) -> None:
        """Let a line carry a connection with a context; raises CmeError."""
        self.activate(number)
        own, subscriber, dns = map(ipaddress.IPv4Address, (self.network.own, self.network.subscriber, self.network.dns))
        line.result("CONNECT")
        line.ppp = PppEnd(own, subscriber, dns)
        line.ppp.begin(now)
        self._after_ppp(line, now)

    def activate(self, number: int) -> None:
        """Activate a context (10.1.10); its APN is looked at, as the network does."""
        if number not in self.contexts:
            raise CmeError(BAD_VALUE)
        if self.registration != HOME:
            raise CmeError(NO_SERVICE)
        apn = self.contexts[number][1]
        self.dialled.append(apn)
        if apn.lower() not in self.network.apns:
            raise CmeError(NOT_SUBSCRIBED)
        self.active = number

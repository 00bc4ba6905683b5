"""The dongle itself: the lab's modem (modem.py) between QEMU's serial cables and the world's wire `dongle`.

QEMU has no USB modem, but USB serial cables: the machine sees two of them, as it sees the two lines of a real dongle.
To the world's wire this is the machine's end, in place of QEMU: Ethernet frames with IPv4 packets (relay.py).
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.lab.modem import LINE_END, Line, Modem, Network
from tests.lab.qemu import socket_path
from tests.lab.sim import Sim
from tests.lab.wire import ETHERNET_HEADER, PLAIN_HEADER

CARD = "dongle"
RULE = (
    'ACTION!="remove", SUBSYSTEMS=="usb", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6001",'
    ' ENV{ID_MM_DEVICE_PROCESS}="1", ENV{ID_MM_PHYSDEV_UID}="dongle"\n'
)
"""For udev: a serial cable is no modem to ModemManager unless it is told so, and two cables are two devices. Nothing
else is otherwise than with a real dongle."""
PIECE = 4096
BATCH = 64
"""How many packets of the network are taken before the lines have their turn."""
FULL = 1 << 16
"""Bytes that wait for the machine on one line; what comes from the network meanwhile is gone, as at a real one."""


class Dongle:
    """A dongle that lives until `close`, plugged into a machine or not. Sockets are made in `directory`.

    wires   where the world's wires are (world.wires); None: a dongle that leads nowhere
    log     a file for all that is said in commands and answers, None for none
    """

    def __init__(
        self,
        directory: Path,
        sim: Sim | None,
        network: Network | None = None,
        wires: Path | None = None,
        log: Path | None = None,
    ) -> None:
        self.modem = Modem(sim, network)
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self.ports = [socket_path(directory, f"dongle{number}") for number in range(len(self.modem.lines))]
        """The sockets of the lines, for QEMU to connect to."""
        self._ends: dict[int, socket.socket] = {}
        self._open = contextlib.ExitStack()
        self._heard = [b""] * len(self.modem.lines)
        self._log = self._open.enter_context(log.open("a", buffering=1)) if log else None
        for number, path in enumerate(self.ports):
            listener = self._listen(path, socket.SOCK_STREAM)
            listener.listen(1)
            self._selector.register(listener, selectors.EVENT_READ, ("call", number))
        self._air: socket.socket | None = None
        if wires is not None:
            self._air = self._listen(socket_path(wires, f"{CARD}.qemu"), socket.SOCK_DGRAM)
            self._wire = socket_path(wires, f"{CARD}.wire")
            self._selector.register(self._air, selectors.EVENT_READ, ("air", 0))
        self._waker, bell = socket.socketpair()
        self._open.callback(self._waker.close)
        self._open.enter_context(bell)
        self._selector.register(bell, selectors.EVENT_READ, ("bell", 0))
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="dongle", daemon=True)
        self._thread.start()

    def _listen(self, path: Path, kind: int) -> socket.socket:
        path.unlink(missing_ok=True)
        made = self._open.enter_context(socket.socket(socket.AF_UNIX, kind))
        made.setblocking(False)
        made.bind(str(path))
        self._open.callback(path.unlink, missing_ok=True)
        return made

    @contextlib.contextmanager
    def changing(self) -> Iterator[float]:
        """Hold the dongle still, at the time that this yields, and have it look again after."""
        with self._lock:
            yield time.monotonic()
        self._waker.send(b"!")

    def close(self) -> None:
        """End it; a machine that has it sees its lines go."""
        self._ending = True
        self._waker.send(b"!")
        self._thread.join(10)
        for end in self._ends.values():
            end.close()
        self._open.close()
        self._selector.close()

    # ---- what tests do to it, and ask

    def signal(self, strength: int | None) -> None:
        """Let the signal be so strong (0 to 31), or gone (None): a call is lost then."""
        with self.changing() as now:
            self.modem.set_signal(strength, now)

    @property
    def plugged(self) -> bool:
        """Whether a machine has it."""
        with self._lock:
            return bool(self._ends)

    @property
    def presented(self) -> list[str]:
        """The PINs that were tried on the SIM card."""
        with self._lock:
            return list(self.modem.sim.presented) if self.modem.sim else []

    @property
    def tries(self) -> int:
        """The tries that the SIM card has left."""
        with self._lock:
            return self.modem.sim.tries if self.modem.sim else 0

    @property
    def dialled(self) -> list[str]:
        """The APNs of all calls."""
        with self._lock:
            return list(self.modem.dialled)

    @property
    def connected(self) -> bool:
        """Whether IP passes."""
        with self._lock:
            return self.modem.connected

    # ---- the thread

    def _run(self) -> None:
        while not self._ending:
            with self._lock:
                self._tell()
                wait = self.modem.next_event() - time.monotonic()
            events = self._selector.select(None if wait == float("inf") else max(wait, 0))
            with self._lock:
                for key, mask in events:
                    self._take(key, mask)
                self.modem.tick(time.monotonic())

    def _take(self, key: selectors.SelectorKey, mask: int) -> None:
        """Something has come, or there is room."""
        what, number = key.data
        source = key.fileobj
        assert isinstance(source, socket.socket)
        if what == "bell":
            source.recv(PIECE)
        elif what == "air":
            for _ in range(BATCH):
                with contextlib.suppress(BlockingIOError):
                    self._from_network(source.recv(FULL))
                    continue
                break
        elif what == "call":
            self._hang_up(number)
            end, _ = source.accept()
            end.setblocking(False)
            self._ends[number] = end
            self._selector.register(end, selectors.EVENT_READ, ("line", number))
        elif mask & selectors.EVENT_READ:
            try:
                data = source.recv(PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self._listen_to(number, data)
            else:
                self._hang_up(number)

    def _listen_to(self, number: int, data: bytes) -> None:
        line = self.modem.lines[number]
        calling, before = line.ppp is not None, len(line.to_host)
        self.modem.receive(line, data, time.monotonic())
        if calling or self._log is None:
            return
        self._heard[number] += data
        if data.endswith(LINE_END):
            heard, said = bytes(self._heard[number]), bytes(line.to_host[before:])
            print(f"{time.monotonic():.2f} line {number}: {heard!r} {said!r}", file=self._log)
            self._heard[number] = b""

    def _from_network(self, frame: bytes) -> None:
        if all(len(line.to_host) < FULL for line in self.modem.lines):
            self.modem.deliver(frame[ETHERNET_HEADER:])

    def _hang_up(self, number: int) -> None:
        """The machine has let go of a line; without any it is unplugged, and forgets."""
        if end := self._ends.pop(number, None):
            self._selector.unregister(end)
            end.close()
            self.modem.lines[number].to_host.clear()
        if not self._ends:
            self.modem.power_on()

    def _tell(self) -> None:
        """Send what waits, each way, as far as there is room."""
        for packet in self.modem.packets:
            if self._air is not None:
                with contextlib.suppress(OSError):  # as on the air: nobody is there, or too much is under way
                    self._air.sendto(PLAIN_HEADER + packet, str(self._wire))
        self.modem.packets.clear()
        for number, line in enumerate(self.modem.lines):
            self._write(number, line)

    def _write(self, number: int, line: Line) -> None:
        end = self._ends.get(number)
        if end is None:
            line.to_host.clear()
            return
        with contextlib.suppress(OSError):
            while line.to_host:
                sent = end.send(line.to_host)
                del line.to_host[:sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.to_host else 0)
        self._selector.modify(end, events, ("line", number))

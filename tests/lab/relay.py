"""Carries frames between taps and QEMU's sockets, over wires (wire.py). One thread for all wires; asleep when idle.

QEMU's end of a card is `-netdev dgram`: one Ethernet frame a datagram, from `<card>.qemu` to `<card>.wire` and back.
QEMU may come later, go and come again: what is sent to it meanwhile is gone, as with a cable pulled out.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from tests.lab.wire import FROM_FAR, TO_FAR, Wire

FRAME_BYTES = 65536
BATCH = 64
"""How many frames of one card are taken before the other cards have their turn."""
PENDING = 512
"""How many frames wait for a QEMU that does not read (stopped, or slower than the far side); newer ones are gone."""


class Port:
    """One card of the machine: a wire with the tap at its far end and QEMU at its near end."""

    def __init__(self, card: str, wire: Wire, tap: int, directory: Path, header: bytes = b"") -> None:
        """Open the near end in `directory`; the port owns the tap's descriptor from now on.

        `header` is what the wire has before each packet of a far end that knows no Ethernet (a tun).
        """
        self.card, self.wire, self.tap, self._header = card, wire, tap, header
        self.path, self._qemu_path = directory / f"{card}.wire", directory / f"{card}.qemu"
        os.set_blocking(tap, False)
        self.receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.path.unlink(missing_ok=True)
        self.receiver.bind(str(self.path))
        self.sender: socket.socket | None = None
        self.pending: deque[bytes] = deque()
        self.watched: socket.socket | None = None
        """The sender, while the relay waits for room at QEMU's end."""

    def close(self) -> None:
        """Close both ends and remove the near end's name."""
        os.close(self.tap)
        self.receiver.close()
        self.forget_qemu()
        self.path.unlink(missing_ok=True)

    def from_tap(self) -> Iterator[bytes]:
        """The frames that wait at the far end, a batch at most."""
        for _ in range(BATCH):
            try:
                yield self._header + os.read(self.tap, FRAME_BYTES)
            except OSError:  # none is left, or the interface is down
                return

    def from_qemu(self) -> Iterator[bytes]:
        """The frames that wait at the near end, a batch at most."""
        for _ in range(BATCH):
            try:
                yield self.receiver.recv(FRAME_BYTES)
            except OSError:
                return

    def to_tap(self, frame: bytes) -> None:
        """Hand a frame to the far side's kernel, which may refuse it: too short, or the interface is down."""
        with contextlib.suppress(OSError):
            os.write(self.tap, frame[len(self._header) :])

    def to_qemu(self, frame: bytes) -> None:
        """Queue a frame for QEMU; `flush` sends."""
        if len(self.pending) < PENDING:
            self.pending.append(frame)

    def flush(self) -> bool:
        """Send what is queued for QEMU; returns whether some is left because QEMU's end is full at the moment."""
        fresh = False
        while self.pending:
            if self.sender is None:
                self.sender, fresh = self._connect(), True
                if self.sender is None:
                    self.pending.clear()
                    return False
            try:
                self.sender.send(self.pending[0])
            except BlockingIOError:
                return True
            except OSError:  # QEMU is gone; perhaps another one has come
                self.forget_qemu()
                if fresh:
                    self.pending.clear()
                continue
            self.pending.popleft()
        return False

    def _connect(self) -> socket.socket | None:
        # Connected, because only then does poll(2) tell when the peer has room again (unix(7)).
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sender.connect(str(self._qemu_path))
        except OSError:
            sender.close()
            return None
        return sender

    def forget_qemu(self) -> None:
        """Let go of the socket to a QEMU."""
        if self.sender is not None:
            self.sender.close()
            self.sender = None


class Relay:
    """The thread that carries frames. Whoever changes a wire does so inside of `changing()`."""

    def __init__(self, ports: list[Port]) -> None:
        self.ports = ports
        self._lock = threading.Lock()
        self._waker, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        self._ending = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        for port in ports:
            self._selector.register(port.tap, selectors.EVENT_READ, (port, FROM_FAR))
            self._selector.register(port.receiver, selectors.EVENT_READ, (port, TO_FAR))

    @contextlib.contextmanager
    def changing(self) -> Iterator[float]:
        """Hold the thread still, with all wires at the time that this yields, and have it look again after."""
        with self._lock:
            now = time.monotonic()
            for port in self.ports:
                self._carry(port, now)
            yield now
        self._waker.send(b"!")

    def end(self) -> None:
        """Have `run` return soon."""
        self._ending = True
        self._waker.send(b"!")

    def run(self) -> None:
        """Carry frames until `end`, then close the ports."""
        try:
            while not self._ending:
                with self._lock:
                    wait = self._wait()
                events = self._selector.select(wait)
                with self._lock:
                    self._live(events)
        finally:
            for port in self.ports:
                port.close()
            self._selector.close()

    def _wait(self) -> float | None:
        """How long nothing is to be done, in seconds; None: until a frame comes."""
        first = min((port.wire.next_event() for port in self.ports), default=float("inf"))
        return None if first == float("inf") else max(first - time.monotonic(), 0)

    def _live(self, events: list[tuple[selectors.SelectorKey, int]]) -> None:
        now = time.monotonic()
        for port in self.ports:
            self._carry(port, now)
        for key, _mask in events:
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(4096)
                continue
            port, way = key.data
            if way is not None:
                for frame in port.from_qemu() if way == TO_FAR else port.from_tap():
                    port.wire.offer(way, frame, now)
            self._carry(port, now)

    def _carry(self, port: Port, now: float) -> None:
        """Move what is due on one wire to its ends."""
        for way, frame in port.wire.due(now):
            if way == TO_FAR:
                port.to_tap(frame)
            else:
                port.to_qemu(frame)
        blocked = port.flush()
        wanted = port.sender if blocked else None
        if wanted is not port.watched:
            if port.watched is not None:
                self._selector.unregister(port.watched)
            if wanted is not None:
                self._selector.register(wanted, selectors.EVENT_WRITE, (port, None))
            port.watched = wanted

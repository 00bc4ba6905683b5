"""The far providers' public ports: each is passed on to a daemon, or plays a fault instead.

It carries bytes between the client and the daemon, which does the talking, TLS included; the PROXY protocol (version
1, as HAProxy defines it) tells the daemon who the client is. One thread serves all ports.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK = 65536
PATIENCE = 20.0
"""Seconds that a daemon may take to listen."""
LAST_WORDS = 1.0
"""Seconds between what a daemon says to a client that has said its last word; what a fault holds up comes on top."""


@dataclass(frozen=True)
class Fault:
    """How a port behaves. `how`: pass, refuse (nobody listens), hang (takes connections, never says a word) or
    rubbish (says things that are not of the protocol). `delay` is the seconds before each answer of the daemon,
    `rate` the bytes a second that it answers with; None is as fast as it goes."""

    how: str = "pass"
    delay: float = 0.0
    rate: float | None = None


@dataclass
class Gate:
    """One public port."""

    provider: str
    service: str
    address: str
    number: int
    wrapped: bool
    upstream: str
    ready: Callable[[], None]
    """Called before the first connection is passed on; returns when the daemon listens."""
    context: ssl.SSLContext
    fault: Fault = Fault()
    server: asyncio.Server | None = None
    connections: set[asyncio.StreamWriter] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Pace:
    """When something of a daemon's was last under way to its client, by the loop's clock."""

    last: float


class Front:
    """All public ports. Made in the network namespace they are in; its methods may be called from any thread."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._gates: list[Gate] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close all ports and connections."""

        async def close() -> None:
            for gate in self._gates:
                self._shut(gate)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._do(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, gate: Gate) -> None:
        """Open a port."""
        self._gates.append(gate)
        self._do(self._listen(gate))

    def set(self, fault: Fault, provider: str, services: tuple[str, ...]) -> None:
        """Let some ports of a provider behave so from now on; open connections end if that cuts them off."""

        async def change() -> None:
            for gate in self._of(provider, services):
                before, gate.fault = gate.fault, fault
                gate.changed.set()
                gate.changed = asyncio.Event()
                if fault.how == "refuse":
                    self._shut(gate)
                    continue
                if before.how in ("hang", "rubbish") or fault.how == "rubbish":
                    self._cut(gate)
                if gate.server is None:
                    await self._listen(gate)

        self._do(change())

    def cut(self, provider: str, services: tuple[str, ...]) -> int:
        """End the open connections of some ports with a reset; returns how many there were."""

        async def cut() -> int:
            return sum(self._cut(gate) for gate in self._of(provider, services))

        return self._do(cut())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _of(self, provider: str, services: tuple[str, ...]) -> list[Gate]:
        return [gate for gate in self._gates if gate.provider == provider and gate.service in services]

    async def _listen(self, gate: Gate) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            gate.connections.add(writer)
            try:
                await self._serve(gate, reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                gate.connections.discard(writer)
                self._tasks.discard(task)
                writer.close()

        gate.server = await asyncio.start_server(serve, gate.address, gate.number, limit=CHUNK, backlog=256)

    def _shut(self, gate: Gate) -> None:
        if gate.server is not None:
            gate.server.close()
            gate.server = None
        self._cut(gate)

    def _cut(self, gate: Gate) -> int:
        writers = [writer for writer in gate.connections if not writer.transport.is_closing()]
        for writer in writers:
            client = writer.get_extra_info("socket")
            with suppress(OSError):  # the client has just gone by itself
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return len(writers)

    async def _serve(self, gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if gate.fault.how == "hang":
            await self._hang(gate)
            return
        if gate.fault.how == "rubbish":
            await self._talk_rubbish(gate, reader, writer)
            return
        await self._loop.run_in_executor(None, gate.ready)
        far_reader, far_writer = await self._connect(gate)
        try:
            client, here = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
            far_writer.write(f"PROXY TCP4 {client[0]} {here[0]} {client[1]} {here[1]}\r\n".encode())
            pace = _Pace(self._loop.time())
            there = asyncio.create_task(self._carry(gate, reader, far_writer))
            back = asyncio.create_task(self._carry(gate, far_reader, writer, pace))
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            pace.last = self._loop.time()
            while not back.done():  # the client has said its last word, the daemon may still answer
                patience = pace.last + LAST_WORDS + gate.fault.delay - self._loop.time()
                if patience <= 0:
                    break
                await asyncio.wait((back,), timeout=patience)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            far_writer.close()

    async def _connect(self, gate: Gate) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = self._loop.time() + PATIENCE
        while True:
            try:
                return await asyncio.open_connection(gate.upstream, gate.number, limit=CHUNK)
            except ConnectionRefusedError:
                if self._loop.time() > deadline:
                    raise
                await asyncio.sleep(0.02)

    async def _carry(
        self, gate: Gate, source: asyncio.StreamReader, target: asyncio.StreamWriter, pace: _Pace | None = None
    ) -> None:
        """Carry what one side says to the other until it has said all; with `pace`, a daemon's answers at its own."""
        while data := await source.read(CHUNK):
            if gate.fault.how == "hang":
                await self._hang(gate)
            if pace is None:
                target.write(data)
                await target.drain()
                continue
            pace.last = self._loop.time()
            if gate.fault.delay:
                await asyncio.sleep(gate.fault.delay)
            while data:
                rate = gate.fault.rate
                part = data if rate is None else data[: max(1, int(rate / 10))]
                data = data[len(part) :]
                target.write(part)
                await target.drain()
                if rate is not None:
                    await asyncio.sleep(len(part) / rate)
                pace.last = self._loop.time()
        if target.can_write_eof():
            target.write_eof()

    async def _hang(self, gate: Gate) -> None:
        while gate.fault.how == "hang":
            await gate.changed.wait()

    async def _talk_rubbish(self, gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say something that looks like an answer, is none, and has no end; to whatever the client says, too."""
        if gate.wrapped:
            await writer.start_tls(gate.context)
        for _ in range(64):
            noise = bytes(self._random.choices(range(256), k=self._random.randint(1, 2000)))
            writer.write(self._random.choice((b"* OK ", b"220-", b"999 ", b"")) + noise + b"\r\n")
            await writer.drain()
            if not await reader.read(CHUNK):
                return

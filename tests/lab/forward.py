"""A port of this host that leads to a server in the world, for a person's own browser or mail program."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

HERE = "127.0.0.1"


class Forward:
    """Takes connections at `host`:`port` of this machine and joins each to a new one from `connect`, for the block.

    A connection that `connect` cannot make is closed at once. `port` 0: any that is free; `address` says which.
    """

    def __init__(self, connect: Callable[[], socket.socket], port: int = 0) -> None:
        self._connect = connect
        self._listener = socket.create_server((HERE, port))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="forward", daemon=True)

    def __enter__(self) -> Forward:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                caller, _address = self._listener.accept()
            except OSError:  # it is shut down
                return
            threading.Thread(target=self._join, args=(caller,), daemon=True).start()

    def _join(self, caller: socket.socket) -> None:
        """Carry bytes both ways until both have ended."""
        with self._kept(caller):
            try:
                server = self._connect()
            except OSError:
                return
            with self._kept(server):
                server.settimeout(None)
                back = threading.Thread(target=_copy, args=(server, caller), daemon=True)
                back.start()
                _copy(caller, server)
                back.join()

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until the source ends, and tell the target so."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

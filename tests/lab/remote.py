"""Calls between the tests and the world: JSON lines over a UNIX socket, with sockets passed along (SCM_RIGHTS).

What is plain data travels as itself: text, numbers, bytes (base64), lists, tuples, dictionaries, paths, dataclasses of
the lab. Any other object stays inside and is reached through a proxy whose attributes and methods are those of the
object. An exception inside comes out as RemoteError with the traceback from inside.

Each request has a number, which its answer repeats: the answer to a call that Ctrl-C has ended is not the next one's.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import importlib
import json
import os
import select
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

from tests.lab.processes import LabError

ANSWER_LIMIT = 600.0
"""Seconds after which a call without an answer fails. Only a defect takes so long: each wait has a limit of its own."""

SCM_SPACE = socket.CMSG_SPACE(16 * 4)


class RemoteError(LabError):
    """A call failed inside. `kind` is the name of the exception there, `trace` its traceback."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(f"{kind}: {message}\n\ninside the world:\n{trace.rstrip()}")
        self.kind, self.trace = kind, trace


class Lines:
    """JSON objects over a stream socket, one a line, each with the descriptors that belong to it.

    Ctrl-C may cut a line off, at either end of it; what is left of such a line is passed over.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._data, self._descriptors = b"", list[int]()

    def send(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Send one message; the descriptors stay open on this side."""
        words = json.dumps({**message, "descriptors": len(descriptors)}, separators=(",", ":")).encode()
        line = b"\n" + words + b"\n"  # the first one ends a line that was cut off
        sent = socket.send_fds(self.connection, [line], descriptors) if descriptors else 0
        self.connection.sendall(line[sent:])

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """The next message and its descriptors; raises EOFError when the other end is gone."""
        while True:
            while b"\n" not in self._data:
                self._wait()
                data, ancillary, _flags, _ = self.connection.recvmsg(1 << 16, SCM_SPACE, socket.MSG_CMSG_CLOEXEC)
                for level, kind, payload in ancillary:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        self._descriptors += memoryview(payload[: len(payload) // 4 * 4]).cast("i")
                if not data:
                    raise EOFError
                self._data += data
            line, _, self._data = self._data.partition(b"\n")
            try:
                message = json.loads(line)
            except ValueError:
                continue  # empty, or cut off: neither end of an object is one by itself
            count = message["descriptors"]
            descriptors, self._descriptors = self._descriptors[:count], self._descriptors[count:]
            return message, descriptors

    def _wait(self) -> None:
        """Wait here, where Ctrl-C loses nothing that has been taken; raises TimeoutError at the connection's limit."""
        limit = self.connection.gettimeout()
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        if not poll.poll(None if limit is None else limit * 1000):
            raise TimeoutError


class Encoder:
    """Makes values ready to travel; sockets go to `descriptors`, objects that cannot travel to `keep`."""

    def __init__(self, keep: Callable[[Any], int] | None = None) -> None:
        self._keep = keep
        self.descriptors: list[int] = []

    def encode(self, value: Any) -> Any:
        """The value as JSON knows it; raises TypeError when it cannot travel."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, bytes | bytearray):
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, Path):
            return {"$path": os.fspath(value)}
        if isinstance(value, list):
            return [self.encode(item) for item in value]
        if isinstance(value, tuple):
            return {"$tuple": [self.encode(item) for item in value]}
        if isinstance(value, dict):
            return {"$map": [[self.encode(key), self.encode(item)] for key, item in value.items()]}
        if isinstance(value, socket.socket):
            self.descriptors.append(value.fileno())
            return {"$socket": len(self.descriptors) - 1}
        if isinstance(value, Proxy):
            return {"$mine": value._id}
        if dataclasses.is_dataclass(value) and not isinstance(value, type) and value.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            fields = {field.name: self.encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {"$record": f"{type(value).__module__}:{type(value).__qualname__}", "fields": fields}
        if self._keep is not None:
            return {"$object": self._keep(value), "kind": type(value).__name__, "calls": callable(value)}
        raise TypeError(f"{type(value).__name__} cannot travel into the world: {value!r}")


class Decoder:
    """Turns what travelled back into values."""

    def __init__(
        self, descriptors: list[int], kept: Callable[[int], Any], proxy: Callable[[int, str, bool], Any]
    ) -> None:
        self._sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        self._kept, self._proxy = kept, proxy

    def decode(self, value: Any) -> Any:
        """The value that `Encoder.encode` had."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind, content = next(iter(value.items()))
        match kind:
            case "$bytes":
                return base64.b64decode(content)
            case "$path":
                return Path(content)
            case "$tuple":
                return tuple(self.decode(item) for item in content)
            case "$map":
                return {self.decode(key): self.decode(item) for key, item in content}
            case "$socket":
                return self._sockets[content]
            case "$mine":
                return self._kept(content)
            case "$object":
                return self._proxy(content, value["kind"], value["calls"])
            case "$record":
                return self._record(content, {name: self.decode(item) for name, item in value["fields"].items()})
        raise ValueError(f"not from an Encoder: {value!r}")

    def _record(self, name: str, fields: dict[str, Any]) -> Any:
        module, _, path = name.partition(":")
        if not module.startswith("tests."):
            raise ValueError(f"{name} is not one of ours")
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        record = object.__new__(found)
        for field, value in fields.items():
            object.__setattr__(record, field, value)
        return record


def answer(connection: socket.socket, root: Any) -> None:
    """Serve calls on one connection until its other end is gone. `root` is the first object that the caller sees."""
    lines, kept = Lines(connection), {0: root}

    def keep(value: Any) -> int:
        for number, other in kept.items():
            if other is value or (isinstance(value, MethodType) and other == value):
                return number
        kept[len(kept)] = value
        return len(kept) - 1

    with connection, contextlib.suppress(EOFError, ConnectionError):
        while True:
            message, descriptors = lines.receive()
            encoder = Encoder(keep)
            try:
                decode = Decoder(descriptors, kept.__getitem__, lambda *_: None).decode
                value = _perform(kept[message["object"]], message, decode)
                reply = {"value": encoder.encode(value)}
            except Exception as error:
                kind = type(error).__name__
                reply = {
                    "error": kind,
                    "plain": isinstance(error, LabError),
                    "message": str(error),
                    "trace": traceback.format_exc(),
                }
                value, encoder = None, Encoder(keep)
            lines.send({"id": message["id"], **reply}, encoder.descriptors)
            for passed in value if isinstance(value, list | tuple) else (value,):
                if isinstance(passed, socket.socket):
                    passed.close()


def _perform(target: Any, message: dict[str, Any], decode: Callable[[Any], Any]) -> Any:
    match message["do"]:
        case "get":
            return getattr(target, message["name"])
        case "item":
            return target[decode(message["key"])]
        case "names":
            return [name for name in dir(target) if not name.startswith("_")]
        case "show":
            return repr(target)
        case "call":
            return target(*decode(message["args"]), **{k: decode(v) for k, v in message["options"].items()})
    raise ValueError(f"cannot do {message['do']!r}")


class Remote:
    """The tests' end of one connection. Calls from several threads take turns."""

    def __init__(self, connection: socket.socket, why_gone: Callable[[], str] = lambda: "") -> None:
        connection.settimeout(ANSWER_LIMIT)
        self._lines, self._why_gone = Lines(connection), why_gone
        self._turn = threading.Lock()
        self._asked = 0
        self.root = Proxy(self, 0, "world")

    def ask(self, target: int, do: str, **message: Any) -> Any:
        """Have something done with an object inside and return what comes of it."""
        with self._turn:
            self._asked += 1
            try:
                self._lines.send({"id": self._asked, "object": target, "do": do, **message}, [])
                reply, descriptors = self._lines.receive()
                while reply["id"] != self._asked:  # Ctrl-C has ended the call that it answers
                    for descriptor in descriptors:
                        os.close(descriptor)
                    reply, descriptors = self._lines.receive()
            except (EOFError, OSError) as error:
                self.close()
                reason = "gave no answer" if isinstance(error, TimeoutError) else "has ended"
                raise LabError(f"the world {reason}{self._why_gone()}") from None
        if "error" in reply:
            if reply["plain"]:
                raise LabError(reply["message"])
            raise RemoteError(reply["error"], reply["message"], reply["trace"])

        def proxy(number: int, kind: str, calls: bool) -> Proxy:
            return (CallableProxy if calls else Proxy)(self, number, kind)

        return Decoder(descriptors, lambda number: None, proxy).decode(reply["value"])

    def close(self) -> None:
        """End the connection."""
        self._lines.connection.close()


class Proxy:
    """An object inside the world. Its attributes are asked for each time; no name with a leading underscore passes."""

    def __init__(self, remote: Remote, number: int, kind: str) -> None:
        self._remote, self._id, self._kind = remote, number, kind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._remote.ask(self._id, "get", name=name)
        except RemoteError as error:
            if error.kind == "AttributeError":
                raise AttributeError(str(error)) from None
            raise

    def __getitem__(self, key: Any) -> Any:
        return self._remote.ask(self._id, "item", key=Encoder().encode(key))

    def __dir__(self) -> list[str]:
        return list(self._remote.ask(self._id, "names"))

    def __repr__(self) -> str:
        return f"<{self._kind} inside the world: {self._remote.ask(self._id, 'show')}>"


class CallableProxy(Proxy):
    """A function or method inside the world."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        encode = Encoder().encode
        plain = {name: encode(value) for name, value in options.items()}
        return self._remote.ask(self._id, "call", args=encode(list(args)), options=plain)

"""QMP, the language QEMU's own control socket speaks (QEMU's docs/interop/qmp-spec)."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

RESTART = b"\xff"
"""What makes QEMU forget half a command (qmp-spec, "QGA Synchronization"); it answers with an error without number."""


class QmpError(Exception):
    """QEMU refused a command, or ended."""


class Qmp:
    """One connection: commands in turn, each with a number that its answer repeats; events in the order they came."""

    def __init__(self, connection: socket.socket, on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._connection = connection
        self._on_event = on_event
        self._turn = threading.Lock()
        self._news = threading.Condition()
        self._asked = 0
        """The number of the last command: an answer to any other has nobody who waits for it."""
        self._answer: dict[str, Any] | None = None
        self._torn = False
        """Whether a command may have been sent in part, as when Ctrl-C ends it."""
        self._closed = False
        self.events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, name="qmp", daemon=True)
        self._reader.start()
        self.command("qmp_capabilities")

    def _read(self) -> None:
        try:
            with self._connection.makefile("r", encoding="utf-8", newline="\n") as lines:
                for line in lines:
                    message = json.loads(line)
                    if "event" in message and self._on_event:
                        self._on_event(message)  # first, so that who waits for the event finds its effect
                    with self._news:
                        if "event" in message:
                            self.events.append(message)
                        elif message.get("id") == self._asked:
                            self._answer = message
                        self._news.notify_all()
        except (OSError, ValueError):
            pass
        finally:
            with self._news:
                self._closed = True
                self._news.notify_all()

    def command(self, name: str, limit: float = 60.0, /, **arguments: Any) -> Any:
        """Run a command, and give what it returns. `_` in an argument's name stands for `-`.

        Raises QmpError when QEMU refuses it, does not answer within `limit` seconds, or has ended.
        """
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        with self._turn:
            with self._news:
                self._asked, self._answer = self._asked + 1, None
            request = json.dumps({"execute": name, "arguments": given, "id": self._asked}).encode() + b"\n"
            request, self._torn = (RESTART + request if self._torn else request), True
            try:
                self._connection.sendall(request)
            except OSError:
                raise QmpError(f"QMP {name}: QEMU has ended") from None
            self._torn = False
            with self._news:
                self._news.wait_for(lambda: self._answer or self._closed, limit)
                answer, closed = self._answer, self._closed
        if answer is None:
            raise QmpError(f"QMP {name}: {'QEMU has ended' if closed else f'no answer after {limit:.0f} s'}")
        if "error" in answer:
            raise QmpError(f"QMP {name}: {answer['error']['desc']}")
        return answer.get("return")

    @property
    def count(self) -> int:
        """How many events came so far; for wait_for()."""
        with self._news:
            return len(self.events)

    def wait_for(self, condition: Callable[[dict[str, Any]], bool], since: int, limit: float) -> dict[str, Any]:
        """The first event from number `since` on that meets `condition`; raises QmpError after `limit` seconds."""

        def found() -> dict[str, Any] | None:
            return next((event for event in self.events[since:] if condition(event)), None)

        with self._news:
            self._news.wait_for(lambda: found() or self._closed, limit)
            event = found()
            closed = self._closed
        if event is None:
            raise QmpError("QEMU has ended" if closed else f"QEMU did not report within {limit:.0f} s")
        return event

    def job(self, command: str, limit: float, /, **arguments: Any) -> None:
        """Run a command that is a job, such as snapshot-save, to its end. Raises QmpError with the job's error."""
        name = f"{command}-{time.monotonic_ns()}"
        since = self.count
        self.command(command, job_id=name, **arguments)

        def ended(event: dict[str, Any]) -> bool:
            return (
                event["event"] == "JOB_STATUS_CHANGE"
                and event["data"]["id"] == name
                and event["data"]["status"] in ("concluded", "null")
            )

        self.wait_for(ended, since, limit)
        jobs = {job["id"]: job for job in self.command("query-jobs")}
        error = jobs.get(name, {}).get("error")
        if name in jobs:
            self.command("job-dismiss", id=name)
        if error:
            raise QmpError(f"QMP {command}: {error}")

    def close(self) -> None:
        """End the connection and its reader."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._reader.join(5)
        self._connection.close()

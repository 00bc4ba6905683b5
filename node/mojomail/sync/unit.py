"""A run's own systemd unit: started over D-Bus, as the person, with limits, and seeing little else of the node.

systemd's User= takes only users that exist in /etc/passwd, and persons do not; so the unit begins as root with the
right to change its user and nothing else, and setpriv(1) takes that away before the engine starts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gi.repository import Gio, GLib  # type: ignore[import-not-found,import-untyped,unused-ignore]

from .events import LINE_LIMIT, Event, parse

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH, MANAGER = "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager"
PATIENCE_MS = 30_000
MEMORY_MAX = 256 * 1024 * 1024
"""OfflineIMAP has 32 to 50 MB; large mails do not pass through its memory."""
STOPPED = 5
"""Seconds that a run has to end when it is told to."""
LEFTOVER = 2.0 * STOPPED
CAPABILITIES = 1 << 6 | 1 << 7 | 1 << 8
"""CAP_SETGID, CAP_SETUID, CAP_SETPCAP: what setpriv needs and gives away."""


def unit_name(account: int) -> str:
    """The unit of an account's run; there is never more than one."""
    return f"mojomail-sync-{account}.service"


def as_person(uid: int, command: Sequence[str]) -> list[str]:
    """A command, run with a person's rights and none besides."""
    ids = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    nothing = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    return ["/usr/bin/setpriv", *ids, *nothing, "--", *command]


def properties(
    description: str, command: Sequence[str], home: Path, directory: Path, seconds: int
) -> list[tuple[str, str, Any]]:
    """The unit's properties as (name, D-Bus type, value), all but its output: org.freedesktop.systemd1(5)."""
    return [
        ("Description", "s", description),
        ("AddRef", "b", True),
        ("CollectMode", "s", "inactive-or-failed"),
        ("ExecStart", "a(sasb)", [(command[0], list(command), False)]),
        ("Environment", "as", [f"HOME={directory}", "LANG=C.UTF-8"]),
        ("StandardError", "s", "journal"),
        ("SyslogIdentifier", "s", "mojomail-sync"),
        ("RuntimeMaxUSec", "t", seconds * 1_000_000),
        ("TimeoutStopUSec", "t", STOPPED * 1_000_000),
        ("MemoryMax", "t", MEMORY_MAX),
        ("MemorySwapMax", "t", MEMORY_MAX),
        ("CPUWeight", "t", 20),
        ("IOWeight", "t", 20),
        ("TasksMax", "t", 32),
        ("OOMScoreAdjust", "i", 500),
        ("UMask", "u", 0o077),
        ("NoNewPrivileges", "b", True),
        ("CapabilityBoundingSet", "t", CAPABILITIES),
        ("ProtectSystem", "s", "strict"),
        ("ProtectHome", "s", "yes"),
        ("PrivateTmp", "b", True),
        ("PrivateDevices", "b", True),
        ("PrivateIPC", "b", True),
        ("ProtectProc", "s", "invisible"),
        ("ProtectClock", "b", True),
        ("ProtectHostname", "b", True),
        ("ProtectKernelLogs", "b", True),
        ("ProtectKernelModules", "b", True),
        ("ProtectKernelTunables", "b", True),
        ("ProtectControlGroups", "b", True),
        ("RestrictNamespaces", "t", 0),
        ("RestrictRealtime", "b", True),
        ("RestrictSUIDSGID", "b", True),
        ("LockPersonality", "b", True),
        ("SystemCallArchitectures", "as", ["native"]),
        ("SystemCallFilter", "(bas)", (True, ["@system-service"])),
        ("RestrictAddressFamilies", "(bas)", (True, ["AF_UNIX", "AF_INET", "AF_INET6"])),
        # Of everybody's mail only the person's own is there, and nothing of the office's books.
        ("TemporaryFileSystem", "a(ss)", [("/srv/mail", "ro,mode=755")]),
        ("BindPaths", "a(ssbt)", [(str(home), str(home), False, 0)]),
        ("InaccessiblePaths", "as", ["-/var/lib/mojomail", "-/etc/credstore.encrypted", "-/var/spool/postfix"]),
    ]


class Systemd:
    """Starts runs, and tells what they say and how they ended. Callbacks come from the GLib loop."""

    def __init__(self, bus: Any | None = None) -> None:
        self._bus = bus or Gio.bus_get_sync(Gio.BusType.SYSTEM, None)

    def start(
        self,
        name: str,
        settings: list[tuple[str, str, Any]],
        heard: Callable[[Event], None],
        ended: Callable[[str], None],
    ) -> None:
        """Start a unit. `heard` gets its events, `ended` systemd's word for its end. Raises GLib.Error.

        What a daemon that was restarted has left running under that name is ended first: nobody hears it any more.
        """
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            descriptors = Gio.UnixFDList.new()
            handle = descriptors.append(writer)
            values = [(key, GLib.Variant(kind, value)) for key, kind, value in settings]
            values.append(("StandardOutputFileDescriptor", GLib.Variant("h", handle)))
            self._start(GLib.Variant("(ssa(sv)a(sa(sv)))", (name, "replace", values, [])), descriptors, name)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        _Lines(reader, heard, lambda: ended(self._result(name)))

    def _start(self, arguments: Any, descriptors: Any, name: str) -> None:
        call = (SYSTEMD, MANAGER_PATH, MANAGER, "StartTransientUnit", arguments, None, 0, PATIENCE_MS, descriptors)
        try:
            self._bus.call_with_unix_fd_list_sync(*call, None)
        except GLib.Error as error:
            if "UnitExists" not in str(error):
                raise
            self._end_leftover(name)
            self._bus.call_with_unix_fd_list_sync(*call, None)

    def _end_leftover(self, name: str) -> None:
        self.stop(name)
        until = time.monotonic() + LEFTOVER
        while self._exists(name) and time.monotonic() < until:
            time.sleep(0.1)

    def _exists(self, name: str) -> bool:
        try:
            self._call(MANAGER_PATH, MANAGER, "GetUnit", GLib.Variant("(s)", (name,)))
        except GLib.Error:
            return False
        return True

    def stop(self, name: str) -> None:
        """Stop a unit, if it is there; its end is told as any other."""
        self._try("StopUnit", GLib.Variant("(ss)", (name, "replace")))

    def _result(self, name: str) -> str:
        """How the unit ended; the reference that kept it for this question is given back."""
        try:
            path = self._call(MANAGER_PATH, MANAGER, "GetUnit", GLib.Variant("(s)", (name,)))[0]
            question = GLib.Variant("(ss)", (f"{SYSTEMD}.Service", "Result"))
            result = str(self._call(path, "org.freedesktop.DBus.Properties", "Get", question)[0])
        except GLib.Error:
            return "unknown"
        self._try("UnrefUnit", GLib.Variant("(s)", (name,)))
        return result

    def _try(self, method: str, arguments: Any) -> None:
        try:
            self._call(MANAGER_PATH, MANAGER, method, arguments)
        except GLib.Error:
            return

    def _call(self, path: str, interface: str, method: str, arguments: Any) -> Any:
        return self._bus.call_sync(SYSTEMD, path, interface, method, arguments, None, 0, PATIENCE_MS, None).unpack()


class _Lines:
    """Reads events off a pipe until its other end is closed."""

    def __init__(self, descriptor: int, heard: Callable[[Event], None], closed: Callable[[], None]) -> None:
        self._descriptor, self._heard, self._closed = descriptor, heard, closed
        self._rest = b""
        os.set_blocking(descriptor, False)
        GLib.io_add_watch(descriptor, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, self._read)

    def _read(self, *_: object) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return bool(GLib.SOURCE_CONTINUE)
        if not data:
            os.close(self._descriptor)
            # systemd hears of the end when we do: it is asked a moment later.
            GLib.timeout_add(200, self._end)
            return bool(GLib.SOURCE_REMOVE)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LINE_LIMIT:]
        for line in lines:
            if (event := parse(line)) is not None:
                self._heard(event)
        return bool(GLib.SOURCE_CONTINUE)

    def _end(self) -> bool:
        self._closed()
        return bool(GLib.SOURCE_REMOVE)

"""How much memory and disk a build takes at its peak."""

from __future__ import annotations

import os
import threading
from pathlib import Path

PERIOD = 1.0
"""Seconds between two looks."""


class Usage:
    """Looks on from a thread. Memory is that of all processes of this process namespace, disk what `place` lost."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.peak_memory = 0
        self.peak_disk = 0
        self._before = self._used()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="usage")

    def __enter__(self) -> Usage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD):
            self.look()

    def look(self) -> None:
        """Take one look: bytes of resident memory not shared with a file, and bytes used since the start."""
        memory = 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    status = (entry / "status").read_text()
                except OSError:
                    continue
                for line in status.splitlines():
                    if line.startswith(("RssAnon:", "RssShmem:")):
                        memory += int(line.split()[1]) * 1024
        self.peak_memory = max(self.peak_memory, memory)
        self.peak_disk = max(self.peak_disk, self._used() - self._before)

    def _used(self) -> int:
        status = os.statvfs(self.place)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

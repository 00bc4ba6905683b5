"""The machine's card: a layer over the image that takes every write, and what a power cut leaves of it."""

from __future__ import annotations

from pathlib import Path

from tests.lab import processes, qemu
from tests.lab.processes import LabError
from tests.lab.qemu import Lane
from tests.lab.writelog import WriteLog


class Card:
    """A card in the directory `work` that holds what the raw file `image` does; that file is only read.

    logged      keep a log of every write since the card was new or last lost its power, for cut()
    """

    def __init__(self, image: Path, work: Path, logged: bool) -> None:
        self._image = image
        self._work = work
        self._overlay = work / "card.qcow2"
        self._log = work / "writes.log" if logged else None
        self._cuts = 0
        self._begin_from(image)

    def _begin_from(self, base: Path) -> None:
        self._base = base
        self._overlay.unlink(missing_ok=True)
        qemu.make_overlay(base, self._overlay)
        if self._log:
            self._log.write_bytes(b"")

    def drive(self, lane: Lane) -> str:
        """QEMU's -drive for it."""
        return qemu.drive(lane, self._overlay, self._log)

    @property
    def write_log(self) -> WriteLog:
        """What was written so far. Raises LabError when the card is not logged."""
        if self._log is None:
            raise LabError("this machine keeps no write log: make it with power_cuts=True")
        return WriteLog(self._log)

    def copy_cut(self, target: Path, entry: int | None, seed: int | None) -> int:
        """Write what the card would hold after a power cut to the raw file `target`; see Machine.power_cut()."""
        log = self.write_log
        upto = log.flush_points[-1] if entry is None else entry
        log.rebuild(self._base, upto, target, seed=seed, size=qemu.DISK_BYTES)
        return upto

    def copy(self, target: Path) -> None:
        """Write what the card holds to the raw file `target`, without the machine's memory that snapshots keep."""
        processes.run("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", self._overlay, target, limit=600)

    def cut(self, entry: int | None, seed: int | None) -> int:
        """Make the card what it is after a power cut, once QEMU is gone."""
        self._cuts += 1
        target, old = self._work / f"cut-{self._cuts}.img", self._base
        upto = self.copy_cut(target, entry, seed)
        self._begin_from(target)
        if old != self._image:
            old.unlink()
        return upto

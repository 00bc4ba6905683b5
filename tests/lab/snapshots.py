"""Taking a machine back to what it was: QEMU keeps its memory and its card, and here is kept what QEMU does not."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass

from tests.lab import qemu
from tests.lab.console import Console
from tests.lab.control import ControlError
from tests.lab.guest import MachineFailure
from tests.lab.hands import Hands
from tests.lab.processes import LabError
from tests.lab.qemu import Lane


@dataclass(frozen=True)
class Snapshot:
    """What QEMU does not keep of a machine: its cables, whether it took commands, what it had said and since when."""

    tag: str
    """QEMU's name for what it keeps."""
    links: dict[str, bool]
    answers: bool
    started: float
    said: list[tuple[bytes, list[tuple[int, float]]]]


class Snapshots(Hands):
    """A machine that can be taken back."""

    lane: Lane
    power_cuts: bool
    consoles: list[Console]
    started: float
    _running: ExitStack
    """All that ends with QEMU."""
    _snapshots: dict[str, Snapshot]
    _tags = 0

    @abstractmethod
    def _switch_on(self) -> None:
        """Start QEMU, with the machine at rest before its first instruction."""

    def snapshot(self, name: str, limit: float = 300.0) -> None:
        """Keep the machine as it is now, running and with its memory, for restore(). Takes seconds.

        Raises LabError for a machine that has no snapshots, or while other devices are plugged in than at power-on;
        MachineFailure when QEMU does not make it. An older one of that name is kept then.
        """
        if not self.lane.snapshots:
            raise LabError(f"the lane {self.lane.name} has no snapshots: use the lane virt")
        if self.power_cuts:
            raise LabError("a machine with power_cuts=True has no snapshots")
        self.check_on("snapshot")
        if unlike := self.unlike_power_on():
            raise LabError(f"no snapshot can be made: {unlike}")
        self._tags += 1
        tag = f"{name}.{self._tags}"
        self._begin_age()
        self.qmp_job("snapshot-save", limit, tag=tag, vmstate=qemu.DISK, devices=[qemu.DISK])
        said = [console.keep() for console in self.consoles]
        old = self._snapshots.get(name)
        self._snapshots[name] = Snapshot(tag, dict(self.links), self.control.is_ready, self.started, said)
        if old:
            self.qmp_job("snapshot-delete", limit, tag=old.tag, devices=[qemu.DISK])
        self._begin_age()

    def restore(self, name: str, limit: float = 300.0) -> None:
        """Take the machine back to a snapshot, from where it goes on. Its cables and its clock are as they were.

        It may be off, or have other devices than it had: then it is taken back in a new QEMU. Raises MachineFailure
        when QEMU does not do it; the machine is off then, for its memory and its card no longer belong together.
        """
        if name not in self._snapshots:
            raise ValueError(f"there is no snapshot {name!r}, only {', '.join(self._snapshots) or 'none'}")
        kept = self._snapshots[name]
        if self.is_on and not self._has_its_devices():
            self._running.close()
        if not self.is_on:
            self._switch_on()
        try:
            self.qmp("stop")
            self.qmp_job("snapshot-load", limit, tag=kept.tag, vmstate=qemu.DISK, devices=[qemu.DISK])
            for card, up in kept.links.items():
                self.link(up, card)
            self.started = kept.started
            for console, said in zip(self.consoles, kept.said, strict=True):
                console.recall(said)
            if kept.answers:
                self.control.resume()
            else:
                self.control.forget()
            self.qmp("cont")
        except BaseException:
            self._running.close()
            raise
        self._begin_age()

    def _has_its_devices(self) -> bool:
        try:
            return self.unlike_power_on() is None
        except MachineFailure:  # QEMU does not say: it hangs
            return False

    def _begin_age(self) -> None:
        if self.control.is_ready:
            try:
                self.control.begin_age(120)
            except ControlError as error:
                raise self.failure(str(error)) from None

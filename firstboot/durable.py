"""Files that are whole or not there, whenever the power goes.

Write beside, fsync, rename, fsync the directory: on ext4 with data=ordered the name then points to the old bytes or
to the new ones. `Disk` is the few system calls this takes, so that a test can cut the power after each of them.
"""

from __future__ import annotations

import os
from pathlib import Path

NEW = ".new"
"""Ending of what is being written; left behind by a power cut, and written over the next time."""


class Disk:
    """The system calls that change the card."""

    def write(self, path: Path, data: bytes, mode: int) -> None:
        """Write a file from its beginning and bring its bytes to the card."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(descriptor, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Write over bytes in the middle of a file, in their place, and bring them to the card."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, data, offset)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in place of what had it."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""
        path.unlink(missing_ok=True)

    def link(self, target: str, path: Path) -> None:
        """Make a symbolic link."""
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def make_directory(self, path: Path, mode: int) -> None:
        """Make one directory."""
        path.mkdir(mode=mode)

    def sync_directory(self, path: Path) -> None:
        """Bring a directory's names to the card."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


DISK = Disk()


def make_directories(path: Path, mode: int = 0o755, disk: Disk = DISK) -> None:
    """Make a directory and those above it that are missing, each on the card before the next."""
    if path.is_dir():
        return
    make_directories(path.parent, 0o755, disk)
    disk.make_directory(path, mode)
    disk.sync_directory(path.parent)


def write_file(path: Path, data: bytes, mode: int = 0o644, disk: Disk = DISK) -> None:
    """Put `data` into the file at `path`, as a whole."""
    make_directories(path.parent, disk=disk)
    new = path.with_name(path.name + NEW)
    disk.write(new, data, mode)
    disk.rename(new, path)
    disk.sync_directory(path.parent)


def write_link(path: Path, target: str, disk: Disk = DISK) -> None:
    """Make `path` a symbolic link to `target`, in place of what is there."""
    make_directories(path.parent, disk=disk)
    new = path.with_name(path.name + NEW)
    disk.link(target, new)
    disk.rename(new, path)
    disk.sync_directory(path.parent)


def remove_file(path: Path, disk: Disk = DISK) -> None:
    """Remove the file at `path`, for good."""
    if path.parent.is_dir():
        disk.remove(path)
        disk.sync_directory(path.parent)

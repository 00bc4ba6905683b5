"""The smallest card image that the lab takes; what it has for a kernel runs nowhere."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tests.lab import processes

SECTOR = 512
CONFIG = "kernel=other\n[pi4]\ninitramfs none followkernel\n[all]\nkernel=vmlinuz\ninitramfs initrd.img followkernel\n"


def small_image(directory: Path) -> Path:
    """A card image in `directory` with nothing but a boot partition."""
    path = directory / "card.img"
    partition = b"\x80\0\0\0\x0c\0\0\0" + struct.pack("<II", 2048, 8192)
    path.write_bytes((b"\0" * 446 + partition).ljust(510, b"\0") + b"\x55\xaa")
    os.truncate(path, 2048 * SECTOR + 8192 * SECTOR)
    where = f"{path}@@{2048 * SECTOR}"
    processes.run("mformat", "-i", where, "-T", "8192", "-h", "4", "-s", "32", "::")
    files = {"config.txt": CONFIG, "cmdline.txt": "root=x rw\n", "vmlinuz": "K", "initrd.img": "I"}
    for name, text in (files | {"bcm2837-rpi-3-b.dtb": "D"}).items():
        (directory / name).write_text(text)
        processes.run("mcopy", "-i", where, directory / name, "::/")
        (directory / name).unlink()
    return path

"""The folders that mail apps and the webmail show: Dovecot's list of subscriptions, as its IMAP SUBSCRIBE writes it.

Folders that a run makes are new to Dovecot, and nobody would see them. Each is put on the list before it is made, and
never again: who takes a folder off the list does not get it back.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

HEADER = "V\t2\n\n"
"""Of the file's second version: a name's levels are divided by tabs (Dovecot, lib-storage/list/subscription-file.c)."""
PATIENCE = 5.0
"""Seconds to wait while Dovecot writes the list."""
STALE = 60.0
"""Seconds after which a lock is one that a power cut has left."""


def subscribe_new(maildir: Path, control: Path, folders: Sequence[str]) -> None:
    """Put those of `folders` on the list in `control` that are not in `maildir` yet. Names are as on the disk.

    Raises OSError when the list cannot be written, TimeoutError when somebody else does not stop writing it.
    """
    new = [name for name in folders if not (maildir / name).is_dir()]
    if not new:
        return
    control.mkdir(parents=True, exist_ok=True, mode=0o700)
    listed, lock = control / "subscriptions", control / "subscriptions.lock"
    descriptor = _locked(lock)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_with(listed.read_text(encoding="utf-8") if listed.exists() else HEADER, new))
            file.flush()
            os.fsync(file.fileno())
        lock.rename(listed)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise


def _with(text: str, names: Sequence[str]) -> str:
    """The list's text with more names. One of the first version has a name to a line, as it is."""
    levels = text.startswith(HEADER.rstrip("\n"))
    lines = text.splitlines()
    for name in names:
        line = name.replace("/", "\t") if levels else name
        if line not in lines:
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _locked(lock: Path) -> int:
    """Make the file that Dovecot, too, makes before it writes; gives its descriptor."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if time.monotonic() > until:
                raise TimeoutError(f"{lock.name} does not go away") from None
        with contextlib.suppress(FileNotFoundError):
            if abs(time.time() - lock.stat().st_mtime) > STALE:
                lock.unlink()
        time.sleep(0.05)

"""Taking what a set-up has read, secrets and all, off the card's FAT partition.

That partition may not let itself be written: it is old, or was pulled out while it was written, and the kernel has made
it read-only. The node is set up all the same; a note on the other partition has it tried again, and told on the TV,
until nothing is left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .durable import DISK, NEW, Disk, remove_file, write_file
from .imagersettings import NETWORK, SECRETS, USER_DATA
from .preset import FILE, may_be_secret, preset_files
from .redacting import redact
from .status import SECRETS_LEFT

FOLDER = Path("boot/firmware")
MISTAKES = "mojomail-mistakes.txt"
log = logging.getLogger(__name__)


def take_away(folder: Path, disk: Disk = DISK, *, whole: bool) -> bool:
    """Take the secrets out of each file in `folder`, and the mistakes away; whether all of that could be done.

    With `whole`, also out of files that cannot be read.
    """

    def imagers(path: str) -> bool:
        return path.rpartition(".")[2] in SECRETS

    def clear(name: str, hides: Callable[[str], bool]) -> None:
        if redact(folder / name, hides, disk, whole=whole):
            log.info("%s: the secrets are taken out", name)

    clean = True
    try:
        presets = [path.name for path in preset_files(folder)]
    except OSError as error:
        log.warning("%s: %s", folder, error)
        presets, clean = [FILE], False
    steps: dict[str, Callable[[], None]] = {
        **{name: partial(clear, name, may_be_secret) for name in presets},
        USER_DATA: lambda: clear(USER_DATA, imagers),
        NETWORK: lambda: clear(NETWORK, imagers),
        MISTAKES: lambda: _remove(folder / MISTAKES, disk),
        MISTAKES + NEW: lambda: _remove(folder / (MISTAKES + NEW), disk),  # a cut came while they were written
    }
    for name, step in steps.items():
        try:
            step()
        except OSError as error:
            log.warning("%s: %s", name, error)
            clean = False
    return clean


def _remove(path: Path, disk: Disk) -> None:
    if path.exists():
        remove_file(path, disk)


def leave_clean(root: Path, disk: Disk = DISK) -> bool:
    """Take everything away, below `root`, or leave a note that it has to be tried again; whether all is gone."""
    clean = take_away(root / FOLDER, disk, whole=True)
    try:
        if clean:
            remove_file(root / SECRETS_LEFT, disk)
        else:
            write_file(root / SECRETS_LEFT, b"", 0o644, disk)
    except OSError as error:
        log.warning("%s: %s", SECRETS_LEFT, error)
    return clean

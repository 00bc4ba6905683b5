"""What a run's unit starts, as the person: OfflineIMAP with the guard, told by the files in the run's directory.

    python3 -I -m mojomail.sync.launch DIRECTORY

Standard output is the pipe that events go to. OfflineIMAP prints there too, so it gets standard error in its place.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mojomail.sync.guard import SPEAKING_END
from mojomail.sync.guard.settings import read
from mojomail.sync.subscriptions import subscribe_new

CONFIGURATION = "offlineimap.conf"
SETTINGS = "guard.json"
PYTHONFILE = "guard.py"
PROGRAM = "/usr/share/offlineimap3"
"""Where Debian's package keeps OfflineIMAP's modules."""


def main() -> int:
    """Become OfflineIMAP for one run; its exit code tells little, the events tell what happened."""
    directory = Path(sys.argv[1])
    os.umask(0o077)
    settings = read(directory / SETTINGS)
    state = Path(settings.state)
    home = state.parent.parent
    for place in (state, home / "Maildir"):
        place.mkdir(parents=True, exist_ok=True)
    subscribe_new(home / "Maildir", home / "control", settings.folders)
    os.dup2(1, SPEAKING_END)
    os.dup2(2, 1)
    sys.argv = ["offlineimap", "-o", "-1", "-u", "quiet", "-c", str(directory / CONFIGURATION)]

    sys.path.insert(0, PROGRAM)
    from offlineimap import OfflineImap

    try:
        return OfflineImap().run() or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


if __name__ == "__main__":
    sys.exit(main())

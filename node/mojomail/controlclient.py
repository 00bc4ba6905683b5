"""The control socket, as who asks sees it; `control` says what is spoken there."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from .errors import InputError, MojoError, SystemFault

VERSION = 1
PATIENCE = 60.0
"""Seconds that either side waits for the other."""


def ask(path: Path, verb: str, **arguments: Any) -> dict[str, Any]:
    """Ask the daemon; the answer's fields. Raises what it answered, or SystemFault when it is not there."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            connection.sendall(json.dumps({"v": VERSION, "do": verb, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                found = json.loads(answers.readline())
    except (OSError, ValueError):
        raise SystemFault("mojomaild does not answer", hint="systemctl status mojomaild") from None
    if found.get("ok"):
        return dict(found)
    kind = {2: InputError, 3: SystemFault}.get(int(found.get("exit_code", 1)), MojoError)
    raise kind(str(found.get("error", "")), hint=found.get("hint"))

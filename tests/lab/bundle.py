"""What is kept of a machine when a test failed: all that one would have wanted to look at."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import shutil
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab import processes

if TYPE_CHECKING:
    from tests.lab.machine import Machine

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 30.0
"""Seconds for each look at a machine that may be in any state."""
STATE = (
    "systemctl --failed --no-pager",
    "systemctl list-jobs --no-pager",
    "ip -brief address",
    "ip route",
    "nmcli device",
    "ss -lntup",
    "df -h",
    "free -m",
    "uptime",
)


def write(
    node: Machine,
    directory: str | Path,
    error: BaseException | str | None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the bundle; what cannot be had is named in its file `missing.txt`. Never raises, for a dead machine too."""
    directory, missing = Path(directory), list[str]()

    def keep(name: str, make: Callable[[], str | bytes]) -> None:
        try:
            made = make()
            (directory / name).write_bytes(made.encode() if isinstance(made, str) else made)
        except Exception as trouble:
            missing.append(f"{name}: {str(trouble).splitlines()[0] if str(trouble) else type(trouble).__name__}")

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if error is not None:
        keep("error.txt", lambda: error if isinstance(error, str) else "".join(traceback.format_exception(error)))
    keep("versions.json", lambda: json.dumps(versions(node.image, node.seed) | dict(notes or {}), indent=2) + "\n")
    keep("qemu.txt", lambda: shlex.join(node.command) + "\n\n" + node.qemu_log.read_text(errors="replace"))
    for log in (console.log for console in getattr(node, "consoles", [])):
        keep(log.name, log.read_bytes)
    if node.is_on:
        keep("screen.png", lambda: node.screenshot(directory / "screen.png").read_bytes())
        if node.control.is_ready:
            _ask(node, keep)
        else:
            missing.append("the control channel is not there")
    else:
        missing.append("the machine is off")
    if missing:
        keep("missing.txt", lambda: "\n".join(missing) + "\n")


def _ask(node: Machine, keep: Callable[[str, Callable[[], str | bytes]], None]) -> None:
    try:
        node.control.greet(LIMIT)
    except Exception as trouble:
        said = str(trouble)
        keep("state.txt", lambda: f"{said}\n")
        return
    keep("tty.txt", lambda: node.tty_text(node.active_tty()) + "\n")
    script = "; ".join(f"echo '$ {command}'; timeout 8 {command} 2>&1; echo" for command in STATE)
    keep("state.txt", lambda: node.control.run(script, 80).output)
    keep("journal.txt", lambda: node.control.run("journalctl --no-pager -o short-precise -b -n 3000", 60).output)


def versions(image: Path, seed: int | None = None) -> dict[str, Any]:
    """What the machine was made of: programs, the tree's commit, the image's SHA-256, the seed."""
    return {
        **tools(),
        "image": str(image),
        "image_sha256": image_digest(image) if image.is_file() else None,
        "seed": seed,
    }


def tools() -> dict[str, Any]:
    """What runs here: QEMU, Python, the kernel, and the commit of this tree, whoever owns it (git-config(1),
    safe.directory).
    """
    return {
        "qemu": _first_line("qemu-system-aarch64", "--version"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "commit": _first_line(
            *("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40")
        ),
    }


def _first_line(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        return (processes.run(*command, limit=LIMIT).splitlines() or [""])[0]
    except processes.LabError as error:
        return f"? {error}"


def image_digest(image: Path) -> str:
    """The SHA-256 of the image file."""
    state = image.stat()
    return _digest(image, state.st_mtime_ns, state.st_size)


@lru_cache
def _digest(image: Path, _mtime: int, _size: int) -> str:
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

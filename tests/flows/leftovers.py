"""What is left of programs that should have ended: by their numbers, and by the namespaces they live in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

NAMESPACES = ("user", "net", "pid", "mnt")


def relations() -> dict[int, tuple[int, str]]:
    """Every process of the host: its parent and the time it started, in ticks."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found[int(place.name)] = (int(fields[1]), fields[19])
    return found


def descendants(ancestor: int) -> dict[int, str]:
    """The processes that came from one, and when each started."""
    now, family = relations(), {ancestor}
    while more := {child for child, (parent, _) in now.items() if parent in family} - family:
        family |= more
    return {number: now[number][1] for number in family - {ancestor} if number in now}


def still_there(family: dict[int, str], namespaces: Iterable[str] = ()) -> list[str]:
    """Which of these processes live, and who else lives in these namespaces."""
    wanted, left = set(namespaces), []
    for number, (_parent, started) in relations().items():
        if family.get(number) == started or wanted & set(homes(number)):
            left.append(f"{number} {command_of(number)}")
    return left


def homes(number: int) -> list[str]:
    """The namespaces that a process lives in; none when it is gone or another's."""
    try:
        return [str(Path(f"/proc/{number}/ns/{name}").readlink()) for name in NAMESPACES]
    except OSError:
        return []


def command_of(number: int) -> str:
    """The words a process was started with."""
    try:
        return Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "(gone)"


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    """Look until something is so; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.05)

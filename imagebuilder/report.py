"""The build report: where the seconds and the bytes went, for people (HTML) and programs (JSON).

The HTML needs nothing but itself: no script, font or picture from elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

import jinja2

from .progress import Timing, format_seconds
from .spdx import Package

TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Layer:
    """One sub-stage's layer: what making it took (`seconds`, when it was made), what it holds (`size`, bytes),
    and whether this build found it in the cache."""

    stage: str
    substage: str
    id: str
    seconds: float
    size: int
    cached: bool


@dataclass(frozen=True)
class Machine:
    """What the build ran on; `memory` in bytes."""

    cpu: str
    cores: int
    memory: int
    system: str


@dataclass(frozen=True)
class Report:
    """Everything a report tells. Sizes in bytes, times in seconds; a peak of 0 was not measured.

    facts            lines for the head, such as profile and base
    files            sizes of the release's files by name
    package_seconds  time spent unpacking and configuring, by package
    """

    name: str
    timing: Timing
    machine: Machine
    facts: Mapping[str, str] = field(default_factory=dict)
    layers: Sequence[Layer] = ()
    packages: Sequence[Package] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    package_seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    peak_disk: int = 0

    @property
    def seconds(self) -> float:
        """The whole build; a root that is still running counts what is done of it."""
        return self.timing.seconds or sum(child.seconds for child in self.timing.children)


@dataclass(frozen=True)
class _Row:
    """A line of a table: `share` is the length of its bar, 0 to 100."""

    name: str
    depth: int
    share: float
    text: str


def this_machine(root: Path = Path("/")) -> Machine:
    """The machine we run on, from /proc; "unknown" for what it does not say (arm64 names no CPU model)."""
    cpu = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    system = re.search(r'^PRETTY_NAME="?(.*?)"?$', _read(root / "etc/os-release"), re.MULTILINE)
    return Machine(
        cpu=cpu[1].strip() if cpu else "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory=int(memory[1]) * 1024 if memory else 0,
        system=system[1] if system else "unknown",
    )


def to_json(report: Report) -> str:
    """The report as JSON text: the fields of `Report`, packages with their installed size in bytes."""
    return (
        json.dumps(
            {
                "name": report.name,
                "seconds": round(report.seconds, 3),
                "peak_memory": report.peak_memory,
                "peak_disk": report.peak_disk,
                "machine": asdict(report.machine),
                "facts": dict(report.facts),
                "files": dict(sorted(report.files.items())),
                "steps": [_step(child) for child in report.timing.children],
                "layers": [asdict(layer) | {"seconds": round(layer.seconds, 3)} for layer in report.layers],
                "packages": [
                    {
                        "name": package.name,
                        "version": package.version,
                        "source": package.source,
                        "size": package.installed_size * 1024,
                        "seconds": round(report.package_seconds.get(package.name, 0.0), 3),
                    }
                    for package in report.packages
                ],
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def to_html(report: Report) -> str:
    """The report as one HTML page; tables sorted by what costs most, and by a click on their heads."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"size": format_bytes, "seconds": format_seconds}
    slowest = max((layer.seconds for layer in report.layers), default=0)
    widest = max((layer.size for layer in report.layers), default=0)
    largest = max((package.installed_size for package in report.packages), default=0)
    longest = max(report.package_seconds.values(), default=0)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        report=report,
        steps=list(_steps(report)),
        layers=[
            (layer, _share(layer.seconds, slowest), _share(layer.size, widest))
            for layer in sorted(report.layers, key=lambda layer: (-layer.seconds, -layer.size, layer.id))
        ],
        packages=[
            (
                package,
                report.package_seconds.get(package.name, 0.0),
                _share(report.package_seconds.get(package.name, 0.0), longest),
                _share(package.installed_size, largest),
            )
            for package in sorted(report.packages, key=lambda package: (-package.installed_size, package.name))
        ],
        packages_size=sum(package.installed_size for package in report.packages) * 1024,
    )


def expected_seconds(path: Path) -> dict[str, float]:
    """How long each step took in the build whose .report.json lies at `path`, by name; empty without one."""
    try:
        steps = json.loads(path.read_text(encoding="utf-8"))["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found: dict[str, float] = {}

    def collect(entries: object) -> None:
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("seconds"), (int, float)):
                found[str(entry.get("name"))] = float(entry["seconds"])
                collect(entry.get("steps"))

    collect(steps)
    return found


def package_seconds(logs: Iterable[Path]) -> dict[str, float]:
    """Seconds by package from dpkg's logs (/var/log/dpkg.log): the time from each line about a package to
    the next line. The log counts whole seconds, so a single package's figure is good to about one."""
    found: dict[str, float] = {}
    line_form = re.compile(
        r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) "
        r"(?:(?:install|upgrade|configure|trigproc|status \S+) ([^:\s]+)(?::\S+)? |startup)"
    )
    for log in logs:
        last: tuple[datetime, str | None] | None = None
        for line in _read(log).splitlines():
            match = line_form.match(line)
            if not match:
                continue
            at = datetime.fromisoformat(match[1])
            if last is not None and last[1] is not None and match[2] is not None:
                found[last[1]] = found.get(last[1], 0.0) + max(0.0, (at - last[0]).total_seconds())
            last = (at, match[2])
    return found


def format_bytes(size: float) -> str:
    """Bytes in powers of ten with three figures: `1.23 GB`, `45.6 MB`, `789 kB`, `0 B`."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def _step(timing: Timing) -> dict[str, object]:
    entry: dict[str, object] = {"name": timing.name, "seconds": round(timing.seconds, 3)}
    if timing.children:
        entry["steps"] = [_step(child) for child in timing.children]
    return entry


def _steps(report: Report) -> Iterable[_Row]:
    """Steps in the order they ran, indented; those under a tenth of a second are left to the JSON."""

    def walk(timing: Timing, depth: int) -> Iterable[_Row]:
        for child in timing.children:
            if child.seconds >= 0.1:
                share = _share(child.seconds, report.seconds)
                yield _Row(child.name, depth, share, format_seconds(child.seconds))
                yield from walk(child, depth + 1)

    return walk(report.timing, 0)


def _share(part: float, whole: float) -> float:
    return round(min(100.0, 100 * part / whole), 1) if whole else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

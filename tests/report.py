"""The report of a test run: `python -m tests.report [--out tests/out] [--deploy deploy] [--keep DIRECTORY]`.

Reads what the run left: parts.tsv (part, seconds, exit code), whether it began with layers, the JUnit files, the
figures in measurements/, and the reports of the images in deploy/. Writes report.md and report.html beside them and
prints the tables. A file that is missing or broken is a line less, never a failure: the report is wanted most when
something went wrong.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import statistics
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from imagebuilder.errors import BuildError
from imagebuilder.process import run
from imagebuilder.progress import format_seconds
from imagebuilder.report import format_bytes, this_machine

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = Path(__file__).with_name("report.html.j2")

FILES = {
    "check": "check.xml",
    "test-node": "node.xml",
    "test-build": "build.xml",
    "test-flows": "flows.xml",
    "cuts": "cuts.xml",
}
"""The JUnit file that a part of `make test` writes, or `make cuts`; `image` has none."""
SLOWEST = 25
"""Tests whose seconds are told: those that take longest."""

KEPT = 10
"""Reports that stay."""
LIMITS = {"layers": 20 * 60.0, "nothing": 60 * 60.0}
"""Seconds that all parts of `make test` together may take on two cores without KVM, by what the run began with: a cache
that has layers, or nothing."""
PICTURE_LIMIT = 400_000
"""Bytes of a picture that is shown in the page itself; larger ones are only linked."""


@dataclass(frozen=True)
class Case:
    """One test that did not simply pass: `outcome` is failed or skipped, `reason` its first words."""

    part: str
    name: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class Taken:
    """The seconds of one test, with what was made ready for it alone or for it first."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Part:
    """One part of the run. `seconds` is wall time; `code` the exit code, "none" when it did not run, "" if unknown."""

    name: str
    seconds: float
    code: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    cases: tuple[Case, ...] = ()
    taken: tuple[Taken, ...] = ()

    @property
    def result(self) -> str:
        """In one word."""
        if self.code == "none":
            return "not run"
        if self.code == "interrupted":
            return self.code
        return "failed" if self.failed or self.code not in ("", "0") else "ok"


@dataclass(frozen=True)
class Picture:
    """A screen: its path below the report, and the picture itself as a data URI if it is small enough."""

    path: str
    data: str = ""


@dataclass(frozen=True)
class Report:
    """All that is told, as text. A table is rows of cells; `title` says whether all is well."""

    title: str
    figures: Sequence[tuple[str, str]] = ()
    parts: Sequence[Part] = ()
    traffic: Sequence[tuple[str, str]] = ()
    run: Sequence[tuple[str, str]] = ()
    bundles: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    cases: Sequence[Case] = field(default=())
    left_out: Sequence[tuple[str, str]] = ()
    slowest: Sequence[tuple[str, str]] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "tests/out")
    parser.add_argument("--deploy", type=Path, default=ROOT / "deploy")
    parser.add_argument("--keep", type=Path, help=f"where the last {KEPT} reports stay, to compare figures")
    options = parser.parse_args(argv)
    report = gather(options.out, options.deploy)
    options.out.mkdir(parents=True, exist_ok=True)
    text = to_markdown(report)
    (options.out / "report.md").write_text(text)
    (options.out / "report.html").write_text(to_html(report))
    print(text)
    if options.keep:
        keep(options.out, options.keep)
    print(f"The report: {options.out / 'report.html'}")
    return 0


def keep(out: Path, place: Path) -> None:
    """Copy the report, the parts' times, the figures, each test's result and what each failed one said to a folder of
    `place` that is named after the time; the oldest of more than KEPT go.
    """
    folder = place / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.md", "report.html", "parts.tsv", *FILES.values()):
        if (out / name).exists():
            shutil.copy(out / name, folder)
    for figures_of in out.glob("measurements/*.jsonl"):
        shutil.copy(figures_of, folder)
    for said in out.glob("failures/*/failure.txt"):
        shutil.copy(said, folder / f"{said.parent.name}.txt")
    for old in sorted(path for path in place.iterdir() if path.is_dir())[:-KEPT]:
        shutil.rmtree(old)


def gather(out: Path, deploy: Path) -> Report:
    """Everything that a run left in `out` and `deploy`."""
    parts = read_parts(out)
    measurements = [one for path in sorted(out.glob("measurements/*.jsonl")) for one in read_measurements(path)]
    bad = [part.name for part in parts if part.result != "ok"]
    count = sum(part.passed for part in parts)
    if bad:
        title = f"Not well: {', '.join(bad)}"
    else:
        title = f"All is well: {count} tests passed" if parts else "Nothing was run"
    return Report(
        title=title,
        figures=[*image_figures(deploy, out), *figures(one for one in measurements if one["unit"] != "bytes")],
        parts=parts,
        traffic=figures(one for one in measurements if one["unit"] == "bytes"),
        run=[*whole_run(out, parts), *about_the_run()],
        bundles=sorted(f"failures/{path.name}/" for path in out.glob("failures/*") if path.is_dir()),
        pictures=[read_picture(path, out) for path in sorted(out.rglob("*.png"))],
        cases=[case for part in parts for case in part.cases],
        left_out=read_left_out(out),
        slowest=slowest(parts),
    )


def whole_run(out: Path, parts: Sequence[Part]) -> list[tuple[str, str]]:
    """What `make test` took and what it may take; nothing where it did not run, or not to its end."""
    try:
        began = (out / "began-with").read_text().strip()
        limit = LIMITS[began]
    except (OSError, KeyError):
        return []
    if not parts or any(part.code in ("", "none", "interrupted") for part in parts):
        return []
    took = sum(part.seconds for part in parts)
    share = f"{format_seconds(took)} of the {format_seconds(limit)} it may take"
    how = "layers were there" if began == "layers" else "from nothing"
    return [("all parts", f"{share}, {how}{': too slow' if took > limit else ''}")]


def read_left_out(out: Path) -> list[tuple[str, str]]:
    """How many tests of each folder were left out as long ones, and what runs them."""
    found = [(path.stem, len(path.read_text().splitlines())) for path in sorted(out.glob("left-out/*.txt"))]
    return [(f"tests/{folder}", f"{count} long ones: make test-long") for folder, count in found]


def slowest(parts: Iterable[Part]) -> list[tuple[str, str]]:
    """The tests that took longest, and how long."""
    taken = [(f"{part.name}: {one.name}", one.seconds) for part in parts for one in part.taken]
    chosen = sorted(taken, key=lambda one: -one[1])[:SLOWEST]
    return [(name, format_seconds(seconds)) for name, seconds in chosen]


def read_parts(out: Path) -> list[Part]:
    """The parts in the order they ran; without parts.tsv those that left a JUnit file."""
    try:
        lines = [line.split("\t") for line in (out / "parts.tsv").read_text().splitlines()]
    except OSError:
        lines = []
    known = [(name, float(seconds), code) for name, seconds, code in (line for line in lines if len(line) == 3)]
    if not known:
        known = [(name, 0.0, "") for name, file in FILES.items() if (out / file).exists()]
    return [read_part(out / FILES.get(name, "none"), name, seconds, code) for name, seconds, code in known]


def read_part(path: Path, name: str, seconds: float, code: str) -> Part:
    """A part and the tests in its JUnit file, if there is a whole one."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return Part(name, seconds, code)
    cases = []
    outcomes: dict[str, str] = {}
    times: dict[str, float] = {}
    for case in root.iter("testcase"):
        test = f"{case.get('classname', '').removeprefix('tests.')}.{case.get('name', '')}"
        outcomes.setdefault(test, "passed")
        times[test] = times.get(test, 0.0) + float(case.get("time", 0))
        # A test that ends badly is there twice: what it did, and how it ended.
        for kind, outcome in (("skipped", "skipped"), ("failure", "failed"), ("error", "failed")):
            if (told := case.find(kind)) is not None:
                cases.append(Case(name, test, outcome, _first_words(told)))
                outcomes[test] = outcome
    seconds = seconds or sum(float(suite.get("time", 0)) for suite in root.iter("testsuite"))
    counts = Counter(outcomes.values())
    taken = tuple(Taken(test, took) for test, took in times.items())
    return Part(name, seconds, code, counts["passed"], counts["failed"], counts["skipped"], tuple(cases), taken)


def _first_words(told: ElementTree.Element) -> str:
    text = (told.get("message") or told.text or "").strip()
    line = text.partition("\n")[0]
    return line if len(line) <= 200 else f"{line[:197]}..."


def read_measurements(path: Path) -> list[dict[str, Any]]:
    """The measurements that tests left, one JSON object a line; lines that are none are passed over."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            one = json.loads(line)
            found.append(one | {"name": str(one["name"]), "value": float(one["value"]), "unit": str(one["unit"])})
        except (ValueError, KeyError, TypeError):
            continue
    return found


def figures(measurements: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names and values for people; of a figure that was measured several times the median."""
    values: dict[tuple[str, str], list[float]] = {}
    for one in measurements:
        more = ", ".join(str(value) for name, value in one.items() if name not in ("name", "value", "unit"))
        values.setdefault((f"{one['name']} ({more})" if more else one["name"], one["unit"]), []).append(one["value"])
    found = []
    for (name, unit), several in values.items():
        text = with_unit(statistics.median(several), unit)
        found.append((name, text if len(several) == 1 else f"{text}, the median of {len(several)}"))
    return found


def with_unit(value: float, unit: str) -> str:
    """A value for people: seconds, MB (10^6 bytes) and bytes as all our reports write them."""
    if unit == "s":
        return format_seconds(value)
    if unit == "MB":
        return format_bytes(value * 1e6)
    return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:g} {unit}"


def image_figures(deploy: Path, out: Path) -> list[tuple[str, str]]:
    """What is known of each image in `deploy`, and the SHA-256 of the one that was tested."""
    found = []
    sums = _sums(deploy / "SHA256SUMS")
    for path in sorted(deploy.glob("*.report.json")):
        try:
            told = json.loads(path.read_text())
            name, layers, sizes = told["name"], told["layers"], told["files"]
            made = [layer for layer in layers if not layer["cached"]]
            found.append(
                (
                    f"{name}: this build",
                    f"{format_seconds(told['seconds'])}, {len(made)} of {len(layers)} layers made anew",
                )
            )
            found.append((f"{name}: layers, from nothing", format_seconds(sum(layer["seconds"] for layer in layers))))
            for ending in (".img", ".img.xz"):
                found.append((f"{name}{ending}", format_bytes(sizes[f"{name}{ending}"])))
                if f"{name}{ending}" in sums:
                    found.append((f"{name}{ending}: SHA-256", sums[f"{name}{ending}"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    tested = _sums(out / "tested.sha256")
    return found + [(f"{name}, which was booted: SHA-256", digest) for name, digest in tested.items()]


def _sums(path: Path) -> dict[str, str]:
    try:
        lines = [line.split("  ", 1) for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[1]: line[0] for line in lines if len(line) == 2}


def read_picture(path: Path, out: Path) -> Picture:
    """A picture of a screen."""
    name = path.relative_to(out).as_posix()
    if path.stat().st_size > PICTURE_LIMIT or name.startswith("failures/"):
        return Picture(name)
    return Picture(name, f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}")


def about_the_run() -> list[tuple[str, str]]:
    """When, on what, and of which state of the tree."""
    machine = this_machine()
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("commit", _said("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "describe", "--always", "--dirty")),
        ("seed", os.environ.get("MOJOMAIL_SEED", "each part its own")),
        ("CPU", f"{machine.cpu}, {machine.cores} cores"),
        ("memory", format_bytes(machine.memory)),
        ("system", f"{machine.system}, Linux {_said('uname', '-r')}"),
        ("QEMU", _said("qemu-system-aarch64", "--version").removeprefix("QEMU emulator version ")),
    ]


def _said(*words: str) -> str:
    """The first line that a command prints; "unknown" without it."""
    try:
        return run(*words, quiet=True).partition("\n")[0].strip()
    except BuildError:
        return "unknown"


def part_rows(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    """The table of parts, and their sum."""
    rows = [
        (part.name, part.result, format_seconds(part.seconds), str(part.passed), str(part.failed), str(part.skipped))
        for part in parts
    ]
    total = [sum(getattr(part, name) for part in parts) for name in ("seconds", "passed", "failed", "skipped")]
    return [*rows, ("all", "", format_seconds(total[0]), *(f"{count}" for count in total[1:]))]


PART_HEAD = ("part", "result", "time", "passed", "failed", "skipped")


def to_markdown(report: Report) -> str:
    """The report as Markdown, whose tables also read well on a terminal."""
    text = [f"# {report.title}", ""]
    text += _table(PART_HEAD, part_rows(report.parts))
    text += _table(("figure", "value"), report.figures)
    text += _table(("bytes over the link", "value"), report.traffic)
    for outcome in ("failed", "skipped"):
        chosen = [(f"{case.part}: {case.name}", case.reason) for case in report.cases if case.outcome == outcome]
        text += _table((outcome, "why"), chosen)
    text += _table(("left out", ""), report.left_out)
    text += _table(("what took longest", "time"), report.slowest)
    text += _table(("run", ""), report.run)
    if report.bundles:
        text += ["What was seen when a test failed:", "", *(f"- [{name}]({name})" for name in report.bundles), ""]
    if report.pictures:
        text += ["Screens:", "", *(f"- [{picture.path}]({picture.path})" for picture in report.pictures), ""]
    return "\n".join(text)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, its columns padded; nothing when there are no rows."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(len(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
    widths[-1] = len(head[-1]) or 1

    def line(row: Sequence[str]) -> str:
        return f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"

    return [line(head), f"|{'|'.join('-' * (width + 2) for width in widths)}|", *map(line, cells), ""]


def to_html(report: Report) -> str:
    """The report as one page."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(
        report=report,
        well=all(part.result == "ok" for part in report.parts),
        head=PART_HEAD,
        rows=part_rows(report.parts),
    )


if __name__ == "__main__":
    sys.exit(main())

"""What all tests share: the image under test, the seed of whatever is left to chance, and a place for figures."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "tests/out"
MEASUREMENTS = OUT / "measurements"
"""For each run of pytest a file with its figures, named as its JUnit file; a later run writes it anew."""
LEFT_OUT = OUT / "left-out"
"""For each folder of tests a file with the ids of those that were left out as `long`."""
FAILURES = OUT / "failures"
BUNDLED = ("flows", "image", "node", "build", "cuts")
"""Folders of tests whose failures are kept; of unit tests the words say all."""
SAME_INTERRUPT = 5.0
"""Seconds in which all signals to end are one."""
_interrupted = -SAME_INTERRUPT
SEED = int(os.environ.setdefault("MOJOMAIL_SEED", str(random.SystemRandom().randrange(1 << 31))))
"""What chance decides in this run is decided by this; MOJOMAIL_SEED=N runs it again in the same way."""


def pytest_configure(config: pytest.Config) -> None:
    """Be ended in order: what was found so far is told, and what was begun is tidied up, as with Ctrl-C.

    SIGTERM comes to the first process alone, which then ends xdist's workers by SIGINT. In the background, as `make
    test` runs its parts, programs are born deaf to that (bash(1), Signals).
    """
    is_worker = hasattr(config, "workerinput")
    if is_worker or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
    if not is_worker:
        signal.signal(signal.SIGTERM, interrupt)
        if not config.option.collectonly:
            measurements_of(config).unlink(missing_ok=True)


def interrupt(number: int, frame: object) -> None:
    """End the run. A Ctrl-C may come by several ways at once: those that follow soon must not end the tidying up."""
    global _interrupted
    if (now := time.monotonic()) > _interrupted + SAME_INTERRUPT:
        _interrupted = now
        raise KeyboardInterrupt


def measurements_of(config: pytest.Config) -> Path:
    """The file with the figures of this run, which its workers share."""
    junit = config.option.xmlpath
    return MEASUREMENTS / f"{Path(junit).stem if junit else 'by-hand'}.jsonl"


def pytest_report_header() -> str:
    return f"seed: {SEED} (MOJOMAIL_SEED={SEED} decides by chance in the same way)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is `long`, but with MOJOMAIL_LONG=1, and tell the report."""
    if os.environ.get("MOJOMAIL_LONG"):
        for told in LEFT_OUT.glob("*.txt"):
            told.unlink(missing_ok=True)
    else:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        if left_out:
            LEFT_OUT.mkdir(parents=True, exist_ok=True)
        for folder in {item.path.parent for item in left_out}:
            names = sorted(item.nodeid for item in left_out if item.path.parent == folder)
            (LEFT_OUT / f"{folder.name}.txt").write_text("".join(f"{name}\n" for name in names))


@pytest.fixture(scope="session")
def out() -> Path:
    """Where screens, console logs and reports are kept."""
    OUT.mkdir(parents=True, exist_ok=True)
    return OUT


def folder_of(nodeid: str, when: str = "call") -> Path:
    """Where what was seen when a test failed is kept; what fails when it is tidied up has a folder of its own."""
    name = re.sub(r"[^\w.-]+", "-", nodeid).strip("-")
    return FAILURES / (name if when == "call" else f"{name}-{when}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed and item.path.parent.name in BUNDLED:
        place = folder_of(item.nodeid, report.when)
        try:
            begin_bundle(place, item.nodeid, report.longreprtext)
            report.sections.append(("bundle", f"what there was to see: {place}"))
        except OSError as error:  # a full disk, say: the failure itself must be told all the same
            report.sections.append(("bundle", f"nothing could be kept in {place}: {error}"))
    return report


def begin_bundle(place: Path, nodeid: str, said: str) -> None:
    """A new folder with what a failed test said, the seed, and the versions it ran with."""
    from tests.lab.bundle import tools

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "failure.txt").write_text(f"{nodeid}\nMOJOMAIL_SEED={SEED}\n\n{said}\n")
    (place / "versions.json").write_text(json.dumps({**tools(), "seed": SEED}, indent=2) + "\n")


class Measure(Protocol):
    def __call__(self, name: str, value: float, unit: str, **more: str) -> None: ...


@pytest.fixture(scope="session")
def measure(request: pytest.FixtureRequest) -> Measure:
    """Keep a figure for the report: measure("boot", 92.1, "s", lane="virt"). Units: s, MB (10^6 bytes), bytes."""
    path = measurements_of(request.config)
    path.parent.mkdir(parents=True, exist_ok=True)

    def keep(name: str, value: float, unit: str, **more: str) -> None:
        with path.open("a") as file:
            file.write(json.dumps({"name": name, "value": value, "unit": unit} | more) + "\n")

    return keep


@pytest.fixture(scope="session")
def image(out: Path) -> Iterator[Path]:
    """The raw image: MOJOMAIL_IMAGE, else what `make image` left in deploy/. That no test writes to it is checked."""
    from tests.lab.processes import temporary_directory
    from tests.lab.qemu import raw_image

    given = os.environ.get("MOJOMAIL_IMAGE")
    places = [Path(given)] if given else [ROOT / f"deploy/mojomail-village.img{end}" for end in ("", ".xz")]
    found = max((path for path in places if path.exists()), key=lambda path: path.stat().st_mtime, default=None)
    if found is None:
        pytest.fail(f"there is no image at {places[0]}: run 'make image', or name one in MOJOMAIL_IMAGE", pytrace=False)
    with temporary_directory() as place:  # unpacked, it has a gigabyte: gone also when we are killed
        raw = raw_image(found, place)
        before = digest(raw)
        (out / "tested.sha256").write_text(f"{before}  {found.stem if found.suffix == '.xz' else found.name}\n")
        yield raw
        assert digest(raw) == before, f"a test has written to {raw}"


def digest(path: Path) -> str:
    """A file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

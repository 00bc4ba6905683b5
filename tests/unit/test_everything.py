"""`make test` runs all its parts whatever one of them finds, writes the report always, and fails when one fails."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

EVERYTHING = Path(__file__).resolve().parents[1] / "everything"

MAKE = """#!/bin/sh
for word; do part=$word; done
echo "made $part"
case " $BROKEN " in *" $part "*) exit 2 ;; esac
case " $ENDLESS " in *" $part "*)
	trap 'echo "ended $part"; kill $!; exit 1' TERM
	sleep 60 > /dev/null 2>&1 &
	kill -TERM $PPID
	wait ;;
esac
"""

REPORT = """#!/bin/sh
echo "reported $*"
case " $BROKEN " in *" report "*) exit 1 ;; esac
"""


def run(place: Path, **switches: str) -> subprocess.CompletedProcess[str]:
    """Run everything in `place`, with programs that only say what they were called for."""
    programs = place / "bin"
    programs.mkdir()
    for name, text in (("make", MAKE), ("python", REPORT)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (place / "tests/out").mkdir(parents=True)
    (place / "tests/out/flows.xml").write_text("of an older run")
    path = f"{programs}:{os.environ['PATH']}"
    return subprocess.run(
        [EVERYTHING, "python", "the deploy"],
        cwd=place,
        env={"PATH": path, "XDG_CACHE_HOME": str(place / "cache")} | switches,
        text=True,
        capture_output=True,
        timeout=30,
    )


PARTS = ["setup-dev", "test-node", "test-build", "image", "check", "test-flows"]


@pytest.mark.parametrize(
    ("broken", "made", "codes", "ends"),
    [
        ("", PARTS, ["0"] * 6, ""),
        ("check", PARTS, ["0", "0", "0", "0", "2", "0"], "failed: check\n"),
        ("test-build test-flows", PARTS, ["0", "0", "2", "0", "0", "2"], "failed: test-build test-flows\n"),
        ("image", PARTS[:-1], ["0", "0", "0", "2", "0", "none"], "failed: image test-flows\n"),
        ("report", PARTS, ["0"] * 6, "failed: report\n"),
    ],
)
def test_parts(broken: str, made: list[str], codes: list[str], ends: str, tmp_path: Path) -> None:
    done = run(tmp_path, BROKEN=broken)
    assert done.returncode == (1 if broken else 0)
    assert done.stdout.startswith("Testing everything: ")
    assert [line[5:] for line in done.stdout.splitlines() if line.startswith("made ")] == made
    kept = tmp_path / "cache/mojomail/reports/tests"
    assert f"reported -m tests.report --deploy the deploy --keep {kept}\n" in done.stdout
    assert done.stderr.endswith(ends)
    rows = [line.split("\t") for line in (tmp_path / "tests/out/parts.tsv").read_text().splitlines()]
    assert [(name, code) for name, _, code in rows] == list(zip(PARTS, codes, strict=True))
    left = sorted(path.name for path in (tmp_path / "tests/out").iterdir())
    assert left == ["began-with", "parts.tsv"], "nothing of an older run"


@pytest.mark.parametrize(
    ("layers", "began"), [((), "nothing"), (("layers",), "nothing"), (("layers", "layers/1f"), "layers")]
)
def test_report_is_told_whether_there_were_layers(layers: tuple[str, ...], began: str, tmp_path: Path) -> None:
    for name in layers:
        (tmp_path / "cache/mojomail" / name).mkdir(parents=True)
    run(tmp_path)
    assert (tmp_path / "tests/out/began-with").read_text() == f"{began}\n"


def test_nothing_is_run_without_what_it_needs(tmp_path: Path) -> None:
    done = run(tmp_path, BROKEN="setup-dev")
    assert done.returncode == 1 and "made test-node" not in done.stdout
    assert done.stderr.endswith("nothing can be tested without what make setup-dev installs\n")


def test_run_that_is_ended_reports_all_the_same_what_it_has_found(tmp_path: Path) -> None:
    done = run(tmp_path, ENDLESS="test-build")
    assert done.returncode == 130
    assert done.stdout.index("ended test-build") < done.stdout.index("reported"), "the part may say what it found"
    assert "reported -m tests.report" in done.stdout
    rows = [line.split("\t") for line in (tmp_path / "tests/out/parts.tsv").read_text().splitlines()]
    assert [(name, code) for name, _, code in rows] == [
        ("setup-dev", "0"), ("test-node", "0"), ("test-build", "interrupted")
    ]  # fmt: skip

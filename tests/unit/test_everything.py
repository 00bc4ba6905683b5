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
"""

REPORT = """#!/bin/sh
echo "reported $*"
case " $BROKEN " in *" report "*) exit 1 ;; esac
"""


PARTS = ["check", "test-node", "test-build", "image", "test-flows"]


@pytest.mark.parametrize(
    ("broken", "made", "codes", "ends"),
    [
        ("", PARTS, ["0"] * 5, ""),
        ("check", PARTS, ["2", "0", "0", "0", "0"], "failed: check\n"),
        ("test-build test-flows", PARTS, ["0", "0", "2", "0", "2"], "failed: test-build test-flows\n"),
        ("image", PARTS[:-1], ["0", "0", "0", "2", "none"], "failed: image test-flows\n"),
        ("report", PARTS, ["0"] * 5, "failed: report\n"),
    ],
)
def test_parts(broken: str, made: list[str], codes: list[str], ends: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("make", MAKE), ("python", REPORT)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "tests/out").mkdir(parents=True)
    (tmp_path / "tests/out/flows.xml").write_text("of an older run")
    done = subprocess.run(
        [EVERYTHING, "python", "the deploy"],
        cwd=tmp_path,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "BROKEN": broken},
        text=True,
        capture_output=True,
    )
    assert done.returncode == (1 if broken else 0)
    assert done.stdout.startswith("Testing everything: ")
    assert [line[5:] for line in done.stdout.splitlines() if line.startswith("made ")] == made
    assert "reported -m tests.report --deploy the deploy\n" in done.stdout
    assert done.stderr.endswith(ends)
    rows = [line.split("\t") for line in (tmp_path / "tests/out/parts.tsv").read_text().splitlines()]
    assert [(name, code) for name, _, code in rows] == list(zip(PARTS, codes, strict=True))
    assert [path.name for path in (tmp_path / "tests/out").iterdir()] == ["parts.tsv"], "nothing of an older run"

"""The report of a test run tells everything that the run left, and stands also when most of it is missing."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.report import (
    KEPT,
    Part,
    figures,
    gather,
    keep,
    main,
    read_measurements,
    read_part,
    read_parts,
    to_markdown,
    with_unit,
)

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" time="12.5">
<testcase classname="tests.flows.test_first_boot" name="test_good" time="1"/>
<testcase classname="tests.flows.test_first_boot" name="test_also_good" time="1"/>
<testcase classname="tests.flows.test_links" name="test_bad" time="1">
 <failure message="AssertionError: 1 | 2&#10;more">trace</failure></testcase>
<testcase classname="tests.flows.test_links" name="test_ends_badly" time="1"/>
<testcase classname="tests.flows.test_links" name="test_ends_badly" time="0"><error>no
 message</error></testcase>
<testcase classname="tests.flows.test_links" name="test_elsewhere"><skipped message="no &lt;tap&gt;"/></testcase>
</testsuite></testsuites>
"""

IMAGE = {
    "name": "mojomail-village",
    "seconds": 61.0,
    "layers": [{"cached": True, "seconds": 100}, {"cached": False, "seconds": 20}],
    "files": {"mojomail-village.img": 943718400, "mojomail-village.img.xz": 115000000},
}

MEASUREMENTS = [
    {"name": "boot", "value": 92.1, "unit": "s", "lane": "virt"},
    {"name": "boot", "value": 201, "unit": "s", "lane": "raspi3b"},
    {"name": "idle memory", "value": 71.4, "unit": "MB", "lane": "virt"},
    {"name": "first page", "value": 123456, "unit": "bytes"},
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """What a run leaves."""
    out = tmp_path / "out"
    (out / "failures/test_bad").mkdir(parents=True)
    (out / "parts.tsv").write_text("check\t48\t0\nimage\t3\t0\ntest-flows\t500\t2\n")
    (out / "flows.xml").write_text(JUNIT)
    (out / "tested.sha256").write_text("feed  mojomail-village.img\n")
    (out / "measurements").mkdir()
    (out / "measurements/flows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in MEASUREMENTS) + "cut off {")
    (out / "boot-virt.png").write_bytes(b"picture")
    (out / "failures/test_bad/screen.png").write_bytes(b"picture")
    (out / "left-out").mkdir()
    (out / "left-out/flows.txt").write_text("test_long[1]\ntest_long[2]\n")
    return out


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """What a build leaves."""
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    (deploy / "mojomail-village.report.json").write_text(json.dumps(IMAGE))
    (deploy / "SHA256SUMS").write_text(f"{'ab' * 32}  mojomail-village.img\n")
    return deploy


def test_tests_are_counted_once_and_bad_ones_told_with_their_reasons(out: Path) -> None:
    part = read_part(out / "flows.xml", "test-flows", 500, "1")
    assert (part.passed, part.failed, part.skipped) == (2, 2, 1)
    assert [(case.name, case.outcome, case.reason) for case in part.cases] == [
        ("flows.test_links.test_bad", "failed", "AssertionError: 1 | 2"),
        ("flows.test_links.test_ends_badly", "failed", "no"),
        ("flows.test_links.test_elsewhere", "skipped", "no <tap>"),
    ]


@pytest.mark.parametrize(
    ("part", "result"),
    [
        (Part("check", 1, "0", passed=3), "ok"),
        (Part("check", 1, "", passed=3), "ok"),
        (Part("check", 1, "2", passed=3), "failed"),
        (Part("check", 1, "", passed=3, failed=1), "failed"),
        (Part("test-flows", 0, "none"), "not run"),
    ],
)
def test_result_of_a_part(part: Part, result: str) -> None:
    assert part.result == result


def test_parts_keep_their_order_and_come_from_their_files_when_nobody_listed_them(out: Path) -> None:
    assert [(part.name, part.seconds) for part in read_parts(out)] == [("check", 48), ("image", 3), ("test-flows", 500)]
    (out / "parts.tsv").unlink()
    assert [(part.name, part.seconds) for part in read_parts(out)] == [("test-flows", 12.5)]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(92.1, "s", "1 min 32 s"), (71.4, "MB", "71.4 MB"), (123456, "bytes", "123,456 bytes"), (3, "pages", "3 pages")],
)
def test_units(value: float, unit: str, text: str) -> None:
    assert with_unit(value, unit) == text


def test_figure_that_was_measured_often_is_told_by_its_median() -> None:
    several = [{"name": "boot", "value": value, "unit": "s", "lane": "virt"} for value in (1, 9, 2)]
    assert figures(several) == [("boot (virt)", "2.0 s, the median of 3")]


def test_lines_that_are_no_measurement_are_passed_over(out: Path) -> None:
    assert len(read_measurements(out / "measurements/flows.jsonl")) == len(MEASUREMENTS)


def test_everything_is_told(out: Path, deploy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(out), "--deploy", str(deploy)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(f"The report: {out}/report.html\n")
    text, page = (out / "report.md").read_text(), (out / "report.html").read_text()
    assert text in printed
    for expected in (
        *("Not well: test-flows", "48 s", "8 min 20 s", "1 of 2 layers made anew"),
        *("944 MB", "115 MB", "ab" * 32, "feed", "boot (virt)", "1 min 32 s", "boot (raspi3b)", "3 min 21 s"),
        *("idle memory (virt)", "71.4 MB", "first page", "123,456 bytes", "flows.test_links.test_bad"),
        *("boot-virt.png", "failures/test_bad/", "commit", "QEMU", "cores", "2 long ones: make test-long"),
    ):
        assert expected in text, expected
        assert expected in page, expected
    assert "AssertionError: 1 \\| 2 " in text
    assert "no &lt;tap&gt;" in page
    assert f"data:image/png;base64,{base64.b64encode(b'picture').decode()}" in page
    assert "http" not in page, "the page needs nothing but itself"


@pytest.mark.parametrize(
    ("began", "seconds", "told"),
    [
        ("layers", 869, "14 min 29 s of the 20 min 00 s it may take, layers were there"),
        ("layers", 1300, "21 min 40 s of the 20 min 00 s it may take, layers were there: too slow"),
        ("nothing", 1300, "21 min 40 s of the 60 min 00 s it may take, from nothing"),
    ],
)
def test_whole_run_is_told_beside_what_it_may_take(
    began: str, seconds: int, told: str, out: Path, deploy: Path
) -> None:
    (out / "began-with").write_text(f"{began}\n")
    (out / "parts.tsv").write_text(f"check\t9\t0\ntest-flows\t{seconds - 9}\t2\n")
    assert ("all parts", told) in gather(out, deploy).run
    (out / "parts.tsv").write_text("check\t9\t0\ntest-flows\t3\tinterrupted\n")
    assert "all parts" not in dict(gather(out, deploy).run)


def test_tests_that_take_longest_stand_first(out: Path, deploy: Path) -> None:
    (out / "flows.xml").write_text(JUNIT.replace('name="test_also_good" time="1"', 'name="test_also_good" time="75.2"'))
    told = gather(out, deploy).slowest
    assert told[0] == ("test-flows: flows.test_first_boot.test_also_good", "1 min 15 s")
    assert len(told) == 5
    assert "test_also_good" in to_markdown(gather(out, deploy))


def test_report_stands_without_anything_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "out"), "--deploy", str(tmp_path / "deploy")]) == 0
    assert "Nothing was run" in capsys.readouterr().out


def test_report_stands_with_files_that_broke_off(out: Path, deploy: Path) -> None:
    (out / "flows.xml").write_text(JUNIT[:300])
    (deploy / "mojomail-village.report.json").write_text("{")
    report = gather(out, deploy)
    assert [part.result for part in report.parts] == ["ok", "ok", "failed"]
    assert "Not well: test-flows" in to_markdown(report)


def test_good_run_says_so(out: Path, deploy: Path) -> None:
    (out / "flows.xml").unlink()
    (out / "parts.tsv").write_text("check\t48\t0\n")
    assert gather(out, deploy).title.startswith("All is well")


def test_the_last_reports_stay_with_what_failed_tests_said(tmp_path: Path) -> None:
    out, place = tmp_path / "out", tmp_path / "kept"
    (out / "failures/test-a").mkdir(parents=True)
    (out / "failures/test-a/failure.txt").write_text("it was so")
    (out / "report.md").write_text("# All is well")
    (out / "flows.xml").write_text(JUNIT)
    (out / "measurements").mkdir()
    (out / "measurements/flows.jsonl").write_text("{}")
    for number in range(KEPT + 3):
        (place / f"20200101-0000{number:02}").mkdir(parents=True)
    keep(out, place)
    folders = sorted(path.name for path in place.iterdir())
    assert len(folders) == KEPT and folders[0] == "20200101-000004"
    newest = place / folders[-1]
    assert {path.name for path in newest.iterdir()} == {"report.md", "flows.xml", "flows.jsonl", "test-a.txt"}

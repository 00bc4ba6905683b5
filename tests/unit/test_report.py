"""The report tells where seconds and bytes went, to people and to programs."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from imagebuilder import report
from imagebuilder.progress import Progress, Timing
from imagebuilder.report import Layer, Machine, Report
from imagebuilder.spdx import Package


def made() -> Report:
    steps = [
        Timing("Reading the profile", 0.02),
        Timing("Building layers", 200.0, [Timing("base/00-apt", 50.0), Timing("base/01-<kernel>", 150.0)]),
        Timing("Packing", 40.5),
    ]
    return Report(
        name="mojomail-village",
        timing=Timing("build", 0.0, steps),
        machine=Machine("Some CPU", 2, 8_000_000_000, "Debian GNU/Linux 13"),
        facts={"Profile": "profiles/a & b.yaml"},
        layers=[
            Layer("base", "00-apt", "0123456789abcdef", 50.0, 20_000_000, True),
            Layer("base", "01-kernel", "fedcba9876543210", 150.0, 300_000_000, False),
        ],
        packages=[
            Package("bash", "arm64", "5.2", "bash", "5.2", installed_size=7000),
            Package("linux-image", "arm64", "6.12", "linux", "6.12", installed_size=90_000),
        ],
        files={"mojomail-village.img": 1_500_000_000, "mojomail-village.img.xz": 210_000_000},
        package_seconds={"bash": 3.0},
        peak_memory=1_900_000_000,
        peak_disk=5_000_000_000,
    )


class Reader(HTMLParser):
    """Collects the text of table rows, and every address; complains about a tag that is not closed."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if any(tag in ("td", "th") for tag in self.open):
            self.rows[-1][-1] += data


def test_the_page_shows_steps_layers_and_packages_with_what_they_cost() -> None:
    rows = Reader(report.to_html(made())).rows
    assert ["Building layers", "3 min 20 s", ""] in rows
    assert ["base/01-<kernel>", "2 min 30 s", ""] in rows
    assert ["base/00-apt", "0123456789ab", "cached", "50 s", "", "20 MB", ""] in rows
    assert ["bash", "5.2", "3.0 s", "", "7.17 MB", ""] in rows
    assert ["Profile", "profiles/a & b.yaml"] in rows
    assert ["mojomail-village.img.xz", "210 MB"] in rows


def test_what_costs_most_stands_first() -> None:
    names = [row[0] for row in Reader(report.to_html(made())).rows if row]
    assert names.index("linux-image") < names.index("bash")
    layers = names.index("Sub-stage")
    assert names[layers + 1 : layers + 3] == ["base/01-kernel", "base/00-apt"]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = report.to_html(made())
    assert Reader(page).addresses == []
    assert not re.search(r"https?:|@import|url\(", page)


def test_bars_show_shares() -> None:
    page = report.to_html(made())
    assert "width: 83.2%" in page  # Building layers: 200 of 240.52 s
    assert "width: 7.8%" in page  # bash: 7000 of 90000 KiB


def test_a_report_of_nothing_is_still_a_page() -> None:
    empty = Report("x", Timing("build"), Machine("unknown", 1, 0, "unknown"))
    assert "Packages" not in report.to_html(empty)
    assert json.loads(report.to_json(empty))["seconds"] == 0


def test_programs_get_the_same_figures() -> None:
    found = json.loads(report.to_json(made()))
    assert found["seconds"] == pytest.approx(240.52)
    assert found["steps"][1]["steps"][0] == {"name": "base/00-apt", "seconds": 50.0}
    assert found["layers"][0]["cached"] is True
    assert found["packages"][0] == {
        "name": "bash",
        "version": "5.2",
        "source": "bash",
        "size": 7_168_000,
        "seconds": 3.0,
    }
    assert found["files"]["mojomail-village.img"] == 1_500_000_000
    assert found["machine"]["cores"] == 2


def test_the_next_build_learns_from_the_report_how_long_steps_take(tmp_path: Path) -> None:
    path = tmp_path / "x.report.json"
    path.write_text(report.to_json(made()))
    expected = report.expected_seconds(path)
    assert expected["base/00-apt"] == 50.0
    assert expected["Packing"] == 40.5
    assert Progress(expected=expected).expected["Packing"] == 40.5


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"steps": 3}', '{"steps": [1, {"name": "a", "seconds": "x"}]}']
)
def test_a_missing_or_broken_report_expects_nothing(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "x.report.json"
    if text is not None:
        path.write_text(text)
    assert report.expected_seconds(path) == {}


def test_seconds_by_package_come_from_dpkgs_log(tmp_path: Path) -> None:
    log = tmp_path / "dpkg.log"
    log.write_text(
        "2026-01-01 10:00:00 startup archives unpack\n"
        "2026-01-01 10:00:00 install bash:arm64 <none> 5.2\n"
        "2026-01-01 10:00:02 status half-installed bash:arm64 5.2\n"
        "2026-01-01 10:00:03 install libc6:arm64 <none> 2.41\n"
        "rubbish\n"
        "2026-01-01 10:00:07 startup packages configure\n"
        "2026-01-01 10:59:00 configure bash:arm64 5.2 <none>\n"
        "2026-01-01 10:59:05 status installed bash:arm64 5.2\n"
    )
    assert report.package_seconds([log, tmp_path / "none"]) == {"bash": 8.0}


def test_the_machine_is_described_as_far_as_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:        8000000 kB\n")
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')
    found = report.this_machine(tmp_path)
    assert (found.cpu, found.memory, found.system) == (
        "Some CPU @ 2 GHz",
        8_192_000_000,
        "Debian GNU/Linux 13 (trixie)",
    )
    assert found.cores >= 1
    bare = report.this_machine(tmp_path / "none")
    assert (bare.cpu, bare.memory, bare.system) == ("unknown", 0, "unknown")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (99_960, "100 kB"), (45_600_000, "45.6 MB"),
     (999_600_000, "1.00 GB"), (1_234_000_000, "1.23 GB")],
)  # fmt: skip
def test_sizes_have_three_figures(size: int, text: str) -> None:
    assert report.format_bytes(size) == text

"""The TV's pictures: an old TV cuts nothing off, no letter is missing, nothing is covered, all looks as meant."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from firstboot.texts import languages

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
PYTHON = "/usr/bin/python3"
NEEDED = "import gi, cairo, yaml; gi.require_version('PangoCairo', '1.0')"
FONTS = Path("/usr/share/fonts/truetype/noto")


def drawing_is_possible() -> bool:
    fonts = all((FONTS / f"NotoSans{script}-Bold.ttf").exists() for script in ("", "Devanagari", "Kannada"))
    return fonts and subprocess.run([PYTHON, "-c", NEEDED], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not drawing_is_possible(),
    reason="drawing needs python3-gi python3-gi-cairo gir1.2-pango-1.0 python3-yaml libqrencode4 fonts-noto-core",
)


@cache
def told(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [PYTHON, str(HERE / "firstboot_pictures.py"), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_no_text_on_any_screen_in_any_language_and_size_is_cut_off_missing_or_covered() -> None:
    looked_at = told("audit")
    assert {screen["screen"].split()[0] for screen in looked_at} == set(languages())
    assert len(looked_at) > len(languages()) * 3 * 40
    assert [fault for screen in looked_at for fault in screen["faults"]] == []


def test_the_screens_look_as_they_are_meant_to() -> None:
    compared = told("compare", str(GOLDEN))
    assert {one["picture"] for one in compared} == {path.name for path in GOLDEN.glob("*.png")}
    assert [one for one in compared if one["mean"] > 2.5 or one["wrong"] > 0.01] == []


@pytest.mark.parametrize(
    ("text", "side"), [("WIFI:T:WPA;S:Post;P:kamu-ripo-tevu-482;;", 29), ("https://a.home.arpa", 25)]
)
def test_a_qr_code_has_its_three_finders(text: str, side: int) -> None:
    from firstboot.tv.qr import modules

    rows = modules(text)
    assert len(rows) == side
    for y, x in ((0, 0), (0, side - 7), (side - 7, 0)):
        assert all(rows[y][x : x + 7]) and not any(rows[y + 1][x + 1 : x + 6]) and rows[y + 3][x + 3]


@pytest.mark.parametrize(("bits", "stride"), [(32, 4096), (16, 720 * 2)])
def test_what_is_typed_on_the_tv_is_answered_whatever_the_screens_pixels_are(bits: int, stride: int) -> None:
    done = subprocess.run(
        [PYTHON, str(HERE / "firstboot_typing.py"), str(bits), str(stride)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout)
    assert came["answers"]["language"] == "kn" and came["answers"]["name"] == "rampur"
    assert came["answers"]["keeper"] == {"password": "Keeper's \\ {1}"}
    assert came["at"] == "network.kind" and came["drawn"] and not came["beyond"]


def test_the_state_screen_follows_link_queue_addresses_and_card_and_draws_nothing_while_nothing_changes() -> None:
    done = subprocess.run(
        [PYTHON, str(HERE / "firstboot_watching.py")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout)
    assert came["ready"] == [True], "it is ready once there is a picture"
    first, idle, up, sent, moved, off, full, unknown = (look["drawn"] for look in came["looks"])
    assert idle == [] and all(len(drawn) == 1 for drawn in (first, up, sent, moved, off, full, unknown))
    assert [look["others"] for look in came["looks"]] == [True, False, *[True] * 6], "the TV shows what was drawn"

    def told(drawn: list[list[str]], label: str) -> str:
        return drawn[0][drawn[0].index(label) + 1]

    looks = (first, up, sent, moved, off, full, unknown)
    assert [told(look, "Link") for look in looks] == [
        *("No link – mail is waiting for it", "Connected", "Connected", "Connected", "Connected", "Connected"),
        "not known yet",
    ]
    assert [told(look, "Mails to send") for look in looks] == ["3", "3", "0", "0", "0", "0", "not known yet"]
    assert [told(look, "Last contact") for look in looks[:3]] == ["2 h ago", "2 h ago", "just now"]
    assert [told(look, "Card") for look in (off, full)] == ["7.2 GB free", "100 MB free"]
    assert [look[0][-1] for look in (sent, moved, off)] == ["192.168.1.20", "192.168.7.4", "rampur.home.arpa"]
    assert all(told(look, "Left for later") == "Certificates and keys" for look in looks)


OUTPUT = """
import json, sys
from pathlib import Path
from firstboot.errors import SystemFault
from firstboot.service import Setup
from firstboot.tv.output import Output
from tests.unit.firstboot_machine import wizard_at
root, came = Path(sys.argv[1]), []
try:
    came.append(Output(root).canvas is not None)
except SystemFault:
    came.append("plain text")
if came[0]:
    setup = Setup(root)
    try:
        setup._run_tv(wizard_at(root), None, 0)
    except SystemFault:
        came.append("ended")
print(json.dumps(came))
"""


@pytest.mark.parametrize(("there", "came"), [(False, [False]), (True, ["plain text", "ended"])])
def test_the_wizard_goes_on_without_a_screen_and_ends_for_plain_text_on_one_that_shows_no_pictures(
    tmp_path: Path, there: bool, came: list[object]
) -> None:
    if there:
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev/fb0").touch()
    done = subprocess.run(
        [PYTHON, "-c", OUTPUT, str(tmp_path)], capture_output=True, text=True, check=False, cwd=HERE.parents[1]
    )
    assert json.loads(done.stdout) == came, done.stderr

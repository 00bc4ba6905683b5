"""The letters of India on the TV: consonants join, and vowel signs stand where they are read.

Pictures at an eighth of their size cannot tell a joined letter from a broken one, glyphs can.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from firstboot.texts import texts
from tests.unit.test_firstboot_pictures import PYTHON, drawing_is_possible

pytestmark = pytest.mark.skipif(not drawing_is_possible(), reason="drawing needs Pango, Cairo and the fonts")
SCRIPT = Path(__file__).parent / "firstboot_shaping.py"
WEIGHTS = ("regular", "bold")
CONJUNCT = {"hi": "[\u0915-\u0939]\u093c?\u094d[\u0915-\u0939]\u093c?", "kn": "[\u0c95-\u0cb9]\u0ccd[\u0c95-\u0cb9]"}
"""A consonant whose vowel is taken away, and the next one (The Unicode Standard, 12.1 and 12.8)."""


def glyphs(weight: str, *words: str, width: int = 0) -> list[list[int]]:
    """The glyphs of each word, from left to right, in lines of so many pixels; 0 is one line."""
    done = subprocess.run(
        [PYTHON, str(SCRIPT), weight, str(width), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown: list[list[int]] = json.loads(done.stdout)
    return shown


def conjuncts(language: str) -> list[str]:
    """Every two consonants that join in the texts of a language."""
    said = texts(language)
    return sorted({found for key in said.names() for found in re.findall(CONJUNCT[language], said.say(key))})


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("language", ["hi", "kn"])
def test_every_two_consonants_that_join_in_the_texts_are_drawn_joined(language: str, weight: str) -> None:
    pairs = conjuncts(language)
    assert len(pairs) > 20
    bare = glyphs(weight, *(pair.rstrip("\u093c")[:-1] for pair in pairs))
    drawn = glyphs(weight, *pairs)
    assert [pair for pair, alone, shown in zip(pairs, bare, drawn, strict=True) if shown[: len(alone)] == alone] == []


@pytest.mark.parametrize("bare", ["\u0915\u094d", "\u0c95\u0ccd"])
def test_two_consonants_that_are_kept_apart_are_told_from_joined_ones(bare: str) -> None:
    alone, joined, apart = glyphs("regular", bare, f"{bare}{bare[0]}", f"{bare}\u200c{bare[0]}")
    assert apart[: len(alone)] == alone and joined[: len(alone)] != alone


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(
    ("written", "first", "last"),
    [
        pytest.param("कि", None, "क", id="i stands before its consonant"),
        pytest.param("की", "क", None, id="long i stands behind it"),
        pytest.param("र्क", "क", None, id="r at the beginning becomes a hook above what follows"),
        pytest.param("ಕ್ತ", "ಕ", None, id="the second consonant hangs below the first"),
        pytest.param("ರ್ಕ", "ಕ", None, id="r at the beginning stands behind what follows"),
        pytest.param("ಕೆ", None, None, id="e grows onto its consonant"),
    ],
)
def test_signs_stand_where_they_are_read(written: str, first: str | None, last: str | None, weight: str) -> None:
    shown, begin, end, *alone = glyphs(weight, written, first or "", last or "", *written)
    assert shown != [glyph for each in alone for glyph in each], "drawn as if its signs stood alone"
    assert first is None or shown[:1] == begin
    assert last is None or shown[-1:] == end


@pytest.mark.parametrize(("together", "parts"), [("क्ष", "क् ष"), ("त्र", "त् र"), ("ಕ್ಷ", "ಕ್ ಷ"), ("ಕಿ", "ಕ ಿ")])
def test_letters_with_a_form_of_their_own_have_it(together: str, parts: str) -> None:
    shown, *apart = glyphs("regular", together, *parts.split())
    assert len(shown) == 1 and shown[0] not in [glyph for part in apart for glyph in part]


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_password_that_takes_more_than_one_line_gets_no_hyphen_that_is_not_its_own(weight: str) -> None:
    password = "correcthorsebatterystaple" * 2
    (whole,), (in_lines,) = glyphs(weight, password), glyphs(weight, password, width=200)
    assert in_lines == whole

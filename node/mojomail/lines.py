"""Lines of letters in any script: names of people and folders, and what is said of them."""

from __future__ import annotations

import re

JOINER = re.compile(r"(?<=[^\s\u200c\u200d])[\u200c\u200d]")
"""A sign that joins letters or keeps them apart (U+200D, U+200C), behind a letter: Indian keyboards write it."""


def is_line(text: str) -> bool:
    """Whether a text is one line without control characters. Joiners belong to the letter before them."""
    return JOINER.sub("", text).isprintable()

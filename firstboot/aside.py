"""What stands beside each question on the TV: how to answer by phone instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Aside:
    """How to answer by phone, and what is missing.

    brief    all of it in a sentence, for a screen without room at the side
    lines    label and value, for the side
    qr       what a phone's camera reads there
    warning  what is missing, such as a keyboard
    """

    brief: str = ""
    title: str = ""
    lines: Sequence[tuple[str, str]] = ()
    qr: str = ""
    warning: str = ""


def unbroken(text: str) -> str:
    """A password as it is shown: no line ends at its hyphens."""
    return text.replace("-", "\u2011")

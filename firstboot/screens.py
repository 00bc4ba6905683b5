"""What a front end shows: one screen, with all its words in the language of the moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Look = Literal["choice", "text", "secret", "busy"]
Mark = Literal["", "ok", "wait", "trouble", "running"]


@dataclass(frozen=True)
class Choice:
    """One answer to choose: what it is, and how it reads."""

    value: str
    label: str


@dataclass(frozen=True)
class Line:
    """One line of a summary or of a test: what, how it is, and a mark."""

    label: str
    value: str
    mark: Mark = ""


@dataclass(frozen=True)
class Screen:
    """One screen.

    at         where it belongs; an answer is for this place only
    look       choice and busy show `lines`, then `choices`; text and secret have a field
    value      what is chosen or stands in the field at first
    suggested  the value was made up by the node, and may be shown also for a secret
    problem    why the last answer was not taken
    aid        for whoever helps by telephone: what failed, as programs say it; shown small, where there is room
    part, parts  how far we are, in chapters
    qr         what a phone's camera reads, "" for none
    """

    at: str
    look: Look
    chapter: str
    part: int
    parts: int
    title: str
    help: str = ""
    choices: tuple[Choice, ...] = ()
    value: str = ""
    suggested: bool = False
    optional: bool = False
    problem: str = ""
    aid: str = ""
    lines: tuple[Line, ...] = ()
    qr: str = ""
    can_go_back: bool = True
    language: str = "en"

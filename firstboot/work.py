"""How far the work is, and what trying everything out has shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .screens import Mark


@dataclass(frozen=True)
class Progress:
    """Groups of actions that are done, and the one under way, by name; `trouble` is why it stopped."""

    done: tuple[str, ...] = ()
    running: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Finding:
    """What trying one thing has shown.

    item    key of a text under test.items
    result  key of a text under test.results
    mark    ok, wait (not yet, and that is in order) or trouble
    given   what fills both texts in
    mend    the path of the question whose answer may be wrong, "" for none
    """

    item: str
    result: str
    mark: Mark
    given: Mapping[str, str] = field(default_factory=dict)
    mend: str = ""

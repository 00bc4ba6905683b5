"""How far the work is, and what trying everything out has shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .screens import Mark


@dataclass(frozen=True)
class Progress:
    """How far the work is.

    done      groups of actions that are done, by name
    running   the group under way
    left      groups of which something is left for later
    trouble   why it stopped, as programs say it
    what      what could not be done: a login, an address, a file
    words     key of the text under apply.wrong that says so in plain words
    can_wait  whether the rest works without it
    """

    done: tuple[str, ...] = ()
    running: str = ""
    left: tuple[str, ...] = ()
    trouble: str = ""
    what: str = ""
    words: str = "other"
    can_wait: bool = False


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

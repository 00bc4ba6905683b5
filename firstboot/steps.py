"""The questions, from steps.yaml: read once, checked, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from .errors import SetupError
from .texts import load_yaml

Kind = Literal["choice", "text", "secret"]


@dataclass(frozen=True)
class Step:
    """One question.

    id        where its answer lies: "network.wifi.name"; of a person or an account: "login", "address"
    name      where its texts stand: steps.NAME
    choices   answers of a choice; empty with a `source`
    source    a list of answers made on the node
    default   what Enter answers, as it is
    suggest   name of what makes that on the node
    checks    names of checks, in order
    optional  whether "" is an answer
    when      asked only while each of these answers is one of those listed
    """

    id: str
    name: str
    chapter: str
    kind: Kind
    choices: tuple[str, ...] = ()
    source: str = ""
    default: str = ""
    suggest: str = ""
    checks: tuple[str, ...] = ()
    optional: bool = False
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def secret(self) -> bool:
        """Whether its answer is nobody else's business."""
        return self.kind == "secret"


@dataclass(frozen=True)
class Chapter:
    """Questions about one thing; `later`: it can be opened again after the set-up."""

    name: str
    steps: tuple[Step, ...]
    later: bool


@dataclass(frozen=True)
class Plan:
    """All there is to ask: once, of each person, of each account, after each person, and only after the set-up."""

    chapters: tuple[Chapter, ...]
    person: tuple[Step, ...]
    account: tuple[Step, ...]
    next: tuple[Step, ...]
    afterwards: tuple[Chapter, ...]

    def once(self) -> Iterator[Step]:
        """The questions that are asked once, in order."""
        for chapter in self.chapters:
            yield from chapter.steps

    def step(self, name: str) -> Step:
        """The question whose texts stand at `name`."""
        for found in (*self.once(), *self.person, *self.account, *self.next):
            if found.name == name:
                return found
        raise SetupError(f"steps.yaml: no step is called {name}")


_KNOWN = {"id", "texts", "kind", "choices", "source", "default", "suggest", "checks", "optional", "when"}


def _step(given: Mapping[str, Any], chapter: str, before: str = "") -> Step:
    unknown = set(given) - _KNOWN
    if unknown or given.get("kind") not in ("choice", "text", "secret"):
        raise SetupError(f"steps.yaml: {given.get('id')}: {', '.join(sorted(unknown)) or 'no such kind'}")
    return Step(
        id=given["id"],
        name=given.get("texts") or before + given["id"],
        chapter=chapter,
        kind=given["kind"],
        choices=tuple(map(str, given.get("choices", ()))),
        source=given.get("source", ""),
        default=str(given.get("default", "")),
        suggest=given.get("suggest", ""),
        checks=tuple(given.get("checks", ())),
        optional=bool(given.get("optional", False)),
        when={key: tuple(map(str, values)) for key, values in given.get("when", {}).items()},
    )


def _chapters(given: Iterable[Mapping[str, Any]]) -> tuple[Chapter, ...]:
    return tuple(
        Chapter(each["name"], tuple(_step(step, each["name"]) for step in each["steps"]), bool(each.get("later")))
        for each in given
    )


@cache
def plan() -> Plan:
    """The plan in steps.yaml."""
    loaded = load_yaml((files(__package__) / "steps.yaml").read_text("utf-8"))
    return Plan(
        chapters=_chapters(loaded["chapters"]),
        person=tuple(_step(step, "people", "person.") for step in loaded["person"]),
        account=tuple(_step(step, "people", "account.") for step in loaded["account"]),
        next=tuple(_step(step, "people", "next.") for step in loaded["next"]),
        afterwards=_chapters(loaded["afterwards"]),
    )

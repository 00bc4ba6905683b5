"""YAML with the place of everything in it, so that each mistake can be pointed at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

import yaml

from .errors import Fault, FaultyFile

Node = Union["Scalar", "Mapping", "Sequence"]


@dataclass(frozen=True)
class Place:
    """Where something stands: line and column from 1, and its characters from `start` to `end` in the file's text."""

    line: int
    column: int
    start: int
    end: int


@dataclass(frozen=True)
class Scalar:
    """A text, number or word; `tag` is what YAML takes it for: str, int, bool, null, ..."""

    place: Place
    text: str
    tag: str


@dataclass(frozen=True)
class Mapping:
    """Keys with values, in order; each key with its own place."""

    place: Place
    items: tuple[tuple[Scalar, Node], ...]

    def get(self, key: str) -> Node | None:
        """The value of a key."""
        return next((value for name, value in self.items if name.text == key), None)


@dataclass(frozen=True)
class Sequence:
    """A list."""

    place: Place
    items: tuple[Node, ...]


def parse(text: str, file: str) -> Node | None:
    """Read one YAML document; None for an empty one. Raises FaultyFile with the place of the first mistake.

    What is used again by its name (&, *) is a mistake: it may hold itself, or grow to any size, and a secret in it
    stands in more than one place.
    """
    try:
        return _tree(text, file)
    except RecursionError:
        raise FaultyFile(file, [Fault(0, 0, "settings are too deep below each other")]) from None


def _tree(text: str, file: str) -> Node | None:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise FaultyFile(file, [Fault(line, column, str(error.problem or "this is no YAML"))]) from None
    except yaml.YAMLError as error:
        raise FaultyFile(file, [Fault(0, 0, f"this is no YAML: {error}")]) from None
    if node is None:
        return None
    faults: list[Fault] = []
    tree = _convert(node, faults, set())
    if faults:
        raise FaultyFile(file, faults)
    return tree


def _place(node: yaml.Node) -> Place:
    start, end = node.start_mark, node.end_mark
    return Place(start.line + 1, start.column + 1, start.index, end.index)


def _convert(node: yaml.Node, faults: list[Fault], seen: set[int]) -> Node:
    place = _place(node)
    if id(node) in seen:
        faults.append(Fault(place.line, place.column, "this is used again by its name", "write it out in each place"))
        return Scalar(place, "", "null")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return Scalar(place, node.value, node.tag.rpartition(":")[2])
    if isinstance(node, yaml.SequenceNode):
        return Sequence(place, tuple(_convert(item, faults, seen) for item in node.value))
    items: list[tuple[Scalar, Node]] = []
    for key, value in node.value:
        name = _convert(key, faults, seen)
        if not isinstance(name, Scalar):
            faults.append(Fault(name.place.line, name.place.column, "a name is expected here"))
            continue
        if name.text in {known.text for known, _ in items}:
            faults.append(Fault(name.place.line, name.place.column, f"{name.text} is given twice"))
        items.append((name, _convert(value, faults, seen)))
    return Mapping(place, tuple(items))


def scalars(node: Node, before: str = "") -> Iterator[tuple[str, Scalar]]:
    """Every scalar under a node with its path: "people.0.accounts.1.password"."""
    if isinstance(node, Scalar):
        yield before, node
    elif isinstance(node, Mapping):
        for name, value in node.items:
            yield from scalars(value, f"{before}.{name.text}" if before else name.text)
    else:
        for number, item in enumerate(node.items):
            yield from scalars(item, f"{before}.{number}")

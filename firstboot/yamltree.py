"""YAML with the place of everything in it, so that each mistake can be pointed at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

import yaml

from .errors import Fault, FaultyFile

Node = Union["Scalar", "Mapping", "Sequence"]
DEEPEST = 50
"""Maps and lists within each other; settings need far fewer, and Python does not bear a thousand."""
DEEP = "settings are too deep below each other"
AGAIN = "this is used again by its name"
HANDLE = "found undefined tag handle"
TAG = "a text that begins with ! needs quotes"
"""In place of YAML's own words, which hold the beginning of the text: it may be a password."""
OUT = "write it out in each place; a text that begins with * needs quotes"


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
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problem = str(error.problem or "this is no YAML")
        raise FaultyFile(file, [Fault(line, column, TAG if HANDLE in problem else problem)]) from None
    except yaml.reader.ReaderError as error:
        sign = f"a control character stands here, U+{ord(text[error.position]):04X}"
        raise FaultyFile(file, [Fault(*line_and_column(text[: error.position]), sign, "delete it")]) from None
    if node is None:
        return None
    faults = [Fault(mark.line + 1, mark.column + 1, AGAIN, OUT) for mark in loader.again]
    tree = _convert(node, faults)
    if faults:
        raise FaultyFile(file, faults)
    return tree


def line_and_column(before: str) -> tuple[int, int]:
    """Where a file goes on behind the text `before`: line and column from 1, as editors count them."""
    lines = re.split(r"\r\n|\r|\n", before)
    return len(lines), len(lines[-1]) + 1


class _Loader(yaml.SafeLoader):
    """Reads YAML, and remembers where something is used again by its name: `again`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.again: list[yaml.Mark] = []
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node; nothing in place of what is used again, so that no node stands in two places."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if self._depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=DEEP, problem_mark=mark)
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            self.again.append(mark)
            return yaml.ScalarNode("tag:yaml.org,2002:null", "", mark, mark)
        self.anchors.clear()
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _place(node: yaml.Node) -> Place:
    start, end = node.start_mark, node.end_mark
    return Place(start.line + 1, start.column + 1, start.index, end.index)


def _convert(node: yaml.Node, faults: list[Fault]) -> Node:
    place = _place(node)
    if isinstance(node, yaml.ScalarNode):
        return Scalar(place, node.value, node.tag.rpartition(":")[2])
    if isinstance(node, yaml.SequenceNode):
        return Sequence(place, tuple(_convert(item, faults) for item in node.value))
    items: list[tuple[Scalar, Node]] = []
    for key, value in node.value:
        name = _convert(key, faults)
        if not isinstance(name, Scalar):
            faults.append(Fault(name.place.line, name.place.column, "a name is expected here"))
            continue
        if name.text in {known.text for known, _ in items}:
            faults.append(Fault(name.place.line, name.place.column, f"{name.text} is given twice"))
        items.append((name, _convert(value, faults)))
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

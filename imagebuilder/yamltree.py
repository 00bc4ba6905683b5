"""YAML as a tree in which every key and value knows its line and column, on top of PyYAML's compose().

Two keys of the same name in one map, which PyYAML lets pass, are problems here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import Problem

TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Place:
    """Where in the file something begins; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Scalar:
    """One value. `text` is what was written; `tag` is what YAML takes it for: str, int, bool, null, float, ..."""

    place: Place
    text: str
    tag: str

    def __str__(self) -> str:
        if self.tag == "null":
            return "nothing"
        kinds = {"str": "the text", "int": "the number", "float": "the number", "bool": "the yes/no value"}
        text = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"{kinds.get(self.tag, 'the ' + self.tag)} {text!r}"


@dataclass(frozen=True)
class Items:
    """A list."""

    place: Place
    items: tuple[Tree, ...]

    def __str__(self) -> str:
        return "a list"


@dataclass(frozen=True)
class Entry:
    """One `key: value` of a map."""

    place: Place
    key: str
    value: Tree


@dataclass(frozen=True)
class Entries:
    """A map."""

    place: Place
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return "a map of keys and values"


Tree = Scalar | Items | Entries


def read_yaml(path: Path, problems: list[Problem]) -> Tree | None:
    """The tree of the YAML file at `path`; what is wrong with the file is added to `problems`.

    None when the file cannot be read, is not YAML, or is empty; each of these is a problem too.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.append(Problem(path, 0, 0, f"cannot be read: {error.strerror}"))
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        problems.append(_problem_at(path, before, "not UTF-8 text", "save the file with UTF-8 encoding"))
        return None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and not _is_null(node):
            return _convert(path, node, problems, ())
        problems.append(Problem(path, 0, 0, "is empty"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message = " ".join(part for part in (error.context, error.problem) if part)
        hint = "indent with spaces" if "'\\t'" in message else None
        problems.append(Problem(path, line, column, f"not valid YAML: {message}", hint))
    except yaml.reader.ReaderError as error:
        problems.append(_problem_at(path, text[: error.position], "a character that YAML does not allow", None))
    except RecursionError:
        problems.append(Problem(path, 0, 0, "not valid YAML: nested too deeply"))
    return None


def _problem_at(path: Path, before: str, message: str, hint: str | None) -> Problem:
    return Problem(path, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1, message, hint)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == TAG + "null" and not node.value


def _convert(path: Path, node: yaml.Node, problems: list[Problem], above: tuple[yaml.Node, ...]) -> Tree:
    place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
    if any(node is outer for outer in above):
        problems.append(Problem(path, place.line, place.column, "an alias inside of what it stands for"))
        return Scalar(place, "", "null")
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        entries: list[Entry] = []
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            at = Place(key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(Problem(path, at.line, at.column, "a key must be a word"))
                continue
            key = key_node.value
            if key in seen:
                message = f"key '{key}' is given twice, first in line {seen[key]}"
                problems.append(Problem(path, at.line, at.column, message, "keep one of them"))
                continue
            seen[key] = at.line
            entries.append(Entry(at, key, _convert(path, value_node, problems, above)))
        return Entries(place, tuple(entries))
    if isinstance(node, yaml.SequenceNode):
        return Items(place, tuple(_convert(path, item, problems, above) for item in node.value))
    return Scalar(place, node.value, node.tag.removeprefix(TAG))

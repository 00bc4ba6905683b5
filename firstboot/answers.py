"""Answers by their path: "network.wifi.name", "people.0.accounts.1.address". Values are text."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

Tree = dict[str, Any]


class Answers:
    """A tree of dicts and lists with text at its leaves. Changing it makes another one."""

    def __init__(self, tree: Tree | None = None) -> None:
        self._tree: Tree = tree if tree is not None else {}

    @property
    def tree(self) -> Tree:
        """A copy of everything, for JSON."""
        return copy.deepcopy(self._tree)

    def get(self, path: str) -> str | None:
        """The answer at a path, or None where there is none yet."""
        at: Any = self._tree
        for part in path.split("."):
            if isinstance(at, list):
                if not part.isdigit() or int(part) >= len(at):
                    return None
                at = at[int(part)]
            elif isinstance(at, dict):
                at = at.get(part)
            else:
                return None
        return at if isinstance(at, str) else None

    def need(self, path: str) -> str:
        """The answer at a path, "" where there is none."""
        return self.get(path) or ""

    def with_answer(self, path: str, value: str) -> Answers:
        """These answers and one more. Lists grow by one item at most."""
        tree = copy.deepcopy(self._tree)
        at: Any = tree
        parts = path.split(".")
        for part, following in pairwise(parts):
            empty: Any = [] if following.isdigit() else {}
            if isinstance(at, list):
                if int(part) == len(at):
                    at.append(empty)
                at = at[int(part)]
            else:
                at = at.setdefault(part, empty)
        if isinstance(at, list):
            at[int(parts[-1]) :] = [value, *at[int(parts[-1]) + 1 :]]
        else:
            at[parts[-1]] = value
        return Answers(tree)

    def without(self, path: str) -> Answers:
        """These answers without what lies at or under a path."""
        tree = copy.deepcopy(self._tree)
        at: Any = tree
        *parts, last = path.split(".")
        for part in parts:
            at = at[int(part)] if isinstance(at, list) and int(part) < len(at) else at.get(part) if at else None
            if at is None:
                return self
        if isinstance(at, list):
            del at[int(last) : int(last) + 1]
        else:
            at.pop(last, None)
        return Answers(tree)

    def count(self, path: str) -> int:
        """How many items the list at a path has."""
        at: Any = self._tree
        for part in path.split("."):
            if isinstance(at, list):
                at = at[int(part)] if int(part) < len(at) else None
            else:
                at = at.get(part) if isinstance(at, Mapping) else None
        return len(at) if isinstance(at, list) else 0

    def leaves(self) -> Iterator[tuple[str, str]]:
        """Every path with its answer, in order."""

        def walk(at: Any, before: str) -> Iterator[tuple[str, str]]:
            items = enumerate(at) if isinstance(at, list) else at.items()
            for key, value in items:
                path = f"{before}{key}"
                if isinstance(value, dict | list):
                    yield from walk(value, f"{path}.")
                elif isinstance(value, str):
                    yield path, value

        yield from walk(self._tree, "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answers) and self._tree == other._tree

    def __hash__(self) -> int:
        return hash(tuple(self.leaves()))

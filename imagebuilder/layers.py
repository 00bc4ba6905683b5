"""Layers: what one sub-stage changed, kept under the hash of everything that made it.

A layer is a directory `layers/<id>/` with `layer.json` and one or more trees (overlayfs upper
directories, lowest first). It is built in `layers/<id>.partial/` and finished by renaming that
directory, so a layer that is there is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .durable import sync_filesystem

STATE = "state.json"
"""In a layer that is being made: its name and the layer below, for `build.py shell`."""

ID_LENGTH = 16
"""Hexadecimal digits of a layer's id: 64 bits, and short enough for long lists of lower directories."""


@dataclass(frozen=True)
class Inputs:
    """Everything that makes a layer what it is. `parts` is shown to explain why a layer is not cached."""

    name: str
    parts: Mapping[str, str]

    @property
    def id(self) -> str:
        """The layer's id: the first hexadecimal digits of a SHA-256 over name and parts."""
        return digest_of({"name": self.name, **self.parts})[:ID_LENGTH]


@dataclass
class Layer:
    """A finished layer. `base` is the id of the layer below, or None when it starts from nothing."""

    id: str
    name: str
    base: str | None
    trees: list[str]
    seconds: float
    size: int
    parts: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def digest_of(value: Any) -> str:
    """SHA-256 of a value as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_paths(paths: Iterable[tuple[str, Path]]) -> str:
    """Hash of named files, each with its type, run bit and content; symbolic links by their target.

    Directories stand for everything below them. Modification times and owners do not count.
    """
    entries: list[list[str]] = []
    for name, path in paths:
        for relative, found in _walk(path):
            entries.append([f"{name}/{relative}" if relative else name, *_describe(found)])
    return digest_of(sorted(entries))


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            if child.name == "__pycache__":
                continue
            for relative, found in _walk(child):
                yield (f"{child.name}/{relative}" if relative else child.name), found
        yield "", path
    else:
        yield "", path


def _describe(path: Path) -> list[str]:
    if path.is_symlink():
        return ["link", str(path.readlink())]
    if path.is_dir():
        return ["directory"]
    if not path.exists():
        return ["missing"]
    return ["program" if os.access(path, os.X_OK) else "file", digest_file(path)]


class LayerStore:
    """The layers of one cache."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, layer_id: str) -> Layer | None:
        """The finished layer with this id, or None."""
        try:
            return Layer(**json.loads((self.path / layer_id / "layer.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def partial(self, layer_id: str) -> Path:
        """Where a layer with this id is built, or lies as it stood when it failed."""
        return self.path / f"{layer_id}.partial"

    def begin(self, inputs: Inputs) -> Path:
        """An empty directory to build the layer in; what an earlier try left is removed."""
        partial = self.partial(inputs.id)
        remove_tree(partial)
        partial.mkdir(parents=True)
        return partial

    def start_over(self, partial: Path) -> None:
        """Empty what `begin` gave, but for the note on what it is."""
        for left in partial.iterdir():
            if left.name != STATE:
                remove_tree(left)

    def finish(self, inputs: Inputs, base: str | None, seconds: float, facts: dict[str, Any] | None = None) -> Layer:
        """Turn what `begin` gave into a finished layer: drop empty trees, sync, rename."""
        partial = self.partial(inputs.id)
        trees = []
        for tree in sorted(partial.glob("tree.*"), key=lambda path: int(path.suffix[1:])):
            if any(tree.iterdir()):
                trees.append(tree.name)
            else:
                tree.rmdir()
        for scratch in partial.glob("scratch*"):
            remove_tree(scratch)
        layer = Layer(
            id=inputs.id,
            name=inputs.name,
            base=base,
            trees=trees,
            seconds=round(seconds, 2),
            size=sum(tree_size(partial / tree) for tree in trees),
            parts=dict(inputs.parts),
            facts=facts or {},
        )
        (partial / "layer.json").write_text(json.dumps(asdict(layer), indent=1, sort_keys=True))
        sync_filesystem(partial)
        final = self.path / inputs.id
        remove_tree(final)
        partial.rename(final)
        return layer

    def chain(self, layer_id: str | None) -> list[Layer]:
        """The layers that make up a root file system, lowest first; raises KeyError when one is missing."""
        found: list[Layer] = []
        while layer_id is not None:
            layer = self.get(layer_id)
            if layer is None:
                raise KeyError(layer_id)
            found.append(layer)
            layer_id = layer.base
        return found[::-1]

    def lower_trees(self, layer_id: str | None) -> list[str]:
        """Trees of a chain, uppermost first, as paths relative to the store (overlayfs's lowerdir order)."""
        trees = [f"{layer.id}/{tree}" for layer in self.chain(layer_id) for tree in layer.trees]
        return trees[::-1]

    def all(self) -> list[Layer]:
        """Every finished layer."""
        if not self.path.is_dir():
            return []
        layers = (self.get(entry.name) for entry in sorted(self.path.iterdir()) if "." not in entry.name)
        return [layer for layer in layers if layer is not None]

    @cached_property
    def _newest_by_name(self) -> dict[str, Layer]:
        layers = sorted(self.all(), key=lambda layer: (self.path / layer.id).stat().st_mtime)
        return {layer.name: layer for layer in layers}

    def nearest(self, inputs: Inputs) -> Layer | None:
        """A finished layer of the same name to compare with: the newest one, as of the first such question."""
        return self._newest_by_name.get(inputs.name)


def tree_size(path: Path) -> int:
    """Bytes of all regular files below `path`, each hard-linked file once."""
    seen: set[int] = set()
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            status = os.lstat(f"{directory}/{name}")
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
    return total


def remove_tree(path: Path) -> None:
    """Remove a file, or a directory and everything in it, whatever its modes (overlayfs work directories are 000)."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    if not path.exists():
        return
    for directory, names, _ in os.walk(path):
        for name in names:
            inner = Path(directory, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(path)

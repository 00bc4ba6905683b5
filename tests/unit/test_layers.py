"""Layers are named by what they are made of, and are there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder.layers import (
    ID_LENGTH,
    Inputs,
    Layer,
    LayerStore,
    digest_paths,
    remove_tree,
    tree_size,
)


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    return LayerStore(tmp_path / "layers")


def made(store: LayerStore, name: str, base: str | None = None, trees: int = 1, **parts: str) -> Layer:
    """A finished layer with `trees` trees, each with a file that bears its number."""
    inputs = Inputs(name, parts)
    partial = store.begin(inputs)
    for number in range(trees):
        (partial / f"tree.{number}").mkdir()
        (partial / f"tree.{number}/number").write_text(str(number))
    return store.finish(inputs, base, 1.234)


def test_id_is_short_and_does_not_depend_on_the_order_of_parts() -> None:
    one = Inputs("base/00-apt", {"engine": "1", "below": "2"})
    assert len(one.id) == ID_LENGTH
    assert one.id == Inputs("base/00-apt", {"below": "2", "engine": "1"}).id


@pytest.mark.parametrize(
    "other",
    [
        Inputs("base/01-apt", {"engine": "1", "below": "2"}),
        Inputs("base/00-apt", {"engine": "1", "below": "3"}),
        Inputs("base/00-apt", {"engine": "1"}),
        Inputs("base/00-apt", {"engine": "1", "below": "2", "variable X": ""}),
        Inputs("base/00-apt", {"engine": "2", "below": "1"}),
    ],
)
def test_anything_different_gives_another_id(other: Inputs) -> None:
    assert other.id != Inputs("base/00-apt", {"engine": "1", "below": "2"}).id


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "substage"
    (root / "files").mkdir(parents=True)
    (root / "00-run.sh").write_text("#!/bin/bash\n")
    (root / "files/link").symlink_to("here")
    return root


def _change_link(root: Path) -> None:
    (root / "files/link").unlink()
    (root / "files/link").symlink_to("there")


def _make_link_a_file(root: Path) -> None:
    (root / "files/link").unlink()
    (root / "files/link").write_text("here")


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "00-run.sh").write_text("#!/bin/sh\n"),
        lambda root: (root / "00-run.sh").chmod(0o755),
        lambda root: (root / "00-run.sh").rename(root / "01-run.sh"),
        lambda root: (root / "files/more").write_text(""),
        lambda root: (root / "empty").mkdir(),
        _change_link,
        _make_link_a_file,
    ],
    ids=["content", "run bit", "name", "new file", "new directory", "target of a link", "link or file"],
)
def test_change_of_a_file_changes_the_digest(change: Callable[[Path], object], tree: Path) -> None:
    before = digest_paths([("substage", tree)])
    change(tree)
    assert digest_paths([("substage", tree)]) != before


def test_times_and_byte_code_do_not_change_the_digest(tree: Path) -> None:
    before = digest_paths([("substage", tree)])
    os.utime(tree / "00-run.sh", (1, 1))
    (tree / "00-run.sh").chmod(0o600)
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__/x.pyc").touch()
    assert digest_paths([("substage", tree)]) == before


def test_missing_file_has_a_digest_of_its_own(tree: Path) -> None:
    empty = tree / "empty"
    missing = digest_paths([("x", empty)])
    empty.touch()
    assert digest_paths([("x", empty)]) != missing


def test_finished_layer_is_found_with_all_that_was_said_of_it(store: LayerStore) -> None:
    layer = made(store, "base/00-apt", base="0123456789abcdef", engine="1")
    assert store.get(layer.id) == layer
    assert (layer.name, layer.base, layer.trees, layer.seconds) == (
        "base/00-apt",
        "0123456789abcdef",
        ["tree.0"],
        1.23,
    )
    assert (layer.size, layer.parts) == (1, {"engine": "1"})
    assert not store.partial(layer.id).exists()


def test_layer_in_the_making_is_not_there(store: LayerStore) -> None:
    inputs = Inputs("base/00-apt", {})
    (store.begin(inputs) / "tree.0").mkdir()
    assert store.get(inputs.id) is None
    assert store.all() == []
    assert store.partial(inputs.id).is_dir()


def test_new_try_begins_with_nothing(store: LayerStore) -> None:
    inputs = Inputs("base/00-apt", {})
    partial = store.begin(inputs)
    (partial / "scratch.0/work").mkdir(parents=True)
    (partial / "scratch.0/work").chmod(0)
    (partial / "tree.0").mkdir()
    (partial / "tree.0/half").write_text("done")
    assert list(store.begin(inputs).iterdir()) == []


def test_layer_that_could_not_be_finished_is_not_there(store: LayerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    inputs = Inputs("base/00-apt", {})
    (store.begin(inputs) / "tree.0").mkdir()
    monkeypatch.setattr("imagebuilder.layers.sync_filesystem", fail)
    with pytest.raises(OSError, match="No space"):
        store.finish(inputs, None, 1)
    assert store.get(inputs.id) is None
    assert LayerStore(store.path).all() == []


@pytest.mark.parametrize("content", ["", '{"id": "x"', "[]", '{"id": "x", "of": "another version"}'])
def test_layer_whose_description_cannot_be_read_is_not_there(store: LayerStore, content: str) -> None:
    layer = made(store, "base/00-apt")
    (store.path / layer.id / "layer.json").write_text(content)
    assert store.get(layer.id) is None
    assert made(store, "base/00-apt").id == layer.id, "and it is made again in its place"
    assert store.get(layer.id) is not None


def test_trees_keep_their_order_when_there_are_many(store: LayerStore) -> None:
    layer = made(store, "base/00-apt", trees=12)
    assert layer.trees == [f"tree.{number}" for number in range(12)]
    assert store.lower_trees(layer.id)[0] == f"{layer.id}/tree.11"


def test_empty_trees_and_work_directories_are_dropped(store: LayerStore) -> None:
    inputs = Inputs("base/00-apt", {})
    partial = store.begin(inputs)
    for name in ("tree.0", "tree.1", "scratch.0", "scratch.1"):
        (partial / name).mkdir()
    (partial / "tree.1/file").touch()
    layer = store.finish(inputs, None, 1)
    assert layer.trees == ["tree.1"]
    assert sorted(path.name for path in (store.path / layer.id).iterdir()) == ["layer.json", "tree.1"]


def test_chain_goes_from_the_lowest_layer_up_and_mounts_the_uppermost_first(store: LayerStore) -> None:
    one = made(store, "bootstrap", trees=2)
    two = made(store, "base/prerun", one.id, trees=0)
    three = made(store, "base/00-apt", two.id)
    assert [layer.id for layer in store.chain(three.id)] == [one.id, two.id, three.id]
    assert store.lower_trees(three.id) == [f"{three.id}/tree.0", f"{one.id}/tree.1", f"{one.id}/tree.0"]
    assert store.chain(None) == []


def test_chain_with_a_layer_missing_is_an_error(store: LayerStore) -> None:
    one = made(store, "bootstrap")
    two = made(store, "base/00-apt", one.id)
    remove_tree(store.path / one.id)
    with pytest.raises(KeyError, match=one.id):
        store.chain(two.id)


def test_nearest_layer_is_the_newest_of_the_same_name(store: LayerStore) -> None:
    old = made(store, "base/00-apt", engine="1")
    new = made(store, "base/00-apt", engine="2")
    made(store, "base/01-kernel", engine="3")
    for age, layer in ((100, old), (200, new)):
        os.utime(store.path / layer.id, (age, age))
    near = store.nearest(Inputs("base/00-apt", {"engine": "4"}))
    assert near is not None
    assert near.id == new.id
    assert store.nearest(Inputs("base/02-none", {})) is None


def test_description_on_disk_is_plain_json(store: LayerStore) -> None:
    layer = made(store, "base/00-apt", engine="1")
    data = json.loads((store.path / layer.id / "layer.json").read_text())
    assert data["name"] == "base/00-apt"


def test_size_counts_hard_linked_files_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1000)
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    (tmp_path / "link").symlink_to("one")
    assert tree_size(tmp_path) == 1000 + len("one")


def test_tree_with_closed_directories_is_removed_and_what_links_lead_to_is_not(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    closed = tmp_path / "tree/a/b"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    (closed / "link").symlink_to(outside)
    for directory in (closed, closed.parent):
        directory.chmod(0)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert (outside / "file").exists()
    assert outside.stat().st_mode & 0o777 != 0
    remove_tree(tmp_path / "never was")

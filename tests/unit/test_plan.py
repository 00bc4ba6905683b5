"""The plan: what a layer depends on, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder.errors import InputError
from imagebuilder.layers import LayerStore
from imagebuilder.plan import Plan, head_name, make_plan, read_stages, why_not_cached, write_head
from imagebuilder.profile import Profile, load_profile
from tests.unit.stagetree import write_tree

PROFILE = "stages: [one, two]\nstrict: no\n"

STAGES = {
    "stages/boot-debian/prerun.sh*": "#!/bin/bash -e\ncopy_previous\n",
    "stages/one/prerun.sh*": "#!/bin/bash -e\ncopy_previous\n",
    "stages/one/files/shared": "shared\n",
    "stages/one/00-a/00-run.sh*": "#!/bin/bash -e\n",
    "stages/one/00-a/OVERLAY": "etc/motd\n",
    "stages/one/01-b/00-run.sh*": "#!/bin/bash -e\n",
    "stages/one/01-b/INPUTS": "../../../elsewhere\n",
    "stages/install-overlay*": "#!/usr/bin/env python3\n",
    "stages/two/prerun.sh*": "#!/bin/bash -e\ncopy_previous\n",
    "stages/two/00-c/00-packages": "vim\n",
    "overlay/etc/motd": "hello\n",
    "overlay/etc/issue": "not named by any stage\n",
    "elsewhere": "data\n",
    "profiles/p.yaml": PROFILE,
}


class Tree:
    """A project on disk, its store, and the plan for it as it is now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        write_tree(path, STAGES)
        self.store = LayerStore(path / "cache")
        self.store.path.mkdir()

    @property
    def profile(self) -> Profile:
        return load_profile(self.path / "profiles/p.yaml", root=self.path)

    def plan(self, *, indexes: str = "today", native: bool = True, **variables: str) -> Plan:
        profile = self.profile
        given = profile.environment() | {"SOURCE_DATE_EPOCH": "1"} | variables
        stages = read_stages(profile)
        return make_plan(profile, stages, self.store, indexes_digest=indexes, variables=given, native=native)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def finish(self, plan: Plan) -> None:
        """Put every layer of the plan into the store, as a build would."""
        below = None
        for layer in plan.layers():
            if self.store.get(layer.id) is None:
                self.store.begin(layer.inputs)
                self.store.finish(layer.inputs, below, 1.0)
            below = layer.id
        for stage in plan.stages:
            write_head(self.store, head_name(self.profile, stage.stage), stage.top)
        self.store = LayerStore(self.store.path)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def changed(before: Plan, after: Plan) -> list[str]:
    """Names of the layers whose ids differ."""
    old = {layer.inputs.name: layer.id for layer in before.layers()}
    return [layer.inputs.name for layer in after.layers() if old.get(layer.inputs.name) != layer.id]


ABOVE_A = ["one/00-a", "one/01-b", "two/prerun", "two/00-c", "seal"]
ABOVE_B = ["one/01-b", "two/prerun", "two/00-c", "seal"]
ONE = ["one/prerun", *ABOVE_A]
ALL = ["bootstrap", "boot-debian/prerun", *ONE]

Change = Callable[[Tree], None]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.write("stages/two/00-c/00-packages", "vim nano\n"), ["two/00-c", "seal"]),
        (lambda t: t.write("stages/one/01-b/00-run.sh", "#!/bin/bash\n"), ABOVE_B),
        (lambda t: (t.path / "stages/one/01-b/00-run.sh").chmod(0o644), ABOVE_B),
        (lambda t: t.write("stages/one/files/shared", "other\n"), ONE),
        (lambda t: t.write("overlay/etc/motd", "other\n"), ABOVE_A),
        (lambda t: t.write("stages/install-overlay", "#!/usr/bin/python3\n"), ABOVE_A),
        (lambda t: t.write("elsewhere", "other\n"), ABOVE_B),
        (lambda t: t.write("overlay/etc/issue", "other\n"), []),
        (lambda t: t.write("stages/one/EXPORT_IMAGE", ""), ["seal"]),
        (lambda t: t.write("profiles/p.yaml", PROFILE + "image: {free_space: 999}\n"), []),
        (lambda t: t.write("profiles/p.yaml", PROFILE + "system: {hostname: other}\n"), ALL[1:]),
    ],
    ids=range(11),
)
def test_change_makes_anew_what_depends_on_it_and_nothing_else(tree: Tree, change: Change, expected: list[str]) -> None:
    before = tree.plan()
    change(tree)
    assert sorted(set(changed(before, tree.plan()))) == sorted(set(expected))


def test_newer_package_indexes_make_everything_anew(tree: Tree) -> None:
    assert changed(tree.plan(), tree.plan(indexes="tomorrow")) == ALL


def test_standing_in_or_not_is_not_mixed(tree: Tree) -> None:
    assert changed(tree.plan(), tree.plan(native=False)) == ALL


def test_link_to_a_file_elsewhere_counts_with_what_it_leads_to(tree: Tree) -> None:
    (tree.path / "stages/one/00-a/files").mkdir()
    (tree.path / "stages/one/00-a/files/x").symlink_to("../../../../far")
    tree.write("far", "one\n")
    before = tree.plan()
    tree.write("far", "two\n")
    assert changed(before, tree.plan()) == ABOVE_A


@pytest.mark.parametrize(
    ("change", "layer", "expected"),
    [
        (lambda t: None, "one/00-a", "never built"),
        (
            lambda t: (t.finish(t.plan()), t.write("overlay/etc/motd", "x")),
            "one/00-a",
            "changed: file overlay/etc/motd",
        ),
        (lambda t: (t.finish(t.plan()), t.write("overlay/etc/motd", "x")), "one/01-b", "the layer below changed"),
        (
            lambda t: (t.finish(t.plan()), (t.path / "stages/one/01-b/INPUTS").unlink()),
            "one/01-b",
            "changed: file INPUTS (gone), file elsewhere (gone)",
        ),
    ],
    ids=["never", "file", "below", "gone"],
)
def test_plan_says_why_a_layer_is_not_cached(tree: Tree, change: Change, layer: str, expected: str) -> None:
    change(tree)
    found = next(planned for planned in tree.plan().layers() if planned.inputs.name == layer)
    assert why_not_cached(found, tree.store) == expected


def test_what_python_compiles_in_a_folder_that_goes_in_makes_no_layer_anew(tree: Tree) -> None:
    tree.write("stages/one/01-b/INPUTS", "../../../program\n")
    (tree.path / "program").mkdir()
    tree.write("program/module.py", "x = 1\n")
    before = [one.id for one in tree.plan().layers()]
    (tree.path / "program/__pycache__").mkdir()
    tree.write("program/__pycache__/module.pyc", "compiled")
    assert [one.id for one in tree.plan().layers()] == before


def test_skipped_stage_is_still_the_previous_one_as_last_built(tree: Tree) -> None:
    built = tree.plan()
    tree.finish(built)
    tree.write("stages/one/SKIP", "")
    tree.write("stages/one/00-a/00-run.sh", "#!/bin/bash -e\nfalse\n")
    plan = tree.plan()
    assert plan.stages[1].layers == ()
    assert plan.stages[1].top == built.stages[1].top
    assert changed(built, plan) == []


def test_skipped_stage_that_was_never_built_is_an_error_that_explains_skip(tree: Tree) -> None:
    tree.write("stages/one/SKIP", "")
    with pytest.raises(InputError, match="was built before, but it was not") as error:
        tree.plan()
    assert "take it off the profile's stages" in str(error.value)


def test_every_marked_stage_is_exported_and_the_last_one_always(tree: Tree) -> None:
    assert [export.stage for export in tree.plan().exports] == [None]
    tree.write("stages/one/EXPORT_IMAGE", "IMG_SUFFIX=-one\n")
    exports = tree.plan().exports
    assert [export.stage.name if export.stage else None for export in exports] == ["one", None]
    tree.write("stages/one/SKIP_IMAGES", "")
    assert len(tree.plan().exports) == 1


def test_packages_of_the_profile_come_last(tree: Tree) -> None:
    before = tree.plan()
    tree.write("profiles/p.yaml", PROFILE + "packages: [vim]\n")
    plan = tree.plan()
    assert changed(before, plan) == ["packages", "seal"]
    assert [layer.kind for layer in plan.layers()][-2:] == ["packages", "seal"]

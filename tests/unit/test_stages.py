"""Stage directories are understood as pi-gen understands them."""

from __future__ import annotations

from pathlib import Path

import pytest
from stagetree import SCRIPT, write_tree

from imagebuilder.errors import InputError
from imagebuilder.stages import files_below, find_postrun, read_packages, read_paths, read_stage


def test_steps_run_by_number_and_then_in_the_order_of_their_kinds(tmp_path: Path) -> None:
    names = ["run-chroot.sh", "run.sh*", "packages", "packages-nr", "debconf"]
    files = {f"s/00-all/{number}-{name}": SCRIPT for name in names for number in ("10", "02")}
    write_tree(tmp_path, files | {"s/00-all/02-patches/series": "", "s/00-all/10-patches/series": ""})
    [substage] = read_stage(tmp_path / "s").substages
    kinds = ["debconf", "packages-nr", "packages", "patches", "run.sh", "run-chroot.sh"]
    assert [step.name for step in substage.steps] == [f"{number}-{kind}" for number in ("02", "10") for kind in kinds]
    assert [step.number for step in substage.steps] == [2] * 6 + [10] * 6


@pytest.mark.parametrize(
    ("name", "content", "steps"),
    [
        ("00-run.sh*", SCRIPT, ["00-run.sh"]),
        ("00-run.sh", SCRIPT, ["00-run.sh skipped"]),
        ("00-run-chroot.sh", SCRIPT, ["00-run-chroot.sh"]),
        ("00-run-chroot.sh*", SCRIPT, ["00-run-chroot.sh"]),
        ("99-packages", "", ["99-packages"]),
        ("00-patches/series", "", ["00-patches"]),
        ("00-patches", "a file", []),
        ("00-packages/x", "in a directory", []),
        ("00-debconf", "-> ../nowhere", []),
        ("00-debconf", "-> ../real", ["00-debconf"]),
        ("0-packages", "", []),
        ("100-packages", "", []),
        ("00-packages.txt", "", []),
        ("00-RUN.sh*", SCRIPT, []),
    ],
)
def test_what_is_a_step(tmp_path: Path, name: str, content: str, steps: list[str]) -> None:
    write_tree(tmp_path, {"s/real": "x", f"s/00-sub/{name}": content})
    [substage] = read_stage(tmp_path / "s").substages
    assert [step.name + (" skipped" if step.skipped else "") for step in substage.steps] == steps


def test_substages_are_the_directories_sorted_by_bytes(tmp_path: Path) -> None:
    names = ["10-b", "02-a", "02-B", "Z", "a", "é", "00-x-y", "00-x"]
    write_tree(tmp_path, {f"s/{name}/00-run.sh*": SCRIPT for name in names})
    write_tree(tmp_path, {"s/.hidden/00-run.sh*": SCRIPT, "s/05-file": "", "elsewhere/00-packages": "vim"})
    write_tree(tmp_path, {"s/03-linked": "-> ../elsewhere", "s/files/00-note": "no step", "s/04-empty/": ""})
    stage = read_stage(tmp_path / "s")
    assert [substage.name for substage in stage.substages] == [
        "00-x", "00-x-y", "02-B", "02-a", "03-linked", "04-empty", "10-b", "Z", "a", "é",
    ]  # fmt: skip
    assert [step.name for step in stage.substages[4].steps] == ["00-packages"]


def test_marks_of_a_stage(tmp_path: Path) -> None:
    bare = read_stage(write_tree(tmp_path, {"bare/00-a/00-packages": ""}) / "bare")
    assert (bare.skip, bare.skip_images, bare.export_image, bare.export_noobs, bare.prerun) == (False,) * 4 + (None,)
    marked = {
        "SKIP": "",
        "SKIP_IMAGES": "",
        "EXPORT_IMAGE": "",
        "EXPORT_NOOBS": "",
        "prerun.sh*": SCRIPT,
        "00-a/SKIP": "",
    }
    stage = read_stage(write_tree(tmp_path / "full stage", marked))
    assert (stage.skip, stage.skip_images, stage.export_image, stage.export_noobs) == (True,) * 4
    assert stage.prerun == tmp_path / "full stage" / "prerun.sh"
    assert [substage.skip for substage in stage.substages] == [True]


def test_prerun_without_run_bit_is_not_run(tmp_path: Path) -> None:
    assert read_stage(write_tree(tmp_path / "s", {"prerun.sh": SCRIPT})).prerun is None


def test_postrun_stands_beside_the_stages(tmp_path: Path) -> None:
    assert find_postrun(tmp_path) is None
    write_tree(tmp_path, {"postrun.sh": SCRIPT})
    assert find_postrun(tmp_path) is None
    write_tree(tmp_path, {"postrun.sh*": SCRIPT})
    assert find_postrun(tmp_path) == tmp_path / "postrun.sh"


def test_stage_that_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no stage directory"):
        read_stage(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("vim", [("vim", 1, 1)]),
        ("vim nano\n", [("vim", 1, 1), ("nano", 1, 5)]),
        ("# all of it\n  vim\t nano # both\n\n#x\nless#tail\n", [("vim", 2, 3), ("nano", 2, 8), ("less", 5, 1)]),
        # one line alone is not touched by pi-gen's script, but its comment is one for the shell too
        ("vim # editor", [("vim", 1, 1)]),
        ("# editor\n", []),
        ("a#b\n", [("a#b", 1, 1)]),
        ("a#b\nc\n", [("a", 1, 1), ("c", 2, 1)]),
        ("vim\r\nnano\r\n", [("vim", 1, 1), ("nano", 2, 1)]),
    ],
)
def test_comments_in_packages_files(tmp_path: Path, text: str, words: list[tuple[str, int, int]]) -> None:
    write_tree(tmp_path, {"00-packages": text.encode()})
    assert [(word.text, word.line, word.column) for word in read_packages(tmp_path / "00-packages")] == words


def test_overlay_and_inputs_name_files_elsewhere(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "stages/base/00-a/OVERLAY": "# network\netc/b\n  usr/lib#  # all below it\n\netc/b\n",
            "stages/base/00-a/INPUTS": "../../../node\n",
            "stages/base/00-a/00-run.sh*": SCRIPT,
            "stages/install-overlay*": SCRIPT,
            "overlay/etc/b.j2": "",
            "overlay/usr/lib/z": "",
            "overlay/usr/lib/y/x": "",
            "node/setup.py": "",
        },
    )
    [substage] = read_stage(tmp_path / "stages" / "base").substages
    overlay = tmp_path / "overlay"
    assert substage.overlay == (overlay / "etc/b.j2", overlay / "usr/lib", overlay / "etc/b.j2")
    declared = [str(path.relative_to(tmp_path)) for path in substage.declared_files() if ".." not in path.parts]
    assert declared == ["overlay/etc/b.j2", "overlay/usr/lib/y/x", "overlay/usr/lib/z", "stages/install-overlay"]
    [outside] = [path for path in substage.declared_files() if ".." in path.parts]
    assert outside.resolve() == tmp_path / "node" / "setup.py"
    listing = read_paths(substage.path / "OVERLAY")
    assert [(w.text, w.line, w.column) for w in listing] == [("etc/b", 2, 1), ("usr/lib", 3, 3), ("etc/b", 5, 1)]


def test_files_of_a_substage_and_of_the_stage_around_it(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "s/00-a/00-run.sh*": SCRIPT,
            "s/00-a/files/deep/.hidden": "",
            "s/00-a/files/gone": "-> nowhere",
            "s/00-a/files/outside": "-> ../../../outside",
            "s/00-a/files/root": "-> /etc",
            "s/files/key": "",
            "s/prerun.sh*": SCRIPT,
            "s/EXPORT_IMAGE": "",
            "s/01-b": "-> ../outside",
            "s/shared": "-> ../one",
            "outside/x": "",
            "outside/loop": "-> .",
            "one": "",
        },
    )
    stage = read_stage(tmp_path / "s")
    names = ("00-run.sh", "files/deep/.hidden", "files/gone", "files/outside", "files/root")
    assert stage.substages[0].files() == tuple(stage.path / "00-a" / name for name in names)
    outside = (tmp_path / "outside" / "loop", tmp_path / "outside" / "x")
    assert stage.substages[0].linked_files() == outside
    assert stage.substages[1].files() == (stage.path / "01-b" / "loop", stage.path / "01-b" / "x")
    assert stage.substages[1].linked_files() == outside
    assert stage.loose_files() == tuple(
        stage.path / name for name in ("EXPORT_IMAGE", "files/key", "prerun.sh", "shared")
    )
    assert stage.linked_files() == (tmp_path / "one",)
    assert files_below(tmp_path / "nowhere") == ()

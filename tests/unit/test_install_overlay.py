"""stages/install-overlay: the files a sub-stage names land in the root filesystem as they should."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    loader = SourceFileLoader("install_overlay", str(REPOSITORY / "stages/install-overlay"))
    spec = importlib.util.spec_from_loader("install_overlay", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = writes_bytecode
    return module


class Tree:
    """A copy of the program beside an overlay of the test's own, a sub-stage, and a root filesystem."""

    def __init__(self, top: Path) -> None:
        self.overlay, self.rootfs = top / "overlay", top / "root fs"
        self.stage = top / "stages/one"
        self.sub_stage = self.stage / "00-sub"
        for directory in (self.overlay, self.rootfs / "etc", self.sub_stage):
            directory.mkdir(parents=True)
        self.program = top / "stages/install-overlay"
        self.program.write_bytes((REPOSITORY / "stages/install-overlay").read_bytes())

    def add(self, name: str, text: str, mode: int = 0o640) -> None:
        path = self.overlay / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def run(self, listed: str, **variables: str) -> subprocess.CompletedProcess[str]:
        (self.sub_stage / "OVERLAY").write_text(listed)
        environment = {"PATH": os.environ["PATH"], "ROOTFS_DIR": str(self.rootfs), **variables}
        return subprocess.run(
            [sys.executable, str(self.program)],
            cwd=self.sub_stage, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def mode(self, name: str) -> int:
        return stat.S_IMODE((self.rootfs / name).stat().st_mode)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_files_and_directories_are_installed_with_plain_modes(tree: Tree) -> None:
    tree.add("etc/one.conf", "1", 0o600)
    tree.add("usr/lib/x/run", "2", 0o700)
    tree.add("usr/lib/x/deep/data", "3", 0o664)
    old = os.umask(0o077)
    try:
        done = tree.run("# what\netc/one.conf  # why\n\nusr/lib/x\n")
    finally:
        os.umask(old)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tree.rootfs / "etc/one.conf").read_text() == "1"
    assert (tree.rootfs / "usr/lib/x/deep/data").read_text() == "3"
    modes = {name: tree.mode(name) for name in ("etc/one.conf", "usr/lib/x/run", "usr/lib/x/deep/data", "usr/lib/x")}
    assert modes == {
        "etc/one.conf": 0o644, "usr/lib/x/run": 0o755, "usr/lib/x/deep/data": 0o644, "usr/lib/x": 0o755,
    }  # fmt: skip


def test_a_directory_that_is_there_keeps_its_mode(tree: Tree) -> None:
    (tree.rootfs / "etc/private").mkdir(mode=0o700)
    tree.add("etc/private/key", "k")
    assert tree.run("etc/private/key").returncode == 0
    assert tree.mode("etc/private") == 0o700


def test_templates_are_rendered_and_may_be_named_without_suffix(tree: Tree) -> None:
    tree.add("etc/hostname.j2", "{{ TARGET_HOSTNAME }}\n")
    tree.add("etc/run.j2", "#!{{ SHELL_PATH | default('/bin/sh') }}", 0o755)
    assert tree.run("etc/hostname\netc/run.j2", TARGET_HOSTNAME="village").returncode == 0
    assert (tree.rootfs / "etc/hostname").read_text() == "village\n"
    assert (tree.rootfs / "etc/run").read_text() == "#!/bin/sh"
    assert tree.mode("etc/run") == 0o755
    assert not (tree.rootfs / "etc/hostname.j2").exists()


def test_a_shipped_file_or_link_is_replaced_and_not_written_through(tree: Tree) -> None:
    (tree.rootfs / "etc/shipped").write_text("theirs")
    (tree.rootfs / "etc/link").symlink_to("shipped")
    tree.add("etc/link", "ours")
    assert tree.run("etc/link").returncode == 0
    assert (tree.rootfs / "etc/shipped").read_text() == "theirs"
    assert (tree.rootfs / "etc/link").read_text() == "ours"


def test_links_stay_links(tree: Tree) -> None:
    (tree.overlay / "etc").mkdir()
    (tree.overlay / "etc/masked").symlink_to("/dev/null")
    assert tree.run("etc/masked").returncode == 0
    assert (tree.rootfs / "etc/masked").readlink() == Path("/dev/null")


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("etc/nothing", "etc/nothing: no such file"),
        ("../secret", "../secret: not inside"),
        ("etc/a.j2", "'NOT_SET' is undefined"),
        ("etc/b.j2", "b.j2:2: "),
    ],
)
def test_mistakes_are_told_with_their_place(tree: Tree, listed: str, told: str) -> None:
    (tree.overlay.parent / "secret").write_text("")
    tree.add("etc/a.j2", "{{ NOT_SET }}")
    tree.add("etc/b.j2", "one\n{% if %}\n")
    done = tree.run(listed)
    assert done.returncode == 1
    assert told in done.stderr
    assert "OVERLAY" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_says_so_when_not_called_by_a_stage(tree: Tree) -> None:
    (tree.sub_stage / "OVERLAY").write_text("")
    done = subprocess.run(
        [sys.executable, str(tree.program)],
        cwd=tree.sub_stage, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ROOTFS_DIR is not set" in done.stderr


def test_lists_may_have_comments_and_empty_lines(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "OVERLAY").write_text("# all\n\n a/b # why\nc\n")
    assert program.read_list(tmp_path / "OVERLAY") == ["a/b", "c"]

"""Disk images made from trees: the same content gives the same bits, and what is in is what comes out."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import BuildError
from imagebuilder.image import ALIGNMENT, ImageFacts, Layout, assemble
from imagebuilder.namespace import enter, mount
from imagebuilder.process import clean_environment, find_program
from imagebuilder.treesurvey import BLOCK, MIB, survey_boot, survey_root

EPOCH = 1_700_000_000
LAYOUT = replace(Layout.from_seed("test", boot_mib=40, free_mib=8), journal_mib=8)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
"""security.capability, revision 2: cap_net_raw=ep (linux/capability.h)."""
ACL = struct.pack("<I" + "HHI" * 4, 2, *(1, 6, 2**32 - 1), *(2, 4, 42), *(4, 4, 2**32 - 1), *(16, 4, 2**32 - 1))
ACL += struct.pack("<HHI", 32, 4, 2**32 - 1)
"""system.posix_acl_access: user::rw- user:42:r-- group::r-- mask::r-- other::r-- (linux/posix_acl_xattr.h)."""


@dataclass(frozen=True)
class Tools:
    """The image tools of the tools tree in the cache when a build has made one, else those of this machine."""

    tree: Path | None

    def command(self, name: str) -> list[str]:
        if self.tree is None:
            return [find_program(name) or name]
        program = next(path for d in ("sbin", "bin") if (path := self.tree / "usr" / d / name).exists())
        loader = next(self.tree.glob("usr/lib*/ld-linux-*"))
        libraries = next(self.tree.glob("usr/lib/*-linux-gnu"))
        return [str(loader), "--library-path", str(libraries), str(program)]

    def read(self, name: str, *arguments: str, cwd: Path) -> str:
        command = [*self.command(name), *arguments]
        done = subprocess.run(command, cwd=cwd, env=clean_environment({"TZ": "UTC0"}), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def tools() -> Tools:
    cache = Path(os.environ.get("MOJOMAIL_CACHE", Path.home() / ".cache/mojomail"))
    trees = sorted(cache.glob("tools/*/tree"), key=lambda path: path.stat().st_mtime)
    found = Tools(trees[-1] if trees else None)
    version = subprocess.run([*found.command("mke2fs"), "-V"], capture_output=True, text=True).stderr
    match = re.search(r"mke2fs (\d+)\.(\d+)\.(\d+)", version)
    if match is None or tuple(map(int, match.groups())) < (1, 47, 1):
        pytest.skip("no mke2fs of 1.47.1 or later here: build an image once to get the tools tree")
    return found


@dataclass(frozen=True)
class Made:
    facts: ImageFacts
    image: Path


Prepare = Callable[[], None]


def in_namespace(work: Path, job: Callable[[], Any]) -> Any:
    """Run `job` as root of a namespace, as a build does, and give what it returns or raises."""
    answer = work / "answer"

    def main() -> int:
        try:
            result: tuple[bool, Any] = True, job()
        except BuildError as error:
            result = False, BuildError(error.message, hint=error.hint)
        answer.write_bytes(pickle.dumps((result[0], result[1].args if not result[0] else result[1])))
        return 0

    assert enter(main) == 0
    good, value = pickle.loads(answer.read_bytes())
    answer.unlink()
    if good:
        return value
    raise BuildError(*value)


def write(path: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.chown(path, *owner)
    path.chmod(mode)


def tree_parts(root: Path, dense: bool) -> list[Callable[[], None]]:
    """What makes the test tree; the parts can be called in any order."""

    def sparse() -> None:
        write(root / "var/sparse", b"")
        with (root / "var/sparse").open("r+b") as file:
            if dense:
                file.write(bytes(20 * MIB))
            file.seek(7 * MIB + 5)
            file.write(b"island")
            file.truncate(20 * MIB)

    def linked() -> None:
        write(root / "usr/bin/first", b"#!/bin/sh\n", 0o755)
        (root / "usr/bin/second").hardlink_to(root / "usr/bin/first")
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/third").hardlink_to(root / "usr/bin/first")

    def special() -> None:
        write(root / "usr/bin/ping", b"\x7fELF", 0o755)
        os.setxattr(root / "usr/bin/ping", "security.capability", CAPABILITY)
        write(root / "var/log/journal", b"j")
        os.setxattr(root / "var/log/journal", "system.posix_acl_access", ACL)

    def symlinks() -> None:
        (root / "usr").mkdir(exist_ok=True)
        (root / "lib").symlink_to("usr/lib")
        (root / "usr/long").symlink_to("/".join(["long"] * 40))

    return [
        sparse,
        linked,
        special,
        symlinks,
        lambda: write(root / "etc/shadow", b"root:*:\n", 0o640, (0, 42)),
        lambda: write(root / "usr/bin/su", b"su", 0o4755),
        lambda: write(root / 'home/mail box/it\'s "mine" ü', b"hello", 0o600, (1000, 1000)),
        lambda: (root / "tmp").mkdir() or (root / "tmp").chmod(0o1777),  # type: ignore[func-returns-value]
        *(lambda i=i: write(root / f"usr/share/many/{i:04d}", b"%d" % i) for i in range(400)),
        lambda: write(root / "boot/firmware/config.txt", b"arm_64bit=1\n"),
        lambda: write(root / "boot/firmware/vmlinuz-6.12", b"K" * 3_000_000),
        lambda: write(root / "boot/firmware/overlays/disable-bt.dtbo", b"dtbo"),
        lambda: write(root / "boot/firmware/overlays/README", b"read me"),
    ]


def make_tree(root: Path, *, backwards: bool = False) -> Path:
    """The test tree. Made backwards it has other inode numbers, other times, another order of entries, and
    written zeros where the other one has a hole; the content is the same."""
    root.mkdir(parents=True)
    parts = tree_parts(root, dense=backwards)
    for part in reversed(parts) if backwards else parts:
        part()
        if backwards:
            (root / "usr/share").mkdir(parents=True, exist_ok=True)
            (root / "usr/share/passing").write_bytes(b"x")
    (root / "usr/share/passing").unlink(missing_ok=True)
    for path in sorted(root.rglob("*"), reverse=True):
        modified = 1_600_000_000 if path.name != "shadow" else 2_000_000_000 + backwards
        os.utime(path, (1_500_000_000 if backwards else 1_650_000_000, modified), follow_symlinks=False)
    return root


def build(tools: Tools, work: Path, tree: Callable[[], Path], output: Path, epoch: int = EPOCH) -> ImageFacts:
    """Make a tree and its image in the namespace, and remove the tree there: its files have others' ids."""

    def job() -> ImageFacts:
        root = tree()
        try:
            return assemble(root, output, layout=LAYOUT, epoch=epoch, tools=tools)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    facts = in_namespace(work, job)
    assert isinstance(facts, ImageFacts)
    return facts


@pytest.fixture(scope="session")
def made(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Made:
    work = tmp_path_factory.mktemp("an image")
    output = work / "deploy here" / "mojomail test.img"
    facts = build(tools, work, lambda: make_tree(work / "root fs"), output)
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    return Made(facts, output)


def debugfs(tools: Tools, made: Made, request: str) -> str:
    image = f"{made.image.name}?offset={made.facts.root.start}"
    return tools.read("debugfs", "-R", request, image, cwd=made.image.parent)


def boot_partition(made: Made, target: Path) -> Path:
    with made.image.open("rb") as file:
        file.seek(made.facts.boot.start)
        target.write_bytes(file.read(made.facts.boot.size))
    return target


@pytest.mark.parametrize("epoch", [EPOCH, 1_900_000_000], ids=["later changes", "earlier changes"])
def test_same_content_gives_same_bits(tools: Tools, tmp_path: Path, epoch: int) -> None:
    def on_another_file_system() -> Path:
        mount("tmpfs", tmp_path / "memory", "tmpfs")
        return make_tree(tmp_path / "memory/b", backwards=True)

    (tmp_path / "memory").mkdir()
    there, here = tmp_path / "there.img", tmp_path / "here.img"
    build(tools, tmp_path, lambda: make_tree(tmp_path / "a"), here, epoch)
    build(tools, tmp_path, on_another_file_system, there, epoch)
    first, second = here.read_bytes(), there.read_bytes()
    assert len(first) == len(second)
    differing = [at for at in range(0, len(first), BLOCK) if first[at : at + BLOCK] != second[at : at + BLOCK]]
    assert not differing, f"blocks at {differing[:20]} differ"


def test_both_file_systems_are_clean(tools: Tools, made: Made, tmp_path: Path) -> None:
    tools.read("e2fsck", "-fn", f"{made.image.name}?offset={made.facts.root.start}", cwd=made.image.parent)
    tools.read("fsck.vfat", "-n", str(boot_partition(made, tmp_path / "boot")), cwd=tmp_path)


def test_partition_table_says_what_the_facts_say(tools: Tools, made: Made) -> None:
    dump = tools.read("sfdisk", "--dump", made.image.name, cwd=made.image.parent)
    assert f"label-id: 0x{made.facts.disk_id}" in dump
    rows = re.findall(r"start=\s*(\d+), size=\s*(\d+), type=(\w+)", dump)
    assert [(int(start) * 512, int(size) * 512, kind) for start, size, kind in rows] == [
        (made.facts.boot.start, made.facts.boot.size, "c"),
        (made.facts.root.start, made.facts.root.size, "83"),
    ]
    assert made.facts.root.start + made.facts.root.size == made.facts.size == made.image.stat().st_size
    assert all(part.start % ALIGNMENT == part.size % ALIGNMENT == 0 for part in (made.facts.boot, made.facts.root))


@pytest.mark.parametrize(
    ("path", "shows"),
    [
        ("/etc/shadow", ["Type: regular", "Mode:  0640", "User:     0   Group:    42", "Links: 1"]),
        ("/usr/bin/su", ["Mode:  04755"]),
        ("/tmp", ["Type: directory", "Mode:  01777"]),
        ('"/home/mail box/it\'s ""mine"" ü"', ["Mode:  0600", "User:  1000   Group:  1000"]),
        ("/lib", ["Type: symlink", 'Fast link dest: "usr/lib"']),
        ("/usr/long", ["Type: symlink", "Size: 199"]),
        ("/usr/bin/first", ["Mode:  0755", "Links: 3"]),
        ("/var/sparse", [f"Size: {20 * MIB}", "Blockcount: 8"]),
        ("/usr/bin/ping", ["security.capability (20) = 01 00 00 02 00 20"]),
        ("/var/log/journal", ["system.posix_acl_access"]),
        ("/boot/firmware", ["Type: directory", "Mode:  0755", "User:     0   Group:     0"]),
        ("/", ["Mode:  0755", "User:     0   Group:     0"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_come_out_as_they_went_in(tools: Tools, made: Made, path: str, shows: list[str]) -> None:
    status = debugfs(tools, made, f"stat {path}")
    assert [text for text in shows if text not in status] == [], status


def test_hard_links_stay_one_file(tools: Tools, made: Made) -> None:
    paths = ("/usr/bin/first", "/usr/bin/second", "/etc/third")
    assert len({debugfs(tools, made, f"stat {path}") for path in paths}) == 1


def test_contents_come_out_as_they_went_in(tools: Tools, made: Made) -> None:
    assert debugfs(tools, made, "cat /usr/share/many/0123") == "123"
    assert debugfs(tools, made, "cat /var/sparse").strip("\0") == "island"


def test_no_time_stamp_is_later_than_the_epoch(tools: Tools, made: Made) -> None:
    times = debugfs(tools, made, "stat /etc/shadow") + debugfs(tools, made, "stat /usr/bin/su")
    found = {name: int(value, 16) for name, value in re.findall(r" ([acm]time): 0x(\w+)", times)}
    assert found == {"ctime": EPOCH, "atime": EPOCH, "mtime": 1_600_000_000}
    assert f"mtime: 0x{EPOCH:08x}" in times


def test_firmware_is_only_in_the_boot_partition(tools: Tools, made: Made, tmp_path: Path) -> None:
    assert re.findall(r"\(\d+\) (\S+)", debugfs(tools, made, "ls /boot/firmware")) == [".", ".."]
    boot = boot_partition(made, tmp_path / "boot")
    listing = tools.read("mdir", "-i", str(boot), "-b", "-/", "::", cwd=tmp_path).split()
    assert [name for name in listing if not name.endswith("/")] == [
        "::/config.txt",
        "::/vmlinuz-6.12",
        "::/overlays/README",
        "::/overlays/disable-bt.dtbo",
    ]
    tools.read("mcopy", "-i", str(boot), "::/vmlinuz-6.12", str(tmp_path / "kernel"), cwd=tmp_path)
    assert (tmp_path / "kernel").read_bytes() == b"K" * 3_000_000
    # 1,700,000,000 s is 2023-11-14 22:13:20 UTC
    assert "2023-11-14  22:13" in tools.read("mdir", "-i", str(boot), "::/config.txt", cwd=tmp_path)


def test_free_space_is_what_was_asked_for(made: Made) -> None:
    free = made.facts.root.size - made.facts.root.used
    assert LAYOUT.free_mib * MIB <= free <= (LAYOUT.free_mib + 16) * MIB


def test_full_disk_is_explained_and_leaves_nothing(tools: Tools, tmp_path: Path) -> None:
    disk = tmp_path / "small disk"
    disk.mkdir()

    def job() -> tuple[str, list[str]]:
        mount("tmpfs", disk, "tmpfs", options="size=12m")
        root = make_tree(tmp_path / "tree")
        try:
            assemble(root, disk / "x.img", layout=LAYOUT, epoch=EPOCH, tools=tools)
        except BuildError as error:
            return str(error), [path.name for path in disk.iterdir()]
        finally:
            shutil.rmtree(root)
        return "no error", []

    message, left = in_namespace(tmp_path, job)
    assert re.search(rf"the disk is full: the image needs about \d+ MiB in {disk}, \d+ MiB are free", message)
    assert "hint: free some space there" in message
    assert left == []


def test_disk_that_fills_up_on_the_way_is_explained_too(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    usage = shutil.disk_usage
    answers = iter([usage("/")._replace(free=2**50)])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: next(answers, None) or usage(path))

    def job() -> tuple[str, list[str]]:
        mount("tmpfs", disk, "tmpfs", options="size=12m")
        root = make_tree(tmp_path / "tree")
        try:
            assemble(root, disk / "x.img", layout=LAYOUT, epoch=EPOCH, tools=tools)
        except BuildError as error:
            return str(error), [path.name for path in disk.iterdir()]
        finally:
            shutil.rmtree(root)
        return "no error", []

    message, left = in_namespace(tmp_path, job)
    assert "the disk is full: the image needs about" in message
    assert left == []


def test_what_a_killed_build_left_is_cleared(tools: Tools, tmp_path: Path) -> None:
    stale = tmp_path / f".image-{LAYOUT.disk_id:08x}"
    stale.mkdir()
    (stale / "image").write_bytes(b"half")
    build(tools, tmp_path, lambda: make_tree(tmp_path / "tree"), tmp_path / "x.img")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.img"]


def test_firmware_that_does_not_fit_is_refused(tools: Tools, tmp_path: Path) -> None:
    def tree() -> Path:
        write(tmp_path / "tree/boot/firmware/big", bytes(41 * MIB))
        return tmp_path / "tree"

    with pytest.raises(BuildError, match=r"boot/firmware needs 44 MiB, its partition has 40 MiB"):
        build(tools, tmp_path, tree, tmp_path / "x.img")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["config.txt", "CONFIG.TXT"], "CONFIG.TXT and config.txt are the same name"),
        (["a:b"], "cannot hold the name 'a:b'"),
        (["grün"], "cannot hold the name 'grün'"),
        (["->kernel8.img"], "holds only files and directories"),
    ],
)
def test_what_fat_cannot_hold_is_named(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        if name.startswith("->"):
            (tmp_path / name[2:]).symlink_to("elsewhere")
        else:
            (tmp_path / name).write_bytes(b"")
    with pytest.raises(BuildError, match=says):
        survey_boot(tmp_path)


def test_survey_counts_hard_links_once_and_leaves_the_firmware_out(tmp_path: Path) -> None:
    (tmp_path / "boot/firmware").mkdir(parents=True)
    (tmp_path / "boot/firmware/kernel").write_bytes(bytes(5 * BLOCK))
    (tmp_path / "a").write_bytes(b"x" * (BLOCK + 1))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    survey = survey_root(tmp_path, without=Path("boot/firmware"), epoch=0)
    # boot, boot/firmware, a=b; one block for each directory with the root, and two of data
    assert (survey.inodes, survey.data_bytes, survey.stale) == (3, (3 + 2) * BLOCK, ())


def test_layout_depends_on_its_seed_only() -> None:
    assert Layout.from_seed("a") == Layout.from_seed("a")
    one, other = Layout.from_seed("a"), Layout.from_seed("b")
    assert {one.disk_id, one.boot_serial, one.root_uuid}.isdisjoint({other.disk_id, other.boot_serial, other.root_uuid})

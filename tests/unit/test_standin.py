"""What stands in for a foreign root's programs, and that none of it stays in a layer."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from imagebuilder.standin import (
    EM_X86_64,
    INITRAMFS_SAFE,
    NEVER,
    Standing,
    Standins,
    elf_machine,
    installed_versions,
    same_version,
)
from imagebuilder.tools import LOADER, Program, Tools, _move_loader

EM_AARCH64 = 183


def elf(machine: int, content: str = "") -> bytes:
    """The head of a program of this architecture (elf(5)), and something to tell it from others."""
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, machine) + content.encode()


PROGRAMS = {
    "usr/bin/sed": ("sed", "4.9-2"),
    "usr/bin/cp": ("coreutils", "9.7-3"),
    "usr/bin/perl": ("perl-base", "5.40.1-6"),
    "usr/bin/python3.13": ("python3.13-minimal", "3.13.5-2"),
    "usr/bin/openssl": ("openssl", "3.5.7-1"),
    "usr/bin/uname": ("coreutils", "9.7-3"),
    "usr/sbin/ldconfig": ("libc-bin", "2.41-12"),
}
STATUS = "".join(
    f"Package: {package}\nStatus: install ok installed\nArchitecture: arm64\nVersion: {version}\n\n"
    for package, version in dict(PROGRAMS.values()).items()
)


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A tools tree with programs of this machine."""
    tree = tmp_path / "tools"
    for name in PROGRAMS:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(elf(EM_X86_64, name))
    loader = tree / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True)
    loader.write_bytes(elf(EM_X86_64, "loader"))
    (tree / "usr/lib64").mkdir()
    (tree / "usr/lib64" / loader.name).symlink_to(f"../lib/x86_64-linux-gnu/{loader.name}")
    programs = tuple(Program(name, *where) for name, where in PROGRAMS.items())
    return Tools("id", tree, "amd64", programs)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A foreign root with the same programs of the same versions."""
    root = tmp_path / "root"
    for name in PROGRAMS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(elf(EM_AARCH64, name))
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(STATUS)
    (root / "etc/apt/apt.conf.d").mkdir(parents=True)
    return root


def build(standins: Standins, root: Path, where: Path, standing: Standing = Standing.PACKAGES) -> set[str]:
    """Make the layer; returns the programs that are stood in for."""
    standins.build(root, where, standing, resolv_conf="nameserver 192.0.2.1\n")
    return {name for name in PROGRAMS if (where / name).is_file()}


ALL = set(PROGRAMS) - {"usr/bin/uname", "usr/sbin/ldconfig"}


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (Standing.PACKAGES, ALL),
        (Standing.SCRIPT, ALL - {"usr/bin/perl", "usr/bin/python3.13"}),
        (Standing.INITRAMFS, {"usr/bin/sed", "usr/bin/cp"}),
        (Standing.NOTHING, set()),
    ],
)
def test_which_programs_are_stood_in_for(
    standing: Standing, expected: set[str], tools: Tools, root: Path, tmp_path: Path
) -> None:
    assert build(Standins(tools), root, tmp_path / "layer", standing) == expected
    for name in expected:
        assert elf_machine(tmp_path / "layer" / name) == EM_X86_64


def test_programs_that_look_at_the_machine_are_never_stood_in_for() -> None:
    assert {"ldconfig", "uname"} <= NEVER
    assert not NEVER & INITRAMFS_SAFE


def test_program_of_another_version_is_left_alone(tools: Tools, root: Path, tmp_path: Path) -> None:
    (root / "var/lib/dpkg/status").write_text(STATUS.replace("4.9-2", "4.9-3"))
    assert build(Standins(tools), root, tmp_path / "layer") == ALL - {"usr/bin/sed"}


def test_program_that_the_root_lacks_or_links_to_another_is_left_alone(
    tools: Tools, root: Path, tmp_path: Path
) -> None:
    (root / "usr/bin/sed").unlink()
    (root / "usr/bin/cp").rename(root / "usr/bin/busybox")
    (root / "usr/bin/cp").symlink_to("busybox")
    assert build(Standins(tools), root, tmp_path / "layer") == ALL - {"usr/bin/sed", "usr/bin/cp"}


def test_excluded_program_is_left_alone(tools: Tools, root: Path, tmp_path: Path) -> None:
    standins = Standins(tools, {"usr/bin/sed", "usr/sbin/policy-rc.d"})
    assert build(standins, root, tmp_path / "layer") == ALL - {"usr/bin/sed"}
    assert not (tmp_path / "layer/usr/sbin/policy-rc.d").exists()


def test_without_tools_only_the_files_that_any_build_needs_are_there(root: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    assert build(Standins(None), root, layer) == set()
    files = {str(path.relative_to(layer)) for path in layer.rglob("*") if path.is_file()}
    assert files == {"usr/sbin/policy-rc.d", "etc/apt/apt.conf.d/zz-mojomail-build", "etc/resolv.conf"}
    assert (layer / "usr/sbin/policy-rc.d").stat().st_mode & 0o777 == 0o755


def test_root_without_apt_gets_no_settings_for_it_and_a_linked_resolv_conf_stays(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "etc/apt")
    (root / "etc/resolv.conf").symlink_to("../run/resolv.conf")
    build(Standins(None), root, tmp_path / "layer")
    assert not (tmp_path / "layer/etc").exists()


@pytest.mark.parametrize(
    ("standing", "put_off"),
    [(Standing.PACKAGES, True), (Standing.SCRIPT, True), (Standing.INITRAMFS, False), (Standing.NOTHING, False)],
)
def test_initramfs_is_put_off_while_other_things_are_done(
    standing: Standing, put_off: bool, root: Path, tmp_path: Path
) -> None:
    build(Standins(None), root, tmp_path / "none", standing)
    assert not (tmp_path / "none/usr/sbin/update-initramfs").exists(), "a root that has none gets none"
    (root / "usr/sbin/update-initramfs").write_text("#!/bin/sh\n")
    build(Standins(None), root, tmp_path / "layer", standing)
    assert (tmp_path / "layer/usr/sbin/update-initramfs").exists() == put_off


def test_directories_look_like_those_of_the_root_that_they_cover(tools: Tools, root: Path, tmp_path: Path) -> None:
    (root / "etc/apt").chmod(0o750)
    (root / "etc").chmod(0o711)
    build(Standins(tools), root, tmp_path / "layer")
    assert (tmp_path / "layer/etc/apt").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "layer/etc").stat().st_mode & 0o7777 == 0o711
    assert (tmp_path / "layer/etc").stat().st_mtime_ns == (root / "etc").stat().st_mtime_ns


@pytest.fixture
def standins(tools: Tools, root: Path, tmp_path: Path) -> Standins:
    made = Standins(tools)
    build(made, root, tmp_path / "layer")
    return made


def copies(standins: Standins, tree: dict[str, bytes], tmp_path: Path) -> list[str]:
    """The stand-ins that would be found in a layer with these files."""
    for name, content in tree.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "tree/usr/lib").mkdir(parents=True, exist_ok=True)
    (tmp_path / "tree/usr/lib/link").symlink_to("/usr/bin/sed")
    return standins.foreign_copies(tmp_path / "tree", tmp_path / "layer")


def test_clean_layer_has_no_copies(standins: Standins, tmp_path: Path) -> None:
    tree = {"usr/bin/sed": elf(EM_AARCH64, "new"), "etc/hosts": b"", "opt/other": elf(EM_X86_64, "a program we lack")}
    assert copies(standins, tree, tmp_path) == []


def test_copies_are_found_wherever_they_are_and_name_what_was_copied(standins: Standins, tmp_path: Path) -> None:
    tree = {
        "usr/bin/sed": elf(EM_X86_64, "usr/bin/sed"),
        "opt/jail/bin/my-cp": elf(EM_X86_64, "usr/bin/cp"),
        "opt/jail/bin/cp": elf(EM_X86_64, "usr/bin/cp"),
    }
    assert copies(standins, tree, tmp_path) == ["usr/bin/cp", "usr/bin/sed"]


def test_files_for_the_time_of_the_build_are_dropped_from_the_tree(standins: Standins, tmp_path: Path) -> None:
    """A changed mode is enough for the file to be copied up; that is no reason to make the layer again."""
    resolv_conf = (tmp_path / "layer/etc/resolv.conf").read_bytes()
    tree = {
        "usr/sbin/policy-rc.d": (tmp_path / "layer/usr/sbin/policy-rc.d").read_bytes(),
        "etc/resolv.conf": resolv_conf,
    }
    assert copies(standins, tree, tmp_path) == []
    assert not list(tmp_path.rglob("tree*/**/policy-rc.d"))


def test_own_file_of_a_package_at_the_place_of_a_stand_in_is_no_copy(standins: Standins, tmp_path: Path) -> None:
    assert copies(standins, {"usr/sbin/policy-rc.d": b"#!/bin/sh\nexit 0\n"}, tmp_path) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("4.9-2", "4.9-2", True),
        ("4.9-2+b1", "4.9-2", True),
        ("4.9-2+b1", "4.9-2+b12", True),
        ("4.9-2+deb13u1", "4.9-2", False),
        ("1:4.9-2", "4.9-2", False),
        ("4.9-2+b1u1", "4.9-2", False),
        (None, "4.9-2", False),
    ],
)
def test_rebuilds_are_of_the_same_version(one: str | None, other: str, same: bool) -> None:
    assert same_version(one, other) == same


def test_installed_packages_are_those_at_least_unpacked(tmp_path: Path) -> None:
    states = {
        "a": "install ok installed",
        "b": "install ok unpacked",
        "c": "install ok half-configured",
        "d": "deinstall ok config-files",
        "e": "purge ok not-installed",
    }
    text = "\n".join(f"Package: {name}\nStatus: {state}\nVersion: 1\n" for name, state in states.items())
    (tmp_path / "status").write_text(text)
    assert set(installed_versions(tmp_path / "status")) == {"a", "b", "c"}
    assert installed_versions(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("content", "machine"),
    [
        (elf(EM_X86_64), EM_X86_64),
        (elf(EM_AARCH64), EM_AARCH64),
        (b"", None),
        (b"#!/bin/sh\n", None),
        (b"\x7fELF\x02\x01", None),
    ],
)
def test_architecture_of_a_file(content: bytes, machine: int | None, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert elf_machine(tmp_path / "file") == machine


def test_nothing_of_this_machine_lies_where_hooks_of_an_initramfs_look(
    tools: Tools, root: Path, tmp_path: Path
) -> None:
    build(Standins(tools), root, tmp_path / "usual")
    assert (tmp_path / "usual/usr/lib/x86_64-linux-gnu").is_dir()
    layer = tmp_path / "layer"
    build(Standins(tools), root, layer, Standing.INITRAMFS)
    assert sorted(path.name for path in (layer / "usr").iterdir()) == ["bin", "sbin"]
    assert not (layer / "lib64").exists()


def test_programs_look_for_their_linker_where_a_root_file_system_has_nothing(tmp_path: Path) -> None:
    usual = b"/lib64/ld-linux-x86-64.so.2\0"
    program, static = tmp_path / "program", tmp_path / "static"
    program.write_bytes(elf(EM_X86_64) + usual + b"more")
    static.write_bytes(elf(EM_X86_64).ljust(5000) + usual)
    for path in (program, static):
        before = path.read_bytes()
        _move_loader(path)
        assert len(path.read_bytes()) == len(before)
    assert elf(EM_X86_64) + LOADER.encode() + b"\0" in program.read_bytes()
    assert program.read_bytes().endswith(b"\0more")
    assert usual in static.read_bytes(), "a string of the program's own"

"""The tools tree: unpacked Debian packages of the build machine's own architecture, in the cache.

It serves two ends. Images are put together by its programs (mke2fs, mtools, sfdisk, xz, ...), so the
bits do not depend on what the host has installed. And its programs stand in for those of a foreign
root file system, of which they are the same version (see standin.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .archives import Deb, download, resolve, unpack
from .cache import Cache
from .durable import sync_filesystem
from .errors import BuildError
from .indexes import Indexes, host_architecture
from .layers import digest_of, remove_tree
from .process import run
from .progress import step

PACKAGES = (
    # for images
    *("e2fsprogs", "libarchive13t64", "mtools", "dosfstools", "fdisk", "xz-utils", "zstd", "tar"),
    # in place of the foreign root's own
    *("apt", "dpkg", "bash", "dash", "coreutils", "findutils", "diffutils", "debianutils", "util-linux", "bsdutils"),
    *("sed", "grep", "mawk", "gzip", "perl", "python3", "debconf", "passwd", "login", "login.defs", "openssl", "kmod"),
    *("cpio", "file", "libc-bin", "ucf", "sqlite3", "sqv", "hostname", "procps", "sysvinit-utils", "systemd", "udev"),
    *("ca-certificates", "patch", "locales", "gpgv", "mount", "acl", "libcap2-bin", "fontconfig", "shared-mime-info"),
)

PROGRAM_DIRECTORIES = ("usr/bin", "usr/sbin", "usr/lib/apt/methods", "usr/lib/apt/solvers")

RECIPE = 2
"""Raised when a tools tree of the same packages would come out otherwise."""

LOADER = "/run/mojomail/ld"
"""Where programs of the tree look for their dynamic linker in a root file system: its own /lib64 stays as it is."""


@dataclass(frozen=True)
class Program:
    """An executable of the tools tree: its path below the root, and the package and version it is from."""

    path: str
    package: str
    version: str


@dataclass(frozen=True)
class Tools:
    """A finished tools tree. `id` names it; `programs` are its ELF executables."""

    id: str
    path: Path
    architecture: str
    programs: tuple[Program, ...]

    @property
    def triplet(self) -> str:
        """The multiarch directory's name: x86_64-linux-gnu or aarch64-linux-gnu."""
        return {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[self.architecture]

    @property
    def loader(self) -> Path:
        """The dynamic linker's path in the tree (ld.so(8))."""
        return (
            self.path
            / {
                "amd64": "usr/lib64/ld-linux-x86-64.so.2",
                "arm64": "usr/lib/ld-linux-aarch64.so.1",
            }[self.architecture]
        )

    def command(self, name: str) -> list[str]:
        """The words to start a program of the tree on the host, with the tree's own libraries."""
        for directory in ("usr/sbin", "usr/bin"):
            program = self.path / directory / name
            if program.exists():
                library = self.path / "usr/lib" / self.triplet
                path = f"{library}:{library}/systemd"
                return [str(self.loader), "--library-path", path, "--argv0", name, str(program)]
        raise BuildError(f"the tools tree has no program {name}")


def tools_id(indexes: Indexes) -> str:
    """The id of the tools tree that these indexes give."""
    return digest_of([RECIPE, PACKAGES, host_architecture(), indexes.digest])[:16]


def find_tools(cache: Cache, indexes: Indexes) -> Tools | None:
    """The finished tools tree for these indexes, or None."""
    return _read(cache.tools / tools_id(indexes))


def _read(path: Path) -> Tools | None:
    try:
        data = json.loads((path / "tools.json").read_text())
    except (OSError, ValueError):
        return None
    return Tools(
        id=path.name,
        path=path / "tree",
        architecture=data["architecture"],
        programs=tuple(Program(*entry) for entry in data["programs"]),
    )


def make_tools(cache: Cache, indexes: Indexes) -> Tools:
    """The tools tree for these indexes, unpacked now if it is not in the cache. Needs the namespace."""
    found = find_tools(cache, indexes)
    if found is not None:
        return found
    final = cache.tools / tools_id(indexes)
    partial = final.with_suffix(".partial")
    with step("Unpacking tools for this machine"):
        started = time.monotonic()
        remove_tree(partial)
        partial.mkdir(parents=True)
        architecture = host_architecture()
        tree = partial / "tree"
        tree.mkdir()
        request = ["install", *PACKAGES]
        debs = resolve(indexes, architecture, request)
        download(cache, indexes, architecture, request)
        unpack(cache, debs, tree)
        programs = _programs(cache, debs, tree)
        if architecture == "amd64":
            _retarget(tree)
            for program in programs:
                _move_loader(tree / program.path)
        data = {
            "architecture": architecture,
            "programs": [[p.path, p.package, p.version] for p in programs],
            "seconds": round(time.monotonic() - started, 1),
        }
        (partial / "tools.json").write_text(json.dumps(data, indent=1))
        sync_filesystem(partial)
        remove_tree(final)
        partial.rename(final)
    made = _read(final)
    assert made is not None
    return made


def _programs(cache: Cache, debs: Sequence[Deb], tree: Path) -> list[Program]:
    """Every ELF executable in the tree's program directories, with the package it is from."""
    owners = {}
    for deb in debs:
        listing = run("dpkg-deb", "--contents", cache.debs / deb.filename, quiet=True)
        for line in listing.splitlines():
            path = line.split(None, 5)[5].split(" -> ")[0].removeprefix("./").rstrip("/")
            if path.startswith(("bin/", "sbin/", "lib/")):
                path = f"usr/{path}"
            owners[path] = deb
    found = []
    for directory in PROGRAM_DIRECTORIES:
        base = tree / directory
        for program in sorted(base.iterdir()) if base.is_dir() else []:
            name = str(program.relative_to(tree))
            if name in owners and not program.is_symlink() and program.is_file():
                with program.open("rb") as handle:
                    if handle.read(4) == b"\x7fELF":
                        found.append(Program(name, owners[name].package, owners[name].version))
    return found


_CONSTANT = {"amd64": b"\0amd64\0", "arm64": b"\0arm64\0"}


def _retarget(tree: Path) -> None:
    """Make the tree's dpkg and apt take arm64 for the native architecture.

    Both carry that name as one string constant, of the same length for both architectures. Nothing
    else in them depends on it: the packages they handle are data. Raises BuildError when a program
    does not carry the constant exactly once, as a newer version might.
    """
    names = ["dpkg", "dpkg-deb", "dpkg-divert", "dpkg-query", "dpkg-split", "dpkg-trigger"]
    library = next(
        (path for path in (tree / "usr/lib/x86_64-linux-gnu").glob("libapt-pkg.so.*") if not path.is_symlink()), None
    )
    if library is None:
        raise BuildError("the tools tree has no libapt-pkg")
    for path in [*(tree / "usr/bin" / name for name in names), library]:
        content = path.read_bytes()
        if content.count(_CONSTANT["amd64"]) != 1:
            raise BuildError(
                f"{path.name} in the tools tree does not name its architecture in the one known place",
                hint="build with --no-native, and report this with the output of 'dpkg --version'",
            )
        path.write_bytes(content.replace(_CONSTANT["amd64"], _CONSTANT["arm64"]))


_USUAL_LOADER = b"/lib64/ld-linux-x86-64.so.2\0"


def _move_loader(program: Path) -> None:
    """Make a program ask the kernel for the dynamic linker at LOADER; those that are linked statically name none.

    The name stands in the file's first page (elf(5): PT_INTERP), and may be shorter than the room there is.
    """
    content = program.read_bytes()
    if _USUAL_LOADER in content[:4096]:
        new = LOADER.encode().ljust(len(_USUAL_LOADER), b"\0")
        program.write_bytes(content.replace(_USUAL_LOADER, new, 1))

"""The stand-in layer: what lies over a foreign root file system only while its tools run.

Programs of the tools tree, which run at this machine's own speed, take the place of the foreign root's
own programs of the same package and version; the rest of the root stays as it is and runs under
emulation. The stand-ins are an overlayfs layer below the one that is being written: a package that
brings its own file covers the stand-in, and nothing of a stand-in reaches the layer unless something
copies it. That is looked for afterwards (`foreign_copies`), and the layer is then made again without
that stand-in.

The same layer carries the few files that any build needs in a root for its own time: policy-rc.d,
apt's settings, and an update-initramfs that only notes that it was asked for (see chroot.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from .layers import digest_file
from .tools import Tools

NEVER = frozenset(
    # They look at libraries or report on the machine, and would find this one's.
    ["ldconfig", "ldd", "iconvconfig", "getconf", "uname", "arch", "setarch", "lscpu", "systemd-detect-virt", "udevadm"]
)
"""Programs that are never stood in for."""

INTERPRETERS = re.compile(r"^usr/bin/(perl|python)[0-9.]*$")
"""Programs that load compiled modules of the root's architecture.

They are stood in for while packages are installed, where maintainer scripts use what the tools tree
has too, but not for the scripts of a stage, which may use any module.
"""

_SAFE = """
basename bash cat chmod chown cp cpio cut dash date dirname du expr find grep gzip head id install ln ls mawk mkdir
mktemp mv paste readlink realpath rm rmdir run-parts sed sha256sum sort stat tail tar tee touch tr uniq wc xargs xz zstd
"""

INITRAMFS_SAFE = frozenset(_SAFE.split())
"""Programs that no initramfs hook copies, so that they can stand in while an initramfs is made."""


class Standing(Enum):
    """What stands in, by what is going to run in the root."""

    PACKAGES = "maintainer scripts: every program, and the initramfs is put off"
    SCRIPT = "scripts of a stage: no interpreters, and the initramfs is put off"
    INITRAMFS = "update-initramfs: only programs that it does not copy"
    NOTHING = "no program"


UPDATE_INITRAMFS = """#!/bin/sh
# Stands in while packages are installed: the initramfs is made once, afterwards, by the root's own tools.
case " $* " in *" --version "* | *" -V "*) echo "initramfs-tools stand-in"; exit 0 ;; esac
echo "$*" >> /run/mojomail/initramfs
version=""
while [ $# -gt 0 ]; do
	case $1 in -k) version=$2; shift ;; esac
	shift
done
if [ -n "$version" ] && [ "$version" != all ] && [ -e "/boot/vmlinuz-$version" ]; then
	[ -e "/boot/initrd.img-$version" ] || : > "/boot/initrd.img-$version"
fi
exit 0
"""

APT_SETTINGS = """// For the time of the build only.
APT::Sandbox::User "root";
// The cache, whose directories these are, has a lock of its own.
Debug::NoLocking "true";
APT::Install-Suggests "false";
APT::Keep-Downloaded-Packages "true";
Binary::apt::APT::Keep-Downloaded-Packages "true";
Acquire::Retries "5";
Acquire::Languages "none";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
DPkg::Options { "--force-unsafe-io"; "--force-confdef"; "--force-confold"; };
// What apt makes of the indexes is kept for the next run; what it makes of the packages that are installed is not.
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "/run/mojomail/apt/srcpkgcache.bin";
DPkg::Use-Pty "false";
"""


@dataclass
class Standins:
    """Builds stand-in layers. With `tools` None only the files that any build needs are in them."""

    tools: Tools | None
    excluded: set[str] = field(default_factory=set)

    def build(self, root: Path, where: Path, standing: Standing, *, resolv_conf: str | None) -> None:
        """Make the layer `where` for the mounted root file system `root`.

        resolv_conf    text for the root's /etc/resolv.conf if it has none or a plain file
        """
        where.mkdir(parents=True)
        self._write(where, "usr/sbin/policy-rc.d", "#!/bin/sh\n# No service starts in a build.\nexit 101\n", 0o755)
        if (root / "etc/apt").is_dir():
            self._write(where, "etc/apt/apt.conf.d/zz-mojomail-build", APT_SETTINGS, 0o644)
        puts_off = standing in (Standing.PACKAGES, Standing.SCRIPT)
        if puts_off and (root / "usr/sbin/update-initramfs").exists():
            self._write(where, "usr/sbin/update-initramfs", UPDATE_INITRAMFS, 0o755)
        if resolv_conf is not None and not (root / "etc/resolv.conf").is_symlink():
            self._write(where, "etc/resolv.conf", resolv_conf, 0o644)
        if self.tools is not None and self.tools.architecture != "arm64":
            if standing is not Standing.INITRAMFS:
                (where / "usr/lib" / self.tools.triplet).mkdir(parents=True)
            if standing is not Standing.NOTHING:
                self._link_programs(root, where, standing)
        _copy_directories(root, where)

    def _write(self, where: Path, name: str, text: str, mode: int) -> None:
        if name in self.excluded:
            return
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def _link_programs(self, root: Path, where: Path, standing: Standing) -> None:
        assert self.tools is not None
        installed = installed_versions(root / "var/lib/dpkg/status")
        for program in self.tools.programs:
            name = program.path.rpartition("/")[2]
            if name in NEVER or program.path in self.excluded:
                continue
            if standing is Standing.SCRIPT and INTERPRETERS.match(program.path):
                continue
            if standing is Standing.INITRAMFS and name not in INITRAMFS_SAFE:
                continue
            if installed and not same_version(installed.get(program.package), program.version):
                continue
            target = root / program.path
            if target.is_symlink() or not target.is_file():
                continue
            link = where / program.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(self.tools.path / program.path)

    def foreign_copies(self, tree: Path, standin: Path) -> list[str]:
        """Paths in a finished tree whose content came from a stand-in, relative to the root.

        Found are files at a stand-in's own place with its content, and copies of its programs
        anywhere else. Each names the stand-in to leave out.
        """
        found = []
        digests: dict[str, str] | None = None
        for path in _files(tree):
            name = str(path.relative_to(tree))
            own = standin / name
            if own.is_file() and own.stat().st_size == path.stat().st_size and digest_file(own) == digest_file(path):
                if name in BUILD_ONLY:
                    path.unlink()
                elif name != "etc/resolv.conf":
                    found.append(name)
            elif self.tools is not None and self.tools.architecture == "amd64" and elf_machine(path) == EM_X86_64:
                if digests is None:
                    digests = {digest_file(self.tools.path / p.path): p.path for p in self.tools.programs}
                program = digests.get(digest_file(path))
                if program is not None:
                    found.append(program)
        return sorted(set(found))


BUILD_ONLY = ("usr/sbin/policy-rc.d", "etc/apt/apt.conf.d/zz-mojomail-build")
"""Files for the time of the build only: a changed mode can copy them, and then they are dropped."""

EM_X86_64 = 62
"""elf(5): the e_machine value of amd64 programs."""


def elf_machine(path: Path) -> int | None:
    """The architecture number of an ELF file, or None for any other file."""
    with path.open("rb") as handle:
        head = handle.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    return int.from_bytes(head[18:20], "little")


def same_version(one: str | None, other: str) -> bool:
    """Whether two package versions are of the same source: rebuilds (+b1) are per architecture."""
    return one is not None and re.sub(r"\+b\d+$", "", one) == re.sub(r"\+b\d+$", "", other)


def installed_versions(status: Path) -> dict[str, str]:
    """Package versions by name from a dpkg status file, of packages that are at least unpacked."""
    versions: dict[str, str] = {}
    if not status.exists():
        return versions
    name = state = ""
    for line in status.read_text(errors="replace").splitlines():
        if line.startswith("Package: "):
            name = line[9:]
        elif line.startswith("Status: "):
            state = line.rpartition(" ")[2]
        elif line.startswith("Version: ") and state not in ("not-installed", "config-files"):
            versions[name] = line[9:]
    return versions


def _files(tree: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(tree):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _copy_directories(root: Path, where: Path) -> None:
    """Give the stand-in's directories the looks of the root's, which they cover."""
    for directory, _, _ in os.walk(where, topdown=False):
        relative = os.path.relpath(directory, where)
        try:
            status = os.lstat(root / relative)
        except FileNotFoundError:
            continue
        os.chown(directory, status.st_uid, status.st_gid)
        Path(directory).chmod(status.st_mode & 0o7777)
        os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns))

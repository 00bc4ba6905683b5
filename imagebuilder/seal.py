"""The last layer: what makes a root file system fit to be copied to many cards.

Nothing that must differ from card to card stays in, nothing that only the build needed, and nothing
that would differ from build to build. What the licences of the packages say is collected first, since
the image carries no documentation.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .errors import BuildError, CommandFailed
from .image import Layout
from .layers import remove_tree
from .process import run
from .standin import EM_X86_64
from .tools import Tools

SECRETS = (
    *("etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/urandom/random-seed"),
    *("var/lib/systemd/credential.secret", "etc/ssl/private/*", "etc/ssl/certs/ssl-cert-snakeoil.pem"),
    *("var/lib/NetworkManager/*", "var/lib/ModemManager/*", "var/lib/systemd/timesync/clock", "etc/hostid"),
    *("etc/NetworkManager/system-connections/*", "etc/machine-info", "root/.ssh/known_hosts", "root/.ssh/id_*"),
    *("var/lib/systemd/pstore/*", "var/lib/private/systemd/*", "etc/dropbear/*host_key"),
    *("root/.gnupg", "home/*/.ssh/id_*", "home/*/.ssh/known_hosts", "home/*/.gnupg", "home/*/.*_history"),
)
"""What a first boot makes afresh on each card, as patterns below the root."""

LEFTOVERS = (
    *("var/cache/apt/*", "var/lib/apt/lists/*", "var/cache/debconf/*-old", "var/lib/dpkg/*-old", "var/cache/man/*"),
    *("var/log/**/*", "var/cache/ldconfig/aux-cache", "etc/*-", "etc/.pwd.lock", "etc/subuid-", "etc/subgid-"),
    *("tmp/*", "tmp/.*", "var/tmp/*", "run/*", "root/.bash_history", "root/.wget-hsts", "root/.cache"),
    *(
        "usr/share/doc/*",
        "usr/share/man/*",
        "usr/share/info/*",
        "usr/share/lintian",
        "var/lib/systemd/catalog/database~",
    ),
    *("var/lib/apt/extended_states~", "boot/*.bak", "boot/*.old-dkms", "var/lib/ucf/*.[0-9]", "var/lib/dpkg/lock*"),
    *("var/lib/dpkg/triggers/Lock", "var/cache/apt/archives/lock"),
)
"""What only the build needed, or what would differ from build to build."""


def seal(root: Path, kept: Path, layout: Layout, tools: Tools) -> None:
    """Clean the mounted root file system at `root`.

    In the directory `kept` are left licences.json, the packages' copyright texts by name, and dpkg.log.

    Raises BuildError when an initramfs holds programs of the build machine's architecture.
    """
    collect_licences(root, kept / "licences.json")
    log = root / "var/log/dpkg.log"
    readable = log.is_file() and not log.is_symlink() and _inside(root, log)
    (kept / "dpkg.log").write_bytes(log.read_bytes() if readable else b"")
    for pattern in (*SECRETS, *LEFTOVERS):
        for path in sorted(root.glob(pattern), reverse=True):
            # D-Bus's id is a link to the one in /etc, made anew with it.
            if _inside(root, path) and not (path.is_symlink() and path.name == "machine-id"):
                _remove(root, path)
    machine_id = root / "etc/machine-id"
    machine_id.unlink(missing_ok=True)
    # Empty, not "uninitialized": systemd then makes one, and does not apply presets as on a first boot.
    machine_id.write_text("")
    machine_id.chmod(0o444)
    fill_placeholders(root, layout)
    check_initramfs(root, tools)


def _inside(root: Path, path: Path) -> bool:
    """Whether no directory on the way to `path` is a link, which could lead out of the root to the host."""
    return not any(parent.is_symlink() for parent in path.parents if parent != root and parent.is_relative_to(root))


def _remove(root: Path, path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    elif path.relative_to(root).parts[:2] in (("var", "log"), ("etc", "ssl")):
        # Directories there belong to packages, which expect them.
        return
    else:
        remove_tree(path)


def collect_licences(root: Path, licences: Path) -> None:
    """Write {package: text of its copyright file} for every package documented in the root."""
    texts = {}
    for path in sorted((root / "usr/share/doc").glob("*/copyright")):
        # A link may lead to another package's, inside the root.
        real = (
            root / os.path.realpath(path).removeprefix(str(root.resolve())).lstrip("/") if path.is_symlink() else path
        )
        if real.is_file():
            texts[path.parent.name] = real.read_text(errors="replace")
    licences.write_text(json.dumps(texts, sort_keys=True))


def fill_placeholders(root: Path, layout: Layout) -> None:
    """Replace pi-gen's BOOTDEV and ROOTDEV, which its export stage fills in, by this image's partitions."""
    disk = f"{layout.disk_id:08x}"
    for name in ("etc/fstab", "boot/firmware/cmdline.txt"):
        path = root / name
        if not path.is_file() or path.is_symlink() or not _inside(root, path):
            continue
        text = path.read_text()
        new = re.sub(r"\bBOOTDEV\b", f"PARTUUID={disk}-01", re.sub(r"\bROOTDEV\b", f"PARTUUID={disk}-02", text))
        if new != text:
            path.write_text(new)


def check_initramfs(root: Path, tools: Tools) -> None:
    """Raise BuildError when an initramfs of the root holds amd64 programs or libraries, which no Pi can run."""
    for path in sorted({*root.glob("boot/initrd*"), *root.glob("boot/firmware/init*")}):
        if path.is_symlink() or not path.is_file() or path.stat().st_size == 0:
            continue
        for part in unpacked_parts(path, tools):
            for match in re.finditer(rb"\x7fELF\x02\x01", part):
                machine = int.from_bytes(part[match.start() + 18 : match.start() + 20], "little")
                if machine == EM_X86_64:
                    raise BuildError(
                        f"{path.relative_to(root)} holds programs of the build machine's architecture",
                        hint="a stage made it outside of update-initramfs; build with --no-native",
                    )


ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
"""RFC 8878, 3.1.1: how a Zstandard frame begins."""


def unpacked_parts(path: Path, tools: Tools) -> Iterator[bytes]:
    """The cpio archives of an initramfs: plain ones as they are, then what Zstandard makes of the rest.

    mkinitramfs puts a plain archive (modules, which are compressed themselves) before the compressed one.
    """
    content = path.read_bytes()
    start = content.find(ZSTD_MAGIC)
    packed = path.parent / f".{path.name}.packed"
    unpacked = path.parent / f".{path.name}.unpacked"
    try:
        while start >= 0:
            packed.write_bytes(content[start:])
            try:
                run(*tools.command("zstd"), "-q", "-d", "-f", "-o", unpacked, packed)
            except CommandFailed:
                # The four bytes stand in the plain archive by chance.
                start = content.find(ZSTD_MAGIC, start + 1)
                continue
            yield unpacked.read_bytes()
            break
    finally:
        packed.unlink(missing_ok=True)
        unpacked.unlink(missing_ok=True)
    yield content[:start] if start >= 0 else content

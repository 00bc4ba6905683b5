"""Package files: which ones a request needs, fetched into the cache, unpacked without being installed."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cache import Cache
from .indexes import APT_PATIENCE, Indexes
from .process import Patience, run


@dataclass(frozen=True)
class Deb:
    """A package file: `filename` as apt keeps it in its archives directory (the colon of an epoch is %3a)."""

    filename: str
    package: str
    version: str


def resolve(indexes: Indexes, architecture: str, request: Sequence[str]) -> list[Deb]:
    """The package files that an apt-get request (`install NAME ...`, `dist-upgrade`) needs on an empty system."""
    options = indexes.apt_options(architecture)
    options += ["-o", "Dir::Cache::archives=/nonexistent", "-o", "APT::Install-Recommends=false"]
    text = run("apt-get", *options, "-qq", "--print-uris", "--yes", *request, env=indexes.environment(), quiet=True)
    debs = []
    for line in text.splitlines():
        match = re.match(r"'[^']+' (\S+\.deb) ", line)
        if match:
            name = match[1]
            package, version, _ = name.removesuffix(".deb").split("_")
            debs.append(Deb(name, package, urllib.parse.unquote(version)))
    return debs


def download(cache: Cache, indexes: Indexes, architecture: str, request: Sequence[str]) -> None:
    """Fetch what the request needs into the cache; what is already there, or half there, is used.

    Raises CommandFailed, also when there is no room for it: apt looks before it begins.
    """
    options = indexes.apt_options(architecture)
    options += ["-o", f"Dir::Cache::archives={cache.debs}", "-o", "APT::Install-Recommends=false"]
    patience = Patience(APT_PATIENCE, (cache.debs / "partial",))
    run("apt-get", *options, "--download-only", "--yes", *request, env=indexes.environment(), patience=patience)


def unpack(cache: Cache, debs: Sequence[Deb], tree: Path) -> None:
    """Unpack package files into a tree with merged /usr, without running anything of theirs."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    script = (
        'set -e -o pipefail; tree=$1; shift; for deb; do dpkg-deb --fsys-tarfile "$deb" '
        '| tar -x -p -C "$tree" --keep-directory-symlink; done'
    )
    run("bash", "-c", script, "unpack", tree, *(cache.debs / deb.filename for deb in debs))

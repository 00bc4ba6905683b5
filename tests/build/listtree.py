"""Prints the sealed tree of a profile's image as JSON: `listtree.py PROFILE`."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.builder import Builder, Options, prepare_namespace
from imagebuilder.cache import default_cache
from imagebuilder.cli import ROOT, guarded
from imagebuilder.profile import load_profile, resolve_profile


def main() -> int:
    """Mount the layers and walk them."""
    prepare_namespace()
    profile = load_profile(resolve_profile(sys.argv[1], ROOT), root=ROOT)
    builder = Builder(profile, default_cache(), Options(frozen=True))
    export = builder.plan().exports[-1]
    with builder.exporter.sealed_root(export.seal.id) as root:
        print(json.dumps(walk(root)))
    return 0


def walk(root: Path) -> dict[str, str]:
    """What lies below `root`: for each path its type, mode, owner, and content or target."""
    found = {}
    for directory, directories, names in os.walk(root):
        for name in [*directories, *names]:
            path = Path(directory, name)
            status = path.lstat()
            text = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
            if path.is_symlink():
                text += f" -> {path.readlink()}"
            elif stat.S_ISREG(status.st_mode):
                text += f" {status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
            found[str(path.relative_to(root))] = text
    return found


if __name__ == "__main__":
    sys.exit(namespace.enter(lambda: guarded(main)))

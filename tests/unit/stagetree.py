"""Writes small stage directories for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SCRIPT = "#!/bin/bash -e\ntrue\n"


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files by their path below `root`; a path ending in `*` gets run bits, one ending in `/` is a directory,
    and a text beginning with `-> ` makes a link."""
    for name, content in files.items():
        path = root / name.rstrip("*")
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
            continue
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o755 if name.endswith("*") else 0o644)
    return root

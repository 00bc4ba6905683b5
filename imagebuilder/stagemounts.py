"""Mounts that a stage script asks for: `python -m imagebuilder.stagemounts [previous|empty]`.

`previous` and `empty` mount a new layer at ROOTFS_DIR, over the previous stage's layers or over nothing;
without an argument the root file system at ROOTFS_DIR gets /proc, /dev and so on. The engine undoes them
when the script has ended.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

from .chroot import mount_apis
from .overlay import mount_overlay


def main() -> int:
    """Do what the first argument says; the engine's variables tell where."""
    rootfs = Path(os.environ["ROOTFS_DIR"])
    if len(sys.argv) == 1:
        stack = ExitStack()
        mount_apis(stack, rootfs)
        stack.pop_all()
        return 0
    kind = sys.argv[1]
    partial = Path(os.environ["MOJOMAIL_PARTIAL"])
    lower = os.environ["MOJOMAIL_PREVIOUS"].split(":") if kind == "previous" else []
    trees = [tree for tree in lower if tree]
    mount_overlay(Path(os.environ["MOJOMAIL_LAYERS"]), trees, rootfs, partial / "tree.0", partial / "scratch.0")
    (partial / "base").write_text(kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes layers of a built profile anew, with stand-ins and without, and prints both trees as JSON.

`twoways.py PROFILE LAYER...` prints {layer: [tree with stand-ins, tree without]}.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.builder import Builder, Options, prepare_namespace
from imagebuilder.cache import default_cache
from imagebuilder.cli import ROOT, guarded
from imagebuilder.execute import StagePlace
from imagebuilder.layers import remove_tree
from imagebuilder.overlay import mount_overlay
from imagebuilder.plan import PlannedLayer
from imagebuilder.process import logging_to
from imagebuilder.profile import load_profile
from imagebuilder.seal import unpacked_parts
from imagebuilder.standin import Standins
from tests.build.listtree import walk


def main() -> int:
    """Build each layer twice over the same layers below."""
    prepare_namespace()
    cache = default_cache()
    profile = load_profile(Path(sys.argv[1]), root=ROOT)
    with cache.locked(), logging_to(cache.logs / "two-ways.log"):
        builder = Builder(profile, cache, Options(frozen=True))
        layers = {layer.inputs.name: layer for layer in builder.plan().layers()}
        print(
            json.dumps(
                {name: [tree(builder, layers[name], native) for native in (True, False)] for name in sys.argv[2:]}
            )
        )
    return 0


def tree(builder: Builder, layer: PlannedLayer, native: bool) -> dict[str, str]:
    """Every path of the root with the layer made in this way on top."""
    made = builder.store.get(layer.id)
    assert made is not None and layer.stage is not None and layer.substage is not None
    lower = builder.store.lower_trees(made.base)
    partial = builder.store.path / "two-ways.partial"
    work = builder.cache.work / "two-ways"
    remove_tree(partial)
    partial.mkdir()
    executor = builder.executor()
    executor.standins = lambda: Standins(builder.tools if native else None)
    place = StagePlace(layer.stage, work, None, None, ())
    executor.substage(place, layer.substage, lower, partial)
    trees = sorted(partial.glob("tree.*"), key=lambda path: -int(path.name[5:]))
    mount_overlay(
        builder.store.path, [f"{partial.name}/{path.name}" for path in trees] + lower, work / "rootfs", None, None
    )
    try:
        return walk(work / "rootfs") | initramfs(work / "rootfs", builder)
    finally:
        namespace.unmount(work / "rootfs")
        remove_tree(partial)


def initramfs(root: Path, builder: Builder) -> dict[str, str]:
    """The archives in each initramfs of the root: what a Pi unpacks, however well they are compressed."""
    found = {}
    for path in [*root.glob("boot/initrd*"), *root.glob("boot/firmware/initrd*")]:
        copy = builder.cache.work / "two-ways" / path.name
        shutil.copyfile(path, copy)
        for part in unpacked_parts(copy, builder.tools):
            for name, entry in cpio_entries(part):
                if name not in LOADER_PLACES:
                    found[f"{path.relative_to(root)}:{name}"] = entry
        found[str(path.relative_to(root))] = "compared by what it holds"
    return found


LOADER_PLACES = ("lib64", "usr/lib64")
"""An empty directory and the link to it, which mkinitramfs makes where the root has them: the loader of this
machine's programs needs the place. Nothing is in it, and a Pi does not look there."""


def cpio_entries(archive: bytes) -> Iterator[tuple[str, str]]:
    """Name and description (mode, owner, time, size, content) of each entry of a cpio archive (cpio(5), newc)."""
    at = 0
    while at + 110 <= len(archive):
        if archive[at : at + 6] != b"070701":
            at += 1
            continue
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        _, mode, uid, gid, _, time, size = fields[:7]
        begin = at + 110 + fields[11]
        name = archive[at + 110 : begin - 1].decode()
        begin += -begin % 4
        content = archive[begin : begin + size]
        at = begin + size
        yield name, f"{mode:o} {uid}:{gid} {time} {size} {hashlib.sha256(content).hexdigest()[:16]}"


if __name__ == "__main__":
    sys.exit(namespace.enter(lambda: guarded(main)))

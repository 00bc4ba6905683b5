"""Makes layers of a built profile without stand-ins too, and prints both trees of each as JSON.

`twoways.py PROFILE LAYER...` prints {layer: [tree with stand-ins, tree without]}.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.builder import Builder, Options, prepare_namespace
from imagebuilder.cache import default_cache
from imagebuilder.cli import ROOT, guarded
from imagebuilder.execute import StagePlace
from imagebuilder.layers import Inputs
from imagebuilder.overlay import mount_overlay
from imagebuilder.plan import PlannedLayer, write_head
from imagebuilder.process import logging_to
from imagebuilder.profile import load_profile
from imagebuilder.seal import unpacked_parts
from imagebuilder.standin import Standins
from tests.build.listtree import walk


def main() -> int:
    """Find or make each layer in both ways."""
    prepare_namespace()
    cache = default_cache()
    profile = load_profile(Path(sys.argv[1]), root=ROOT)
    with cache.locked(), logging_to(cache.logs / "two-ways.log"):
        builder = Builder(profile, cache, Options(frozen=True))
        layers = {layer.inputs.name: layer for layer in builder.plan().layers()}
        trees = {name: [tree(builder, id) for id in both_ways(builder, layers[name])] for name in sys.argv[2:]}
        print(json.dumps(trees))
    return 0


def both_ways(builder: Builder, planned: PlannedLayer) -> tuple[str, str]:
    """The ids of the layer as it was built, and of one that was emulated over the same layers below.

    That takes minutes, so it is kept as any layer is: under the hash of everything that made it.
    """
    made = builder.store.get(planned.id)
    assert made is not None and planned.stage is not None and planned.substage is not None
    parts = {**planned.inputs.parts, "stand-ins": "not used", "below": str(made.base)}
    inputs = Inputs(f"{planned.inputs.name} emulated", parts)
    if builder.store.get(inputs.id) is None:
        started = time.monotonic()
        executor = builder.executor()
        executor.standins = lambda: Standins(None)
        place = StagePlace(planned.stage, builder.cache.work / "two-ways", None, None, ())
        executor.substage(place, planned.substage, builder.store.lower_trees(made.base), builder.store.begin(inputs))
        builder.store.finish(inputs, made.base, time.monotonic() - started)
    write_head(builder.store, f"two-ways {planned.stage.path}", inputs.id)
    return made.id, inputs.id


def tree(builder: Builder, layer: str) -> dict[str, str]:
    """Every path of the root with this layer on top."""
    root = builder.cache.work / "two-ways" / "rootfs"
    mount_overlay(builder.store.path, builder.store.lower_trees(layer), root, None, None)
    try:
        return walk(root) | initramfs(root, builder)
    finally:
        namespace.unmount(root)


def initramfs(root: Path, builder: Builder) -> dict[str, str]:
    """The archives in each initramfs of the root: what a Pi unpacks, however well they are compressed."""
    found = {}
    for path in [*root.glob("boot/initrd*"), *root.glob("boot/firmware/initrd*")]:
        copy = builder.cache.work / "two-ways" / path.name
        shutil.copyfile(path, copy)
        for part in unpacked_parts(copy, builder.tools):
            for name, entry in cpio_entries(part):
                found[f"{path.relative_to(root)}:{name}"] = entry
        found[str(path.relative_to(root))] = "compared by what it holds"
    return found


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

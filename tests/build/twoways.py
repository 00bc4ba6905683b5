"""Makes layers of a built profile anew, with stand-ins and without, and prints both trees as JSON.

`twoways.py PROFILE LAYER...` prints {layer: [tree with stand-ins, tree without]}.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
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
        digests = [hashlib.sha256(part).hexdigest()[:16] for part in unpacked_parts(copy, builder.tools)]
        found[str(path.relative_to(root))] = " ".join(digests)
    return found


if __name__ == "__main__":
    sys.exit(namespace.enter(lambda: guarded(main)))

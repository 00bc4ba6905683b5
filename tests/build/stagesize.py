"""Prints how many bytes a stage of a built profile adds to the compressed image: `stagesize.py PROFILE STAGE`.

Its layers are packed by themselves, as the image is: what they replace of the layers below counts again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from imagebuilder import namespace
from imagebuilder.builder import Builder, Options, prepare_namespace
from imagebuilder.cache import default_cache
from imagebuilder.cli import ROOT, guarded
from imagebuilder.process import run
from imagebuilder.profile import load_profile, resolve_profile


def main() -> int:
    """Pack the layers of the stage into one archive."""
    prepare_namespace()
    name, wanted = sys.argv[1:]
    profile = load_profile(resolve_profile(name, ROOT), root=ROOT)
    builder = Builder(profile, default_cache(), Options(frozen=True))
    layers = [layer for layer in builder.plan().layers() if layer.stage and layer.stage.path.name == wanted]
    assert layers, f"the profile has no stage {wanted}"
    words: list[str | Path] = []
    for planned in layers:
        layer = builder.store.get(planned.id)
        assert layer is not None, f"{planned.inputs.name} is not built"
        for tree in layer.trees:
            words += ["-C", builder.store.path / layer.id / tree, "."]
    with tempfile.TemporaryDirectory() as directory:
        packed = Path(directory, "stage.tar")
        run("tar", "-cf", packed, *words)
        run(*builder.tools.command("xz"), f"-{profile.image.compression_level}", "--threads=2", packed)
        print(packed.with_suffix(".tar.xz").stat().st_size)
    return 0


if __name__ == "__main__":
    sys.exit(namespace.enter(lambda: guarded(main)))

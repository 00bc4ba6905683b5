"""Images of a built profile: what they are called, which identities they have, and how one is put together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import diskspace, namespace
from .cache import Cache
from .durable import write_whole
from .errors import InputError
from .image import ImageFacts, Layout, assemble
from .layers import Layer, LayerStore, digest_of, digest_paths, remove_tree
from .overlay import mount_overlay
from .plan import IMAGE_ENGINE, Export, Plan
from .process import run
from .profile import Profile
from .progress import note, step
from .tools import Tools


@dataclass(frozen=True)
class BuiltImage:
    """An assembled image, uncompressed, in the cache. `id` is the hash of all that made it."""

    id: str
    name: str
    path: Path
    facts: dict[str, Any]
    seal: Layer
    layers: tuple[Layer, ...]


class Exporter:
    """Puts the images of one profile together. To be used in the namespace, with the cache locked.

    variables   what scripts of the build get
    epoch       SOURCE_DATE_EPOCH
    """

    def __init__(self, profile: Profile, cache: Cache, variables: dict[str, str], epoch: int) -> None:
        self.profile = profile
        self.cache = cache
        self.store = LayerStore(cache.layers)
        self.variables = variables
        self.epoch = epoch

    def name(self, export: Export) -> str:
        """The image's name without ending: the profile's, and the suffix that the stage's EXPORT_IMAGE sets."""
        if export.stage is None:
            return self.profile.image_name
        script = 'set -a; source "$1" >&2; printf %s "${IMG_SUFFIX:-}"'
        environment = self.variables | {"PATH": os.environ["PATH"]}
        suffix = run("bash", "-c", script, "mojomail", export.stage.path / "EXPORT_IMAGE", env=environment)
        return self.profile.image_name + suffix

    def check(self, plan: Plan) -> None:
        """Raise InputError when two stages export images of one name."""
        if not plan.exports:
            note(f"no image is made: {plan.stages[-1].stage.path / 'SKIP_IMAGES'} says so")
        found: dict[str, str] = {}
        for export in plan.exports:
            name, origin = self.name(export), str(export.stage.path) if export.stage else "the profile"
            if name in found:
                raise InputError(
                    f"{found[name]} and {origin} both make an image named {name}",
                    hint=f"set another IMG_SUFFIX in {found[name]}/EXPORT_IMAGE, or remove that file",
                )
            found[name] = origin

    def layout(self, export: Export) -> Layout:
        """The disk of an image: identities from the profile's name and what the image is made of."""
        return Layout.from_seed(
            f"{self.profile.name} {export.below}",
            boot_mib=self.profile.image.boot_size,
            free_mib=self.profile.image.free_space,
        )

    def image_id(self, export: Export, tools: Tools) -> str:
        """The hash of everything an image is made of."""
        engine = Path(__file__).parent
        return digest_of(
            [
                export.seal.id,
                {name: str(value) for name, value in asdict(self.layout(export)).items()},
                self.epoch,
                tools.id,
                digest_paths((name, engine / name) for name in IMAGE_ENGINE),
            ]
        )[:16]

    def assemble(self, export: Export, tools: Tools) -> BuiltImage:
        """The uncompressed image of a root file system, from the cache when it is there already."""
        name = self.name(export)
        image_id = self.image_id(export, tools)
        directory = self.cache.images / name
        path = directory / f"{image_id}.img"
        record = directory / f"{image_id}.json"
        sealed = self.store.get(export.seal.id)
        assert sealed is not None
        layers = tuple(self.store.chain(sealed.id))
        if not (path.exists() and record.exists()):
            for old in directory.iterdir() if directory.exists() else ():
                if not old.name.startswith(f"{image_id}."):
                    remove_tree(old)
            directory.mkdir(parents=True, exist_ok=True)
            with (
                step(f"Putting {name}.img together"),
                diskspace.explained(self.cache.path),
                self.sealed_root(sealed.id) as rootfs,
            ):
                facts = assemble(rootfs, path, layout=self.layout(export), epoch=self.epoch, tools=tools)
            write_whole(record, json.dumps(_plain(facts), indent=1))
        return BuiltImage(image_id, name, path, json.loads(record.read_text()), sealed, layers)

    @contextmanager
    def sealed_root(self, layer_id: str) -> Iterator[Path]:
        """The root file system of a finished layer, mounted read-only."""
        rootfs = self.cache.work / self.profile.name / "export" / "rootfs"
        mount_overlay(self.store.path, self.store.lower_trees(layer_id), rootfs, None, None)
        try:
            yield rootfs
        finally:
            namespace.unmount(rootfs)


def _plain(facts: ImageFacts) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(facts), default=str))  # type: ignore[no-any-return]

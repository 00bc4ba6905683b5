"""The plan: which layers a profile needs, what each is made of, and which are there already."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .bootstrap import DPKG_RULES
from .durable import write_whole
from .errors import InputError
from .layers import Inputs, Layer, LayerStore, digest_of, digest_paths
from .profile import Profile
from .stages import Stage, SubStage, read_stage

ENGINE = (
    *("chroot.py", "execute.py", "standin.py", "overlay.py", "stagemounts.py", "tools.py", "archives.py"),
    *("stages.py", "process.py", "scriptvariables.py", "packagelists.py"),
    "shell/functions.bash",
)
"""The engine's files whose change makes every layer anew."""

SEAL_ENGINE = ("seal.py",)
IMAGE_ENGINE = ("image.py", "treesurvey.py")


@dataclass(frozen=True)
class PlannedLayer:
    """A layer to be: `kind` is bootstrap, prerun, substage, packages or seal; `stage` and `substage` where they fit."""

    inputs: Inputs
    kind: str
    stage: Stage | None = None
    substage: SubStage | None = None

    @property
    def id(self) -> str:
        """The layer's id."""
        return self.inputs.id


@dataclass(frozen=True)
class PlannedStage:
    """A stage and its layers. `top` is the id of its uppermost layer; empty `layers` when the stage is skipped."""

    stage: Stage
    layers: tuple[PlannedLayer, ...]
    top: str


@dataclass(frozen=True)
class Export:
    """An image to make: the root file system it is of, and what its name ends with."""

    stage: Stage | None
    below: str
    seal: PlannedLayer


@dataclass(frozen=True)
class Plan:
    """Everything a build does, in order."""

    bootstrap: PlannedLayer | None
    stages: tuple[PlannedStage, ...]
    packages: PlannedLayer | None
    exports: tuple[Export, ...]

    def layers(self) -> list[PlannedLayer]:
        """All layers in the order they are made."""
        found = [self.bootstrap] if self.bootstrap else []
        found += [layer for stage in self.stages for layer in stage.layers]
        found += [self.packages] if self.packages else []
        return found + [export.seal for export in self.exports]


def read_stages(profile: Profile) -> list[Stage]:
    """The stages of a profile in order: those of its base, then its own."""
    return [read_stage(path) for path in (*profile.base_stage_dirs, *profile.stage_dirs)]


def make_plan(
    profile: Profile,
    stages: Iterable[Stage],
    store: LayerStore,
    *,
    indexes_digest: str,
    variables: dict[str, str],
    native: bool,
) -> Plan:
    """The plan for a profile.

    indexes_digest   what the package sources offer (Indexes.digest)
    variables        what every script of the build gets
    native           whether stand-ins are used
    """
    engine = Path(__file__).parent
    common = {
        "engine": digest_paths((name, engine / name) for name in ENGINE),
        "package indexes": indexes_digest,
        "stand-ins": "used" if native else "not used",
    }
    for name, value in sorted(variables.items()):
        common[f"variable {name}"] = digest_of(value)[:16]
    below = ""
    first: PlannedLayer | None = None
    if profile.base != "pi-gen":
        parts = {name: value for name, value in common.items() if not name.startswith("variable ")}
        parts["file bootstrap.py"] = digest_paths([("bootstrap.py", engine / "bootstrap.py")])
        parts["file dpkg rules"] = digest_paths([("rules", profile.root / DPKG_RULES)])
        parts["variable SOURCE_DATE_EPOCH"] = common["variable SOURCE_DATE_EPOCH"]
        first = PlannedLayer(Inputs("bootstrap", parts), "bootstrap")
        below = first.id
    planned = []
    tops: list[tuple[Stage | None, str]] = []
    for stage in stages:
        entry = _plan_stage(stage, below, common, store, profile)
        planned.append(entry)
        below = entry.top
        if stage.export_image and not stage.skip_images:
            tops.append((stage, below))
    packages: PlannedLayer | None = None
    if profile.packages:
        parts = common | {"below": below, "packages": " ".join(profile.packages)}
        packages = PlannedLayer(Inputs("packages", parts), "packages")
        below = packages.id
        tops = [(stage, top) for stage, top in tops if top != planned[-1].top] if planned else tops
    last = planned[-1].stage if planned else None
    if (not tops or tops[-1][1] != below) and not (last is not None and last.skip_images):
        # What stands at the end is the image that was asked for, also when no stage says so.
        tops.append((last if last is not None and last.export_image else None, below))
    seal_parts = {"engine": digest_paths((name, engine / name) for name in SEAL_ENGINE), "name": profile.name}
    exports = tuple(
        Export(stage, top, PlannedLayer(Inputs("seal", seal_parts | {"below": top}), "seal")) for stage, top in tops
    )
    return Plan(first, tuple(planned), packages, exports)


def _plan_stage(stage: Stage, below: str, common: dict[str, str], store: LayerStore, profile: Profile) -> PlannedStage:
    loose = {
        f"file {path.relative_to(stage.path)}": digest_paths([(path.name, path)])
        for path in stage.loose_files()
        if path.name not in ("SKIP", "SKIP_IMAGES", "EXPORT_IMAGE", "EXPORT_NOOBS")
    }
    loose |= _linked(stage.linked_files())
    layers = [PlannedLayer(Inputs(f"{stage.name}/prerun", common | loose | {"below": below}), "prerun", stage)]
    for substage in stage.substages:
        if substage.skip:
            continue
        files = {}
        for path in substage.files():
            if path.is_relative_to(substage.path) and "__pycache__" not in path.parts:
                files[f"file {path.relative_to(substage.path)}"] = digest_paths([(path.name, path)])
        for path in substage.declared_files():
            if "__pycache__" in path.parts:
                continue  # whoever runs the programs here leaves that, and no image takes it
            real = Path(os.path.normpath(path))
            name = real.relative_to(profile.root) if real.is_relative_to(profile.root) else path.name
            files[f"file {name}"] = digest_paths([(path.name, path)])
        files |= _linked(substage.linked_files())
        parts = common | loose | files | {"below": layers[-1].id}
        layers.append(PlannedLayer(Inputs(f"{stage.name}/{substage.name}", parts), "substage", stage, substage))
    if not stage.skip:
        return PlannedStage(stage, tuple(layers), layers[-1].id)
    # SKIP says "already built": the stage is the previous one all the same, as it was last built.
    if all(store.get(layer.id) for layer in layers):
        return PlannedStage(stage, (), layers[-1].id)
    last = read_heads(store).get(head_name(profile, stage))
    if last is not None and _whole(store, last):
        return PlannedStage(stage, (), last)
    raise InputError(
        f"{stage.path} is marked SKIP, which says that it was built before, but it was not",
        hint=f"remove {stage.path / 'SKIP'} and build once; to leave a stage out, take it off the profile's stages",
    )


def _linked(paths: Iterable[Path]) -> dict[str, str]:
    """What symbolic links lead to counts as well as where they lead."""
    return {
        f"file behind {path.parent.name}/{path.name}": digest_paths([(path.name, path.resolve())]) for path in paths
    }


def _whole(store: LayerStore, layer_id: str) -> bool:
    try:
        return bool(store.chain(layer_id))
    except KeyError:
        return False


def head_name(profile: Profile, stage: Stage) -> str:
    """Under which name the last build of a stage is remembered."""
    return f"{profile.name} {stage.path}"


def read_heads(store: LayerStore) -> dict[str, str]:
    """The uppermost layer of each stage as last built, by `head_name`."""
    try:
        data = json.loads((store.path / "heads.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in data.items()}


def write_head(store: LayerStore, name: str, layer_id: str) -> None:
    """Remember the uppermost layer of a stage."""
    heads = read_heads(store) | {name: layer_id}
    write_whole(store.path / "heads.json", json.dumps(heads, indent=1, sort_keys=True))


def why_not_cached(planned: PlannedLayer, store: LayerStore) -> str:
    """What differs from the layer of the same name that is in the cache, in a few words."""
    nearest: Layer | None = store.nearest(planned.inputs)
    if nearest is None:
        return "never built"
    now, then = planned.inputs.parts, nearest.parts
    changed = [name for name in now if name not in then or now[name] != then[name]]
    gone = [f"{name} (gone)" for name in then if name not in now]
    names = [*changed, *gone]
    if names == ["below"]:
        return "the layer below changed"
    names = [name for name in names if name != "below"]
    if not names:
        return "the layer was removed"
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"changed: {shown}"

"""What each command of the command line does."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from . import namespace
from .builder import Builder, Options, prepare_namespace
from .cache import Cache
from .chroot import Workspace
from .cleaning import clean_cache, remind_of_old_layers
from .cli import ROOT, chosen_cache, guarded
from .errors import InputError, ProblemsError
from .flash import flash as flash_card
from .layers import STATE, LayerStore, remove_tree
from .plan import PlannedLayer, why_not_cached
from .preflight import check_host, survey
from .process import clean_environment, logging_to
from .profile import Profile, draft_profile, resolve_profile
from .progress import Progress, format_seconds, note, showing
from .publishing import publish, put_raw, release_id, remember, up_to_date
from .release import check_signing
from .report import expected_seconds, format_bytes
from .stagecheck import check_stages
from .stages import read_stage
from .usage import Usage


def _in_namespace(work: Callable[[], int]) -> int:
    def inside() -> int:
        prepare_namespace()
        return work()

    check_host(survey())
    os.environ["MOJOMAIL_PID"] = str(os.getpid())
    return namespace.enter(lambda: guarded(inside))


def _profile(options: argparse.Namespace) -> Profile:
    """The chosen profile. Raises ProblemsError with its problems and, since one look is to do, its stages' too."""
    profile, problems = draft_profile(resolve_profile(options.profile, ROOT), root=ROOT)
    if problems:
        there = [path for path in (*profile.base_stage_dirs, *profile.stage_dirs) if path.is_dir()]
        more, _ = check_stages([read_stage(path) for path in there], strict=profile.is_strict)
        raise ProblemsError([*problems, *more])
    return profile


def plan(options: argparse.Namespace) -> int:
    """`build.py plan`: every layer, cached or why not."""
    profile, cache = _profile(options), chosen_cache(options)
    return _in_namespace(lambda: _plan(profile, cache, Options(native=options.native)))


def _plan(profile: Profile, cache: Cache, options: Options) -> int:
    cache.create()
    builder = Builder(profile, cache, options)
    if builder.indexes.present:
        known = f"as of {datetime.fromtimestamp(builder.indexes.epoch, UTC):%Y-%m-%d %H:%M} UTC"
    else:
        known = "not fetched yet; 'build' does that"
    print(f"{profile.image_name}  base {profile.base}, {profile.path}")
    print(f"package indexes: {known}")
    planned = builder.plan()
    missing = 0
    seconds = 0.0
    shown = {entry.stage.path: entry for entry in planned.stages}
    for entry in planned.stages:
        if entry.stage.skip:
            print(f"  {entry.stage.name:<32}{entry.top}  skipped; the next stage builds on it")
    stage: Path | None = None
    for layer in planned.layers():
        if layer.stage is not None and layer.stage.path != stage:
            stage = layer.stage.path
            mark = "  (exports an image)" if shown[stage].stage.export_image else ""
            print(f"{stage.name}  {stage}{mark}")
        found = builder.store.get(layer.id)
        name = layer.inputs.name.partition("/")[2] or layer.inputs.name
        if found is not None:
            state = f"cached, {format_bytes(found.size)}"
        else:
            missing += 1
            last = builder.store.nearest(layer.inputs)
            seconds += last.seconds if last else 0
            state = f"build: {why_not_cached(layer, builder.store)}"
        print(f"  {name:<32}{layer.id}  {state}")
    count = len(planned.layers())
    print(
        f"{count - missing} of {count} layers cached"
        + (f", about {format_seconds(seconds)} to build" if missing else "")
    )
    return 0


def check(options: argparse.Namespace) -> int:
    """`build.py check`: all problems of profile and stages."""
    profile, cache = _profile(options), chosen_cache(options)
    return _in_namespace(lambda: _check(profile, cache))


def _check(profile: Profile, cache: Cache) -> int:
    cache.create()
    builder = Builder(profile, cache, Options())
    builder.check()
    unknown = "" if builder.indexes.present else " (package names not checked: no indexes yet, 'build' fetches them)"
    print(f"{profile.path}: no problem in the profile and its {len(builder.stages)} stages{unknown}")
    return 0


def build(options: argparse.Namespace) -> int:
    """`build.py build`: layers, image, release files."""
    profile, cache = _profile(options), chosen_cache(options)
    if profile.publish.sign_key:
        check_signing(profile.publish.sign_key)
    deploy = options.deploy.absolute()
    chosen = Options(frozen=options.frozen, native=options.native, deploy=deploy)
    return _in_namespace(lambda: _build(profile, cache, chosen, deploy, raw=options.raw))


def _build(profile: Profile, cache: Cache, options: Options, deploy: Path, *, raw: bool) -> int:
    started = time.monotonic()
    cache.create()
    log = cache.logs / f"{profile.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    last_report = cache.reports / f"{profile.image_name}.json"
    progress = Progress(expected=expected_seconds(last_report))
    with showing(progress), cache.locked(), logging_to(log), Usage(cache.path) as usage:
        _drop_old_logs(cache)
        builder = Builder(profile, cache, options)
        builder.refresh()
        builder.check()
        planned = builder.plan()
        builder.exporter.check(planned)
        cached = {layer.id for layer in planned.layers() if builder.store.get(layer.id)}
        builder.build_layers(planned)
        for export in planned.exports:
            name = builder.exporter.name(export)
            release = release_id(profile, builder.exporter.image_id(export, builder.tools), deploy)
            if not raw and up_to_date(cache, name, release):
                note(f"{deploy / name}.img.xz is up to date")
                continue
            image = builder.exporter.assemble(export, builder.tools)
            if raw:
                put_raw(image, deploy)
                continue
            publish(builder, image, deploy, progress, usage, cached)
            remember(cache, name, release, deploy)
            shutil.copyfile(deploy / f"{name}.report.json", last_report)
        builder.postrun()
        remind_of_old_layers(builder.store)
    seconds = time.monotonic() - started
    peaks = {"seconds": round(seconds, 2), "peak_memory": usage.peak_memory, "peak_disk": usage.peak_disk}
    (cache.reports / "last.json").write_text(json.dumps(peaks))
    print(f"{deploy}: done in {format_seconds(seconds)}; log {log}")
    return 0


def _drop_old_logs(cache: Cache, keep: int = 20) -> None:
    for old in sorted(cache.logs.glob("*.log"), key=lambda path: path.stat().st_mtime)[:-keep]:
        old.unlink()


def shell(options: argparse.Namespace) -> int:
    """`build.py shell`: a shell where a build failed, or in a finished layer."""
    profile, cache = _profile(options), chosen_cache(options)
    words = options.arguments
    return _in_namespace(
        lambda: _shell(profile, cache, Options(frozen=True, native=options.native), options.layer, words)
    )


def _shell(profile: Profile, cache: Cache, options: Options, wanted: str | None, words: list[str]) -> int:
    with showing(Progress()), cache.locked():
        builder = Builder(profile, cache, options)
        planned = builder.plan()
        layers = planned.layers()
        failed = [layer for layer in layers if (builder.store.partial(layer.id) / STATE).exists()]
        scratch = cache.layers / "shell.partial"
        remove_tree(scratch)
        if wanted is None and failed:
            partial = builder.store.partial(failed[0].id)
            state = json.loads((partial / STATE).read_text())
            lower = builder.store.lower_trees(state["base"])
            name = f"{failed[0].inputs.name}, as it stood when it failed"
        else:
            layer = _find_layer(layers, wanted, builder.store)
            scratch.mkdir()
            partial, lower, name = scratch, builder.store.lower_trees(layer.id), layer.inputs.name
        print(f"{name}: {cache.work / profile.name / 'shell' / 'rootfs'}; 'exit' leaves", file=sys.stderr)
        environment = clean_environment(builder.executor().environment)
        rootfs = cache.work / profile.name / "shell" / "rootfs"
        workspace = Workspace(builder.store, partial, rootfs, lower, builder.standins(), builder.places(), environment)
        code = workspace.interactive(words or ["/bin/bash"])
        remove_tree(scratch)
    return code


def _find_layer(layers: list[PlannedLayer], wanted: str | None, store: LayerStore) -> PlannedLayer:
    there = [layer for layer in layers if store.get(layer.id) is not None]
    if not there:
        raise InputError("there is no finished layer to enter yet", hint="./build.py build")
    if wanted is None:
        return there[-1]
    for layer in there:
        if layer.inputs.name == wanted:
            return layer
    names = ", ".join(layer.inputs.name for layer in there)
    raise InputError(f"there is no finished layer {wanted}", hint=f"there are: {names}")


def flash(options: argparse.Namespace) -> int:
    """`build.py flash`: write a card and verify it."""
    image: Path | None = options.image
    if image is None:
        found = sorted(Path("deploy").glob("*.img.xz"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise InputError("there is no image in deploy/", hint="./build.py build, or name one with --image FILE")
        image = found[-1]
    with showing(Progress()):
        done = flash_card(
            image,
            options.device,
            bmap=options.bmap,
            allow_fixed=options.allow_fixed,
            allow_mounted=options.allow_mounted,
        )
    print(f"{done.target} holds {image.name}, verified, in {format_seconds(done.seconds)}")
    return 0


def clean(options: argparse.Namespace) -> int:
    """`build.py clean`: what the cache holds; prune it."""
    cache = chosen_cache(options)
    return _in_namespace(lambda: clean_cache(cache, prune=options.prune, layers=options.layers, everything=options.all))

"""A build: runs in the namespace, asks the package sources, checks, and makes the layers that are missing."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from . import diskspace, namespace
from .bootstrap import DPKG_RULES, MORE_PACKAGES, bootstrap
from .cache import Cache
from .chroot import Contaminated, Places, Workspace
from .durable import write_whole
from .errors import BuildError, CommandFailed, InputError, ProblemsError
from .execute import ATTEMPTS, Executor, StagePlace
from .exports import Exporter
from .indexes import (
    Indexes,
    host_architecture,
    show_keyrings,
)
from .layers import STATE, LayerStore
from .overlay import mount_overlay
from .packagelists import PackageLists
from .plan import Export, Plan, PlannedLayer, head_name, make_plan, read_stages, write_head
from .preflight import emulator
from .process import clean_environment, current_log
from .profile import Profile
from .progress import note, step
from .seal import seal
from .sources import fetch, profile_sources, raspios_key_file
from .stagecheck import check_profile_packages, check_stages
from .stages import Stage, find_postrun
from .standin import Standins
from .suggestion import nearest
from .tools import Tools, make_tools

AARCH64_MAGIC = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
AARCH64_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
"""How the kernel tells an arm64 program: the head of its ELF file, of which some bits may differ."""


UNTRUSTED = re.compile(
    r"GPG error|is not signed|NO_PUBKEY|BADSIG|EXPKEYSIG|signatures couldn't be verified|sqv returned"
)
"""What apt says when a source answers, but with a wrong signature."""


@dataclass(frozen=True)
class Options:
    """How to build.

    frozen    do not ask the package sources for anything newer
    native    let this machine's programs stand in for the foreign root's
    deploy    where finished files go, and what scripts know as DEPLOY_DIR
    """

    frozen: bool = False
    native: bool = True
    deploy: Path | None = None


def prepare_namespace() -> None:
    """First thing in the namespace: own mounts, own /proc, and an emulator for the foreign programs."""
    namespace.mount("none", "/", flags=namespace.MS_REC | namespace.MS_PRIVATE)
    namespace.mount("proc", "/proc", "proc")
    interpreter = emulator()
    if host_architecture() == "arm64" or interpreter is None:
        return
    with contextlib.suppress(BuildError, OSError):  # kernels before 6.7: what the host registered holds
        namespace.mount("binfmt_misc", "/proc/sys/fs/binfmt_misc", "binfmt_misc")
        rule = b":qemu-aarch64:M::" + AARCH64_MAGIC + b":" + AARCH64_MASK + b":" + os.fsencode(interpreter) + b":OCF"
        Path("/proc/sys/fs/binfmt_misc/register").write_bytes(rule)


class Builder:
    """Builds one profile. To be used in the namespace, with the cache locked."""

    def __init__(self, profile: Profile, cache: Cache, options: Options) -> None:
        self.profile = profile
        self.cache = cache
        self.options = options
        self.store = LayerStore(cache.layers)
        self._read_sources()
        self.stages: list[Stage] = read_stages(profile)
        self._tools: Tools | None = None

    def _read_sources(self) -> None:
        self.sources, self.keyrings = profile_sources(self.profile, self.cache)
        if self.keyrings:
            show_keyrings(self.keyrings)
        self.indexes = Indexes(self.cache, self.sources)

    @property
    def tools(self) -> Tools:
        """The tools tree that fits the indexes, made when first needed."""
        if self._tools is None:
            self._tools = make_tools(self.cache, self.indexes)
        return self._tools

    @property
    def native(self) -> bool:
        """Whether stand-ins are used: not where the root's programs run by themselves."""
        return self.options.native and host_architecture() != "arm64"

    def refresh(self) -> None:
        """Ask the package sources for newer indexes, unless frozen; go on with the old ones when out of reach."""
        if self.options.frozen:
            if not self.indexes.present:
                raise InputError(
                    "--frozen, but there are no package indexes for these sources yet", hint="build once without it"
                )
            return
        key = raspios_key_file(self.profile, self.cache)
        if self.profile.base == "raspios" and not key.exists():
            fetch(f"{self.profile.raspios.archive.rstrip('/')}/raspberrypi.gpg.key", key)
            self._read_sources()
        try:
            with step("Asking the package sources"), diskspace.explained(self.cache.path):
                changed = self.indexes.refresh()
        except CommandFailed as failed:
            why = "\n".join(line for line in failed.tail if line.startswith(("E:", "Err:", "W:")))
            if UNTRUSTED.search(why):
                raise BuildError(
                    f"a package source is not signed as it should be:\n{why}",
                    hint="do not build from it until you know why; --frozen builds from the indexes there are",
                ) from failed
            if not self.indexes.present:
                raise BuildError(
                    f"the package sources cannot be reached:\n{why}",
                    hint="check the network, and apt: mirror: in the profile",
                ) from failed
            note(f"warning: the package sources cannot be reached; building from indexes {_age(self.indexes.age)} old")
            for line in why.splitlines():
                note(f"  {line}")
            return
        if changed:
            note("the package sources offer something new")

    def check(self) -> None:
        """Raise ProblemsError for everything wrong in stages and packages; print warnings."""
        known: set[str] | None = None
        if self.indexes.present and self.profile.base != "pi-gen":
            known = self.known_packages()
        look = known.__contains__ if known is not None else None
        suggest = (lambda name: nearest(name, known)) if known is not None else None
        problems, warnings = check_stages(self.stages, look, suggest, strict=self.profile.is_strict)
        if look is not None:
            problems += check_profile_packages(self.profile, look, suggest)
        for warning in warnings:
            note(f"warning: {warning}")
        if problems:
            raise ProblemsError(problems)

    def known_packages(self) -> set[str]:
        """Names of all packages that the sources offer, remembered for these very indexes."""
        remembered = self.indexes.path / f"names-{self.indexes.digest[:16]}"
        if not remembered.exists():
            for old in self.indexes.path.glob("names-*"):
                old.unlink(missing_ok=True)
            write_whole(remembered, "\n".join(sorted(self.indexes.names())))
        return set(remembered.read_text().split("\n"))

    @property
    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH: the environment's, else the newest date of the package indexes."""
        given = os.environ.get("SOURCE_DATE_EPOCH", "")
        if given and not given.isdigit():
            raise InputError(f"SOURCE_DATE_EPOCH is {given!r}, not a number of seconds since 1970")
        return int(given) if given else self.indexes.epoch

    def variables(self) -> dict[str, str]:
        """What every script of the build gets, but for the paths."""
        date = datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%d")
        name = self.profile.image_name
        return self.profile.environment() | {
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "IMG_DATE": date,
            "IMG_FILENAME": name,
            "ARCHIVE_FILENAME": name,
            "IMG_SUFFIX": "",
            "CLEAN": "1",
            "USE_QEMU": "0",
            "CAPSH_ARG": "",
        }

    def plan(self) -> Plan:
        """The layers that this build needs."""
        return make_plan(
            self.profile,
            self.stages,
            self.store,
            indexes_digest=self.indexes.digest,
            variables=self.variables(),
            native=self.native,
        )

    def places(self) -> Places:
        """The host's directories that the chroot shows."""
        lists = PackageLists(self.indexes.path / "roots", self.indexes.lists, self.indexes.digest[:16])
        return Places(self.cache.debs, lists)

    def standins(self) -> Standins:
        """A new set of stand-ins."""
        return Standins(self.tools if self.native else None)

    def executor(self) -> Executor:
        """Runs the scripts of stages for this build."""
        pi_gen = self.profile.pi_gen.path
        base = pi_gen if self.profile.base == "pi-gen" and pi_gen is not None else self.profile.root
        work = self.cache.work / self.profile.name
        work.mkdir(parents=True, exist_ok=True)
        environment = self.variables() | {
            "BASE_DIR": str(base.absolute()),
            "SCRIPT_DIR": str(base.absolute() / "scripts"),
            "WORK_DIR": str(work),
            "DEPLOY_DIR": str(self.options.deploy or work / "deploy"),
            "LOG_FILE": str(current_log() or "/dev/null"),
            "STAGE_LIST": " ".join(str(stage.path) for stage in self.stages),
            "EXPORT_CONFIG_DIR": str(base.absolute() / "export-image"),
            "GIT_HASH": "",
        }
        return Executor(
            self.store,
            self.places(),
            self.standins,
            environment,
            update_first=self.profile.base == "pi-gen",
        )

    def build_layers(self, plan: Plan) -> None:
        """Make every layer of the plan that is missing. Raises BuildError; what is finished stays."""
        executor = self.executor()
        if plan.bootstrap is not None and self.store.get(plan.bootstrap.id) is None:
            self._make(plan.bootstrap, None, lambda partial: self._bootstrap(partial, executor))
        below = plan.bootstrap.id if plan.bootstrap else None
        previous: Stage | None = None
        for planned in plan.stages:
            missing = [layer for layer in planned.layers if self.store.get(layer.id) is None]
            if missing:
                with step(planned.stage.name), self._stage_place(planned.stage, previous, below) as place:
                    current = below
                    for layer in planned.layers:
                        if layer in missing:
                            self._make_stage_layer(executor, place, layer, current)
                        current = layer.id
            if planned.layers:
                write_head(self.store, head_name(self.profile, planned.stage), planned.top)
            previous, below = planned.stage, planned.top
        if plan.packages is not None and self.store.get(plan.packages.id) is None:
            packages = plan.packages
            self._make(packages, below, lambda partial: self._packages(partial, executor, below))
        for export in plan.exports:
            if self.store.get(export.seal.id) is None:
                self._make(export.seal, export.below, functools.partial(self._seal, export=export))

    def _make(self, planned: PlannedLayer, base: str | None, work: Callable[[Path], None]) -> None:
        def fill(partial: Path) -> str | None:
            work(partial)
            return base

        with step(planned.inputs.name):
            self._fill(planned, base, fill)

    def _fill(self, planned: PlannedLayer, base: str | None, work: Callable[[Path], str | None]) -> None:
        """Make a layer by `work`, which fills a directory and returns the id of the layer that it goes over."""
        started = time.monotonic()
        try:
            with diskspace.explained(self.cache.path):
                partial = self.store.begin(planned.inputs)
                write_whole(partial / STATE, json.dumps({"name": planned.inputs.name, "base": base}))
                self.store.finish(planned.inputs, work(partial), time.monotonic() - started)
        except CommandFailed as failed:
            if planned.kind in ("substage", "packages"):
                chosen = shlex.quote(str(self.profile.path))
                failed.hint = f"build.py shell {chosen} enters the root as it stood; the next build goes on there"
            raise

    def _make_stage_layer(self, executor: Executor, place: StagePlace, layer: PlannedLayer, below: str | None) -> None:
        if layer.kind == "prerun":
            self._fill(layer, below, lambda partial: below if executor.prerun(place, partial) else None)
            return
        assert layer.substage is not None
        substage = layer.substage
        lower = self.store.lower_trees(below)
        self._make(layer, below, lambda partial: executor.substage(place, substage, lower, partial))

    @contextmanager
    def _stage_place(self, stage: Stage, previous: Stage | None, below: str | None) -> Iterator[StagePlace]:
        """The stage's work directory, with the previous stage's root file system mounted read-only at its own."""
        work = self.cache.work / self.profile.name
        before: Path | None = None
        trees: list[str] = []
        with ExitStack() as stack:
            if below is not None:
                before = work / (previous.name if previous else "bootstrap") / "rootfs"
                if before.exists():
                    namespace.unmount_below(before)
                trees = self.store.lower_trees(below)
                mount_overlay(self.store.path, trees, before, None, None)
                stack.callback(namespace.unmount, before)
            place = work / stage.name
            if before is not None and before.parent == place:
                place = work / f"{stage.name}.next"
            yield StagePlace(stage, place, before, previous, tuple(trees))

    def _bootstrap(self, partial: Path, executor: Executor) -> None:
        standins = self.standins()
        rules = self.profile.root / DPKG_RULES
        for _ in range(ATTEMPTS):
            environment = executor.environment | {"PATH": os.environ.get("PATH", "")}
            rootfs = self.cache.work / self.profile.name / "bootstrap" / "rootfs"
            workspace = Workspace(
                self.store, partial, rootfs, [], standins, executor.places, clean_environment(environment)
            )
            try:
                bootstrap(
                    workspace,
                    self.cache,
                    self.indexes,
                    release=self.profile.release,
                    rules=rules if rules.is_file() else None,
                    keyrings=self.keyrings,
                )
                executor.install(workspace, list(MORE_PACKAGES), recommends=False, origin=self.profile.path)
                return
            except Contaminated as copied:
                note(f"once more without stand-ins for {copied}")
                standins.excluded.update(copied.names)
                self.store.start_over(partial)
        raise BuildError("bootstrapping copies programs of this machine", hint="build with --no-native")

    def _packages(self, partial: Path, executor: Executor, below: str | None) -> None:
        rootfs = self.cache.work / self.profile.name / "packages" / "rootfs"
        workspace = Workspace(
            self.store,
            partial,
            rootfs,
            self.store.lower_trees(below),
            self.standins(),
            executor.places,
            executor.environment,
        )
        executor.install(
            workspace,
            list(self.profile.packages),
            recommends=self.profile.apt.recommends,
            origin=self.profile.path,
        )

    def _seal(self, partial: Path, export: Export) -> None:
        rootfs = self.cache.work / self.profile.name / "seal" / "rootfs"
        mount_overlay(
            self.store.path, self.store.lower_trees(export.below), rootfs, partial / "tree.0", partial / "scratch.0"
        )
        try:
            seal(rootfs, partial, self.exporter.layout(export), self.tools)
        finally:
            namespace.unmount(rootfs)

    @cached_property
    def exporter(self) -> Exporter:
        """Puts this build's images together."""
        return Exporter(self.profile, self.cache, self.variables(), self.epoch)

    def postrun(self) -> None:
        """Run pi-gen's postrun.sh, which stands beside its build.sh."""
        pi_gen = self.profile.pi_gen.path
        script = find_postrun(pi_gen) if self.profile.base == "pi-gen" and pi_gen is not None else None
        if script is not None:
            with step("postrun.sh"):
                self.executor().postrun(script)


def _age(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"

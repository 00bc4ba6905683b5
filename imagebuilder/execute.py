"""Runs the steps of a stage, with pi-gen's semantics (its build.sh and scripts/common), into a layer."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import namespace
from .chroot import PATIENCE, Contaminated, Places, Workspace, kill_leftovers
from .errors import BuildError, CommandFailed
from .indexes import APT_PATIENCE
from .layers import LayerStore, remove_tree
from .process import Patience, clean_environment, run
from .progress import note, step
from .stages import Stage, Step, StepKind, SubStage, read_packages
from .standin import Standing, Standins

FUNCTIONS = Path(__file__).parent / "shell" / "functions.bash"

DPKG_OPTIONS = ("--force-unsafe-io", "--force-confdef", "--force-confold")
"""The layer is synced as a whole; a package that asks about a configuration file keeps the one there is."""

QUILT = {"QUILT_NO_DIFF_INDEX": "1", "QUILT_NO_DIFF_TIMESTAMPS": "1", "QUILT_REFRESH_ARGS": "-p ab"}
"""quilt's settings in pi-gen, which scripts get too."""

ATTEMPTS = 4
"""How often a layer is made again without stand-ins that were copied into it."""


@dataclass(frozen=True)
class StagePlace:
    """Where a stage runs: its directories as the scripts know them, and the trees it starts from."""

    stage: Stage
    work: Path
    previous_rootfs: Path | None
    previous_stage: Stage | None
    previous_trees: tuple[str, ...]

    @property
    def rootfs(self) -> Path:
        """pi-gen's ROOTFS_DIR."""
        return self.work / "rootfs"


class Executor:
    """Runs prerun scripts and sub-stages. `environment` is what every script of the build gets."""

    def __init__(
        self,
        store: LayerStore,
        places: Places,
        standins: Callable[[], Standins],
        environment: Mapping[str, str],
        *,
        update_first: bool = False,
    ) -> None:
        self.store = store
        self.places = places
        self.standins = standins
        self.environment = dict(environment)
        self.update_first = update_first

    def host_environment(self) -> dict[str, str]:
        """The variables that every script on the host gets."""
        return clean_environment(
            self.environment
            | {
                **QUILT,
                "MOJOMAIL_PYTHON": sys.executable,
                "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
                "PATH": f"{Path(sys.executable).parent}:{clean_environment()['PATH']}",
            }
        )

    def stage_environment(self, place: StagePlace) -> dict[str, str]:
        """The variables that a script of this stage gets."""
        return self.host_environment() | {
            "STAGE": place.stage.name,
            "STAGE_DIR": str(place.stage.path),
            "STAGE_WORK_DIR": str(place.work),
            "ROOTFS_DIR": str(place.rootfs),
            "PREV_STAGE": place.previous_stage.name if place.previous_stage else "",
            "PREV_STAGE_DIR": str(place.previous_stage.path) if place.previous_stage else "",
            "PREV_ROOTFS_DIR": str(place.previous_rootfs) if place.previous_rootfs else "",
        }

    def postrun(self, script: Path) -> None:
        """Run what pi-gen runs when all is built."""
        self._script(script, script.parent, self.host_environment())

    def prerun(self, place: StagePlace, partial: Path) -> bool:
        """Run a stage's prerun.sh; returns whether the stage goes on from the previous one's root.

        Raises BuildError when it leaves no root file system.
        """
        namespace.unmount_below(place.work)
        if place.rootfs.exists():
            remove_tree(place.rootfs)
        place.work.mkdir(parents=True, exist_ok=True)
        environment = self.stage_environment(place) | {
            "MOJOMAIL_LAYERS": str(self.store.path),
            "MOJOMAIL_PARTIAL": str(partial),
            "MOJOMAIL_PREVIOUS": ":".join(place.previous_trees),
        }
        try:
            if place.stage.prerun is not None:
                with step("prerun.sh"):
                    self._script(place.stage.prerun, place.stage.path, environment)
            kind = (partial / "base").read_text() if (partial / "base").exists() else ""
            if not kind and place.rootfs.is_dir() and any(place.rootfs.iterdir()):
                # The script made the root itself, by a copy say: that is this layer, on top of nothing.
                kill_leftovers()
                namespace.unmount_below(place.rootfs)
                os.rename(place.rootfs, partial / "tree.0")  # noqa: PTH104 - one file system, the cache
                kind = "own"
        finally:
            kill_leftovers()
            namespace.unmount_below(place.work)
        if not kind:
            raise BuildError(
                f"{place.stage.path} has no root file system to work on",
                hint="its prerun.sh must call copy_previous or bootstrap, and be executable",
            )
        return kind == "previous"

    def substage(self, place: StagePlace, substage: SubStage, lower: list[str], partial: Path) -> None:
        """Run every step of a sub-stage into the layer at `partial`, over the trees `lower`."""
        standins = self.standins()
        for attempt in range(1, ATTEMPTS + 1):
            workspace = Workspace(
                self.store, partial, place.rootfs, lower, standins, self.places, self.stage_environment(place)
            )
            workspace.environment["SUB_STAGE_DIR"] = str(substage.path)
            try:
                for one in substage.steps:
                    if one.skipped:
                        note(f"warning: {one.path} is not executable and was skipped (chmod +x to run it)")
                        continue
                    with step(one.name):
                        self._step(workspace, place, substage, one)
                return
            except Contaminated as copied:
                if attempt == ATTEMPTS:
                    raise BuildError(
                        f"{substage.path} copies programs of this machine into the image: {copied}",
                        hint="build with --no-native",
                    ) from None
                note(f"once more without stand-ins for {copied}")
                standins.excluded.update(copied.names)
                self.store.start_over(partial)

    def _step(self, workspace: Workspace, place: StagePlace, substage: SubStage, one: Step) -> None:
        if one.kind is StepKind.DEBCONF:
            with workspace.ready(Standing.PACKAGES):
                # The shell fills in variables such as ${LOCALE_DEFAULT}, as it does under pi-gen.
                workspace.run("/bin/bash", "-e", stdin=debconf_script(one.path))
        elif one.kind in (StepKind.PACKAGES, StepKind.PACKAGES_NR):
            self.install(
                workspace,
                [word.text for word in read_packages(one.path)],
                recommends=one.kind is StepKind.PACKAGES,
                origin=one.path,
            )
        elif one.kind is StepKind.PATCHES:
            with workspace.ready(Standing.NOTHING):
                self._patch(workspace, place, substage, one.path)
        elif one.kind is StepKind.RUN:
            with workspace.ready(Standing.SCRIPT):
                self._script(one.path, substage.path, workspace.environment)
        else:
            with workspace.ready(Standing.SCRIPT):
                workspace.run("/bin/bash", "-e", stdin=one.path)

    def _script(self, path: Path, cwd: Path, environment: Mapping[str, str]) -> None:
        """Run a script of a stage on the host, with pi-gen's shell functions."""
        program = 'source "$1" && exec "$2"'
        run("bash", "-c", program, "mojomail", FUNCTIONS, f"./{path.name}", cwd=cwd, env=environment)

    def install(self, workspace: Workspace, packages: list[str], *, recommends: bool, origin: Path) -> None:
        """Install packages in the order that apt plans, unpacking and configuring in trees of their own.

        What was unpacked then lies below the stand-ins while it is configured, which is where the time goes.
        """
        if not packages:
            return
        # Said either way: the root's own apt may be set to something else for its later life on the node.
        options = ["-y", "--install-recommends" if recommends else "--no-install-recommends"]
        places = ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial")
        fetched = tuple(workspace.rootfs / place for place in places)

        def apt(*words: str) -> str:
            return workspace.run("apt-get", *words, patience=Patience(APT_PATIENCE, fetched))

        def dpkg(*words: str) -> None:
            workspace.run("dpkg", *DPKG_OPTIONS, *words, patience=Patience(PATIENCE))

        with workspace.ready(Standing.PACKAGES):
            if self.update_first:
                apt("-q", "update")
                self.update_first = False
            try:
                text = apt("-qq", *options, "--simulate", "install", *packages)
            except CommandFailed as failed:
                raise explain_packages(failed, origin) from None
            plan = read_apt_plan(text)
            if plan is not None and plan.rounds:
                with step("download"):
                    # Not -qq: it tells how much is to be fetched, also when there is no room for it.
                    apt("-q", *options, "--download-only", "install", *packages)
        if plan is None:
            # Something is to be removed: apt knows best in which order.
            with workspace.ready(Standing.PACKAGES):
                patience = Patience(PATIENCE, fetched)
                workspace.run("apt-get", "-q", *options, "install", *packages, patience=patience)
            return
        for number, one in enumerate(plan.rounds, 1):
            if one.debs:
                with step(f"unpack {len(one.debs)} packages"), workspace.ready(Standing.PACKAGES):
                    archives = [f"/var/cache/apt/archives/{name}" for name in one.debs]
                    dpkg("--unpack", "--auto-deconfigure", "--no-triggers", *archives)
                workspace.fresh_tree()
            with step(f"configure {len(one.configured)} packages"), workspace.ready(Standing.PACKAGES):
                if number < len(plan.rounds):
                    dpkg("--configure", "--no-triggers", *one.configured)
                else:
                    dpkg("--configure", "--pending")
        with workspace.ready(Standing.PACKAGES):
            named = {name.partition("=")[0].partition("/")[0].partition(":")[0].rstrip("+") for name in packages}
            automatic = sorted(plan.new - named)
            if automatic:
                workspace.run("apt-mark", "auto", *automatic)
            # Marks what is there already as asked for, and fails when anything is not as apt planned it.
            apt("-qq", *options, "install", *packages)

    def _patch(self, workspace: Workspace, place: StagePlace, substage: SubStage, patches: Path) -> None:
        """Apply a quilt series in the stage's work directory, as pi-gen does (paths begin with rootfs/)."""
        state = place.work / f"{substage.name}-pc"
        remove_tree(state)
        state.mkdir()
        link = place.work / ".pc"
        link.unlink(missing_ok=True) if link.is_symlink() else remove_tree(link)
        link.symlink_to(state.name)
        environment = workspace.environment | {"QUILT_PATCHES": str(patches)}
        run("quilt", "upgrade", cwd=place.work, env=environment, ok=(0, 1))
        # quilt(1): 2 says that there is nothing to apply.
        run("quilt", "push", "-a", cwd=place.work, env=environment, ok=(0, 2))


def debconf_script(path: Path) -> bytes:
    """What pi-gen's on_chroot is given for a debconf file: a here-document that bash expands."""
    return b"debconf-set-selections <<SELEOF\n" + path.read_bytes().rstrip(b"\n") + b"\nSELEOF\n"


@dataclass
class AptRound:
    """Packages that apt unpacks in one go (file names of the archives directory), and those it configures then."""

    debs: list[str]
    configured: list[str]


@dataclass(frozen=True)
class AptPlan:
    """What apt is about to do; `new` names packages that were not installed before."""

    rounds: list[AptRound]
    new: frozenset[str]


def read_apt_plan(text: str) -> AptPlan | None:
    """The plan in the output of a simulated apt-get, or None when it removes something.

    Lines are `Inst NAME [OLD] (VERSION ORIGIN [ARCH])`, `Conf NAME (...)` and `Remv NAME ...` (apt-get(8), -s).
    """
    rounds: list[AptRound] = []
    new = set()
    for line in text.splitlines():
        match = re.match(r"(Inst|Conf|Remv|Purg) (\S+?)(?::\w+)? (\[[^]]*\] )?\((\S+) .*\[(\w+)\]\)", line)
        if match is None:
            if re.match(r"(Remv|Purg) ", line):
                return None
            continue
        action, name, old, version, architecture = match.groups()
        if action == "Inst":
            if not rounds or rounds[-1].configured:
                rounds.append(AptRound([], []))
            rounds[-1].debs.append(f"{name}_{version.replace(':', '%3a')}_{architecture}.deb")
            if old is None:
                new.add(name)
        elif action == "Conf":
            if not rounds:
                rounds.append(AptRound([], []))
            rounds[-1].configured.append(name)
        else:
            return None
    return AptPlan(rounds, frozenset(new))


def explain_packages(failed: CommandFailed, origin: Path) -> BuildError:
    """An error that names the packages apt cannot install, with the file and line that ask for them."""
    text = "\n".join(failed.tail)
    missing = re.findall(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate", text)
    names = [one or other for one, other in missing]
    if not names or not origin.is_file():
        return failed
    places = {word.text: word for word in read_packages(origin)}
    lines = []
    for name in dict.fromkeys(names):
        word = places.get(name)
        where = f"{origin}:{word.line}:{word.column}" if word else str(origin)
        lines.append(f"{where}: no package {name} in the profile's sources")
    return BuildError("\n".join(lines), hint="correct the name, or add the source that has it to the profile (apt:)")

"""A root file system under construction: mounted from its layers, with what programs in it need."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import namespace
from .layers import LayerStore, remove_tree
from .overlay import mount_overlay
from .packagelists import PackageLists
from .process import Patience, run, run_on_terminal
from .progress import note
from .standin import Standing, Standins, installed_versions
from .tools import LOADER, Tools

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


HIDDEN_LIBRARIES = "run/mojomail/lib"
"""Where this machine's libraries are while an initramfs is made; programs of the root pass over them."""

APT_CACHE = "run/mojomail/apt"
"""Where the root's apt keeps what it makes of the indexes (see APT_SETTINGS)."""

PATIENCE = 3600
"""Seconds without a line after which a program of a package hangs. Emulated on a slow machine, one is silent long."""


class Contaminated(Exception):
    """Stand-ins were copied into a layer; `names` are those to leave out when it is made again."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(frozen=True)
class Places:
    """Host directories that appear in the chroot: package files and package indexes."""

    debs: Path
    lists: PackageLists


class Workspace:
    """The layer that is being written: its trees, and the mounts over them at `rootfs`.

    `lower` are the trees of the layers below, uppermost first, relative to the store.
    """

    def __init__(
        self,
        store: LayerStore,
        partial: Path,
        rootfs: Path,
        lower: list[str],
        standins: Standins,
        places: Places,
        environment: Mapping[str, str],
    ) -> None:
        self.store = store
        self.partial = partial
        self.rootfs = rootfs
        self.lower = lower
        self.standins = standins
        self.places = places
        self.environment = dict(environment)
        self._tree = max((int(path.name[5:]) for path in partial.glob("tree.*")), default=0)
        self._round = 0

    @property
    def tree(self) -> Path:
        """The tree that is written to now."""
        return self.partial / f"tree.{self._tree}"

    def fresh_tree(self) -> None:
        """Put what was written so far below the stand-ins and go on in a new tree."""
        if self.tree.exists() and any(self.tree.iterdir()):
            self._tree += 1

    def _lower_now(self) -> list[str]:
        below = [f"{self.partial.name}/tree.{number}" for number in range(self._tree)]
        return below[::-1] + self.lower

    def _mount(self, standin: str | None) -> None:
        scratch = self.partial / f"scratch.{self._tree}"
        mount_overlay(
            self.store.path, ([standin] if standin else []) + self._lower_now(), self.rootfs, self.tree, scratch
        )

    @contextmanager
    def plain(self) -> Iterator[Path]:
        """The root file system with nothing over it, to look at or to change from outside."""
        self._mount(None)
        try:
            yield self.rootfs
        finally:
            namespace.unmount(self.rootfs)

    @contextmanager
    def ready(self, standing: Standing) -> Iterator[Path]:
        """The root file system with stand-ins, /proc, /dev, /run, /tmp, package files and network.

        Raises Contaminated on leaving when a stand-in was copied into the tree.
        """
        self._round += 1
        standin = self.partial / f"standin.{self._round}"
        with self._view() as view:
            self.standins.build(view, standin, standing, resolv_conf=_read_or_none(Path("/etc/resolv.conf")))
        with ExitStack() as stack:
            self._mount(f"{self.partial.name}/{standin.name}")
            stack.callback(namespace.unmount_below, self.rootfs)
            mount_apis(stack, self.rootfs)
            mount_packages(stack, self.rootfs, self.places)
            if self.standins.tools is not None:
                mount_tools(stack, self.rootfs, self.standins.tools, standing)
            stack.callback(kill_leftovers)
            yield self.rootfs
            requests = _read_or_none(self.rootfs / "run/mojomail/initramfs")
        copies = self.standins.foreign_copies(self.tree, standin) if self.tree.exists() else []
        remove_tree(standin)
        if copies:
            raise Contaminated(copies)
        if requests:
            self._make_initramfs(requests)

    @contextmanager
    def _view(self) -> Iterator[Path]:
        """A look at the root as it is, without writing: the tree in the making as the uppermost layer."""
        lower = self._lower_now()
        if self.tree.exists():
            lower = [f"{self.partial.name}/{self.tree.name}", *lower]
        mount_overlay(self.store.path, lower, self.rootfs, None, None)
        try:
            yield self.rootfs
        finally:
            namespace.unmount(self.rootfs)

    def run(
        self,
        *argv: str,
        stdin: bytes | Path | None = None,
        env: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> str:
        """Run a program of the root file system in it, to be used inside `ready()`."""
        environment = chroot_environment(self.environment) | dict(env or {})
        # The host's PATH finds chroot(8) itself; the program inside is found by the PATH that env(1) sets.
        words: tuple[str | Path, ...] = ("chroot", self.rootfs, "/usr/bin/env", "-i", *_assignments(environment), *argv)
        return run(*words, stdin=stdin, patience=patience)

    def interactive(self, argv: list[str]) -> int:
        """Run a program of the root file system on the caller's terminal; returns its exit code."""
        with ExitStack() as stack:
            lower = self._lower_now()
            mount_overlay(self.store.path, lower, self.rootfs, self.tree, self.partial / f"scratch.{self._tree}")
            stack.callback(namespace.unmount_below, self.rootfs)
            mount_apis(stack, self.rootfs)
            mount_packages(stack, self.rootfs, self.places)
            stack.callback(kill_leftovers)
            environment = chroot_environment(self.environment) | {"TERM": os.environ.get("TERM", "dumb")}
            return run_on_terminal("chroot", str(self.rootfs), "/usr/bin/env", "-i", *_assignments(environment), *argv)

    def _make_initramfs(self, requests: str) -> None:
        """Make the initramfs that was asked for, by the root's own tools, since their files go into it."""
        calls = list(dict.fromkeys(requests.splitlines()))
        if any("-u" in call.split() and "-k all" in call for call in calls) or len(calls) > 1:
            calls = ["-u -k all"]
        with self.ready(Standing.INITRAMFS):
            for call in calls:
                libraries = {"LD_LIBRARY_PATH": f"/{HIDDEN_LIBRARIES}"}
                self.run("/usr/sbin/update-initramfs", *call.split(), env=libraries, patience=Patience(PATIENCE))


def _mounted(stack: ExitStack, source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    if not target.exists():
        target.mkdir(parents=True)
    namespace.mount(source, target, kind, flags, options)
    stack.callback(namespace.unmount_below, target)


def mount_apis(stack: ExitStack, rootfs: Path) -> None:
    """Mount what any program expects: /proc, an empty /sys, a minimal /dev, /run and /tmp in memory."""
    nosuid, nodev = namespace.MS_NOSUID, namespace.MS_NODEV
    _mounted(stack, "proc", rootfs / "proc", "proc", nosuid | nodev | namespace.MS_NOEXEC)
    _mounted(stack, "sys", rootfs / "sys", "tmpfs", 0, "mode=755,size=1m")
    dev = rootfs / "dev"
    _mounted(stack, "dev", dev, "tmpfs", nosuid, "mode=755,size=4m")
    for name in DEVICES:
        (dev / name).touch()
        _mounted(stack, f"/dev/{name}", dev / name, "", namespace.MS_BIND)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(f"/proc/self/{target}")
    _mounted(stack, "devpts", dev / "pts", "devpts", nosuid | namespace.MS_NOEXEC, "newinstance,ptmxmode=0666")
    (dev / "ptmx").symlink_to("pts/ptmx")
    _mounted(stack, "shm", dev / "shm", "tmpfs", nosuid | nodev, "mode=1777")
    _mounted(stack, "run", rootfs / "run", "tmpfs", nosuid | nodev, "mode=755")
    _mounted(stack, "tmp", rootfs / "tmp", "tmpfs", nosuid | nodev, "mode=1777")
    (rootfs / "run/lock").mkdir()
    (rootfs / "run/mojomail").mkdir()
    resolv = rootfs / "etc/resolv.conf"
    if resolv.is_symlink():
        pointed = Path(os.path.normpath(Path("/etc") / resolv.readlink()))
        if pointed.parts[:2] == ("/", "run"):
            inside = rootfs / pointed.relative_to("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.write_text(_read_or_none(Path("/etc/resolv.conf")) or "")


def mount_packages(stack: ExitStack, rootfs: Path, places: Places) -> None:
    """Show the cache's package files and indexes to the root's apt, if it has one."""
    if (rootfs / "var/cache/apt").is_dir():
        _mounted(stack, str(places.debs), rootfs / "var/cache/apt/archives", "", namespace.MS_BIND)
        lists = stack.enter_context(places.lists.of(rootfs))
        _mounted(stack, str(lists), rootfs / "var/lib/apt/lists", "", namespace.MS_BIND)
        _mounted(stack, str(places.lists.made), rootfs / APT_CACHE, "", namespace.MS_BIND)


def mount_tools(stack: ExitStack, rootfs: Path, tools: Tools, standing: Standing) -> None:
    """Give this machine's programs their libraries, read-only.

    They lie where the programs look for them, at a place that the stand-in layer holds ready; but where the hooks
    of an initramfs, which take every /usr/lib/*/NAME, do not see them while one is made.
    """
    if tools.architecture == "arm64":
        return
    libraries = rootfs / (HIDDEN_LIBRARIES if standing is Standing.INITRAMFS else f"usr/lib/{tools.triplet}")
    loader = rootfs / LOADER.lstrip("/")
    loader.touch()
    for source, target in ((tools.path / "usr/lib" / tools.triplet, libraries), (tools.loader.resolve(), loader)):
        _mounted(stack, str(source), target, "", namespace.MS_BIND)
        namespace.mount("", target, "", namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY)
    # What of Perl is not in the root must not be found by the Perl that stands in for the root's either.
    modules = libraries / "perl"
    installed = installed_versions(rootfs / "var/lib/dpkg/status")
    if modules.is_dir() and not any(name.startswith("libperl5") for name in installed):
        _mounted(stack, "nothing", modules, "tmpfs", namespace.MS_RDONLY, "mode=755,size=4k")


def chroot_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What programs in the chroot see: the stage variables, a fixed locale, and nothing of who builds."""
    host_only = ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "PYTHONPATH", "VIRTUAL_ENV", "GNUPGHOME")
    kept = {name: value for name, value in environment.items() if name not in host_only and "MOJOMAIL_P" not in name}
    return kept | {
        "PATH": PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
        "PERL_HASH_SEED": "0",
        "PYTHONHASHSEED": "0",
        "TERM": "dumb",
    }


def _assignments(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items() if value is not None]


def _read_or_none(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def kill_leftovers() -> None:
    """End every process that a step left behind: all others in the build's process namespace."""
    if os.getpid() != 1:
        return
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            _, status = os.waitpid(-1, 0)
            if os.WIFSIGNALED(status):
                note("a process that a step left running was ended")
    except (ProcessLookupError, ChildProcessError):
        return

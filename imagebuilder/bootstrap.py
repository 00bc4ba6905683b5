"""The lowest layer: a minimal Debian (essential packages and apt), unpacked by mmdebstrap and installed in it."""

from __future__ import annotations

from pathlib import Path

from .archives import download, resolve
from .cache import Cache
from .chroot import Workspace
from .indexes import Indexes, Source
from .process import run
from .progress import step
from .standin import Standing

DPKG_RULES = Path("overlay/etc/dpkg/dpkg.cfg.d/mojomail")
"""Which files of packages are left out: below the project's root, and at the same place on the node."""

MORE_PACKAGES = ("ca-certificates",)
"""Installed besides: apt reaches no https source without."""

REQUEST = ["dist-upgrade"]
"""On an empty system apt then takes all essential packages and itself (mmdebstrap(1), variant apt)."""


def bootstrap(
    workspace: Workspace,
    cache: Cache,
    indexes: Indexes,
    *,
    release: str,
    rules: Path | None,
    keyrings: dict[Path, Path],
) -> None:
    """Fill an empty workspace.

    rules      a dpkg configuration that leaves files out, from the first package on; None leaves nothing out
    keyrings   more archive keys: the path on the node, and the file on the host

    Raises BuildError when a source cannot be reached or a package fails.
    """
    tree = workspace.tree
    with step("download"):
        debs = resolve(indexes, "arm64", REQUEST)
        download(cache, indexes, "arm64", REQUEST)
    with step(f"unpack {len(debs)} packages"):
        options = [f"--dpkgopt={line}" for line in _rules(rules)]
        run(
            "mmdebstrap",
            "--mode=root",
            "--architectures=arm64",
            "--variant=extract",
            "--format=directory",
            "--skip=update,download/empty,cleanup/apt,cleanup/tmp,chroot/mount/sys,chroot/mount/dev,chroot/mount/proc",
            "--aptopt=APT::Sandbox::User root",
            "--aptopt=APT::Install-Recommends false",
            *options,
            '--setup-hook=mkdir -p "$1/var/lib/apt/lists" "$1/var/cache/apt/archives"',
            '--setup-hook=mount --bind "$MOJOMAIL_LISTS" "$1/var/lib/apt/lists"',
            '--setup-hook=mount --bind "$MOJOMAIL_DEBS" "$1/var/cache/apt/archives"',
            '--extract-hook=umount "$1/var/cache/apt/archives" "$1/var/lib/apt/lists"',
            f"--include={','.join(deb.package for deb in debs)}",
            release,
            tree,
            *(source.line(architectures=indexes.architectures) for source in indexes.sources),
            env=workspace.environment | {"MOJOMAIL_LISTS": str(indexes.lists), "MOJOMAIL_DEBS": str(cache.debs)},
        )
        for name in ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf"):
            (tree / name).unlink(missing_ok=True)
        if rules is not None:
            target = tree / "etc/dpkg/dpkg.cfg.d/mojomail"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(rules.read_bytes())
        write_sources(tree, indexes.sources)
        for on_node, on_host in keyrings.items():
            target = tree / on_node.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(on_host.read_bytes())
            target.chmod(0o644)
    workspace.fresh_tree()
    # As mmdebstrap does, dpkg without regard to the order that dependencies ask for, all files being there. In
    # two steps, because files that are unpacked cover the stand-ins that configuring needs.
    names = [f"/var/cache/apt/archives/{deb.filename}" for deb in debs]
    dpkg = ("dpkg", "--force-depends", "--force-confnew", "--force-unsafe-io")
    with step(f"register {len(debs)} packages"), workspace.ready(Standing.PACKAGES):
        workspace.run(*dpkg, "--unpack", *names)
    workspace.fresh_tree()
    with step(f"configure {len(debs)} packages"), workspace.ready(Standing.PACKAGES):
        workspace.run(*dpkg, "--configure", "--pending")


def write_sources(root: Path, sources: list[Source]) -> None:
    """Write /etc/apt/sources.list of a root file system."""
    path = root / "etc/apt/sources.list"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{source.line()}\n" for source in sources))
    path.chmod(0o644)


def _rules(path: Path | None) -> list[str]:
    if path is None:
        return []
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]

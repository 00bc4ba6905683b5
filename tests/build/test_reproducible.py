"""The same inputs give the same bits."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from imagebuilder.cache import Cache, default_cache
from tests.build.project import ROOT, Project, inquire

VILLAGE = ROOT / "profiles/village.yaml"


@pytest.fixture
def usual(tmp_path: Path) -> Cache:
    """The usual cache, with package indexes in it."""
    cache = default_cache()
    if not any(cache.indexes.glob("*/fetched")):
        build(cache, tmp_path / "first")
    return cache


def built_with_a_second_cache(usual: Cache, deploy: Path) -> Cache:
    """The usual cache's image in `deploy`, and a cache with the very packages and indexes that it was built from.

    That has layers of its own, each made there once for itself. It stays, so that only what changed is made there anew.
    """
    made = usual.twice
    while True:
        known = offered(usual)
        build(usual, deploy, "--frozen")
        with usual.locked(), made.locked():
            for path in usual.debs.glob("*.deb"):
                if not (made.debs / path.name).exists():
                    (made.debs / path.name).hardlink_to(path)
            shutil.rmtree(made.indexes)
            shutil.copytree(usual.indexes, made.indexes, symlinks=True)
        if offered(made) == known:
            return made
        shutil.rmtree(deploy)  # another test has asked the archive meanwhile, and there was something new


def offered(cache: Cache) -> dict[str, bytes]:
    """What the archive offered when it was asked last."""
    return {str(path.relative_to(cache.indexes)): path.read_bytes() for path in cache.indexes.glob("*/lists/*Release")}


def test_image_built_in_another_cache_from_the_same_packages_is_the_same_bit_for_bit(
    usual: Cache, tmp_path: Path
) -> None:
    """No layer in common, another place, another day: where the images differ, the failure names the files."""
    second = built_with_a_second_cache(usual, tmp_path / "usual")
    build(second, tmp_path / "second", "--frozen")
    Project(tmp_path, cache=second.path).run("clean", "--prune").ok()
    if digest(tmp_path / "usual") == digest(tmp_path / "second"):
        return
    before, now = (listing(cache) for cache in (usual, second))
    lines = [
        f"{name}: {before.get(name)} / {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    Project(tmp_path, cache=second.path).run("clean", "--layers").ok()  # the next run compares what it then makes
    raise AssertionError("the images differ; files that do:\n" + ("\n".join(lines) or "none, only the file systems"))


def build(cache: Cache, deploy: Path, *options: str) -> None:
    """Build the village's image."""
    project = Project(deploy, cache=cache.path, profile=VILLAGE)
    deploy.mkdir()
    project.run("build", "--raw", "--deploy", deploy, *options).ok()


def digest(deploy: Path) -> str:
    """The image's SHA-256."""
    with (deploy / "mojomail-village.img").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing(cache: Cache) -> dict[str, str]:
    """What the image holds."""
    found: dict[str, str] = json.loads(inquire("listtree.py", "village", cache=cache.path))
    return found

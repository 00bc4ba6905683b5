"""The same inputs give the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from imagebuilder.cache import Cache, default_cache

ROOT = Path(__file__).resolve().parents[2]


def test_two_builds_with_the_layer_cache_emptied_between_them_give_the_same_image(tmp_path: Path) -> None:
    """From the same downloaded packages and indexes; where the images differ, the failure names the files."""
    usual = default_cache()
    cache = Cache(usual.path.parent / f"{usual.path.name}-twice-{os.getpid()}")
    cache.create()
    try:
        for path in usual.debs.glob("*.deb"):
            (cache.debs / path.name).hardlink_to(path)
        shutil.copytree(usual.indexes, cache.indexes, dirs_exist_ok=True, symlinks=True)
        first = build_and_list(cache, tmp_path / "one")
        run(cache, [str(ROOT / "build.py"), "clean", "--layers"])
        second = build_and_list(cache, tmp_path / "two")
    finally:
        run(cache, [str(ROOT / "build.py"), "clean", "--all"])
        shutil.rmtree(cache.path)
    if first[0] != second[0]:
        files = [
            name for name in sorted(first[1].keys() | second[1].keys()) if first[1].get(name) != second[1].get(name)
        ]
        lines = [f"{name}: {first[1].get(name)} / {second[1].get(name)}" for name in files]
        raise AssertionError(
            "the images differ; files that do:\n" + ("\n".join(lines) or "none, only the file systems")
        )


def build_and_list(cache: Cache, deploy: Path) -> tuple[str, dict[str, str]]:
    """The image's SHA-256, and what it holds."""
    frozen = ["--frozen"] if any(cache.indexes.glob("*/fetched")) else []
    run(cache, [str(ROOT / "build.py"), "build", "village", "--raw", "--deploy", str(deploy), *frozen])
    with (deploy / "mojomail-village.img").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (deploy / "mojomail-village.img").unlink()
    listed = run(cache, [sys.executable, str(Path(__file__).with_name("listtree.py")), "village"])
    found: dict[str, str] = json.loads(listed)
    return digest, found


def run(cache: Cache, words: list[str]) -> str:
    """Run a command with this cache; returns what it prints."""
    environment = os.environ | {"MOJOMAIL_CACHE": str(cache.path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout

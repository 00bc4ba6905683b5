"""Measures builds: `python -m tests.bench`, or `make bench`. Prints one line of JSON for each figure.

What is built is the base image and the packages of a mail node, the same list in every release, so that
figures compare. Layers, tools and images start from nothing; packages are downloaded before the clock
starts. Times of a shared machine are noisy: compare the figures of one run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imagebuilder.cache import Cache, default_cache
from imagebuilder.report import this_machine

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = (
    "postfix offlineimap3 dovecot-imapd dovecot-pop3d dovecot-lmtpd roundcube-core roundcube-sqlite3 "
    "roundcube-plugins php-fpm nginx-light python3-flask sqlite3"
)

BASE = Path("profiles/village.yaml")


def main() -> int:
    """Run every measurement, in the order in which one prepares the next."""
    with scene() as (place, cache):
        profile = place / "bench.yaml"
        stage = place / "bench-stage"
        write(stage / "prerun.sh", '#!/bin/bash -e\nif [ ! -d "${ROOTFS_DIR}" ]; then\n\tcopy_previous\nfi\n', True)
        write(stage / "00-mail/00-packages-nr", PACKAGES.replace(" ", "\n") + "\n")
        write(stage / "01-last/00-run.sh", '#!/bin/bash -e\ninstall -m 644 files/note "${ROOTFS_DIR}/etc/note"\n', True)
        write(stage / "01-last/files/note", "one\n")
        write(profile, "description: What make bench measures\nstages: [base, ./bench-stage]\n")

        build(cache, profile, place, "--raw")  # fetches packages, so that the next one does not
        forget_layers(cache)
        cold = build(cache, profile, place, "--raw", "--frozen")
        tell("cold build to the uncompressed image, packages already downloaded", "s", cold["seconds"], target=360)
        tell("peak memory of the cold build", "MB", cold["peak_memory"] / 1e6, target=2000)
        tell("peak disk of the cold build, downloads besides", "MB", cold["peak_disk"] / 1e6, target=6000)
        tell("downloaded packages", "MB", sum(path.stat().st_size for path in cache.debs.glob("*.deb")) / 1e6)
        tell("uncompressed image", "MB", (place / "deploy/mojomail-bench.img").stat().st_size / 1e6)
        same = build(cache, profile, place, "--raw")
        tell("nothing changed", "s", same["seconds"], target=2)
        write(stage / "01-last/files/note", "two\n")
        changed = build(cache, profile, place, "--raw")
        tell("one file of the last sub-stage changed, to the uncompressed image", "s", changed["seconds"], target=20)
        started = time.monotonic()
        run(cache, "plan", str(profile))
        tell("plan", "s", time.monotonic() - started, target=1)
        base = build(cache, ROOT / BASE, place)
        tell("base image, release files and all, from there", "s", base["seconds"])
        size = (place / "deploy/mojomail-village.img.xz").stat().st_size
        tell("base image as .xz", "MB", size / 1e6, target=220)
    return 0


@contextmanager
def scene() -> Iterator[tuple[Path, Cache]]:
    """A place to build in with a cache of its own, which has the downloads of the usual one; removed afterwards."""
    usual = default_cache()
    usual.create()
    place = Path(tempfile.mkdtemp(prefix="mojomail-bench-", dir=usual.path.parent))
    try:
        cache = Cache(place / "cache")
        cache.create()
        for path in usual.debs.glob("*.deb"):
            (cache.debs / path.name).hardlink_to(path)
        shutil.copytree(usual.indexes, cache.indexes, dirs_exist_ok=True, symlinks=True)
        yield place, cache
    finally:
        run(Cache(place / "cache"), "clean", "--all")
        shutil.rmtree(place)


def forget_layers(cache: Cache) -> None:
    """Leave nothing but packages and indexes."""
    run(cache, "clean", "--layers")
    shutil.rmtree(cache.tools)


def build(cache: Cache, profile: Path, place: Path, *options: str) -> dict[str, Any]:
    """Build, and return seconds of wall time and the peaks in bytes."""
    started = time.monotonic()
    run(cache, "build", str(profile), "--deploy", str(place / "deploy"), *options)
    seconds = time.monotonic() - started
    figures: dict[str, Any] = json.loads((cache.reports / "last.json").read_text())
    return figures | {"seconds": seconds}


def run(cache: Cache, *words: str) -> None:
    """Run build.py; ends the measurement with its output when it fails."""
    environment = os.environ | {"MOJOMAIL_CACHE": str(cache.path)}
    done = subprocess.run(
        [str(ROOT / "build.py"), *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        sys.exit(done.returncode)


def write(path: Path, text: str, program: bool = False) -> None:
    """Write a file, with its run bit if it is a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if program else 0o644)


def tell(what: str, unit: str, value: float, target: float | None = None) -> None:
    """Print one figure."""
    machine = this_machine()
    line: dict[str, Any] = {"what": what, "value": round(value, 1), "unit": unit}
    if target is not None:
        line |= {"target": target, "reached": value <= target}
    print(json.dumps(line | {"cores": machine.cores, "cpu": machine.cpu}), flush=True)


if __name__ == "__main__":
    sys.exit(main())

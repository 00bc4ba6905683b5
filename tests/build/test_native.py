"""Programs of this machine that stand in for the root's own leave the same tree as emulating everything."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = "python3-minimal ssl-cert sqlite3 openssl cron"

DIFFER = {
    "etc/ssl/private/ssl-cert-snakeoil.key": "a key, made afresh each time",
    "etc/ssl/certs/ssl-cert-snakeoil.pem": "its certificate",
    "etc/ssl/certs/*": "a link named after the hash of that certificate",
    "var/cache/ldconfig/aux-cache": "inode numbers",
    "var/log/*": "dates",
    "var/lib/systemd/random-seed": "a seed",
    "var/cache/debconf/*-old": "a backup, removed when the image is sealed",
    "var/lib/dpkg/*-old": "a backup, removed when the image is sealed",
    "etc/*-": "a backup, removed when the image is sealed",
}
"""Files that may differ between any two builds, and why; what sealing removes is compared by the double build."""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="nothing is emulated on this machine")
def test_standing_in_gives_the_same_tree_as_emulation(tmp_path: Path) -> None:
    stage = tmp_path / "some-stage"
    (stage / "00-packages").mkdir(parents=True)
    (stage / "prerun.sh").write_text('#!/bin/bash -e\nif [ ! -d "${ROOTFS_DIR}" ]; then\n\tcopy_previous\nfi\n')
    (stage / "prerun.sh").chmod(0o755)
    (stage / "00-packages/00-packages-nr").write_text(PACKAGES.replace(" ", "\n") + "\n")
    (stage / "00-packages/01-run-chroot.sh").write_text(
        "adduser --system --group --home /var/lib/comparison comparison\n"
        "systemctl disable cron.service\n"
        "openssl version > /etc/comparison\n"
    )
    profile = tmp_path / "comparison.yaml"
    profile.write_text("stages: [./some-stage]\n")
    trees = []
    for options in ([], ["--no-native"]):
        done = subprocess.run(
            [str(ROOT / "build.py"), "build", str(profile), "--raw", "--deploy", str(tmp_path / "deploy"), *options],
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        trees.append(listing(profile, options))
    native, emulated = trees
    differences = [
        f"{name}: {native.get(name)} natively, {emulated.get(name)} emulated"
        for name in sorted(native.keys() | emulated.keys())
        if native.get(name) != emulated.get(name) and not any(Path(name).match(pattern) for pattern in DIFFER)
    ]
    assert not differences, "\n".join(differences)
    assert len(native) > 3000


def listing(profile: Path, options: list[str]) -> dict[str, str]:
    """Every path of the built tree before sealing, with type, mode, owner, and content or target."""
    program = Path(__file__).with_name("listtree.py")
    native = "0" if options else "1"
    done = subprocess.run(
        [sys.executable, str(program), str(profile), native],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found

"""Programs of this machine that stand in for the root's own leave the same tree as emulating everything."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from tests.build.project import Project, inquire

PACKAGES = "python3-minimal ssl-cert sqlite3 cron"

SCRIPT = """\
adduser --system --group --home /var/lib/comparison comparison
systemctl disable cron.service
openssl version > /etc/comparison
"""

DIFFER = {
    "etc/machine-id": "made anew each time, and emptied when the image is sealed",
    "var/lib/dbus/machine-id": "the same",
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
@pytest.mark.parametrize(
    "compared", [pytest.param("boot-debian/01-kernel", marks=pytest.mark.long), "some-stage/00-packages"]
)
def test_standing_in_gives_the_same_tree_as_emulation(project: Project, compared: str) -> None:
    """The kernel with its initramfs, and packages whose scripts use Perl, Python, OpenSSL, users and systemd."""
    files = {
        "00-packages/00-debconf": "locales locales/default_environment_locale select C.UTF-8\n",
        "00-packages/00-packages-nr": PACKAGES.replace(" ", "\n") + "\n",
        "00-packages/01-run-chroot.sh": SCRIPT,
    }
    project.stage("some-stage", files)
    project.configure(["some-stage"])
    project.build().ok()
    told = inquire("twoways.py", project.profile, compared)
    differences = []
    for layer, (native, emulated) in json.loads(told).items():
        assert len(native) > 3000, layer
        differences += [
            f"{layer}: {name}: {native.get(name)} with stand-ins, {emulated.get(name)} without"
            for name in sorted(native.keys() | emulated.keys())
            if native.get(name) != emulated.get(name) and not any(Path(name).match(pattern) for pattern in DIFFER)
        ]
    assert not differences, "\n".join(differences)

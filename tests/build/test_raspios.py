"""`base: raspios`: Raspberry Pi's archive is used if its key is the pinned one, and not otherwise."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.cache import Cache, default_cache
from tests.build.aptrepo import Mirror, Repository
from tests.build.project import Project, cache_beside

KERNEL = "6.12.99+rpt-rpi-v8"

KERNEL_POSTINST = f"""#!/bin/sh -e
mkdir -p /boot/firmware
cp /boot/vmlinuz-{KERNEL} /boot/firmware/kernel8.img
run-parts --verbose --exit-on-error --arg={KERNEL} --arg=/boot/vmlinuz-{KERNEL} /etc/kernel/postinst.d
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """An archive with what the boot stage asks of Raspberry Pi's; names as there, content made up."""
    with Repository(tmp_path_factory.mktemp("archive") / "debian") as made:
        files = {f"boot/vmlinuz-{KERNEL}": b"kernel", f"boot/config-{KERNEL}": "CONFIG_RD_ZSTD=y\n"}
        files |= {f"lib/modules/{KERNEL}/modules.{name}": "" for name in ("order", "builtin", "builtin.modinfo")}
        made.add(
            f"linux-image-{KERNEL}",
            "1:6.12.99-1+rpt1",
            architecture="arm64",
            depends="initramfs-tools, kmod",
            files=files,
            scripts={"postinst": KERNEL_POSTINST},
        )
        made.add("linux-image-rpi-v8", "1:6.12.99-1+rpt1", architecture="arm64", depends=f"linux-image-{KERNEL}")
        made.add("linux-image-rpi-2712", "1:6.12.99-1+rpt1", architecture="arm64")
        made.add("raspi-firmware", "1:1.20991231-1", files={"boot/firmware/start4.elf": "firmware"})
        made.add("firmware-brcm80211", "1:20991231-1+rpt1", files={"usr/lib/firmware/brcm/README.rpi": "radio"})
        made.publish()
        yield made


@pytest.fixture(scope="module")
def mirror(repository: Repository) -> Iterator[Mirror]:
    with Mirror(repository.path) as serving:
        yield serving


@pytest.fixture(scope="module")
def cache() -> Iterator[Cache]:
    """A cache with nothing in it but downloaded packages and Debian's address, at a path with spaces."""
    usual = default_cache()
    with cache_beside(usual, " of Raspberry Pi ") as made:
        for path in usual.debs.glob("*.deb"):
            (made.debs / path.name).hardlink_to(path)
        for path in usual.indexes.glob("mmdebstrap-*.list"):
            shutil.copy2(path, made.indexes)
        yield made


@pytest.fixture
def project(tmp_path: Path, cache: Cache) -> Project:
    return Project(tmp_path / "a project", cache=cache.path)


def settings(mirror: Mirror, repository: Repository, **changes: Any) -> dict[str, Any]:
    """The settings of a profile with this archive."""
    raspios: dict[str, Any] = {"archive": mirror.url, "fingerprint": repository.fingerprint} | changes
    return {"base": "raspios", "raspios": raspios, "image": {"free_space": 32}}


def nothing_was_built(cache: Cache) -> bool:
    """Whether the cache holds no layer, finished or not."""
    return not [path for path in cache.layers.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("given", [True, False], ids=["key in a file", "key fetched from the archive"])
def test_archive_with_another_key_than_the_pinned_one_is_refused_before_anything_is_built(
    given: bool, project: Project, cache: Cache, mirror: Mirror, repository: Repository
) -> None:
    pinned = "0123456789ABCDEF0123456789ABCDEF01234567"
    key = {"key": str(repository.key)} if given else {}
    project.configure([], **settings(mirror, repository, fingerprint=pinned, **key))
    refused = project.build().failed(2)
    assert f"the archive's key has fingerprint {repository.fingerprint}, the profile pins {pinned}" in refused.err
    assert "do not build from this archive until you know why" in refused.err
    assert nothing_was_built(cache)
    assert not any("/dists/" in path for path, _ in mirror.requests), "nothing but the key was fetched"


def test_key_that_is_none_is_refused(project: Project, cache: Cache, mirror: Mirror, repository: Repository) -> None:
    key = project.write("no key.asc", "This is no key.\n")
    project.configure([], **settings(mirror, repository, key=str(key)))
    refused = project.build().failed(2)
    assert f"{key}: " in refused.err
    assert "fingerprint" in refused.err
    assert nothing_was_built(cache)


def test_key_that_cannot_be_fetched_is_told_with_its_address(
    project: Project, cache: Cache, mirror: Mirror, repository: Repository
) -> None:
    project.configure([], **settings(mirror, repository, archive=f"{mirror.url}/elsewhere"))
    failed = project.build().failed(3)
    assert f"cannot fetch {mirror.url}/elsewhere/raspberrypi.gpg.key" in failed.err
    assert "raspios: key:" in failed.err
    assert nothing_was_built(cache)


def test_archive_whose_indexes_another_key_signed_is_refused(
    project: Project, cache: Cache, mirror: Mirror, repository: Repository, tmp_path: Path
) -> None:
    with Repository(tmp_path / "other") as other:
        project.configure([], **settings(mirror, repository, key=str(other.key), fingerprint=other.fingerprint))
        failed = project.build().failed(3)
    assert "the package sources cannot be reached" in failed.err or "not signed" in failed.err
    assert mirror.url in failed.err
    assert nothing_was_built(cache)


def test_image_stands_on_the_packages_of_the_archive(project: Project, mirror: Mirror, repository: Repository) -> None:
    """The whole build, from nothing but downloaded packages, with spaces in every path."""
    project.configure([], **settings(mirror, repository))
    project.build().ok()
    assert project.image.stat().st_size > 100 << 20
    versions = project.look("dpkg-query -W -f '${Package} ${Version}\\n'").splitlines()
    for expected in (
        "linux-image-rpi-v8 1:6.12.99-1+rpt1",
        "linux-image-rpi-2712 1:6.12.99-1+rpt1",
        f"linux-image-{KERNEL} 1:6.12.99-1+rpt1",
        "raspi-firmware 1:1.20991231-1",
        "firmware-brcm80211 1:20991231-1+rpt1",
    ):
        assert expected in versions
    files = project.files("/boot/firmware/kernel8.img", "/boot/firmware/start4.elf", "/etc/apt/sources.list")
    assert files["/boot/firmware/kernel8.img"].startswith("kernel")
    assert files["/boot/firmware/start4.elf"].startswith("firmware")
    keyring = "/usr/share/keyrings/raspberrypi-archive-keyring.gpg"
    assert f"[signed-by={keyring}] {mirror.url} trixie main" in files["/etc/apt/sources.list"]
    assert project.look(f"stat -c '%U %a' {keyring}; ls /boot/initrd.img-*").split() == [
        "root",
        "644",
        f"/boot/initrd.img-{KERNEL}",
    ]
    again = project.build().ok()
    assert "bootstrap" not in again.err, "the second build finds everything done"

    mirror.away = True
    offline = project.build().ok()
    assert "warning: the package sources cannot be reached; building from indexes" in offline.err

    mirror.away = False
    repository.add("raspi-firmware", "1:1.20991232-1")
    repository.publish()
    frozen = project.build("--frozen").ok()
    assert "bootstrap" not in frozen.err, "a frozen build does not look"
    said = said_until(project, "bootstrap")
    assert "the package sources offer something new" in said
    assert re.search(r"bootstrap .* build: changed: package indexes", project.run("plan").ok().out)


def said_until(project: Project, mark: str) -> str:
    """What a build says until a line begins with `mark`; it is stopped then."""
    process = project.start("build", "--raw", "--deploy", project.deploy)
    assert process.stderr is not None
    said = ""
    try:
        for line in process.stderr:
            said += line
            if line.startswith(mark):
                break
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    return said

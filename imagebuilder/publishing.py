"""From a built image to the files in deploy/, and whether those there are of this very build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .builder import Builder
from .cache import Cache
from .exports import BuiltImage
from .layers import Layer, digest_of, digest_paths
from .profile import Profile
from .progress import Progress, step
from .release import SIGNATURE, SUFFIXES, ReleaseInfo, own_sums, write_raw, write_release
from .report import Layer as ReportLayer
from .report import Report, package_seconds, this_machine
from .spdx import Package, parse_status
from .usage import Usage

RELEASE_ENGINE = ("release.py", "spdx.py", "debcopyright.py", "imager.py", "report.py", "report.html.j2", "bmap.py")


def put_raw(image: BuiltImage, deploy: Path) -> None:
    """Put the image alone into `deploy`; a later build takes the one in the cache up again. Raises BuildError."""
    write_raw(image.path, deploy=deploy, name=image.name)


def release_id(profile: Profile, image_id: str, deploy: Path) -> str:
    engine = Path(__file__).parent
    return digest_of(
        [
            image_id,
            str(deploy),
            profile.description,
            repr(profile.publish),
            profile.image.compression_level,
            digest_paths((name, engine / name) for name in RELEASE_ENGINE),
        ]
    )


def up_to_date(cache: Cache, name: str, release: str) -> bool:
    """Whether the files that `remember` saw last are still there, unchanged, and of this release."""
    try:
        known = json.loads((cache.reports / f"{name}.release").read_text())
        deploy = Path(known["deploy"])
        return bool(known["release"] == release) and known["files"] == _files(deploy, name, signed=known["signed"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def remember(cache: Cache, name: str, release: str, deploy: Path) -> None:
    """Note which files the release consists of, for `up_to_date`."""
    signed = (deploy / SIGNATURE).exists()
    known = {"release": release, "deploy": str(deploy), "signed": signed, "files": _files(deploy, name, signed=signed)}
    (cache.reports / f"{name}.release").write_text(json.dumps(known, indent=1))


def _files(deploy: Path, name: str, *, signed: bool) -> dict[str, list[int | str]]:
    """What tells the release's files from others of the same names. Raises FileNotFoundError when one is missing.

    SHA256SUMS and its signature change with every other image in `deploy`: of them, the release's own lines count
    and that there is a signature.
    """
    if signed:
        (deploy / SIGNATURE).stat()
    sums = own_sums(deploy, name)
    files: dict[str, list[int | str]] = {}
    for suffix in SUFFIXES:
        status = (deploy / f"{name}{suffix}").stat()
        files[suffix] = [status.st_size, status.st_mtime_ns, sums.get(f"{name}{suffix}", "")]
    return files


def publish(
    builder: Builder, image: BuiltImage, deploy: Path, progress: Progress, usage: Usage, cached: set[str]
) -> None:
    profile = builder.profile
    texts: dict[str, str] = json.loads((builder.store.path / image.seal.id / "licences.json").read_text())

    def copyright_of(package: Package) -> str | None:
        return texts.get(package.name)

    facts = {
        "Profile": profile.name,
        "Base": f"{profile.base} {profile.release}",
        "Stages": " ".join(stage.name for stage in builder.stages),
        "Packages from": ", ".join(f"{source.suite} ({'/'.join(source.components)})" for source in builder.sources),
        "Image id": image.id,
        "Root UUID": image.facts["root"]["identity"],
        "Disk id": image.facts["disk_id"],
    }
    with builder.exporter.sealed_root(image.seal.id) as rootfs:
        status = rootfs / "var/lib/dpkg/status"
        packages = parse_status(status)

        def make_report(sizes: Any) -> Report:
            return Report(
                name=image.name,
                timing=progress.settle(),
                machine=this_machine(),
                facts=facts,
                layers=[_report_layer(layer, cached) for layer in image.layers],
                packages=packages,
                files=dict(sizes),
                package_seconds=package_seconds([builder.store.path / image.seal.id / "dpkg.log"]),
                peak_memory=usage.peak_memory,
                peak_disk=usage.peak_disk,
            )

        with step(f"Writing {image.name}'s files"):
            write_release(
                image.path,
                deploy=deploy,
                name=image.name,
                info=ReleaseInfo(
                    title=f"MojoMail {profile.name}",
                    description=profile.description or "A village's mail office",
                    epoch=builder.epoch,
                    status=status,
                    copyright=copyright_of,
                    facts=facts,
                    layers=[(layer.name, layer.id) for layer in image.layers],
                    download_url=profile.publish.url or None,
                ),
                make_report=make_report,
                sign_key=profile.publish.sign_key or None,
                xz=builder.tools.command("xz"),
                xz_level=profile.image.compression_level,
                packed=image.path.with_suffix(f".{profile.image.compression_level}.img.xz"),
            )
            _part(image.path, deploy / f"{image.name}.img")


def _part(cached: Path, released: Path) -> None:
    """Undo what `write_raw` did: no second name in the cache, and what nobody shares may be written to."""
    cached.unlink(missing_ok=True)
    status = released.stat()
    if status.st_nlink == 1:
        released.chmod(status.st_mode & 0o777 | 0o200)


def _report_layer(layer: Layer, cached: set[str]) -> ReportLayer:
    stage, _, substage = layer.name.rpartition("/")
    return ReportLayer(stage, substage, layer.id, layer.seconds, layer.size, layer.id in cached)

"""The files of a release: the packed image and everything that goes with it, put into place together.

All files are written beside their places first, as .partial, and flushed to disk. Only when the last one
is there are the files of an older build with the same name removed and the new ones renamed, SHA256SUMS
last. A build that breaks off in between leaves no checksum behind that fits a file of another build, and
keeps those of other images.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from . import bmap, imager, report, spdx
from .device import format_size
from .durable import sync_path
from .errors import BuildError, CommandFailed, InputError
from .process import find_program, run
from .progress import detail, note, step
from .spdx import Package

SUFFIXES = (
    ".img",
    ".img.xz",
    ".img.bmap",
    ".spdx.json",
    ".info",
    ".rpi-imager-manifest",
    ".report.html",
    ".report.json",
)
SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
PARTIAL = ".partial"
KEPT = f"{SUMS}.kept{PARTIAL}"
LOCK = ".lock"

XZ_LEVEL = 6
CHUNK = 1 << 20


@dataclass(frozen=True)
class ReleaseInfo:
    """What a release says of itself.

    title, description  for people, in Raspberry Pi Imager
    epoch         SOURCE_DATE_EPOCH: seconds since 1970
    status        dpkg's status file of the image
    copyright     gives the text of a package's copyright file
    facts         lines of the .info file, such as profile, base, stages; in this order
    layers        lines of the .info file: sub-stage and layer id
    devices       the boards' tags in Imager
    download_url  the folder the files will be published under; None: they stay where they are
    """

    title: str
    description: str
    epoch: int
    status: Path
    copyright: Callable[[Package], str | None]
    facts: Mapping[str, str] = field(default_factory=dict)
    layers: Sequence[tuple[str, str]] = ()
    devices: Sequence[str] = imager.DEBIAN_DEVICES
    download_url: str | None = None


def check_signing(key: str) -> None:
    """Sign nothing at all with the key, so that a missing gpg, key or passphrase shows before work starts.

    Raises InputError.
    """
    if find_program("gpg") is None:
        raise InputError("a signature is wanted, but gpg is not installed", hint="sudo apt install gnupg")
    if key.startswith("-") or not key.strip():
        raise InputError(f"not the name of a key: {key!r}")
    if not run("gpg", "--batch", "--with-colons", "--list-secret-keys", "--", key, ok=(0, 2)).strip():
        raise InputError(f"gpg has no secret key {key}", hint="gpg --list-secret-keys shows those it has")
    try:
        with tempfile.TemporaryDirectory() as folder:  # gpg removes its output when it fails: never /dev/null
            output = Path(folder) / SIGNATURE
            run("gpg", "--batch", "--local-user", key, "--output", output, "--detach-sign", stdin="")
    except BuildError as error:
        raise InputError(f"gpg cannot sign with {key}\n{error.message}", hint="is it expired or locked?") from error


def write_release(
    image: Path,
    *,
    deploy: Path,
    name: str,
    info: ReleaseInfo,
    make_report: Callable[[Mapping[str, int]], report.Report],
    sign_key: str | None = None,
    xz: Sequence[str] = ("xz",),
    xz_level: int = XZ_LEVEL,
    threads: int | None = None,
    packed: Path | None = None,
) -> list[Path]:
    """Write every file of a release into `deploy` and return their paths, SHA256SUMS last.

    image        the raw image; it is moved into `deploy` as NAME.img, unless it is that file already
    name         of the files, such as `mojomail-village`
    make_report  called when all else is written, with the files' sizes in bytes by name
    sign_key     a key for gpg to sign SHA256SUMS with; see `check_signing`
    xz           the command to pack with; the archive does not depend on the number of `threads`
    packed       the image as this very command packs it, if the file is there; it is kept there otherwise

    All but the report and SHA256SUMS is the same for the same inputs (the manifest of an image without
    `download_url` names the folder `deploy`). Raises InputError or BuildError, and the files of an older
    build are then as they were.
    """
    _check_name(name)
    final = {suffix: deploy / f"{name}{suffix}" for suffix in SUFFIXES}
    partial = {suffix: path.with_name(f"{path.name}{PARTIAL}") for suffix, path in final.items()}
    with ExitStack() as stack:
        stack.enter_context(_explained(deploy))
        deploy.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_locked(deploy))
        beside = [deploy / f"{SUMS}{PARTIAL}", deploy / f"{SIGNATURE}{PARTIAL}", deploy / KEPT]
        stack.callback(_remove, [*partial.values(), *beside])
        sums: dict[str, str] = {}

        with step("Mapping the image's blocks"):
            sums[".img"] = _sha256(image)
            _write(partial[".img.bmap"], bmap.render(bmap.create(image)))
        with step("Packing the image"):
            if packed is not None and _is_whole(packed, xz):
                shutil.copyfile(packed, partial[".img.xz"])
                sync_path(partial[".img.xz"])
            else:
                _pack(image, partial[".img.xz"], [*xz, f"-{xz_level}"], threads)
                if packed is not None:
                    _keep(partial[".img.xz"], packed)
            sums[".img.xz"] = _sha256(partial[".img.xz"])
        with step("Listing packages and licences"):
            texts = _texts(name, info, image, partial[".img.xz"], sums, deploy)
        for suffix, text in texts.items():
            _write(partial[suffix], text)
        sizes = {f"{name}{suffix}": path.stat().st_size for suffix, path in partial.items() if path.exists()}
        made = make_report({f"{name}.img": image.stat().st_size} | sizes)
        _write(partial[".report.html"], report.to_html(made))
        _write(partial[".report.json"], report.to_json(made))
        for suffix in SUFFIXES:
            if suffix not in sums:
                sums[suffix] = _sha256(partial[suffix])
        lines = _other_sums(deploy, name) | {f"{name}{suffix}": digest for suffix, digest in sums.items()}
        new = deploy / f"{SUMS}{PARTIAL}"
        _write(new, format_sums(lines))
        if sign_key is not None:
            signature = deploy / f"{SIGNATURE}{PARTIAL}"
            run("gpg", "--batch", "--yes", "--local-user", sign_key, "--output", signature, "--detach-sign", new)
            sync_path(signature)

        in_place = _same(final[".img"], image)
        if not in_place:
            _bring(image, partial[".img"])
        _withdraw_sums(deploy, name)
        _remove([path for path in final.values() if not _same(path, image)])
        for suffix in SUFFIXES:
            if suffix != ".img" or not in_place:
                partial[suffix].replace(final[suffix])
        _remove([deploy / SIGNATURE])
        if sign_key is not None:
            (deploy / f"{SIGNATURE}{PARTIAL}").replace(deploy / SIGNATURE)
        new.replace(deploy / SUMS)
        sync_path(deploy)
        if not in_place:
            image.unlink()
    signed = [deploy / SIGNATURE] if sign_key is not None else []
    return [*final.values(), *signed, deploy / SUMS]


def write_raw(image: Path, *, deploy: Path, name: str) -> Path:
    """Put the raw image alone into `deploy` as NAME.img and return its path; `image` stays where it is.

    The other files of an older release with that name go away, and their lines in SHA256SUMS, as they do not
    fit the image. NAME.img is a second name of `image`, if one file system holds both, and takes neither time
    nor space; both are made read-only then, so that what boots from one cannot change the other.

    Raises InputError or BuildError.
    """
    _check_name(name)
    target = deploy / f"{name}.img"
    partial = target.with_name(f"{target.name}{PARTIAL}")
    with ExitStack() as stack:
        stack.enter_context(_explained(deploy))
        deploy.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_locked(deploy))
        stack.callback(_remove, [partial, deploy / KEPT])
        in_place = _same(target, image)
        if not in_place:
            _bring(image, partial)
        _withdraw_sums(deploy, name)
        _remove([deploy / f"{name}{suffix}" for suffix in SUFFIXES if suffix != ".img"])
        if not in_place:
            partial.replace(target)
        if _same(target, image):
            image.chmod(image.stat().st_mode & 0o777 & ~0o222)
        sync_path(deploy)
    return target


def own_sums(deploy: Path, name: str) -> dict[str, str]:
    """The checksums, by file name, that SHA256SUMS in `deploy` has of the release `name`; none without that file."""
    own = {f"{name}{suffix}" for suffix in SUFFIXES}
    return {file: digest for file, digest in _read_sums(deploy).items() if file in own}


def format_sums(sums: Mapping[str, str]) -> str:
    """Checksums by file name as `sha256sum --check` of coreutils reads them, sorted by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def format_info(name: str, info: ReleaseInfo, packages: Sequence[Package], image_size: int, sha256: str) -> str:
    """The .info file: what the image was made of, for people, and for `diff` between two releases."""
    date = datetime.fromtimestamp(info.epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    head = {"Image": name, "About": info.description, "Date": date, **info.facts}
    head |= {"Size": f"{image_size} bytes", "SHA-256": sha256}
    width = max(len(label) for label in head) + 2
    lines = [f"{label + ':':<{width}}{text}" for label, text in head.items()]
    if info.layers:
        lines += ["", f"Layers ({len(info.layers)})"]
        width = max(len(label) for label, _ in info.layers) + 2
        lines += [f"  {label:<{width}}{layer}" for label, layer in info.layers]
    lines += ["", f"Packages ({len(packages)})"]
    width = max((len(package.name) for package in packages), default=0) + 2
    lines += [f"  {package.name:<{width}}{package.version}  {package.architecture}" for package in packages]
    return "\n".join(lines) + "\n"


def _texts(
    name: str, info: ReleaseInfo, image: Path, packed: Path, sums: Mapping[str, str], deploy: Path
) -> dict[str, str]:
    packages = spdx.parse_status(info.status)
    size = image.stat().st_size
    entry = imager.Entry(
        name=info.title,
        description=info.description,
        url=imager.locate(f"{name}.img.xz", deploy, info.download_url),
        bmap_url=imager.locate(f"{name}.img.bmap", deploy, info.download_url),
        extract_size=size,
        extract_sha256=sums[".img"],
        download_size=packed.stat().st_size,
        download_sha256=sums[".img.xz"],
        epoch=info.epoch,
        devices=info.devices,
    )
    return {
        ".spdx.json": spdx.document(
            name, info.status, copyright=info.copyright, epoch=info.epoch, image_sha256=sums[".img"]
        ),
        ".info": format_info(name, info, packages, size, sums[".img"]),
        ".rpi-imager-manifest": imager.manifest(entry),
    }


def _pack(image: Path, packed: Path, xz: Sequence[str], threads: int | None) -> None:
    """Pack by blocks in threads. "+1" is one thread that still packs by blocks (xz(1), --threads), so
    that the same image gives the same bits on every machine; block sizes depend on the level alone."""
    count = threads or len(os.sched_getaffinity(0))
    detail(f"{format_size(image.stat().st_size)} in {count} thread{'s' if count > 1 else ''}")
    run(
        *xz,
        f"--threads={count if count > 1 else '+1'}",
        "--no-adjust",
        "--check=crc64",
        "--keep",
        "--stdout",
        "--",
        image,
        stdout=packed,
    )
    sync_path(packed)


def _is_whole(packed: Path, xz: Sequence[str]) -> bool:
    """Whether the packed image is there, and its checksums are right."""
    try:
        run(*xz, "--test", "--threads=0", "--", packed)
    except CommandFailed:
        return False
    return True


def _keep(file: Path, to: Path) -> None:
    """Copy a finished file, so that nobody who changes one of the two changes the other."""
    partial = to.with_name(f"{to.name}{PARTIAL}")
    shutil.copyfile(file, partial)
    sync_path(partial)
    partial.replace(to)


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise InputError(f"not a name for files: {name!r}", hint="letters, digits and . _ + - only")


def _read_sums(deploy: Path) -> dict[str, str]:
    try:
        lines = (deploy / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    matches = (re.fullmatch(r"([0-9a-f]{64})  ([^/]+)", line) for line in lines)
    return {match[2]: match[1] for match in matches if match}


def _other_sums(deploy: Path, name: str) -> dict[str, str]:
    """The lines of the SHA256SUMS there is that belong to other images which still lie beside it."""
    own = own_sums(deploy, name)
    return {
        file: digest for file, digest in _read_sums(deploy).items() if file not in own and (deploy / file).is_file()
    }


def _withdraw_sums(deploy: Path, name: str) -> None:
    """Take the release's lines out of SHA256SUMS, in one go, and the signature away that does not fit any more."""
    if not own_sums(deploy, name):
        return
    _remove([deploy / SIGNATURE])
    others = _other_sums(deploy, name)
    if not others:
        _remove([deploy / SUMS])
        return
    _write(deploy / KEPT, format_sums(others))
    (deploy / KEPT).replace(deploy / SUMS)


@contextlib.contextmanager
def _locked(deploy: Path) -> Iterator[None]:
    """Hold the directory for one release; a second one, of a build with another cache, waits here and says so."""
    with (deploy / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"waiting: another build writes to {deploy}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _explained(deploy: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or deploy
        raise BuildError(f"cannot write the release: {place}: {error.strerror or error}") from error
    except BaseException:
        note(f"the release in {deploy} was not finished")
        raise


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _bring(image: Path, to: Path) -> None:
    """Give the file a second name, or on another file system copy what of it is not zero."""
    _remove([to])
    try:
        to.hardlink_to(image)
    except OSError:
        with image.open("rb") as source, to.open("wb") as target:
            while chunk := source.read(CHUNK):
                if chunk.count(0) == len(chunk):
                    target.seek(len(chunk), os.SEEK_CUR)
                else:
                    target.write(chunk)
            target.truncate(image.stat().st_size)
    sync_path(to)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

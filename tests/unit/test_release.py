"""A release is whole or not there: all files, of one build, with checksums that fit, the same for the same inputs."""

import fcntl
import hashlib
import json
import lzma
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from imagebuilder import bmap, process, release
from imagebuilder.errors import BuildError, InputError
from imagebuilder.progress import Timing
from imagebuilder.release import SUFFIXES, ReleaseInfo, write_raw, write_release
from imagebuilder.report import Machine, Report

MEBI = 1 << 20
STATUS = """\
Package: bash
Status: install ok installed
Architecture: arm64
Version: 5.2.37-2
"""

pytestmark = pytest.mark.skipif(shutil.which("xz") is None, reason="not installed: xz")


def write_image(path: Path, size: int = 3 * MEBI, text: bytes = b"node " * 50_000) -> Path:
    with path.open("wb") as handle:
        handle.write(text)
        handle.truncate(size)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return write_image(tmp_path / "work/disk.img")


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    return tmp_path / "deploy with space"


def make_report(sizes: Mapping[str, int]) -> Report:
    return Report("mojomail-village", Timing("build"), Machine("cpu", 1, 1, "system"), files=sizes)


def make(image: Path, deploy: Path, name: str = "mojomail-village", **more: Any) -> list[Path]:
    status = deploy.parent / "status"
    status.write_text(STATUS)
    info = ReleaseInfo(
        title="MojoMail village",
        description="A mail office",
        epoch=1_764_000_000,
        status=status,
        copyright=lambda package: None,
        facts={"Profile": "village", "Base": "debian"},
        layers=[("base/00-apt", "0123"), ("base/01-kernel", "4567")],
        download_url=more.pop("download_url", None),
    )
    arguments: dict[str, Any] = {"make_report": make_report, "xz_level": 0} | more
    return write_release(image, deploy=deploy, name=name, info=info, **arguments)


def names(deploy: Path) -> set[str]:
    return {path.name for path in deploy.iterdir()} - {".lock"}


ALL = {f"mojomail-village{suffix}" for suffix in SUFFIXES} | {"SHA256SUMS"}


def test_every_promised_file_is_there_and_nothing_else(image: Path, deploy: Path) -> None:
    assert {path.name for path in make(image, deploy)} == ALL
    assert names(deploy) == ALL
    assert not image.exists(), "the image was moved"


def test_the_packed_image_unpacks_to_the_image_and_the_map_fits(image: Path, deploy: Path) -> None:
    data = image.read_bytes()
    made_of = bmap.create(image)
    make(image, deploy)
    assert lzma.decompress((deploy / "mojomail-village.img.xz").read_bytes()) == data
    assert (deploy / "mojomail-village.img").read_bytes() == data
    assert bmap.read(deploy / "mojomail-village.img.bmap") == made_of


def test_sha256sum_accepts_the_checksums_of_all_other_files(image: Path, deploy: Path) -> None:
    make(image, deploy)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=deploy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    listed = [line.split("  ")[1] for line in (deploy / "SHA256SUMS").read_text().splitlines()]
    assert listed == sorted(ALL - {"SHA256SUMS"})


def test_the_texts_speak_of_this_image(image: Path, deploy: Path) -> None:
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    make(image, deploy)
    packed = (deploy / "mojomail-village.img.xz").read_bytes()
    system = json.loads((deploy / "mojomail-village.rpi-imager-manifest").read_text())["os_list"][0]
    assert system["extract_sha256"] == digest
    assert system["extract_size"] == 3 * MEBI
    assert system["image_download_size"] == len(packed)
    assert system["image_download_sha256"] == hashlib.sha256(packed).hexdigest()
    assert system["url"] == (deploy / "mojomail-village.img.xz").as_uri()
    bill = json.loads((deploy / "mojomail-village.spdx.json").read_text())
    assert bill["packages"][0]["checksums"][0]["checksumValue"] == digest
    assert bill["packages"][1]["name"] == "bash"
    assert (
        json.loads((deploy / "mojomail-village.report.json").read_text())["files"]["mojomail-village.img"] == 3 * MEBI
    )
    info = (deploy / "mojomail-village.info").read_text()
    for line in ("Image:   mojomail-village", "Date:    2025-11-24 16:00:00 UTC", "Profile: village"):
        assert f"{line}\n" in info
    assert "  base/01-kernel  4567\n" in info
    assert "  bash  5.2.37-2  arm64\n" in info


def test_the_same_inputs_give_the_same_bits_whatever_the_threads_and_the_holes(tmp_path: Path, image: Path) -> None:
    import random

    text = random.Random(1).randbytes(2 * MEBI) + b"letters " * MEBI
    results = []
    for threads in (1, 2, 3):
        write_image(image, 12 * MEBI, text)
        if threads == 2:
            image.write_bytes(image.read_bytes())
        deploy = tmp_path / f"deploy{threads}"
        make(image, deploy, threads=threads, download_url="https://example.org/d")
        results.append({p.name: p.read_bytes() for p in deploy.iterdir()})
    assert results[0].keys() == results[1].keys() == results[2].keys()
    assert [name for name in results[0] if not results[0][name] == results[1][name] == results[2][name]] == []


@pytest.mark.parametrize("damage", ["", "cut off", "changed"])
def test_an_image_is_packed_once_and_again_when_what_was_kept_is_broken(
    damage: str, tmp_path: Path, image: Path, deploy: Path
) -> None:
    copy = Path(shutil.copyfile(image, tmp_path / "copy"))
    packed = tmp_path / "kept.img.xz"
    log = tmp_path / "log"
    make(image, deploy, packed=packed)
    first = (deploy / "mojomail-village.img.xz").read_bytes()
    assert packed.read_bytes() == first
    if damage:
        packed.write_bytes(first[:-50] if damage == "cut off" else first[:30] + b"?" + first[31:])
    with process.logging_to(log):
        make(copy, deploy, packed=packed)
    assert (deploy / "mojomail-village.img.xz").read_bytes() == packed.read_bytes() == first
    assert ("--stdout" in log.read_text()) == bool(damage)


def test_an_older_build_is_replaced_whole_and_other_images_keep_their_checksums(tmp_path: Path, deploy: Path) -> None:
    make(write_image(tmp_path / "a"), deploy)
    make(write_image(tmp_path / "b"), deploy, name="mojomail-raspios")
    old = (deploy / "SHA256SUMS").read_text()
    (deploy / "SHA256SUMS.sig").write_bytes(b"of the older build")
    (deploy / "mojomail-raspios.info").unlink()
    make(write_image(tmp_path / "c", text=b"newer"), deploy)
    sums = (deploy / "SHA256SUMS").read_text()
    kept = [line for line in old.splitlines() if "raspios" in line and ".info" not in line]
    assert [line for line in sums.splitlines() if "raspios" in line] == kept
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=deploy, check=True)
    assert "SHA256SUMS.sig" not in names(deploy), "a signature of the older checksums would not fit"


def fail_report(sizes: Mapping[str, int]) -> Report:
    raise BuildError("broken in the middle")


@pytest.mark.parametrize("more", [{"make_report": fail_report}, {"xz": ("false",)}, {"xz": ("no-such-xz",)}])
def test_a_release_that_fails_leaves_the_older_one_and_nothing_half_done(
    tmp_path: Path, deploy: Path, more: dict[str, Any]
) -> None:
    make(write_image(tmp_path / "a"), deploy)
    before = {path.name: path.read_bytes() for path in deploy.iterdir()}
    image = write_image(tmp_path / "b", text=b"newer")
    with pytest.raises(BuildError):
        make(image, deploy, **more)
    assert {path.name: path.read_bytes() for path in deploy.iterdir()} == before
    assert image.exists()


def test_a_full_disk_is_told_and_leaves_the_older_release(
    tmp_path: Path, deploy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(write_image(tmp_path / "a"), deploy)
    before = names(deploy)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(release, "_bring", full)
    with pytest.raises(BuildError, match="cannot write the release: somewhere: No space left"):
        make(write_image(tmp_path / "b"), deploy)
    assert names(deploy) == before


def test_partial_files_of_a_killed_build_are_taken_over(image: Path, deploy: Path) -> None:
    deploy.mkdir()
    for suffix in SUFFIXES:
        (deploy / f"mojomail-village{suffix}.partial").write_bytes(b"rubbish" * 100_000)
    make(image, deploy)
    assert names(deploy) == ALL
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=deploy, check=True)


def test_a_build_killed_while_it_renames_leaves_the_checksums_of_other_images_alone(
    tmp_path: Path, deploy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(write_image(tmp_path / "a"), deploy)
    make(write_image(tmp_path / "b"), deploy, name="mojomail-raspios")
    others = [line for line in (deploy / "SHA256SUMS").read_text().splitlines() if "raspios" in line]
    rename = Path.replace

    class Killed(BaseException):
        pass

    def killed(path: Path, to: Path) -> Path:
        if path.name == "mojomail-village.info.partial":
            raise Killed
        return rename(path, to)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", killed)
        patched.setattr(release, "_remove", lambda paths: None)  # nothing is cleaned up after a kill
        make(write_image(tmp_path / "c", text=b"newer"), deploy)
    assert (deploy / "SHA256SUMS").read_text().splitlines() == others
    make(write_image(tmp_path / "d", text=b"newest"), deploy)
    assert set(others) < set((deploy / "SHA256SUMS").read_text().splitlines())
    assert not list(deploy.glob("*.partial"))


def test_a_second_build_into_the_same_directory_waits(image: Path, deploy: Path) -> None:
    deploy.mkdir()
    with (deploy / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=make, args=(image, deploy))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        assert names(deploy) == set()
    waiting.join(30)
    assert names(deploy) == ALL


# The raw image alone


def test_a_raw_image_replaces_an_older_release_and_leaves_those_of_other_images(tmp_path: Path, deploy: Path) -> None:
    make(write_image(tmp_path / "a"), deploy)
    make(write_image(tmp_path / "b"), deploy, name="mojomail-village-lite")
    others = [line for line in (deploy / "SHA256SUMS").read_text().splitlines() if "lite" in line]
    (deploy / "SHA256SUMS.sig").write_bytes(b"of the older build")
    (deploy / "mojomail-village.notes").write_text("of a person")
    image = write_image(tmp_path / "c", text=b"newer")
    assert write_raw(image, deploy=deploy, name="mojomail-village") == deploy / "mojomail-village.img"
    lite = {f"mojomail-village-lite{suffix}" for suffix in SUFFIXES}
    assert names(deploy) == {"mojomail-village.img", "mojomail-village.notes", "SHA256SUMS"} | lite
    assert (deploy / "mojomail-village.img").read_bytes() == image.read_bytes()
    assert (deploy / "SHA256SUMS").read_text().splitlines() == others


def test_a_raw_image_leaves_no_checksums_when_there_are_no_others_and_a_fitting_signature_otherwise(
    tmp_path: Path, deploy: Path
) -> None:
    make(write_image(tmp_path / "a"), deploy)
    (deploy / "SHA256SUMS.sig").write_bytes(b"fits")
    write_raw(write_image(tmp_path / "b"), deploy=deploy, name="mojomail-other")
    assert {"SHA256SUMS", "SHA256SUMS.sig", "mojomail-other.img"} < names(deploy)
    write_raw(write_image(tmp_path / "c"), deploy=deploy, name="mojomail-village")
    assert names(deploy) == {"mojomail-other.img", "mojomail-village.img"}


def test_a_raw_image_shares_the_cached_one_read_only(image: Path, deploy: Path) -> None:
    for _ in range(2):
        there = write_raw(image, deploy=deploy, name="mojomail-village")
        assert there.samefile(image)
        assert there.stat().st_mode & 0o222 == 0
        assert names(deploy) == {"mojomail-village.img"}


def test_a_raw_image_that_cannot_be_placed_leaves_the_older_release(
    tmp_path: Path, deploy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(write_image(tmp_path / "a"), deploy)
    before = {path.name: path.read_bytes() for path in deploy.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(release, "_bring", full)
    with pytest.raises(BuildError, match="No space left"):
        write_raw(write_image(tmp_path / "b"), deploy=deploy, name="mojomail-village")
    assert {path.name: path.read_bytes() for path in deploy.iterdir()} == before


def test_an_image_already_in_its_place_stays_there(deploy: Path) -> None:
    deploy.mkdir()
    image = write_image(deploy / "mojomail-village.img")
    data = image.read_bytes()
    make(image, deploy)
    assert names(deploy) == ALL
    assert image.read_bytes() == data


def test_an_image_on_another_file_system_is_copied_with_its_holes(
    image: Path, deploy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    data = image.read_bytes()
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    make(image, deploy)
    there = deploy / "mojomail-village.img"
    assert there.read_bytes() == data
    assert there.stat().st_blocks * 512 < 2 * MEBI
    assert not image.exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-rf", "a b"])
def test_a_name_that_is_no_file_name_is_refused(image: Path, deploy: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a name for files"):
        make(image, deploy, name=name)
    assert image.exists()


# Signing

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="not installed: gpg")


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A key of our own in a folder with a short path, which gpg's sockets need; the name of the key."""
    folder = tempfile.mkdtemp(prefix="gpg")
    monkeypatch.setenv("GNUPGHOME", folder)
    for name in ("first@example.org", "release@example.org"):
        make_key = ["gpg", "--batch", "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign"]
        subprocess.run(make_key, check=True, capture_output=True)
    yield "release@example.org"
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    shutil.rmtree(folder)


@needs_gpg
def test_the_checksums_are_signed_when_a_key_is_given(image: Path, deploy: Path, keyring: str) -> None:
    release.check_signing(keyring)
    assert {path.name for path in make(image, deploy, sign_key=keyring)} == ALL | {"SHA256SUMS.sig"}
    verify = ["gpg", "--batch", "--verify", "SHA256SUMS.sig", "SHA256SUMS"]
    good = subprocess.run(verify, cwd=deploy, capture_output=True, text=True, check=True)
    assert "release@example.org" in good.stderr
    (deploy / "SHA256SUMS").write_text("changed")
    assert subprocess.run(verify, cwd=deploy, capture_output=True, check=False).returncode == 1


@needs_gpg
@pytest.mark.parametrize(
    ("key", "said"), [("nobody@example.org", "no secret key nobody"), ("--help", "not the name"), ("", "not the name")]
)
def test_a_missing_key_is_told_before_work_starts(keyring: str, key: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        release.check_signing(key)


@needs_gpg
def test_a_key_that_cannot_sign_is_told_before_work_starts(keyring: str) -> None:
    folder = Path(os.environ["GNUPGHOME"]) / "private-keys-v1.d"
    for secret in folder.iterdir():
        secret.write_bytes(b"broken")
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    with pytest.raises(InputError, match=r"cannot sign|no secret key"):
        release.check_signing(keyring)


def test_a_missing_gpg_is_told_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "find_program", lambda name: None)
    with pytest.raises(InputError, match="gpg is not installed") as caught:
        release.check_signing("key")
    assert "apt install gnupg" in (caught.value.hint or "")


def test_packing_is_logged(image: Path, deploy: Path, tmp_path: Path) -> None:
    with process.logging_to(tmp_path / "log"):
        make(image, deploy)
    assert "--stdout" in (tmp_path / "log").read_text()

"""What is in deploy/ counts as up to date only while it is whole, and of the very build."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder.cache import Cache
from imagebuilder.exports import BuiltImage
from imagebuilder.layers import Layer
from imagebuilder.publishing import _part, put_raw, remember, up_to_date
from imagebuilder.release import SUFFIXES, format_sums

NAME = "mojomail-village"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    cache.create()
    return cache


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    for suffix in SUFFIXES:
        (deploy / f"{NAME}{suffix}").write_text(suffix)
    write_sums(deploy, NAME)
    return deploy


def write_sums(deploy: Path, *names: str, digit: str = "a") -> None:
    sums = {f"{name}{suffix}": digit * 64 for name in names for suffix in SUFFIXES}
    (deploy / "SHA256SUMS").write_text(format_sums(sums))


def test_a_release_that_was_remembered_is_up_to_date_and_no_other(cache: Cache, deploy: Path) -> None:
    assert not up_to_date(cache, NAME, "one")
    remember(cache, NAME, "one", deploy)
    assert up_to_date(cache, NAME, "one")
    assert not up_to_date(cache, NAME, "two")


def test_a_record_of_another_form_is_no_release(cache: Cache) -> None:
    for text in ("", "[]", "{}", '{"release": "one", "files": {}}'):
        (cache.reports / f"{NAME}.release").write_text(text)
        assert not up_to_date(cache, NAME, "one")


@pytest.mark.parametrize("name", [*(f"{NAME}{suffix}" for suffix in SUFFIXES), "SHA256SUMS", "SHA256SUMS.sig"])
def test_a_file_that_went_away_is_noticed(cache: Cache, deploy: Path, name: str) -> None:
    (deploy / "SHA256SUMS.sig").write_bytes(b"signature")
    remember(cache, NAME, "one", deploy)
    (deploy / name).unlink()
    assert not up_to_date(cache, NAME, "one")


CHANGES: list[tuple[str, Callable[[Path], object], bool]] = [
    ("a file changed", lambda deploy: (deploy / f"{NAME}.info").write_text("other"), False),
    ("a checksum changed", lambda deploy: write_sums(deploy, NAME, digit="b"), False),
    ("another image came", lambda deploy: write_sums(deploy, NAME, "mojomail-other"), True),
    ("its lines went away", lambda deploy: write_sums(deploy, "mojomail-other"), False),
    ("a file of a person came", lambda deploy: (deploy / f"{NAME}.notes").write_text("x"), True),
    ("another image was signed", lambda deploy: (deploy / "SHA256SUMS.sig").write_text("x"), True),
]


@pytest.mark.parametrize(("change", "stays"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_changes_the_release_and_what_does_not(
    cache: Cache, deploy: Path, change: Callable[[Path], object], stays: bool
) -> None:
    remember(cache, NAME, "one", deploy)
    change(deploy)
    assert up_to_date(cache, NAME, "one") is stays


def test_the_raw_image_is_put_without_what_belongs_to_another_and_published_writable(
    cache: Cache, deploy: Path
) -> None:
    path = cache.images / "id.img"
    path.write_bytes(b"image")
    seal = Layer("id", "seal", None, [], 0.0, 0)
    remember(cache, NAME, "one", deploy)
    put_raw(BuiltImage("id", NAME, path, {}, seal, (seal,)), deploy)
    there = deploy / f"{NAME}.img"
    assert {file.name for file in deploy.iterdir()} == {".lock", there.name}
    assert not up_to_date(cache, NAME, "one")
    _part(path, there)
    assert not path.exists()
    assert there.read_bytes() == b"image"
    assert there.stat().st_mode & 0o200

"""The manifest has what Raspberry Pi Imager's schema asks for, and URLs that Imager can open."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from imagebuilder import imager
from imagebuilder.errors import InputError
from imagebuilder.imager import Entry

ENTRY = Entry(
    name="MojoMail village",
    description="A village's mail office",
    url="https://example.org/mojomail-village.img.xz",
    extract_size=2_000_000_000,
    extract_sha256="a" * 64,
    download_size=210_000_000,
    download_sha256="b" * 64,
    epoch=1_764_000_000,
)

REQUIRED = {
    "name": str,
    "description": str,
    "icon": str,
    "url": str,
    "extract_size": int,
    "extract_sha256": str,
    "image_download_size": int,
    "release_date": str,
    "devices": list,
}
"""What doc/json-schema/os-list-schema.json of rpi-imager requires of an entry, with its types."""


def test_an_entry_has_every_required_field_of_its_type() -> None:
    system = json.loads(imager.manifest(ENTRY))["os_list"][0]
    assert {name: type(system.get(name)) for name in REQUIRED} == REQUIRED
    assert system["release_date"] == "2025-11-24"
    assert system["image_download_sha256"] == "b" * 64


def test_the_customisation_format_is_one_that_every_imager_2_knows_and_that_cannot_stop_a_boot() -> None:
    assert json.loads(imager.manifest(ENTRY))["os_list"][0]["init_format"] == "cloudinit"


def test_each_board_offered_finds_the_image_and_each_device_has_a_board() -> None:
    made = json.loads(imager.manifest(ENTRY))
    devices = set(made["os_list"][0]["devices"])
    assert all(set(board["tags"]) & devices for board in made["imager"]["devices"])
    assert devices == {tag for board in made["imager"]["devices"] for tag in board["tags"]}
    assert "Raspberry Pi 5" not in [board["name"] for board in made["imager"]["devices"]]
    five = json.loads(imager.manifest(replace(ENTRY, devices=["pi5-64bit"])))
    assert [board["name"] for board in five["imager"]["devices"]] == ["Raspberry Pi 5"]


def test_a_local_image_gets_an_absolute_file_url(tmp_path: Path) -> None:
    url = imager.locate("a b.img.xz", tmp_path / "x y", None)
    assert unquote(urlsplit(url).path) == str(tmp_path / "x y" / "a b.img.xz")
    assert url.startswith("file:///")
    imager.manifest(replace(ENTRY, url=url))


def test_a_published_image_gets_the_publishers_url() -> None:
    assert imager.locate("a b.img.xz", Path("x"), "https://example.org/d/") == "https://example.org/d/a%20b.img.xz"


@pytest.mark.parametrize("field", ["url", "bmap_url", "website"])
@pytest.mark.parametrize("url", ["node.img.xz", "file:node.img.xz", "ftp://example.org/x", "https:///x"])
def test_a_url_that_imager_cannot_open_is_refused(field: str, url: str) -> None:
    with pytest.raises(InputError, match="Imager takes no such URL"):
        imager.manifest(replace(ENTRY, **{field: url}))


@pytest.mark.parametrize("devices", [[], ["pi9-64bit"]])
def test_a_board_nobody_knows_is_refused(devices: list[str]) -> None:
    with pytest.raises(InputError, match="board"):
        imager.manifest(replace(ENTRY, devices=devices))

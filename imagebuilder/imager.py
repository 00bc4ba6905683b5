"""The manifest that tells Raspberry Pi Imager 2 what our image is and how its settings are passed on.

Imager offers its settings (host name, user, ssh key, Wi-Fi, ...) for a local image only when a manifest
names the format they are written in (rpi-imager, doc/os_customisation_formats.md and
doc/json-schema/os-list-schema.json at 2.0.11). We declare `cloudinit`:

- `cloudinit` puts user-data and network-config, both YAML, on the FAT partition. An image that does not
  read them boots as if they were not there, and every Imager from 1.7 on writes them. cloud-init itself is
  not needed to read what Imager puts there.
- `systemd` makes the kernel command line boot into kernel-command-line.target to run a shell script at
  /boot/firstrun.sh. Ours is at /boot/firmware: the board would stop there.
- `rpi-preseed` is one TOML file and the nicest, but Imager knows it only since 2.0.11 (summer 2026) and
  hides an entry whose format it does not know.

No icon is given although the schema asks for one: Imager takes a URL only and does without.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from .errors import InputError

INIT_FORMAT = "cloudinit"


@dataclass(frozen=True)
class Board:
    """A line of Imager's first page; `tags` are those of Raspberry Pi's own list."""

    name: str
    description: str
    tags: tuple[str, ...]


BOARDS = (
    Board("Raspberry Pi 5", "5, 500, CM5", ("pi5-64bit",)),
    Board("Raspberry Pi 4", "4B, 400, CM4", ("pi4-64bit",)),
    Board("Raspberry Pi Zero 2 W", "Zero 2 W, Zero 2 WH", ("pi3-64bit",)),
    Board("Raspberry Pi 3", "3B, 3B+, 3A+, CM3, CM3+", ("pi3-64bit",)),
)
DEBIAN_DEVICES = ("pi3-64bit", "pi4-64bit")
"""What Debian's own kernel and firmware boot on; Raspberry Pi's add `pi5-64bit`."""


@dataclass(frozen=True)
class Entry:
    """One image in the manifest; sizes in bytes, checksums SHA-256, `epoch` in seconds since 1970."""

    name: str
    description: str
    url: str
    extract_size: int
    extract_sha256: str
    download_size: int
    download_sha256: str
    epoch: int
    devices: Sequence[str] = DEBIAN_DEVICES
    bmap_url: str | None = None
    website: str | None = None


def manifest(entry: Entry) -> str:
    """The text of a .rpi-imager-manifest. Raises InputError for a URL or a device Imager cannot take."""
    for url in (entry.url, entry.bmap_url, entry.website):
        if url is not None and not _absolute(url):
            raise InputError(f"Imager takes no such URL: {url}", hint="give a full https: or file: URL")
    known = {tag for board in BOARDS for tag in board.tags}
    unknown = [tag for tag in entry.devices if tag not in known]
    if unknown or not entry.devices:
        raise InputError(
            f"no board is called {', '.join(unknown)}" if unknown else "no board is named that the image is for",
            hint=f"known are {', '.join(sorted(known))}",
        )
    system: dict[str, object] = {
        "name": entry.name,
        "description": entry.description,
        "icon": "",
        "url": entry.url,
        "extract_size": entry.extract_size,
        "extract_sha256": entry.extract_sha256,
        "image_download_size": entry.download_size,
        "image_download_sha256": entry.download_sha256,
        "release_date": datetime.fromtimestamp(entry.epoch, UTC).date().isoformat(),
        "init_format": INIT_FORMAT,
        "devices": list(entry.devices),
        "architecture": "armv8",
        "capabilities": [],
    }
    if entry.bmap_url:
        system["bmap_url"] = entry.bmap_url
    if entry.website:
        system["website"] = entry.website
    boards = [
        {
            "name": board.name,
            "description": board.description,
            "tags": list(board.tags),
            "matching_type": "exclusive",
            "architecture": "armv8",
            "capabilities": [],
        }
        for board in BOARDS
        if set(board.tags) & set(entry.devices)
    ]
    return json.dumps({"imager": {"devices": boards}, "os_list": [system]}, indent=2, ensure_ascii=False) + "\n"


def locate(name: str, folder: Path, download_url: str | None) -> str:
    """The URL of the file `name`: below `download_url`, or a file: URL, since Imager reads no relative ones."""
    if download_url is None:
        return (folder.resolve() / name).as_uri()
    return f"{download_url.rstrip('/')}/{quote(name)}"


def _absolute(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return parts.path.startswith("/")
    return parts.scheme in ("http", "https") and bool(parts.netloc)

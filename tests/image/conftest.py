"""The image under test: MOJOMAIL_IMAGE, else what `make image` left in deploy/."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.machine import raw_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def out() -> Path:
    """Where screens and console logs are kept."""
    path = ROOT / "tests/out"
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The raw image; that no test writes to it is checked at the end."""
    given = os.environ.get("MOJOMAIL_IMAGE")
    places = [Path(given)] if given else [ROOT / f"deploy/mojomail-village.img{end}" for end in ("", ".xz")]
    found = next((path for path in places if path.exists()), None)
    if found is None:
        pytest.fail(f"there is no image at {places[0]}: run 'make image', or name one in MOJOMAIL_IMAGE", pytrace=False)
    raw = raw_image(found, tmp_path_factory.mktemp("image"))
    before = _digest(raw)
    yield raw
    assert _digest(raw) == before, f"a test has written to {raw}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

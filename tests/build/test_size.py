"""What the parts of the village's image add to the download."""

from __future__ import annotations

from pathlib import Path

from imagebuilder.cache import default_cache
from tests.build.project import ROOT, Project, inquire
from tests.conftest import Measure

WIZARD = 15e6
"""Bytes that the wizard, with its fonts and libraries, may add."""


def test_wizard_adds_at_most_15_mb_to_the_compressed_image(tmp_path: Path, measure: Measure) -> None:
    frozen = ["--frozen"] if any(default_cache().indexes.glob("*/fetched")) else []
    project = Project(tmp_path, profile=ROOT / "profiles/village.yaml")
    project.run("build", "--raw", "--deploy", tmp_path / "deploy", *frozen).ok()
    size = int(inquire("stagesize.py", "village", "firstboot").splitlines()[-1])
    measure("the wizard's part of the image, as .xz", size / 1e6, "MB")
    assert 1e6 < size <= WIZARD

"""What the parts of the village's image add to the download."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from imagebuilder.cache import default_cache
from tests.build.project import PYTHON, ROOT, Project, end_in_order
from tests.conftest import Measure

WIZARD = 15e6
"""Bytes that the wizard, with its fonts and libraries, may add."""


def test_wizard_adds_at_most_15_mb_to_the_compressed_image(tmp_path: Path, measure: Measure) -> None:
    frozen = ["--frozen"] if any(default_cache().indexes.glob("*/fetched")) else []
    project = Project(tmp_path, profile=ROOT / "profiles/village.yaml")
    project.run("build", "--raw", "--deploy", tmp_path / "deploy", *frozen).ok()
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("stagesize.py"), "village", "firstboot"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        preexec_fn=end_in_order,
    )
    assert done.returncode == 0, done.stderr
    size = int(done.stdout.splitlines()[-1])
    measure("the wizard's part of the image, as .xz", size / 1e6, "MB")
    assert 1e6 < size <= WIZARD

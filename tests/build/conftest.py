"""Projects for tests that build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project(tmp_path)


@pytest.fixture(scope="module")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """Makes empty projects that live as long as the test module."""
    return lambda name: Project(tmp_path_factory.mktemp(name))

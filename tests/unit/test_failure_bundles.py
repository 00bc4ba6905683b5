"""A test that fails leaves a folder with all there was to see, for each time that it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from tests import conftest as shared
from tests.conftest import SEED
from tests.flows import conftest
from tests.lab import bundle
from tests.lab.machine import Machine
from tests.lab.world import World

NODE_ID = "tests/flows/test_mail.py::test_mail[link cut]"


@pytest.fixture
def failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where folders are made."""
    monkeypatch.setattr(shared, "FAILURES", tmp_path / "failures")
    return tmp_path / "failures"


@pytest.fixture
def machine() -> Any:
    made = create_autospec(Machine, instance=True)
    made.name = "virt"
    return made


def item_of(folder: str, **given: Any) -> Any:
    item = create_autospec(pytest.Item, instance=True)
    item.nodeid, item.funcargs, item.path = NODE_ID, given, Path(f"tests/{folder}/test_mail.py")
    return item


def report_failure(item: Any, when: str) -> Any:
    """What pytest makes of a test that failed, once both hooks have seen it; the outer one ends last."""
    report = create_autospec(pytest.TestReport, instance=True)
    report.when, report.longreprtext, report.sections, report.failed = when, f"it failed in {when}", [], True
    for hook in (shared.pytest_runtest_makereport, conftest.pytest_runtest_makereport):
        steps: Any = hook(item)
        next(steps)
        with pytest.raises(StopIteration):
            steps.send(report)
    return report


def test_each_failure_of_a_test_keeps_its_own_folder(failures: Path, machine: Any) -> None:
    world = create_autospec(World, instance=True)
    item = item_of("flows", node=machine, same=machine, world=world, name="a word")
    reports = [report_failure(item, when) for when in ("call", "teardown")]
    folders = ["tests-flows-test_mail.py-test_mail-link-cut", "tests-flows-test_mail.py-test_mail-link-cut-teardown"]
    assert sorted(path.name for path in failures.iterdir()) == folders
    for folder, report in zip(folders, reports, strict=True):
        said = (failures / folder / "failure.txt").read_text()
        assert NODE_ID in said and report.longreprtext in said and f"MOJOMAIL_SEED={SEED}" in said
        assert json.loads((failures / folder / "versions.json").read_text())["seed"] == SEED
        machine.bundle.assert_any_call(failures / folder / "virt", error=report.longreprtext)
        world.bundle.assert_any_call(failures / folder / "world")
        assert str(failures / folder) in report.sections[0][1], "and it is said where"
    assert machine.bundle.call_count == 2, "each machine once"


def test_what_cannot_be_kept_hides_neither_the_failure_nor_the_rest(failures: Path, machine: Any) -> None:
    world = create_autospec(World, instance=True)
    world.bundle.side_effect = OSError("no space left")
    report_failure(item_of("flows", world=world, node=machine), "call")
    machine.bundle.assert_called_once()
    (missing,) = failures.glob("*/missing.txt")
    assert "no space left" in missing.read_text()
    failures.rename(failures.with_name("old"))
    failures.write_text("no folder can be made here")
    (section,) = report_failure(item_of("flows"), "call").sections
    assert "nothing could be kept" in section[1]


@pytest.mark.parametrize(("folder", "kept"), [("node", True), ("build", True), ("cuts", True), ("unit", False)])
def test_tests_without_a_machine_leave_seed_and_versions(folder: str, kept: bool, failures: Path) -> None:
    report = report_failure(item_of(folder), "call")
    assert failures.exists() == kept == bool(report.sections)


def test_a_tree_of_another_owner_has_its_commit_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container that the tree is mounted into
    if subprocess.run(
        ["git", "-C", bundle.ROOT, "-c", f"safe.directory={bundle.ROOT}", "log", "-1"], env=os.environ
    ).returncode:
        pytest.skip("this tree is no checkout of git")
    assert re.match(r"[0-9a-f]{40}|v", bundle.tools()["commit"])

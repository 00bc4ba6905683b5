"""A test that fails on a booted machine leaves a folder with all there was to see, for each time that it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from tests.conftest import SEED
from tests.flows import conftest
from tests.lab.machine import Machine
from tests.lab.world import World

NODE_ID = "tests/flows/test_mail.py::test_mail[link cut]"


def failed(when: str) -> Any:
    report = create_autospec(pytest.TestReport, instance=True)
    report.when, report.longreprtext, report.sections = when, f"it failed in {when}", []
    return report


def test_each_failure_of_a_test_keeps_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "FAILURES", tmp_path)
    machine, world = create_autospec(Machine, instance=True), create_autospec(World, instance=True)
    machine.name = "virt"
    item = create_autospec(pytest.Item, instance=True)
    item.nodeid, item.funcargs = NODE_ID, {"node": machine, "same": machine, "world": world, "name": "a word"}
    reports = [failed("call"), failed("teardown")]
    for report in reports:
        conftest.leave_bundle(item, report)
    folders = ["tests-flows-test_mail.py-test_mail-link-cut", "tests-flows-test_mail.py-test_mail-link-cut-teardown"]
    assert sorted(path.name for path in tmp_path.iterdir()) == folders
    for folder, report in zip(folders, reports, strict=True):
        said = (tmp_path / folder / "failure.txt").read_text()
        assert NODE_ID in said and report.longreprtext in said and f"MOJOMAIL_SEED={SEED}" in said
        machine.bundle.assert_any_call(tmp_path / folder / "virt", error=report.longreprtext)
        world.bundle.assert_any_call(tmp_path / folder / "world")
        assert str(tmp_path / folder) in report.sections[0][1], "and it is said where"
    assert machine.bundle.call_count == 2, "each machine once"

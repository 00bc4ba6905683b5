"""The workflow for the project's users runs what the README says, with pinned actions and few rights.

That it is a workflow at all is checked against GitHub's schema by `make check`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github/workflows/image.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
SCRIPTS = [step["run"] for step in STEPS if "run" in step]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.partition("\n")[0][:40])
def test_script_of_a_step_is_sound(script: str) -> None:
    # What GitHub fills in comes as a variable: text of somebody else's must not become part of a script.
    assert "${{" not in script
    done = subprocess.run(["shellcheck", "--shell=bash", "-"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_the_two_commands_of_the_readme_are_run() -> None:
    steps = WORKFLOW["jobs"]["image"]["steps"]
    run = [step["run"] for step in steps if re.search(r"\bmake \w+$", step.get("run", ""))]
    assert run == ["make image", 'TMPDIR="$RUNNER_TEMP" make test']
    assert all(f"\n{command}" in (ROOT / "README.md").read_text() for command in ("make image", "make test"))


def test_no_path_of_the_host_is_used_in_the_container() -> None:
    # Expressions give the host's paths there, variables the container's.
    assert re.findall(r"\$\{\{\s*(?:runner\.(?:temp|tool_cache)|github\.workspace)", TEXT) == []


def test_actions_are_pinned_to_commits() -> None:
    used = re.findall(r"uses: (.+)$", TEXT, re.MULTILINE)
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_what_was_found_is_kept_also_when_tests_fail() -> None:
    kept = {step["with"]["name"]: step for step in STEPS if "upload-artifact" in step.get("uses", "")}
    assert set(kept) == {"report", "deploy", "report-${{ matrix.target }}-${{ matrix.only || 'all' }}"}
    assert {step["if"] for step in kept.values()} == {"always()"}


def test_what_takes_hours_is_run_once_a_week() -> None:
    job, when = WORKFLOW["jobs"]["long"], WORKFLOW[True]  # YAML 1.1 reads `on` as a yes
    assert len(when["schedule"]) == 1
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {one["target"] for one in job["strategy"]["matrix"]["include"]} == {"test-long", "cuts"} <= set(targets)
    (command,) = (step for step in job["steps"] if "$TARGET" in step.get("run", ""))
    assert command["run"].endswith('make "$TARGET"') and command["env"]["TARGET"] == "${{ matrix.target }}"
    assert "schedule" in job["if"] and "schedule" not in WORKFLOW["jobs"]["image"]["if"]


def test_only_the_release_may_write_and_only_tags_make_one() -> None:
    assert WORKFLOW["permissions"] == {}
    rights = {name: job["permissions"]["contents"] for name, job in WORKFLOW["jobs"].items()}
    assert rights == {"image": "read", "release": "write", "long": "read"}
    assert WORKFLOW["jobs"]["release"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert WORKFLOW["jobs"]["release"]["needs"] == "image"


def test_no_job_runs_for_ever() -> None:
    """And a command that hangs leaves time for what keeps what was found."""
    assert all(job["timeout-minutes"] <= 360 for job in WORKFLOW["jobs"].values())
    for job in WORKFLOW["jobs"].values():
        made = [step["timeout-minutes"] for step in job["steps"] if re.search(r"\bmake \S+$", step.get("run", ""))]
        assert sum(made) + 10 <= job["timeout-minutes"]

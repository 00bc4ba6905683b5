"""The workflow for the project's users runs what the README says, with pinned actions and few rights.

That it is a workflow at all is checked against GitHub's schema by `make check`.
"""

from __future__ import annotations

import hashlib
import os
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
    assert run == ["make image", 'TMPDIR="$RUNNER_TEMP" timeout --signal=INT --kill-after=5m 70m make test']
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


def test_an_ordinary_user_may_have_namespaces_before_anything_is_built() -> None:
    for name in ("image", "long"):
        scripts = [step.get("run", "") for step in WORKFLOW["jobs"][name]["steps"]]
        (allowed,) = (number for number, text in enumerate(scripts) if "apparmor_restrict_unprivileged_userns" in text)
        assert allowed < scripts.index("make image")


def publish(place: Path, there: bool) -> list[str]:
    """What the last step calls `gh` with, on a deploy/ whose raw image is not with it."""
    (place / "deploy").mkdir(exist_ok=True)
    for name in ("mojomail-village.img.xz", "mojomail-village.info"):
        (place / "deploy" / name).write_text(name)
    sums = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in ("mojomail-village.img.xz", "x.img")]
    (place / "deploy/SHA256SUMS").write_text("\n".join(sums) + "\n")
    (place / "gh").write_text(
        f'#!/bin/sh\necho "$*" >> "{place}/called"\n[ "$2" != view ] || exit {0 if there else 1}\n'
    )
    (place / "gh").chmod(0o755)
    environment = {"PATH": f"{place}:{os.environ['PATH']}", "TAG": "v1", "GITHUB_REPOSITORY": "somebody/mojomail"}
    (script,) = (text for text in SCRIPTS if "gh release" in text)
    subprocess.run(["bash", "-e", "-c", script], cwd=place, env=environment, check=True, capture_output=True)
    return (place / "called").read_text().splitlines()


@pytest.mark.parametrize("there", [False, True])
def test_a_release_has_all_files_and_no_sum_of_one_that_it_has_not(there: bool, tmp_path: Path) -> None:
    called = publish(tmp_path, there)
    assert [words.split()[1] for words in called] == ["view", *([] if there else ["create"]), "upload"]
    assert "deploy/mojomail-village.img.xz" in called[-1] and "--clobber" in called[-1]
    checked = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=tmp_path / "deploy", capture_output=True)
    assert checked.returncode == 0, checked


def test_a_signed_list_of_sums_stays_as_it_was_signed(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/SHA256SUMS.sig").write_text("signed")
    publish(tmp_path, False)
    assert "x.img" in (tmp_path / "deploy/SHA256SUMS").read_text()


def test_no_job_runs_for_ever() -> None:
    """And a command that hangs is interrupted, so that it tells what it found, with time left to keep that."""
    for step in STEPS:
        if limits := re.search(r"timeout --signal=INT --kill-after=(\d+)m (\d+)m make ", step.get("run", "")):
            assert sum(map(int, limits.groups())) < step["timeout-minutes"]
        else:
            assert not re.search(r"make (test|\"\$TARGET)", step.get("run", ""))
    assert all(job["timeout-minutes"] <= 360 for job in WORKFLOW["jobs"].values())
    for job in WORKFLOW["jobs"].values():
        made = [step["timeout-minutes"] for step in job["steps"] if re.search(r"\bmake \S+$", step.get("run", ""))]
        assert sum(made) + 10 <= job["timeout-minutes"]

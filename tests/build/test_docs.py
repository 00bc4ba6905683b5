"""The worked example of docs/stages.md works as it is written there."""

from __future__ import annotations

import re

from tests.build.project import NAME, ROOT, Project


def example() -> tuple[dict[str, str], str]:
    """The files of the example's stage, by name with `*` for a program, and its profile."""
    text = (ROOT / "docs/stages.md").read_text().split("## A worked example")[1].split("\n## ")[0]
    files = {}
    profile = ""
    for before, body in re.findall(r"([^\n]*):\n\n```\w*\n(.*?)```", text, re.DOTALL):
        name = re.findall(r"`([^` ]+)`", before)[0]
        if name.startswith("profiles/"):
            profile = body
        else:
            files[name + ("*" if "chmod +x" in before else "")] = body
    return files, profile


def test_worked_example_builds_and_shows_its_greeting(project: Project) -> None:
    files, profile = example()
    assert len(files) == 5
    project.stage("village-clock", files, previous=False)
    project.write(project.profile.name, f"name: {NAME}\n" + profile.replace("stages: [base, ", "stages: ["))
    project.build().ok()
    shown = project.run("shell", "--", "cat", "/etc/motd").ok().out
    assert "Welcome. Please close the door against the dust." in shown
    assert len(shown.splitlines()) > 4

"""How soon the wizard is there: beside the login prompt of an image that has nothing but the base."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, SEED, Measure
from tests.flows.conftest import LIMITS, bundle_if_it_fails
from tests.lab.machine import LANES, Machine
from tests.lab.room import WizardRoom

FIRST_SCREEN = 20.0
"""Seconds from the start of userspace to the first screen, on a Pi."""


@pytest.fixture(scope="module")
def base_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of stage `base` alone, whose layers are those of the image under test."""
    place = tmp_path_factory.mktemp("base")
    village = (ROOT / "profiles/village.yaml").read_text()
    profile, count = re.subn(r"(?m)^stages: .*$", "stages: [base]", village)
    assert count == 1
    (place / "base.yaml").write_text(profile)
    command = (ROOT / "build.py", "build", place / "base.yaml", "--raw", "--deploy", place / "deploy")
    subprocess.run(command, check=True, timeout=3600)
    (image,) = (place / "deploy").glob("*.img")
    return image


@pytest.fixture
def up(request: pytest.FixtureRequest, out: Path) -> Iterator[Machine]:
    """An image on its first boot, with nothing around it."""
    name = request.param
    image: Path = request.getfixturevalue(name)
    machine = Machine(image, LANES["virt"], logs=out / name, name=name.replace("_", "-"), seed=SEED)
    with machine as node, bundle_if_it_fails(machine):
        node.start()
        node.wait_for_login(LIMITS["virt"])
        node.wait_for_control(LIMITS["virt"])
        node.settle()
        yield node


def seconds_to(node: Machine, unit: str) -> float:
    """Seconds from the start of userspace until a unit was there."""
    began, came = (
        int(node.succeed(f"systemctl show --value -p {property} {of}"))
        for property, of in (("UserspaceTimestampMonotonic", ""), ("ActiveEnterTimestampMonotonic", unit))
    )
    return (came - began) / 1e6


@pytest.fixture(scope="module")
def seen() -> dict[str, float]:
    """What the first image took, for the second."""
    return {}


@pytest.mark.long
@pytest.mark.parametrize("up", ["base_image", "image"], indirect=True)
def test_first_screen_is_not_much_later_than_the_login_prompt_of_the_base(
    up: Machine, seen: dict[str, float], measure: Measure
) -> None:
    if up.name == "base-image":
        seen["login"] = seconds_to(up, "serial-getty@ttyAMA0.service")
        measure("login prompt of the base after userspace", seen["login"], "s")
        return
    WizardRoom(up).wait_for_screen("language")
    shown = seconds_to(up, "mojomail-firstboot.service")
    measure("first screen after userspace, base's prompt beside it", shown, "s", prompt=f"{seen['login']:.1f}")
    assert shown <= max(FIRST_SCREEN, 1.2 * seen["login"])

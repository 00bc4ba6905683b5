"""How soon the wizard is there: beside the login prompt of an image that has nothing but the base."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import ROOT, SEED, Measure
from tests.flows.conftest import LIMITS, bundle_if_it_fails
from tests.lab import processes
from tests.lab.machine import LANES, Machine
from tests.lab.room import WizardRoom

FIRST_SCREEN = 20.0
"""Seconds from the start of userspace to the first screen, on a Pi."""
BASE_PROMPT = 13.0
"""Seconds from there to the login prompt of the base, taken to be so on a Pi 3; emulated, both take longer."""


@pytest.fixture(scope="module")
def base_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of stage `base` alone, made from this tree."""
    place = tmp_path_factory.mktemp("base")
    village = (ROOT / "profiles/village.yaml").read_text()
    profile, count = re.subn(r"(?m)^stages: .*$", "stages: [base]", village)
    assert count == 1
    (place / "base.yaml").write_text(profile)
    processes.run(
        *(ROOT / "build.py", "build", place / "base.yaml", "--raw", "--deploy", place / "deploy"), limit=3600.0
    )
    (image,) = (place / "deploy").glob("*.img")
    return image


def seconds_to(node: Machine, unit: str) -> float:
    """Seconds from the start of userspace until a unit was there."""
    began, came = (
        int(node.succeed(f"systemctl show --value -p {property} {of}"))
        for property, of in (("UserspaceTimestampMonotonic", ""), ("ActiveEnterTimestampMonotonic", unit))
    )
    return (came - began) / 1e6


@pytest.mark.long
def test_first_screen_is_not_much_later_than_the_login_prompt_of_the_base(
    image: Path, base_image: Path, out: Path, measure: Measure
) -> None:
    """Both start at once, each on a processor of its own, so that what slows one down slows the other."""
    with ExitStack() as stack:
        base, village = (
            stack.enter_context(Machine(which, LANES["virt"], logs=out / name, name=name, seed=SEED))
            for which, name in ((base_image, "base"), (image, "whole"))
        )
        for machine in (base, village):
            stack.enter_context(bundle_if_it_fails(machine))
        for machine in (base, village):
            machine.start()
        for machine in (base, village):
            machine.wait_for_login(LIMITS["virt"])
            machine.wait_for_control(LIMITS["virt"])
        WizardRoom(village).wait_for_screen("language", LIMITS["virt"])
        prompt = seconds_to(base, "serial-getty@ttyAMA0.service")
        shown = seconds_to(village, "mojomail-firstboot.service")
    measure("login prompt of the base after userspace", prompt, "s")
    measure("first screen after userspace, beside it", shown, "s")
    assert shown <= max(FIRST_SCREEN, FIRST_SCREEN / BASE_PROMPT * prompt)

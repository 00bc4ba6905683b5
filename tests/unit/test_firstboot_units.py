"""The units of the first boot: whatever fails and wherever it stands, something is on the TV."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firstboot import readiness, service
from firstboot.journal import State
from firstboot.terminal import FIRST
from tests.unit.firstboot_machine import journal_at

OVERLAY = Path(__file__).resolve().parents[2] / "overlay"
UNITS = OVERLAY / "usr/lib/systemd/system"
MARKER = "/var/lib/mojomail/firstboot/done"
SETUP, TEXT, STATE, LATER = (f"mojomail-{name}.service" for name in ("firstboot", "firstboot-text", "tv", "later"))


def unit(name: str) -> dict[str, list[str]]:
    """A unit's settings with all their words; one that is there twice has the words of both (systemd.syntax(7))."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).extend(value.split())
    return found


def starts(name: str, *, done: bool) -> bool:
    """Whether a unit's conditions hold on a node that is set up, or is not."""
    held = {MARKER: done, f"!{MARKER}": not done}
    return all(held[condition] for condition in unit(name).get("ConditionPathExists", []))


@pytest.mark.parametrize(("failed", "done"), [(SETUP, False), (SETUP, True), (LATER, True)])
def test_what_fails_leads_to_one_unit_that_starts_then(failed: str, done: bool) -> None:
    (following,) = unit(failed)["OnFailure"]
    assert starts(following, done=done), "a condition keeps the screen empty until the next start"


@pytest.mark.parametrize("done", [False, True])
def test_at_each_start_exactly_one_unit_has_the_screen(done: bool) -> None:
    at_start = [name for name in (SETUP, TEXT, STATE, LATER) if "WantedBy" in unit(name)]
    assert [name for name in at_start if starts(name, done=done)] == [STATE if done else SETUP]


def test_a_set_up_that_is_done_already_ends_well_and_the_state_screen_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, said = journal_at(tmp_path), list[str]()
    journal.finish(State(at="join"))
    monkeypatch.setattr(service, "ROOT", tmp_path)
    monkeypatch.setattr(service.Setup.__init__, "__defaults__", (tmp_path,))
    monkeypatch.setattr(service, "notify", said.append)
    monkeypatch.setattr(service.Setup, "begin", lambda setup: pytest.fail("asked again"))
    assert service.run_setup(text=True) == 0 and said == ["READY=1"]
    assert unit(TEXT)["Type"] == ["notify"] and unit(TEXT)["OnSuccess"] == [STATE] and starts(STATE, done=True)


def test_the_documentation_lists_the_units_that_run_the_programs() -> None:
    told = (OVERLAY.parent / "docs/firstboot.md").read_text()
    listed = set(re.findall(r"^\| `(mojomail-[a-z-]+\.service)` \|", told, re.MULTILINE))
    assert listed == {path.name for path in UNITS.glob("*.service") if "-m firstboot" in path.read_text()}


@pytest.mark.parametrize("name", [STATE, LATER])
def test_where_pictures_cannot_be_shown_the_first_terminal_is_within_reach(name: str) -> None:
    closed = "closed" in unit(name).get("DevicePolicy", [])
    allowed = " ".join(unit(name).get("DeviceAllow", []))
    assert not closed or f"/{FIRST} rw" in allowed, "read and written, for the state and the keeper's menu as text"


def test_the_documentation_has_the_seconds_that_systemd_waits_for_a_picture() -> None:
    told = (OVERLAY.parent / "docs/firstboot.md").read_text()
    (seconds,) = unit(SETUP)["TimeoutStartSec"]
    assert f"for more than {seconds.removesuffix('s')} seconds" in told
    assert f"EXTEND_TIMEOUT_USEC={int(seconds.removesuffix('s')) * 1_000_000}" == readiness.COMING

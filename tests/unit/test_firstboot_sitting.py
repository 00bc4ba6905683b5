"""Who sits before the TV sees what is so now, takes one person off the list at a time, and leaves no menu open."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_firstboot_pictures import PYTHON, drawing_is_possible

pytestmark = pytest.mark.skipif(not drawing_is_possible(), reason="the TV needs python3-gi-cairo")


def scene(name: str) -> dict[str, Any]:
    """What came of a scene of firstboot_sitting.py."""
    script = Path(__file__).with_name("firstboot_sitting.py")
    done = subprocess.run([PYTHON, str(script), name], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    came: dict[str, Any] = json.loads(done.stdout)
    return came


def test_whoever_takes_a_person_off_the_list_sees_the_next_one_who_stays() -> None:
    came = scene("name")
    assert (came["at"], came["text"], came["touched"]) == ("people.0.name", "Ravi", False)
    came = scene("name_and_enter")
    assert came["at"] == "people.0.login" and came["people"] == [["Ravi", 1]]
    came = scene("namesake_and_enter")
    assert came["at"] == "people.0.login" and came["people"] == [["Asha Rao", 1]]


def test_whoever_takes_an_address_off_the_list_sees_the_next_one_which_stays() -> None:
    came = scene("address")
    assert (came["at"], came["text"]) == ("people.0.accounts.0.address", "asha@panchayat.example.org")
    came = scene("address_and_enter")
    assert came["at"] == "people.0.accounts.0.imap" and came["people"] == [["Asha Rao", 1], ["Ravi", 1]]


def test_what_is_half_typed_for_somebody_whom_a_phone_takes_off_the_list_goes_to_nobody_else() -> None:
    came = scene("name_by_phone")
    assert (came["text"], came["touched"], came["people"]) == ("Ravi", False, [["Ravi", 1]])


def test_what_could_not_be_taken_stays_as_it_was_typed() -> None:
    came = scene("name_refused")
    assert (came["text"], came["touched"]) == ("Asha Rao<  X", True)


def test_minutes_that_phones_wait_go_by_on_the_tv_and_nothing_is_drawn_while_nothing_changes() -> None:
    came = scene("locked")
    assert came["seen"] == ["locked for 2", "locked for 1", "PIN 123 456"]
    assert came["looks"] == [1, 1, 1, 2, 2, 3, 3, 3, 3], "pictures, at each look"


def test_a_keyboard_that_went_unheard_is_missed_at_the_next_look() -> None:
    assert scene("keyboard_gone")["looks"] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("name", "last"),
    [("asked", "For the keeper only"), ("opened", "Really erase everything?"), ("trembling", "For the keeper only")],
)
def test_a_menu_that_nobody_touches_is_closed_after_two_minutes(name: str, last: str) -> None:
    came = scene(name)
    assert (came["at"], came["outcome"], came["seconds"]) == ("done", "close", 120)
    assert last in came["last"]


def test_a_menu_stays_for_somebody_slow() -> None:
    came = scene("slow")
    assert came["seconds"] > 300 and "What would you like to do?" in came["last"]

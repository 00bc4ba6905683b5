"""People and their addresses: nobody gets what is somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstboot.answers import Answers
from firstboot.checks import Problem, Question, find_problem
from tests.unit.firstboot_machine import MadeUp, walk, wizard_at

ASHA = Answers({"people": [{"name": "Asha Rao", "login": "asha"}]})


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("Lila@Gmail.com", Problem("address_taken", {"person": "lila"})),
        ("asha@gmail.com", None),
        ("new@gmail.com", None),
    ],
)
def test_an_address_of_somebody_who_gets_mail_here_already_is_theirs(address: str, problem: Problem | None) -> None:
    around = MadeUp(taken={"lila@gmail.com": "lila", "asha@gmail.com": "asha"})
    asked = Question(address, "people.0.accounts.0.address", ASHA, around)
    assert find_problem(asked, optional=True, checks=("address",)) == problem


def test_whoever_adds_a_person_is_told_whose_the_address_is(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(taken={"lila@gmail.com": "lila"}))
    walk(wizard, {"people.0.name": "Asha Rao"}, until="people.0.accounts.0.address")
    assert not wizard.answer(wizard.at, "lila@gmail.com")
    assert wizard.screen().problem == "This address is already entered for lila."

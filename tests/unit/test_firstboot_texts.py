"""Texts: every language says everything, and every question has its words."""

from __future__ import annotations

import re

import pytest

from firstboot.actions import actions
from firstboot.checks import CHECKS
from firstboot.pages import GROUPS
from firstboot.settings import settings_from
from firstboot.steps import Step, plan
from firstboot.suggestions import suggest
from firstboot.texts import languages, texts
from tests.unit.firstboot_machine import MadeUp, site_at

PLACES = re.compile(r"\{(\w+)\}")


def every_step() -> list[Step]:
    questions = plan()
    afterwards = (step for chapter in questions.afterwards for step in chapter.steps)
    return [*questions.once(), *questions.person, *questions.account, *questions.next, *afterwards]


def test_english_hindi_and_kannada_are_there() -> None:
    assert languages()[0] == "en" and {"hi", "kn"} <= set(languages())


@pytest.mark.parametrize("language", languages())
def test_a_language_says_everything_that_english_says_with_the_same_words_filled_in(language: str) -> None:
    english, other = texts("en"), texts(language)
    assert other.names() == english.names()
    for key in english.names():
        assert set(PLACES.findall(other.say(key))) == set(PLACES.findall(english.say(key))), key


@pytest.mark.parametrize(("language", "script"), [("hi", r"[\u0900-\u097f]"), ("kn", r"[\u0c80-\u0cff]")])
def test_a_text_is_in_its_own_script(language: str, script: str) -> None:
    said = texts(language)
    without = {key for key in said.names() if not re.search(script, said.say(key))}
    assert without == {"test|items|account", "test|results|clock_ok"}


@pytest.mark.parametrize("step", every_step(), ids=lambda step: step.name)
def test_a_question_has_a_title_help_and_words_for_each_choice(step: Step) -> None:
    said = texts("en")
    assert said.has(f"steps|{step.name}|title") and said.has(f"steps|{step.name}|help")
    assert all(said.has(f"steps|{step.name}|choices|{choice}") for choice in step.choices)


@pytest.mark.parametrize("step", every_step(), ids=lambda step: step.name)
def test_what_a_question_names_is_there(step: Step) -> None:
    assert set(step.checks) <= set(CHECKS)
    assert not step.suggest or suggest(step.suggest, f"people.0.{step.id}", settings_answers(), MadeUp()) is not None
    assert all(plan().step(path) for path in step.when if path != "provider")
    assert step.kind != "choice" or step.choices or step.source


def settings_answers():  # type: ignore[no-untyped-def]  # a name for brevity
    from firstboot.answers import Answers

    return Answers()


def test_every_chapter_and_group_of_actions_has_a_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    said = texts("en")
    assert all(said.has(f"chapters|{chapter.name}") for chapter in (*plan().chapters, *plan().afterwards))
    groups = {action.group for action in actions(settings_from(settings_answers()), site_at(tmp_path))}
    assert groups <= set(GROUPS)
    assert all(said.has(f"apply|steps|{group}") for group in GROUPS)


def test_every_problem_a_check_can_find_has_words() -> None:
    from pathlib import Path

    source = (Path(__file__).parents[2] / "firstboot/checks.py").read_text()
    keys = set(re.findall(r'Problem\("(\w+)"', source)) | set(re.findall(r'"(no_\w+|one_\w+)"', source))
    assert keys and all(texts("en").has(f"problems|{key}") for key in keys)

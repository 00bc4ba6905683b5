"""The way through the questions: which are asked, in which order, given the answers so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from .answers import Answers
from .steps import Plan, Step

ProviderOf = Callable[[str], str]
"""How the provider of an address wants to be asked: password, oauth2 or unknown."""


@dataclass(frozen=True)
class Spot:
    """One question at its place: `path` is where the answer goes."""

    path: str
    step: Step


def _asked(step: Step, answers: Answers, provider_of: ProviderOf) -> bool:
    def given(path: str) -> str | None:
        if path != "provider":
            return answers.get(path)
        address = answers.get(f"{step.id.rpartition('.')[0]}.address")
        return provider_of(address) if address else None

    return all(given(path) in wanted for path, wanted in step.when.items())


def _account(plan: Plan, answers: Answers, before: str, provider_of: ProviderOf) -> Iterator[Spot]:
    address = answers.get(f"{before}.address")
    for step in plan.account:
        if step.id == "address" or (
            address and ("provider" not in step.when or provider_of(address) in step.when["provider"])
        ):
            yield Spot(f"{before}.{step.id}", step)


def _person(plan: Plan, answers: Answers, index: int, provider_of: ProviderOf) -> Iterator[Spot]:
    before = f"people.{index}"
    for step in plan.person:
        yield Spot(f"{before}.{step.id}", step)
        if not answers.get(f"{before}.name"):
            return
    number = 0
    while True:
        account = f"{before}.accounts.{number}"
        yield from _account(plan, answers, account, provider_of)
        if not answers.get(f"{account}.address") or answers.get(f"{account}.more") != "yes":
            break
        number += 1
    for step in plan.next:
        yield Spot(f"{before}.{step.id}", step)


def people_route(plan: Plan, answers: Answers, provider_of: ProviderOf) -> Iterator[Spot]:
    """The questions about people."""
    index = 0
    while True:
        yield from _person(plan, answers, index, provider_of)
        if not answers.get(f"people.{index}.name") or answers.get(f"people.{index}.more") != "yes":
            return
        index += 1


def route(plan: Plan, answers: Answers, provider_of: ProviderOf, chapters: Collection[str] = ()) -> list[Spot]:
    """All questions of a set-up, or those of some chapters, in order; what follows from an open answer comes when it is
    given.
    """
    steps = [*plan.once(), *(step for chapter in plan.afterwards if chapter.name in chapters for step in chapter.steps)]
    spots = [Spot(step.id, step) for step in steps if _asked(step, answers, provider_of)]
    spots += people_route(plan, answers, provider_of)
    return [spot for spot in spots if not chapters or spot.step.chapter in chapters]


@dataclass(frozen=True)
class Turn:
    """What an answer makes of the answers, and where it leads.

    after  the question whose next one comes now
    again  the question that comes now instead, "" for none
    moved  the list, such as "people", whose items have other numbers now, "" for none
    """

    answers: Answers
    after: str
    again: str = ""
    moved: str = ""


def _stale(answers: Answers, path: str, value: str) -> Iterator[str]:
    """What another answer at `path` makes untrue: the servers and the password of an address elsewhere, and the
    password of another Wi-Fi. Kept, they would be used where nobody asks for them any more.
    """
    before, (items, _, word) = answers.get(path), path.rpartition(".")
    if before is None or value == before:
        return
    elsewhere = before.rpartition("@")[2].lower() != value.rpartition("@")[2].lower()
    if word == "address" and (elsewhere or items == "secret"):
        yield from (f"{items}.{what}" for what in ("imap", "smtp", "password"))
    elif path == "link.wifi.name":
        yield "link.wifi.passphrase"


def take(answers: Answers, path: str, value: str) -> Turn:
    """Answer one more question. An empty name or address takes its item off the list, and no item is left behind that
    nothing leads to: it would be in force all the same.
    """
    for stale in _stale(answers, path, value):
        answers = answers.without(stale)
    answers = answers.with_answer(path, value)
    listed = re.fullmatch(r"(.+)\.(\d+)\.(\w+)", path)
    if listed is None:
        return Turn(answers, path)
    items, index, word = listed[1], int(listed[2]), listed[3]
    if word == "more" and value == "no":
        while answers.count(items) > index + 1:
            answers = answers.without(f"{items}.{index + 1}")
        return Turn(answers, path)
    alone = index == 0 and answers.count(items) == 1
    if value or alone or word not in ("name", "address"):
        return Turn(answers, path)
    answers = answers.without(f"{items}.{index}")
    if index == 0:
        return Turn(answers, path, again=path, moved=items)
    previous = f"{items}.{index - 1}.more"
    if answers.count(items) == index:
        answers = answers.with_answer(previous, "no")
    return Turn(answers, previous, moved=items)

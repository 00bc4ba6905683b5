"""What the flows' waits say when they were in vain, with the node's answers played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.flows.mailoffice import ASHA, MailOffice
from tests.lab.control import ControlError, Result
from tests.lab.guest import Guest, MachineFailure

Told = list[dict[str, Any]] | None


class Asked(Guest):
    """A guest whose daemon tells one list (of mails, of accounts) after the other, and the last for ever.

    None: it does not answer. `asked` is what it was asked, but for the list.
    """

    def __init__(self, *told: Told) -> None:
        self._told: Iterator[Told] = chain(told, repeat(told[-1]))
        self.asked: list[str] = []
        self.looks = 0
        self.control = self  # type: ignore[assignment]

    def run(self, command: str, limit: float, stdin: bytes = b"") -> Result:
        verb = json.loads(stdin)["do"]
        if verb not in ("outbox", "status"):
            self.asked.append(verb)
            return Result(0, "{}", "", b"{}")
        self.looks += 1
        told = next(self._told)
        if told is None:
            raise ControlError("the machine went off")
        output = json.dumps({"mails": told, "accounts": told}).encode()
        return Result(0, output.decode(), "", output)

    def failure(self, message: str) -> MachineFailure:
        return MachineFailure(f"{message}\n  console | last words")

    def wait(self, seconds: float) -> None:
        return


def office(node: Guest, arrived: list[Any]) -> MailOffice:
    """A mail office of that node; `arrived` is what has been taken far away."""
    world: Any = SimpleNamespace(internet=SimpleNamespace(arrived=lambda address: arrived))
    machine: Any = node
    return MailOffice(machine, world, Path("ca.crt"))


def mail(state: str) -> dict[str, Any]:
    return {"message_id": "<1>", "state": state}


def test_a_mail_that_never_comes_to_a_state_is_told_as_it_was_last() -> None:
    node = Asked([mail("sending")], [mail("refused")])
    with pytest.raises(AssertionError) as failed:
        office(node, []).wait_for_outbox("<1>", "sent", limit=0.2)
    first, *rest = str(failed.value).splitlines()
    assert first.startswith("<1> sent; ") and "'refused'" in first and "'sending'" not in first
    assert "console | last words" in rest[-1]


def test_a_mail_that_is_not_in_the_outbox_any_more_is_told_so() -> None:
    node = Asked([mail("sending")], [])
    with pytest.raises(AssertionError, match="<1> sent link; the outbox has no such mail"):
        office(node, []).wait_for_outbox("<1>", "sent", "link", limit=0.2)


def test_a_mail_that_does_not_arrive_is_told_with_the_outbox_by_then() -> None:
    node = Asked([mail("held")])
    with pytest.raises(AssertionError, match=r"'hello' at friend@far\.example; the outbox has .*'held'"):
        office(node, []).wait_for_arrival("friend@far.example", "hello", limit=0.2)


def test_a_wait_for_a_mail_that_arrives_asks_the_node_nothing() -> None:
    node, taken = Asked([]), SimpleNamespace(subject="hello")
    assert office(node, [taken]).wait_for_arrival("friend@far.example", "hello", limit=0) is taken
    assert node.looks == 0


def test_a_node_that_is_off_is_told_so_beside_what_was_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"'hello' at friend@far\.example; the node does not answer\n.*not after"):
        office(Asked(None), []).wait_for_arrival("friend@far.example", "hello", limit=0)


GMAIL, YAHOO = ASHA.addresses


def accounts(gmail: int | None, yahoo: int | None) -> list[dict[str, Any]]:
    """When each account had its last turn; None for never."""
    return [{"address": address, "tried_at": tried} for address, tried in ((GMAIL, gmail), (YAHOO, yahoo))]


@pytest.mark.parametrize(
    "told",
    [
        [accounts(5, 6), accounts(5, 6), accounts(9, 6), accounts(9, 11)],
        [accounts(5, 6), accounts(9, 6), accounts(70, 6), accounts(70, 80)],
        [accounts(5, None), accounts(9, None), accounts(9, 11)],
        [accounts(5, 6), [], accounts(9, 6), accounts(9, 11)],
    ],
    ids=["one after the other", "one again before the other", "one for the first time", "the daemon starts meanwhile"],
)
def test_fetching_waits_until_each_account_has_had_its_turn(told: list[Told]) -> None:
    node = Asked(*told)
    office(node, []).fetch(ASHA)
    assert node.asked == ["sync"] and node.looks == len(told)


def test_fetching_says_whose_turn_did_not_come() -> None:
    with pytest.raises(MachineFailure, match="a turn of each account of asha: not after"):
        office(Asked(accounts(5, 6)), []).fetch(ASHA, limit=0)

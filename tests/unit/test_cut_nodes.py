"""What is demanded of the mail on a node that was cut, with the node and its provider played."""

from __future__ import annotations

import json
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cuts.setups import ADDRESS
from tests.cuts.test_cuts import assert_mail_comes_once
from tests.lab.control import Result
from tests.lab.guest import Guest, MachineFailure

HERE = "/srv/mail/10001/Maildir/cur/1"


class Node(Guest):
    """A node that has the mail in these files; each look at its accounts finds that there was another turn."""

    def __init__(self, *files: str) -> None:
        self._files, self._turns = files, count()
        self.synced = 0
        self.control = self  # type: ignore[assignment]

    def run(self, command: str, limit: float, stdin: bytes = b"") -> Result:
        if command.startswith("grep"):
            return self._result("".join(f"{file}\n" for file in self._files), 0 if self._files else 1)
        asked = json.loads(stdin)
        self.synced += asked["do"] == "sync"
        return self._result(json.dumps({"accounts": [{"address": ADDRESS, "tried_at": next(self._turns)}]}))

    @staticmethod
    def _result(said: str, code: int = 0) -> Result:
        return Result(code, said, "", said.encode())

    def failure(self, message: str) -> MachineFailure:
        return MachineFailure(message)

    def wait(self, seconds: float) -> None:
        return


def world(*there: str) -> Any:
    """A world whose provider has mails with these subjects."""
    mails = [SimpleNamespace(subject=subject) for subject in there]
    return SimpleNamespace(internet=SimpleNamespace(messages=lambda address: mails if address == ADDRESS else []))


def look(node: Any, around: Any) -> None:
    assert_mail_comes_once(node, around, "the first mail")


def test_a_mail_that_is_here_once_and_still_there_is_well_after_a_look_more() -> None:
    node = Node(HERE)
    look(node, world("the first mail"))
    assert node.synced == 2


def test_a_mail_that_came_twice_is_not_well() -> None:
    with pytest.raises(AssertionError, match="twice"):
        look(Node(HERE, f"{HERE}0"), world("the first mail"))


@pytest.mark.parametrize("there", [(), ("the first mail", "the first mail")], ids=["gone", "doubled"])
def test_a_mailbox_at_the_provider_that_was_changed_is_not_well(there: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="nothing goes at the provider"):
        look(Node(HERE), world(*there))

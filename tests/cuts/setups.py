"""The set-ups whose every write is recorded: their answers, and what was seen of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.flows.mailoffice import Villager, letters
from tests.lab.writelog import WriteLog

KINDS = ("preset", "typed")
KEEPER, OWN, ADDRESS, SECRET = "keeper-of-rampur", "reads-her-mail-9", "asha@gmail.com", letters(16)
PERSON = Villager("asha", "Asha Rao", "en", OWN, {ADDRESS: SECRET})
TYPED = {
    "name": "rampur",
    "keeper.password": KEEPER,
    "people.0.name": "Asha Rao",
    "people.0.password": OWN,
    "people.0.accounts.0.address": ADDRESS,
    "people.0.accounts.0.password": SECRET,
}
PRESET = f"""\
name: rampur
keeper: {{password: {KEEPER}}}
network: {{kind: ethernet, ethernet: {{kind: join}}}}
link: {{kind: ethernet}}
people:
  - {{name: Asha Rao, login: asha, password: {OWN}, accounts: [{{address: {ADDRESS}, password: {SECRET}}}]}}
"""


@dataclass(frozen=True)
class Run:
    """A set-up that went through: what the card began as, what was written to it, and the questions in their order.

    unmarked  the flushes after which all is in force and nothing says so yet; found by looking at each of them
    """

    kind: str
    image: Path
    log: WriteLog
    seen: list[str] = field(default_factory=list)
    unmarked: list[int] = field(default_factory=list)

"""People and their addresses: nobody gets what is somebody else's, and a corrected answer leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mojomail import lines
from mojomail.errors import InputError
from mojomail.people import parse_name

from firstboot import checks
from firstboot.actions import actions
from firstboot.answers import Answers
from firstboot.checks import Problem, Question, find_problem, tidy
from firstboot.errors import SystemFault
from firstboot.journal import Journal, State
from firstboot.keyfiles import network_name
from firstboot.made import Made, MadeList
from firstboot.process import Done
from firstboot.settings import settings_from
from firstboot.surroundings import Surroundings
from tests.unit.firstboot_machine import MadeUp, Programs, Quick, Seal, site_at, walk, wizard_at

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


JOINED = ("ರಾಜ್\u200cಕುಮಾರ್", "ರಾವ್\u200c", "ರಾವ್\u200c ರಾಜ್\u200c", "लक्ष्\u200dमी", "ರ\u200d್ಯಾಲಿ")
"""Names as Indian keyboards write them: a sign behind a letter joins it with the next one, or keeps them apart."""


@pytest.mark.parametrize("name", JOINED)
def test_a_name_is_taken_as_indian_keyboards_write_it(name: str) -> None:
    kinds = {"people.0.name": "person_name", "people.0.accounts.0.password": "account_password", "link.wifi.name": ""}
    for path, check in kinds.items():
        asked = Question(tidy(name, "text", ()), path, ASHA, MadeUp())
        assert asked.value == name
        assert find_problem(asked, optional=False, checks=(check,) if check else ()) is None
    assert parse_name(name) == name
    assert network_name(name) == "".join(f"{byte};" for byte in name.encode())


@pytest.mark.parametrize(
    "name", ["\u200c", "\u200d\u200c", "\u200cಕ", "ಕ \u200d", "ಕ\u200c\u200d", "a\u202eb", "a\x07b"]
)
def test_invisible_signs_without_a_letter_are_no_name(name: str) -> None:
    asked = Question(name, "people.0.name", ASHA, MadeUp())
    assert find_problem(asked, optional=False, checks=("person_name",)) == Problem("letters")
    with pytest.raises(InputError):
        parse_name(name)


def test_wizard_and_mail_office_mean_the_same_by_a_line() -> None:
    signs = [chr(number) for number in range(0x3000)]
    texts = [*JOINED, "", *(text for sign in signs for text in (sign, f"ಕ{sign}", f"{sign}ಕ", f"ಕ{sign}\u200cಕ"))]
    assert [text for text in texts if checks.is_line(text) != lines.is_line(text)] == []


class MailOffice(Programs):
    """A mail office with people, their accounts, and what was typed as the secret of each account."""

    def __init__(self, people: tuple[str, ...] = (), accounts: dict[str, str] | None = None) -> None:
        super().__init__()
        self.people, self.accounts = set(people), dict(accounts or {})
        self.erased = False
        self.cut_at = ""

    def __call__(self, *argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
        if argv[0] != "mojomail":
            return super().__call__(*argv, stdin=stdin, limit=limit, language=language)
        match argv[1:]:
            case ("person", "list", *_):
                return Done(0, json.dumps([{"login": login} for login in sorted(self.people)]))
            case ("account", "list", *_):
                return Done(0, json.dumps([{"address": a, "login": login} for a, login in self.accounts.items()]))
            case ("person", "add", login, *_):
                if self.cut_at == login:
                    raise KeyboardInterrupt
                self.people.add(login)
            case ("person", "remove", login, *rest):
                self.people.remove(login)
                self.accounts = {a: owner for a, owner in self.accounts.items() if owner != login}
                self.erased |= "--erase" in rest
            case ("account", "add", login, address, *_):
                assert login in self.people and address not in self.accounts
                self.accounts[address] = login
            case ("account", "remove", address, *_):
                del self.accounts[address]
        return Done(0, "")


def answers(*people: tuple[str, str]) -> Answers:
    """Answers with people: login and address of each."""
    tree = [
        {"name": login.title(), "login": login, "password": "good-pass-1", "accounts": [{"address": address}]}
        for login, address in people
    ]
    return Answers({"name": "rampur", "network": {"kind": "ethernet"}} | ({"people": tree} if tree else {}))


class Node:
    """A node in its set-up; each `apply` is by a program that was started anew, as after a power cut."""

    def __init__(self, root: Path, office: MailOffice) -> None:
        self.root, self.office = root, office
        self.journal = Journal(root, Seal(), Quick())

    def apply(self, *people: tuple[str, str]) -> None:
        """Answer, and bring the answers into force."""
        site = site_at(self.root, self.office)  # at a start: what the journal has by now is of an answer before
        given = answers(*people)
        self.journal.save(State(at="apply", answers=given))
        for action in actions(settings_from(given), site):
            if not action.done():
                action.apply()

    def finish(self) -> None:
        """End the set-up."""
        self.journal.finish(self.journal.load())


def test_a_corrected_login_takes_the_place_of_the_wrong_one_with_its_address(tmp_path: Path) -> None:
    office = MailOffice()
    node = Node(tmp_path, office)
    node.apply(("ahsa", "asha@gmail.com"))
    node.apply(("asha", "asha@gmail.com"))
    assert office.people == {"asha"} and office.accounts == {"asha@gmail.com": "asha"}
    assert not office.erased


def test_a_corrected_address_takes_the_place_of_the_wrong_one(tmp_path: Path) -> None:
    office = MailOffice()
    node = Node(tmp_path, office)
    node.apply(("asha", "Ahsa@gmail.com"))
    office.accounts = {"ahsa@gmail.com": "asha"}  # however the mail office writes it
    node.apply(("asha", "asha@gmail.com"))
    assert office.accounts == {"asha@gmail.com": "asha"}


def test_an_address_that_was_given_to_the_wrong_person_goes_to_the_right_one(tmp_path: Path) -> None:
    office = MailOffice()
    node = Node(tmp_path, office)
    node.apply(("asha", "ravi@gmail.com"), ("ravi", "asha@gmail.com"))
    node.apply(("asha", "asha@gmail.com"), ("ravi", "ravi@gmail.com"))
    assert office.accounts == {"asha@gmail.com": "asha", "ravi@gmail.com": "ravi"}


def test_who_was_there_before_this_set_up_stays(tmp_path: Path) -> None:
    office = MailOffice(("lila", "asha"), {"lila@gmail.com": "lila"})
    node = Node(tmp_path, office)
    node.apply(("asha", "asha@gmail.com"))
    node.apply(("ravi", "ravi@gmail.com"))
    assert office.people == {"lila", "asha", "ravi"}
    assert office.accounts == {"lila@gmail.com": "lila", "ravi@gmail.com": "ravi"}
    with pytest.raises(SystemFault, match="an address of lila"):
        node.apply(("ravi", "lila@gmail.com"))


def test_people_of_a_set_up_that_is_done_stay_when_another_is_added_or_all_is_asked_anew(tmp_path: Path) -> None:
    office = MailOffice()
    node = Node(tmp_path, office)
    node.apply(("asha", "asha@gmail.com"))
    node.finish()
    node.apply(("ravi", "ravi@gmail.com"))
    node.finish()
    node.journal.begin_anew(State(answers=Answers({"language": "en"})))
    node.apply(("lila", "lila@gmail.com"))
    assert office.people == {"asha", "ravi", "lila"} and len(office.accounts) == 3


def test_a_person_is_noted_before_being_made(tmp_path: Path) -> None:
    office = MailOffice()
    office.cut_at = "ahsa"
    node = Node(tmp_path, office)
    with pytest.raises(KeyboardInterrupt):
        node.apply(("ahsa", "asha@gmail.com"))
    assert MadeList(tmp_path).read() == Made(frozenset({"ahsa"}))
    node.apply(("asha", "asha@gmail.com"))
    assert office.people == {"asha"}
    assert MadeList(tmp_path).read() == Made(frozenset({"asha"}), frozenset({"asha@gmail.com"}))


def test_what_this_set_up_has_made_can_be_answered_otherwise(tmp_path: Path) -> None:
    office = MailOffice(("lila",), {"lila@gmail.com": "lila"})
    Node(tmp_path, office).apply(("ahsa", "asha@gmail.com"))
    around = Surroundings(tmp_path, office)
    assert around.logins() == {"lila"} and around.addresses_taken() == {"lila@gmail.com": "lila"}


def test_a_list_that_cannot_be_read_removes_nobody(tmp_path: Path) -> None:
    office = MailOffice()
    node = Node(tmp_path, office)
    node.apply(("asha", "asha@gmail.com"))
    MadeList(tmp_path).path.write_text('{"logins": ["asha"')
    node.apply(("ravi", "ravi@gmail.com"))
    assert office.people == {"asha", "ravi"}

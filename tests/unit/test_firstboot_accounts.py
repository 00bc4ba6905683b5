"""Accounts from the keeper's menu, of people who are there already: another password, a further address."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from firstboot.actions import Site
from firstboot.applying import Worker
from firstboot.journal import Journal
from firstboot.later import Later
from firstboot.made import Made, MadeList
from firstboot.plaintext import PlainText
from firstboot.preset import read_preset
from firstboot.process import Done
from firstboot.surroundings import KnownAccount, Surroundings
from firstboot.terminal import Terminal
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import MadeUp, Programs, Quick, Seal, everywhere, site_at, walk, wizard_at

ASHA, LILA = KnownAccount("asha@gmail.com", "asha"), KnownAccount("lila@gmail.com", "lila", complete=False)
CHITRA = KnownAccount("chitra@outlook.com", "chitra", by_token=True)
PEOPLE = {"asha": "Asha Rao", "lila": "Lila", "chitra": "Chitra"}
AROUND = MadeUp(people=PEOPLE, accounts=[ASHA, CHITRA, LILA])
RIGHT, WRONG = "provider-pass-4444", "not-the-pass-55"
SETTLED = {"keeper.password": "keeper-pass-1", "network.kind": "ethernet", "link.kind": "dongle", "people.0.name": ""}


class PowerCut(BaseException):
    """The power goes."""


@dataclass
class Power:
    """What goes off after so many things that were done; -1 for never."""

    left: int = -1

    def use(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1


class Card(Quick):
    """A disk that stops where the power goes: before a file has its new bytes, or its name."""

    def __init__(self, power: Power) -> None:
        self._power = power

    def write(self, path: Path, data: bytes, mode: int) -> None:
        self._power.use()
        super().write(path, data, mode)

    def rename(self, old: Path, new: Path) -> None:
        self._power.use()
        super().rename(old, new)


@dataclass
class MailOffice(Programs):
    """A mail office whose providers take one password; the link is up."""

    power: Power = field(default_factory=Power)
    owners: dict[str, str] = field(default_factory=lambda: {one.address: one.login for one in AROUND.accounts()})
    secrets: dict[str, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__({"nmcli -g GENERAL.STATE": Done(0, "activated\n")})

    def __call__(self, *argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
        done = super().__call__(*argv, stdin=stdin, limit=limit, language=language)
        match argv[1:]:
            case ("person", "list", *_):
                return Done(0, json.dumps([{"login": login, "name": name} for login, name in PEOPLE.items()]))
            case ("account", "list", *_):
                return Done(0, json.dumps([{"address": one, "login": login} for one, login in self.owners.items()]))
            case ("account", "test", address, *_):
                well = self.secrets.get(address) == RIGHT
                part = {"finding": "ok"} if well else {"finding": "wrong-password", "text": "It is not taken."}
                return Done(0, json.dumps([{"imap": part, "smtp": part}]))
            case ("account", "add", login, address, *words):
                assert address not in self.owners and login in PEOPLE
                self._change(address, stdin, words)
                self.owners[address] = login
            case ("account", "passwd", address, *words):
                assert address in self.owners
                self._change(address, stdin, words)
            case ("account", "remove", address, *_):
                del self.owners[address]
            case ("account" | "person", verb, *_):
                raise AssertionError(f"nothing else is to be changed: {verb}")
        return done

    def _change(self, address: str, stdin: str, words: list[str]) -> None:
        self.power.use()
        if stdin:
            self.secrets[address] = stdin.removesuffix("\n")
        if "--imap" in words:
            self.servers[address] = words[words.index("--imap") + 1]
        self.power.use()


class Node:
    """A node that is set up; `open` is what the keeper's menu leads to, and after a power cut the next start."""

    def __init__(self, root: Path, around: MadeUp = AROUND) -> None:
        self.root, self.around = root, around
        self.power = Power()
        self.office = MailOffice(power=self.power)
        wizard = wizard_at(root)
        walk(wizard, SETTLED)
        wizard.applied()
        wizard.tried([])
        assert wizard.answer("test", "onward") and wizard.answer("join", "finish")
        self.before, self.settled = list(everywhere(root)), self.journal.load()
        self.site: Site

    @property
    def journal(self) -> Journal:
        return Journal(self.root, Seal(), Card(self.power))

    def open(self, chapter: str = "") -> Wizard:
        """A chapter; without one, what a cut has left."""
        self.site = replace(site_at(self.root, self.office, self.around), disk=Card(self.power))
        state = self.journal.load()
        start = replace(state, at="", chapter=chapter) if chapter else state
        return Wizard(self.journal, self.around, start=start)

    def try_out(self, wizard: Wizard) -> tuple[str, str]:
        """Have the answers applied and tried out; what was found of the account: its result and mark."""
        self.office.calls.clear()
        Worker(wizard, self.site).look()
        assert wizard.at == "test" and wizard.findings is not None, wizard.progress
        (found,) = [one for one in wizard.findings if one.item == "account"]
        return found.result, found.mark

    def began_anew(self) -> bool:
        """Whether more than accounts was brought into force."""
        return any(call[:2] == ("nmcli", "--wait") or "restart" in call for call in self.office.calls)

    def end(self, wizard: Wizard) -> None:
        """Go on to the end, after which no secret and nothing about accounts is left."""
        assert wizard.answer("test", "onward") and wizard.answer("join", "finish")
        assert not {"secret", "further", "people"} & self.journal.load().answers.tree.keys()
        for path, data in everywhere(self.root):
            assert RIGHT.encode() not in data and RIGHT.encode().hex().encode() not in data, path


def test_a_wrong_password_is_given_anew_said_to_be_wrong_again_and_mended(tmp_path: Path) -> None:
    node = Node(tmp_path)
    wizard = node.open("secret")
    assert walk(wizard, {"secret.password": WRONG})[0] == "secret.address"
    assert node.try_out(wizard) == ("account_other", "trouble")
    assert "It is not taken." in str(wizard.screen().lines)
    assert [choice.value for choice in wizard.screen().choices][:3] == ["onward", "again", "secret.password"]
    assert wizard.answer("test", "secret.password")
    walk(wizard, {"secret.password": RIGHT})
    assert node.try_out(wizard) == ("account_ok", "ok") and node.office.secrets == {ASHA.address: RIGHT}
    node.end(wizard)


def test_one_can_go_on_with_a_password_that_is_not_taken_and_give_it_again_another_day(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for password, mark in ((WRONG, "trouble"), (RIGHT, "ok")):
        wizard = node.open("secret")
        walk(wizard, {"secret.address": LILA.address, "secret.password": password})
        assert node.try_out(wizard)[1] == mark
        node.end(wizard)
    assert node.office.secrets == {LILA.address: RIGHT}


def test_the_list_says_which_password_was_left_for_later(tmp_path: Path) -> None:
    labels = {choice.value: choice.label for choice in Node(tmp_path).open("secret").screen().choices}
    assert labels[ASHA.address] == ASHA.address and labels[LILA.address] == f"{LILA.address} – not given yet"


def test_a_password_goes_to_no_other_address_than_the_one_it_was_typed_for(tmp_path: Path) -> None:
    wizard = Node(tmp_path).open("secret")
    walk(wizard, {"secret.address": ASHA.address, "secret.password": RIGHT})
    wizard.applied("the database is locked")
    wizard.answer("trouble", "change")
    assert [line.value for line in wizard.screen().lines] == [ASHA.address]
    wizard.answer("ready", "change")
    wizard.answer("change", "secret")
    assert wizard.answer("secret.address", LILA.address) and wizard.screen().value == ""


def test_an_address_that_takes_no_password_is_said_to_with_what_to_do(tmp_path: Path) -> None:
    wizard = Node(tmp_path).open("secret")
    assert not wizard.answer("secret.address", CHITRA.address)
    assert "mojomail account passwd" in wizard.screen().problem and wizard.at == "secret.address"


@pytest.mark.parametrize(
    ("given", "asked", "found", "server"),
    [
        ({"address": "asha.rao@gmail.com", "password": RIGHT}, {"login", "address", "password"}, "account_ok", None),
        ({"address": "asha.rao@gmail.com", "password": ""}, {"login", "address", "password"}, "account_later", None),
        ({"address": "asha@outlook.com"}, {"login", "address"}, "account_token", None),
        (
            {"address": "asha@gov.example", "password": RIGHT},
            {"login", "address", "imap", "smtp", "password"},
            "account_ok",
            "imap.gov.example 993 tls",
        ),
    ],
)
def test_a_further_address_is_added_for_somebody_who_is_there(
    tmp_path: Path, given: dict[str, str], asked: set[str], found: str, server: str | None
) -> None:
    node = Node(tmp_path)
    wizard = node.open("further")
    assert next(choice.label for choice in wizard.screen().choices) == "Asha Rao (asha)"
    titles: list[str] = []
    seen = walk(
        wizard,
        {f"further.{what}": value for what, value in given.items()},
        look=lambda screen: titles.append(screen.title),
    )
    assert {path.removeprefix("further.") for path in seen} == asked and "Asha Rao" in titles[1]
    assert node.try_out(wizard)[0] == found
    assert node.office.owners[given["address"]] == "asha"
    assert node.office.secrets == ({given["address"]: RIGHT} if given.get("password") else {})
    assert node.office.servers.get(given["address"]) == server
    node.end(wizard)


def test_a_further_address_is_nobody_elses_and_no_empty_one(tmp_path: Path) -> None:
    wizard = Node(tmp_path).open("further")
    assert wizard.answer("further.login", "asha")
    assert not wizard.answer("further.address", "Lila@Gmail.com") and "lila" in wizard.screen().problem
    assert not wizard.answer("further.address", "") and wizard.at == "further.address"


def test_a_further_address_that_was_mistyped_goes_when_it_is_corrected(tmp_path: Path) -> None:
    node = Node(tmp_path)
    wizard = node.open("further")
    walk(wizard, {"further.address": "ahsa.rao@gmail.com"})
    node.try_out(wizard)
    assert node.office.owners["ahsa.rao@gmail.com"] == "asha"
    resumed = node.open()
    resumed.applied("the mail services do not start")
    assert resumed.answer("trouble", "change") and resumed.answer("ready", "change")
    assert resumed.answer("change", "further")
    walk(resumed, {"further.address": "asha.rao@gmail.com"})
    node.try_out(resumed)
    assert node.office.owners.keys() - {one.address for one in AROUND.accounts()} == {"asha.rao@gmail.com"}
    assert MadeList(tmp_path).read() == Made(addresses=frozenset({"asha.rao@gmail.com"}))


@pytest.mark.parametrize("chapter", ["secret", "further"])
def test_back_at_the_first_question_leaves_all_as_it_was(tmp_path: Path, chapter: str) -> None:
    node = Node(tmp_path)
    wizard = node.open(chapter)
    assert wizard.screen().can_go_back
    wizard.answer(wizard.at, wizard.screen().value)
    while wizard.at != "done":
        assert wizard.back(wizard.at)
    assert list(everywhere(tmp_path)) == node.before and not node.office.calls


@pytest.mark.parametrize(
    ("chapter", "given", "address"),
    [
        ("secret", {"secret.password": RIGHT}, ASHA.address),
        ("further", {"further.address": "rao@gmail.com", "further.password": RIGHT}, "rao@gmail.com"),
    ],
)
def test_a_power_cut_leaves_what_was_or_goes_on_to_the_end(
    tmp_path: Path, chapter: str, given: dict[str, str], address: str
) -> None:
    """The power goes once after each thing that is done, until everything is done before it would."""
    cuts = 0
    while True:
        node = Node(tmp_path / str(cuts))
        wizard = node.open(chapter)
        node.power.left = cuts
        try:
            walk(wizard, given)
            node.try_out(wizard)
            node.end(wizard)
        except PowerCut:
            node.power.left = -1
            state = node.journal.load()
            if state.at == "apply":
                assert state.chapter == chapter
                wizard = node.open()
                assert node.try_out(wizard) == ("account_ok", "ok") and node.began_anew()
                node.end(wizard)
            else:
                assert state == node.settled and node.office.secrets in ({}, {address: RIGHT})
                cuts += 1
                continue
        assert node.office.secrets == {address: RIGHT}
        if node.power.left >= 0:
            break
        cuts += 1
    assert cuts >= 6


def test_no_phone_loses_the_network_for_another_password_unless_the_link_is_mended_too(tmp_path: Path) -> None:
    node = Node(tmp_path)
    wizard = node.open("secret")
    walk(wizard, {"secret.password": RIGHT})
    assert [line.label for line in wizard.screen().lines] == ["People and accounts"]
    node.try_out(wizard)
    assert not node.began_anew()
    assert wizard.anywhere("link.kind") is not None and wizard.answer("test", "link.kind")
    walk(wizard, {"link.kind": "none"})
    node.try_out(wizard)
    assert node.began_anew()


@pytest.mark.parametrize(
    ("chapter", "given"), [("secret", {"secret.password": RIGHT}), ("further", {"further.address": "rao@gmail.com"})]
)
def test_who_has_gone_meanwhile_stops_nothing_and_comes_back_by_nothing(
    tmp_path: Path, chapter: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    wizard = node.open(chapter)
    walk(wizard, given | {"further.password": RIGHT})
    node.office.owners.clear()
    monkeypatch.setitem(globals(), "PEOPLE", {})
    assert node.try_out(wizard)[1] == "trouble"
    assert not node.office.owners and not node.office.secrets
    node.end(wizard)


@pytest.mark.parametrize(
    ("around", "offered"),
    [
        (AROUND, {"secret", "further"}),
        (MadeUp(people=PEOPLE), {"further"}),
        (MadeUp(), set()),
    ],
)
def test_the_menu_offers_what_there_is_somebody_for(tmp_path: Path, around: MadeUp, offered: set[str]) -> None:
    menu = Later(wizard_at(tmp_path).answers, lambda password: True, around)
    menu.answer(menu.at, "keeper-pass-1")
    listed = {choice.value for choice in menu.screen().choices}
    assert listed & {"secret", "further"} == offered and {"add_person", "link", "anew", "close"} <= listed
    for chapter in offered:
        assert menu.answer("menu", chapter) and menu.outcome == chapter
        menu = Later(wizard_at(tmp_path).answers, lambda password: True, around)
        menu.answer(menu.at, "keeper-pass-1")


def test_plain_text_takes_another_password_too(tmp_path: Path) -> None:
    node = Node(tmp_path)
    wizard = node.open("secret")
    worker, lines, out = Worker(wizard, node.site), iter(["3", RIGHT]), io.StringIO()

    def ask(prompt: str) -> str:
        return next(lines, "")

    PlainText(wizard, wizard.screen, Terminal(ask, out), lambda: "", worker.look).run()
    assert node.office.secrets == {LILA.address: RIGHT}
    assert f"3. {LILA.address} - not given yet" in out.getvalue() and "Mail can be fetched" in out.getvalue()


def test_a_set_up_and_a_preset_file_ask_nothing_of_it(tmp_path: Path) -> None:
    seen = walk(wizard_at(tmp_path, AROUND), SETTLED)
    assert not [path for path in seen if path.startswith(("secret", "further"))]
    with pytest.raises(Exception, match="no setting called secret"):
        read_preset("keeper: {password: keeper-pass-1}\nsecret: {address: asha@gmail.com}\n", MadeUp())


def test_what_is_known_of_accounts_is_what_the_mail_office_lists(tmp_path: Path) -> None:
    listed = [
        {"address": "lila@gmail.com", "login": "lila", "secret_kind": "app-password", "has_secret": False},
        {"address": "chitra@outlook.com", "login": "chitra", "secret_kind": "oauth2", "has_secret": True},
        {"address": "Asha@gmail.com", "login": "asha", "secret_kind": "app-password", "has_secret": True},
    ]
    people = [{"login": "asha", "name": "Asha Rao"}]
    answers = {
        "mojomail account list": Done(0, json.dumps(listed)),
        "mojomail person list": Done(0, json.dumps(people)),
    }
    around = Surroundings(tmp_path, Programs(answers))
    assert around.people() == {"asha": "Asha Rao"}
    assert list(around.accounts()) == [replace(ASHA, address="Asha@gmail.com"), CHITRA, LILA]

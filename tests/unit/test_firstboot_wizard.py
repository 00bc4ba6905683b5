"""The wizard: one question after the other, there and back, and what is done in the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from firstboot.answers import Answers
from firstboot.journal import State
from firstboot.screens import Screen
from firstboot.settings import Account, settings_from
from firstboot.texts import languages
from firstboot.wizard import Wizard
from firstboot.work import Finding
from tests.unit.firstboot_machine import SECRETS, VILLAGE, MadeUp, journal_at, walk, wizard_at


def test_enter_alone_leads_to_a_working_node(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard)
    settings = settings_from(wizard.answers)
    assert settings.access_point is not None and len(settings.access_point.passphrase) >= 8
    assert len(settings.keeper_password) >= 8
    assert (settings.name, settings.timezone, settings.link.kind) == ("mojomail", "Asia/Kolkata", "none")


def test_enter_alone_serves_the_cable_where_there_is_no_radio(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(radios=()))
    walk(wizard)
    assert settings_from(wizard.answers).ethernet == "serve"


def test_people_are_asked_for_one_after_the_other_with_all_their_addresses(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    seen = walk(wizard, VILLAGE)
    settings = settings_from(wizard.answers)
    assert [person.login for person in settings.people] == ["asha", "ravi"]
    assert [account.address for account in settings.people[0].accounts] == [
        "asha.rao@gmail.com",
        "asha@panchayat.example.org",
    ]
    assert settings.people[0].accounts[1].imap == "imap.panchayat.example.org"
    assert "people.0.accounts.0.imap" not in seen, "a known provider's servers are not asked for"


def test_a_provider_that_asks_by_a_web_page_is_not_given_a_password(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    seen = walk(wizard, {"people.0.name": "Asha", "people.0.accounts.0.address": "asha@outlook.com"})
    assert "people.0.accounts.0.password" not in seen


@pytest.mark.parametrize("given", [{}, VILLAGE], ids=["enter", "village"])
def test_back_leads_the_whole_way_to_the_first_question_and_forward_again_with_the_same_answers(
    tmp_path: Path, given: dict[str, str]
) -> None:
    wizard = wizard_at(tmp_path)
    seen = walk(wizard, given, until="ready")
    answers = wizard.answers
    back = []
    while wizard.back(wizard.at):
        back.append(wizard.at)
    assert back == seen[::-1]
    assert walk(wizard, until="ready") == seen
    assert wizard.answers == answers


def test_an_answer_that_was_changed_by_going_back_counts(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, until="keeper.password")
    wizard.back(wizard.at)
    assert wizard.answer("name", "Kalghatgi")
    walk(wizard)
    assert wizard.answers.get("name") == "kalghatgi"
    assert wizard.answers.get("network.wifi.name") == "kalghatgi", "what is suggested follows"


def test_a_suggested_password_stays_the_same_however_often_it_is_shown(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, until="keeper.password")
    first = wizard.screen().value
    wizard.back(wizard.at)
    walk(wizard, until="keeper.password")
    assert wizard.screen().value == first


def test_the_summary_leads_to_one_chapter_and_back_to_the_summary(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE, until="ready")
    wizard.answer("ready", "change")
    wizard.answer("change", "node")
    assert wizard.at == "name"
    wizard.answer("name", "hubli")
    assert wizard.at == "ready"
    assert wizard.answers.get("name") == "hubli"


def test_a_change_that_opens_new_questions_asks_them_before_the_summary(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"network.kind": "ethernet"}, until="ready")
    wizard.answer("ready", "change")
    wizard.answer("change", "network")
    assert walk(wizard, {"network.kind": "wifi"}, until="ready") == [
        "network.kind",
        "network.wifi.country",
        "network.wifi.name",
        "network.wifi.passphrase",
    ]


def test_an_empty_name_takes_that_person_off_the_list(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE, until="ready")
    wizard.answer("ready", "change")
    wizard.answer("change", "people")
    walk(wizard, {"people.1.name": ""}, until="ready")
    assert [person.login for person in settings_from(wizard.answers).people] == ["asha"]


def test_an_empty_further_address_is_no_address(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    given = VILLAGE | {"people.0.accounts.1.address": ""}
    walk(wizard, given)
    assert len(settings_from(wizard.answers).people[0].accounts) == 1


def test_an_answer_for_another_screen_is_ignored(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    assert not wizard.answer("name", "hubli")
    assert wizard.at == "language" and wizard.answers.get("name") is None


def test_what_cannot_be_taken_is_said_in_the_language_of_the_screen(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"language": "hi"}, until="name")
    assert not wizard.answer("name", "Ram Pur!")
    screen = wizard.screen()
    assert "अक्षर" in screen.problem and screen.value == "ram pur!"
    assert wizard.answer("name", "rampur") and not wizard.screen().problem


@pytest.mark.parametrize(
    ("around", "network", "link", "problem"),
    [
        (MadeUp(), "wifi", "wifi", "one_radio"),
        (MadeUp(radios=("wlan0", "wlan1")), "wifi", "wifi", None),
        (MadeUp(), "ethernet", "ethernet", "one_socket"),
        (MadeUp(sockets=("eth0", "eth1")), "both", "ethernet", None),
        (MadeUp(radios=()), "ethernet", "wifi", "no_radio"),
        (MadeUp(), "wifi", "ethernet", None),
    ],
)
def test_a_link_needs_an_interface_of_its_own(
    tmp_path: Path, around: MadeUp, network: str, link: str, problem: str | None
) -> None:
    wizard = wizard_at(tmp_path, around)
    walk(wizard, {"network.kind": network}, until="link.kind")
    assert wizard.answer("link.kind", link) is (problem is None)
    assert (wizard.problem.key if wizard.problem else None) == problem


@pytest.mark.parametrize(
    ("network", "link", "changed", "problem"),
    [("wifi", "ethernet", "both", "one_socket"), ("ethernet", "wifi", "wifi", "one_radio")],
)
def test_a_change_that_takes_the_links_interface_asks_for_the_link_again(
    tmp_path: Path, network: str, link: str, changed: str, problem: str
) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"network.kind": network, "link.kind": link, "link.wifi.name": "School"}, until="ready")
    wizard.answer("ready", "change")
    wizard.answer("change", "network")
    walk(wizard, {"network.kind": changed}, until="ready")
    assert wizard.answer("ready", "start")
    screen = wizard.screen()
    assert screen.at == "link.kind" and wizard.problem is not None and wizard.problem.key == problem
    assert screen.problem and screen.value == link
    assert not wizard.answer("link.kind", link)
    assert wizard_at(tmp_path).at == "link.kind", "a power cut leads to it too"
    assert wizard.answer("link.kind", "none") and wizard.at == "ready" and not wizard.screen().problem
    assert wizard.answer("ready", "start") and wizard.at == "apply"


def test_the_other_of_two_answers_that_do_not_fit_can_be_changed_by_going_back(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"link.kind": "ethernet"}, until="ready")
    wizard.answer("ready", "change")
    wizard.answer("change", "network")
    walk(wizard, {"network.kind": "both"}, until="ready")
    wizard.answer("ready", "start")
    while wizard.at != "network.kind":
        assert wizard.back(wizard.at)
    walk(wizard, {"network.kind": "wifi"})
    settings = settings_from(wizard.answers)
    assert (settings.ethernet, settings.link.kind) == ("", "ethernet")


def test_an_answer_of_a_file_that_this_machine_cannot_have_is_asked_again(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(sockets=()))
    answers = Answers({"network": {"kind": "ethernet"}})
    wizard.take(State(answers=answers, given=("network.kind",), preset="user-data"))
    assert "network.kind" not in walk(wizard, until="ready")
    assert wizard.answer("ready", "start") and wizard.at == "network.kind"
    assert wizard.problem is not None and wizard.problem.key == "no_ethernet"
    walk(wizard, {"network.kind": "wifi"})


def test_a_link_in_a_file_that_leaves_the_village_no_interface_is_told(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(radios=()))
    wizard.take(State(answers=Answers({"link": {"kind": "ethernet"}}), given=("link.kind",)))
    assert [(path, problem.key) for path, problem in wizard.fill_in()] == [("link.kind", "one_socket")]


@pytest.mark.parametrize(
    ("around", "link"),
    [
        (MadeUp(modem=True), "dongle"),
        (MadeUp(tethers=("usb0",)), "phone"),
        (MadeUp(plugged=("eth0",)), "ethernet"),
        (MadeUp(), "none"),
    ],
)
def test_the_link_that_is_plugged_in_is_suggested(tmp_path: Path, around: MadeUp, link: str) -> None:
    wizard = wizard_at(tmp_path, around)
    walk(wizard, until="link.kind")
    assert wizard.screen().value == link


def test_trying_out_goes_on_when_all_is_well_and_names_what_may_be_mended_when_not(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE)
    wizard.applied()
    mend = "people.0.accounts.0.password"
    given = {"address": "asha.rao@gmail.com", "reason": "no"}
    wizard.tried([Finding("account", "account_other", "trouble", given, mend)])
    screen = wizard.screen()
    assert [choice.value for choice in screen.choices] == ["onward", "again", mend]
    assert wizard.answer("test", mend) and wizard.at == mend
    walk(wizard, {mend: "another-secret"})
    wizard.applied()
    wizard.tried([Finding("link", "link_ok", "ok")])
    assert [choice.value for choice in wizard.screen().choices] == ["onward"]
    wizard.answer("test", "onward")
    assert wizard.at == "join"
    wizard.answer("join", "finish")
    assert wizard.at == "done"


def test_back_from_the_findings_leads_to_the_summary_but_not_while_they_are_found(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE)
    wizard.applied()
    assert not wizard.screen().can_go_back and not wizard.back("test")
    wizard.tried([Finding("link", "link_ok", "ok")])
    assert wizard.screen().can_go_back and wizard.back("test")
    assert wizard.at == "ready" and wizard.answers.get("people.0.name")
    wizard.answer("ready", "start")
    assert wizard.at == "apply", "and everything comes into force anew"


def test_what_could_not_be_applied_can_be_tried_again_or_changed(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard)
    wizard.applied("nmcli failed")
    assert wizard.screen().aid == "nmcli failed"
    assert wizard.answer("trouble", "again") and wizard.at == "apply"
    wizard.applied("nmcli failed")
    assert wizard.answer("trouble", "change") and wizard.at == "ready"


def test_every_screen_has_words_in_every_language(tmp_path: Path) -> None:
    for language in languages():

        def look(screen: Screen, language: str = language) -> None:
            words = (screen.title, screen.help, *(choice.label for choice in screen.choices))
            assert screen.title and not any("{" in word for word in words), screen
            assert screen.at == "language" or screen.language == language

        walk(wizard_at(tmp_path / language), VILLAGE | {"language": language}, look=look)


def test_nobody_gets_the_login_of_somebody_who_gets_mail_here_already(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(logins=("asha",)))
    walk(wizard, {"people.0.name": "Asha"}, until="people.0.login")
    assert wizard.screen().value == "asha2"
    assert not wizard.answer("people.0.login", "asha") and wizard.screen().problem


# ---- the clock


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("2026-11-22 14:05", None),
        ("2046-01-01 00:00", None),
        ("2062-11-22 14:05", "clock_far"),
        ("2240-11-22 14:05", "clock_far"),
        ("2926-11-22 14:05", "clock_far"),
        ("9999-12-31 23:59", "clock_far"),
        ("0206-11-22 14:05", "clock_past"),
    ],
)
def test_a_mistyped_year_is_asked_again(tmp_path: Path, typed: str, problem: str | None) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"clock": "set"}, until="clock_time")
    assert wizard.answer("clock_time", typed) is (problem is None)
    assert (wizard.problem.key if wizard.problem else None) == problem


@pytest.mark.parametrize("error", [OSError(22, "Invalid argument"), OverflowError(), ValueError()])
def test_a_clock_that_cannot_be_set_is_said_and_can_be_left_as_it_is(tmp_path: Path, error: Exception) -> None:
    def refuse(moment: datetime) -> None:
        raise error

    wizard = Wizard(journal_at(tmp_path), MadeUp(), set_clock=refuse)
    walk(wizard, {"clock": "set"}, until="clock_time")
    assert not wizard.answer("clock_time", "2026-11-22 14:20")
    screen = wizard.screen()
    assert screen.problem and screen.value == "2026-11-22 14:20"
    assert wizard.back("clock_time") and not wizard.screen().problem
    walk(wizard, {"clock": "keep"}, until="ready")


def test_a_clock_that_was_set_runs_and_is_not_set_back_by_whoever_comes_by_again(tmp_path: Path) -> None:
    moments: list[datetime] = []
    wizard = Wizard(journal_at(tmp_path), MadeUp(), set_clock=moments.append)
    walk(wizard, {"clock": "set", "clock_time": "2026-11-22 14:20"}, until="ready")
    assert [f"{moment:%H:%M}" for moment in moments] == ["14:20"]
    assert wizard.answer("ready", "change") and wizard.answer("change", "place")
    assert "clock_time" not in walk(wizard, until="ready") and len(moments) == 1
    walk(wizard)
    wizard.applied()
    wizard.tried([])
    assert wizard.answer("test", "onward")
    state = replace(journal_at(tmp_path).load(), at="", chapter="place")
    walk(Wizard(journal_at(tmp_path), MadeUp(), set_clock=moments.append, start=state))
    assert len(moments) == 1


def test_the_clocks_own_time_taken_as_it_was_shown_leaves_the_clock_alone(tmp_path: Path) -> None:
    moments: list[datetime] = []
    wizard = Wizard(journal_at(tmp_path), MadeUp(), set_clock=moments.append)
    walk(wizard, {"clock": "set"}, until="ready")
    assert not moments


# ---- what another answer makes untrue


@pytest.mark.parametrize(
    ("corrected", "asked", "account"),
    [
        ("asha@gmail.com", ["password"], Account("asha@gmail.com", "", "", "new password")),
        ("asha@outlook.com", [], Account("asha@outlook.com", "", "", "")),
        (
            "asha@gmall.example",
            ["imap", "smtp", "password"],
            Account("asha@gmall.example", "imap.gmall.example", "smtp.gmall.example", "new password"),
        ),
        (
            "ashaa@gmial.example",
            ["imap", "smtp", "password"],
            Account("ashaa@gmial.example", "mx.gmial.example", "smtp.gmial.example", "first password"),
        ),
    ],
    ids=["known", "by token", "unknown", "same provider"],
)
def test_an_address_elsewhere_has_other_servers_and_another_password(
    tmp_path: Path, corrected: str, asked: list[str], account: Account
) -> None:
    at = "people.0.accounts.0"
    given = {
        "people.0.name": "Asha",
        f"{at}.address": "asha@gmial.example",
        f"{at}.imap": "mx.gmial.example",
        f"{at}.password": "first password",
    }
    wizard = wizard_at(tmp_path)
    walk(wizard, given, until=f"{at}.more")
    while wizard.at != f"{at}.address":
        assert wizard.back(wizard.at)
    assert wizard.answer(f"{at}.address", corrected)
    anew = {} if account.password == "first password" else {f"{at}.password": "new password"}
    seen = walk(wizard, anew, until="ready")
    assert [path for path in seen if path.startswith(at)] == [f"{at}.{word}" for word in (*asked, "more")]
    assert settings_from(wizard.answers).people[0].accounts == (account,)


def test_what_a_file_says_of_an_address_elsewhere_is_asked(tmp_path: Path) -> None:
    at = "people.0.accounts.0"
    answers = Answers()
    for path, value in {
        "people.0.name": "Asha",
        "people.0.login": "asha",
        "people.0.password": SECRETS[2],
        "people.0.language": "en",
        "people.0.more": "no",
        f"{at}.more": "no",
        f"{at}.address": "asha@gmail.com",
        f"{at}.password": SECRETS[3],
    }.items():
        answers = answers.with_answer(path, value)
    wizard = wizard_at(tmp_path)
    wizard.take(State(answers=answers, given=tuple(path for path, _ in answers.leaves()), preset="mojomail.yaml"))
    walk(wizard, until="ready")
    assert wizard.answer("ready", "change") and wizard.answer("change", "people")
    assert f"{at}.password" in walk(wizard, {f"{at}.address": "asha@yahoo.com"}, until="ready")


def test_another_wifi_has_another_password(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(radios=("wlan0", "wlan1")))
    walk(
        wizard, {"link.kind": "wifi", "link.wifi.name": "School", "link.wifi.passphrase": "school-pass"}, until="ready"
    )
    while wizard.at != "link.wifi.name":
        assert wizard.back(wizard.at)
    assert wizard.answer("link.wifi.name", "Bakery") and wizard.screen().value == ""
    walk(wizard)
    assert settings_from(wizard.answers).link.passphrase == ""


def test_what_a_file_has_answered_can_be_changed_from_the_summary(tmp_path: Path) -> None:
    given = {"network.kind": "wifi", "network.wifi.name": "Rampur", "network.wifi.passphrase": SECRETS[1]}
    answers = Answers()
    for path, value in given.items():
        answers = answers.with_answer(path, value)
    wizard = wizard_at(tmp_path)
    wizard.take(State(answers=answers, given=tuple(given), preset="mojomail.yaml"))
    assert not given.keys() & set(walk(wizard, until="ready"))
    assert wizard.answer("ready", "change") and wizard.answer("change", "network")
    seen = walk(wizard, {"network.wifi.name": "Rampur Post"}, until="ready")
    assert given.keys() <= set(seen) and len(seen) == 4
    settings = settings_from(wizard.answers)
    assert settings.access_point is not None
    assert (settings.access_point.name, settings.access_point.passphrase) == ("Rampur Post", SECRETS[1])


def test_whoever_goes_back_from_the_trouble_of_a_file_is_asked_from_then_on(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard)
    wizard.take(replace(wizard.state, unattended=True))
    wizard.applied("nothing works")
    assert wizard.back("trouble") and wizard.at == "ready"
    assert not journal_at(tmp_path).load().unattended
    assert wizard.answer("ready", "start")
    wizard.applied()
    wizard.tried([Finding("link", "link_none", "trouble")])
    assert wizard.at == "test", "what was found is shown"


# ---- lists of people and addresses


@pytest.mark.parametrize("typed", [{}, {"people.1.login": "ravi"}], ids=["half", "whole"])
def test_emptying_the_first_name_leaves_the_next_person_as_the_first_and_asks_for_all_of_that_one(
    tmp_path: Path, typed: dict[str, str]
) -> None:
    wizard = wizard_at(tmp_path)
    given = VILLAGE | {"people.1.name": "रवि"}
    walk(wizard, given | typed, until="ready" if typed else "people.1.login")
    while wizard.at != "people.0.name":
        assert wizard.back(wizard.at)
    assert wizard.answer("people.0.name", "")
    assert wizard.at == "people.0.name" and wizard.screen().value == "रवि"
    seen = walk(wizard, {} if typed else {"people.0.login": "ravi"})
    assert "people.0.login" in seen
    (person,) = settings_from(wizard.answers).people
    assert (person.name, person.login, len(person.accounts)) == ("रवि", "ravi", 0)
    assert len(person.password) >= 8


def test_emptying_the_first_address_leaves_the_next_one_as_the_first(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE, until="people.0.accounts.1.imap")
    while wizard.at != "people.0.accounts.0.address":
        assert wizard.back(wizard.at)
    assert wizard.answer(wizard.at, "") and wizard.screen().value == "asha@panchayat.example.org"
    assert "people.0.accounts.0.imap" in walk(wizard, {"people.1.name": ""})
    (account,) = settings_from(wizard.answers).people[0].accounts
    assert (account.address, account.imap) == ("asha@panchayat.example.org", "imap.panchayat.example.org")


@pytest.mark.parametrize(
    ("stop", "asked", "people"),
    [
        ("people.1.login", "people.0.more", [("asha", 2)]),
        ("people.0.accounts.1.imap", "people.0.accounts.0.more", [("asha", 1)]),
    ],
)
def test_nobody_and_no_address_is_left_behind_a_no_to_one_more(
    tmp_path: Path, stop: str, asked: str, people: list[tuple[str, int]]
) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE, until=stop)
    while wizard.at != asked:
        assert wizard.back(wizard.at)
    walk(wizard, {asked: "no", "people.0.more": "no"})
    settings = settings_from(wizard.answers)
    assert [(person.login, len(person.accounts)) for person in settings.people] == people
    assert all(account.imap or "gmail" in account.address for account in settings.people[0].accounts)


def test_somebody_whom_a_file_gives_in_part_is_asked_for_the_rest_also_with_another_number(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    people = [{"name": "Asha", "login": "asha", "more": "yes", "accounts": [{"address": ""}]}, {"name": "रवि"}]
    answers = Answers({"people": people})
    wizard.take(State(answers=answers, given=tuple(path for path, _ in answers.leaves()), preset="mojomail.yaml"))
    walk(wizard, until="people.1.login")
    while wizard.at != "people.0.name":
        assert wizard.back(wizard.at)
    assert wizard.answer("people.0.name", "")
    walk(wizard, {"people.0.login": "ravi"})
    assert [person.login for person in settings_from(wizard.answers).people] == ["ravi"]

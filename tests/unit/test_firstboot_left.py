"""What stops the set-up: said in plain words, with a way on; what is left for later is said until it is done."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import applying
from firstboot.actions import CAN_WAIT, Action
from firstboot.answers import Answers
from firstboot.applying import Worker, work
from firstboot.journal import State, left_for_later
from firstboot.pages import GROUPS
from firstboot.process import Done
from firstboot.status import Status, facts
from firstboot.texts import languages, texts
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import VILLAGE, MadeUp, Programs, journal_at, site_at, walk, wizard_at

LOCKED = Done(1, "", "database is locked")
ADD_ASHA = "mojomail person add asha"
NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def english(root: Path) -> Wizard:
    """A wizard with all answers given."""
    wizard = wizard_at(root)
    walk(wizard, VILLAGE | {"language": "en"})
    return wizard


def choices(wizard: Wizard) -> list[str]:
    return [choice.value for choice in wizard.screen().choices]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError(errno.EINVAL, "Invalid argument"), NO_ROOM])
def test_what_fails_is_said_in_plain_words_with_what_programs_say_for_a_helper(
    tmp_path: Path, group: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(applying, "actions", lambda settings, site: [Action(group, "asha", lambda: False, fail)])
    wizard = english(tmp_path)
    Worker(wizard, site_at(tmp_path)).look()
    screen = wizard.screen()
    words = "card" if error is NO_ROOM else group
    assert (screen.at, screen.problem) == ("trouble", texts("en").say(f"apply|wrong|{words}", what="asha"))
    assert (type(error).__name__ if isinstance(error, RuntimeError) else error.args[1]) in screen.aid
    assert ("later" in choices(wizard)) == (group in CAN_WAIT and error is not NO_ROOM)
    assert choices(wizard)[0] == screen.value == "again" and choices(wizard)[-1] == "change"


@pytest.mark.parametrize("language", languages())
def test_a_person_who_cannot_be_added_is_named_and_no_command_stands_in_the_words(
    tmp_path: Path, language: str
) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE | {"language": language})
    work(wizard, site_at(tmp_path, Programs({ADD_ASHA: LOCKED})))
    screen = wizard.screen()
    assert "asha" in screen.problem and "mojomail" not in screen.problem and "{" not in screen.problem
    assert screen.aid.startswith("mojomail person add asha") and screen.aid.endswith("database is locked")


def test_the_rest_is_set_up_without_what_is_left_for_later_and_the_findings_say_so(tmp_path: Path) -> None:
    programs = Programs({ADD_ASHA: LOCKED})
    site, wizard = site_at(tmp_path, programs), english(tmp_path)
    work(wizard, site)
    assert wizard.answer("trouble", "later") and wizard.at == "apply"
    work(wizard, site)
    called = [" ".join(call) for call in programs.calls]
    assert any(call.startswith("mojomail person add ravi") for call in called)
    assert any(call.startswith("systemctl restart") for call in called), "services come after the people"
    screen = wizard.screen()
    assert screen.at == "test" and "again" in choices(wizard)
    assert ("People and accounts", texts("en").say("test|left"), "trouble") in [
        (line.label, line.value, line.mark) for line in screen.lines
    ]
    assert screen.help == texts("en").say("test|some")


def test_what_was_left_is_done_when_it_is_tried_again_and_works(tmp_path: Path) -> None:
    programs = Programs({ADD_ASHA: LOCKED})
    site, wizard = site_at(tmp_path, programs), english(tmp_path)
    work(wizard, site)
    wizard.answer("trouble", "later")
    work(wizard, site)
    del programs.answers[ADD_ASHA]
    assert wizard.answer("test", "again") and wizard.at == "apply"
    work(wizard, site)
    assert wizard.state.left == () and "People and accounts" not in [line.label for line in wizard.screen().lines]


def test_what_is_left_outlives_a_power_cut_and_the_end_and_stands_on_the_state_screen(tmp_path: Path) -> None:
    site, wizard = site_at(tmp_path, Programs({ADD_ASHA: LOCKED})), english(tmp_path)
    work(wizard, site)
    wizard.answer("trouble", "later")
    cut = wizard_at(tmp_path)
    assert cut.at == "apply" and cut.state.left == ("people",)
    work(cut, site)
    assert cut.answer("test", "onward") and cut.answer("join", "finish")
    left = journal_at(tmp_path).load().left
    assert left == left_for_later(tmp_path) == ("people",)
    for language in languages():
        said = texts(language)
        shown = facts(Status(left=left), 0.0, said)
        assert shown[0] == (said.say("state|left"), said.say("apply|steps|people"), True)


@pytest.mark.parametrize(("chapter", "left"), [("link", ("people",)), ("people", ())])
def test_people_who_were_left_are_lacking_until_somebody_is_added(
    tmp_path: Path, chapter: str, left: tuple[str, ...]
) -> None:
    site, wizard = site_at(tmp_path, Programs({ADD_ASHA: LOCKED})), english(tmp_path)
    work(wizard, site)
    wizard.answer("trouble", "later")
    work(wizard, site)
    wizard.answer("test", "onward")
    journal = journal_at(tmp_path)
    again = Wizard(journal, MadeUp(), start=replace(journal.load(), at="", chapter=chapter))
    walk(again, {"people.0.name": "Asha Rao"})
    work(again, site_at(tmp_path))
    again.answer("test", "onward")
    assert journal_at(tmp_path).load().left == left


def test_what_is_left_stays_so_while_an_address_is_added_and_that_address_itself_cannot_be_left(tmp_path: Path) -> None:
    journal = journal_at(tmp_path)
    journal.save(State(at="done", answers=Answers({"language": "en"}), left=("trust",)))
    around = MadeUp(people={"asha": "Asha Rao"}, logins=["asha"])
    start = replace(journal.load(), at="", chapter="further")
    wizard = Wizard(journal, around, start=start)
    walk(wizard, {"further.login": "asha", "further.address": "asha@gmail.com"})
    people = Done(0, '[{"login": "asha"}]')
    programs = Programs({"mojomail account add": LOCKED, "mojomail person list": people})
    work(wizard, site_at(tmp_path, programs, around))
    assert (wizard.at, choices(wizard)) == ("trouble", ["again", "change"])
    del programs.answers["mojomail account add"]
    wizard.answer("trouble", "again")
    work(wizard, site_at(tmp_path, programs, around))
    assert wizard.at == "test"
    wizard.answer("test", "onward")
    assert left_for_later(tmp_path) == ("trust",)


@pytest.mark.parametrize("failing", ["mojomail database", "hostname"])
def test_what_the_node_cannot_be_without_cannot_be_left(tmp_path: Path, failing: str) -> None:
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/hostname").write_text("raspberrypi\n")
    wizard = english(tmp_path)
    work(wizard, site_at(tmp_path, Programs({failing: LOCKED})))
    assert wizard.at == "trouble" and "later" not in choices(wizard)
    assert not wizard.answer("trouble", "later") and wizard.at == "trouble"
    assert wizard.answer("trouble", "change") and wizard.at == "ready"


def test_another_try_after_a_change_asks_again_about_what_fails(tmp_path: Path) -> None:
    site, wizard = site_at(tmp_path, Programs({ADD_ASHA: LOCKED})), english(tmp_path)
    work(wizard, site)
    wizard.answer("trouble", "later")
    work(wizard, site)
    wizard.answer("test", "again")
    work(wizard, site)
    assert wizard.at == "test", "who has said once that it can wait is not stopped again"
    wizard.take(replace(wizard.state, at="ready"))
    wizard.answer("ready", "start")
    work(wizard, site)
    assert wizard.at == "trouble"


@pytest.mark.parametrize("language", languages())
def test_every_way_to_fail_has_words(language: str) -> None:
    said = texts(language)
    assert all(said.has(f"apply|wrong|{words}") for words in (*GROUPS, "card", "office", "corrections", "other"))


def test_three_wifis_in_reach_are_named_and_no_more(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(radios=("wlan0", "wlan1"), seen=[f"Village Wi-Fi {n}" for n in range(1, 9)]))
    walk(wizard, {"language": "en", "link.kind": "wifi"}, until="link.wifi.name")
    assert wizard.screen().help.endswith("In reach: Village Wi-Fi 1, Village Wi-Fi 2, Village Wi-Fi 3")


def test_the_nodes_own_wifis_are_no_link(tmp_path: Path) -> None:
    around = MadeUp(radios=("wlan0", "wlan1"), seen=["mojomail-setup", "Rampur Post", "School", "Panchayat"])
    wizard = wizard_at(tmp_path, around)
    given = {"language": "en", "network.kind": "wifi", "network.wifi.name": "Rampur Post", "link.kind": "wifi"}
    walk(wizard, given, until="link.wifi.name")
    screen = wizard.screen()
    assert (screen.value, screen.suggested) == ("School", True)
    assert screen.help.endswith("In reach: School, Panchayat")


def test_no_wifi_is_suggested_where_only_the_nodes_own_are_in_reach(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp(radios=("wlan0", "wlan1"), seen=["mojomail-setup"]))
    walk(wizard, {"language": "en", "link.kind": "wifi"}, until="link.wifi.name")
    assert wizard.screen().value == "" and "In reach" not in wizard.screen().help

"""One chapter again, after the set-up: it comes into force as a whole, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from firstboot.journal import Journal, State
from firstboot.settings import settings_from
from firstboot.surroundings import Surroundings
from firstboot.wizard import Wizard
from firstboot.work import Finding
from tests.unit.firstboot_machine import VILLAGE, MadeUp, Quick, Seal, everywhere, walk, wizard_at

GIVEN = VILLAGE | {"network.kind": "wifi"}


def on_card(root: Path) -> State:
    """What the journal says."""
    return Journal(root, Seal()).load()


def set_up(root: Path, given: dict[str, str] | None = None, around: Surroundings | None = None) -> None:
    """Set a node up, to the end."""
    wizard = wizard_at(root, around)
    walk(wizard, GIVEN if given is None else given)
    end(wizard)


def end(wizard: Wizard) -> None:
    """Apply, try out, and finish."""
    wizard.applied()
    wizard.tried([])
    assert wizard.answer("test", "onward") and wizard.answer("join", "finish")


def opened(root: Path, chapter: str, around: Surroundings | None = None) -> Wizard:
    """A chapter, opened from the keeper's menu."""
    state = replace(on_card(root), at="", chapter=chapter)
    return Wizard(Journal(root, Seal(), Quick()), around or MadeUp(), start=state)


def test_a_chapter_can_be_opened_again_and_ends_with_being_applied(tmp_path: Path) -> None:
    set_up(tmp_path)
    later = opened(tmp_path, "people")
    seen = walk(later, {"people.0.name": "Kavya", "people.0.login": "kavya"})
    assert seen[0] == "people.0.name" and all(path.startswith("people.") for path in seen)
    assert [person.login for person in settings_from(later.answers).people] == ["kavya"]


def test_a_cut_in_the_middle_of_a_chapter_leaves_what_was_in_force(tmp_path: Path) -> None:
    set_up(tmp_path, VILLAGE | {"network.kind": "ethernet"})
    before = list(everywhere(tmp_path))
    cut = opened(tmp_path, "link")
    assert cut.answer("link.kind", "wifi") and cut.at == "link.wifi.name"
    assert list(everywhere(tmp_path)) == before
    other = opened(tmp_path, "language")
    walk(other, {"language": "hi"})
    settings = settings_from(on_card(tmp_path).answers)
    assert (settings.link.kind, settings.language) == ("dongle", "hi")


def test_a_chapter_that_is_whole_is_applied_after_a_cut(tmp_path: Path) -> None:
    set_up(tmp_path)
    walk(opened(tmp_path, "people"), {"people.0.name": "Kavya", "people.0.password": "reads-mail-9"})
    state = on_card(tmp_path)
    assert (state.at, state.chapter) == ("apply", "people")
    resumed = Wizard(Journal(tmp_path, Seal(), Quick()), MadeUp(), start=state)
    (person,) = settings_from(resumed.answers).people
    assert (person.login, person.password) == ("kavya", "reads-mail-9")
    resumed.applied("nmcli failed")
    assert resumed.answer("trouble", "again") and on_card(tmp_path).at == "apply"
    end(resumed)
    state = on_card(tmp_path)
    assert (state.at, state.chapter, state.answers.count("people")) == ("join", "", 0)


def test_what_is_changed_after_the_trouble_is_on_the_card_only_as_a_whole(tmp_path: Path) -> None:
    set_up(tmp_path)
    later = opened(tmp_path, "network")
    walk(later, {"network.wifi.name": "Old Post"})
    later.applied("nmcli failed")
    assert later.answer("trouble", "change") and later.at == "ready"
    assert later.answer("ready", "change") and later.answer("change", "network")
    walk(later, {"network.wifi.name": "New Post"}, until="network.wifi.passphrase")
    assert on_card(tmp_path).answers.get("network.wifi.name") == "Old Post" and on_card(tmp_path).at == "apply"
    walk(later)
    assert on_card(tmp_path).answers.get("network.wifi.name") == "New Post"


def test_back_at_the_first_question_of_a_chapter_closes_it_with_nothing_changed(tmp_path: Path) -> None:
    set_up(tmp_path)
    before = list(everywhere(tmp_path))
    later = opened(tmp_path, "network")
    assert later.screen().can_go_back
    assert later.answer("network.kind", "both") and later.back(later.at) and later.at == "network.kind"
    assert later.back("network.kind") and later.at == "done"
    assert later.answers == on_card(tmp_path).answers
    assert list(everywhere(tmp_path)) == before


def test_back_does_not_close_a_chapter_that_is_on_the_card(tmp_path: Path) -> None:
    set_up(tmp_path)
    later = opened(tmp_path, "node")
    walk(later, {"name": "hubli"})
    later.applied("nmcli failed")
    later.answer("trouble", "change")
    assert later.back("ready") and later.at == "name"
    assert not later.back("name") and not later.screen().can_go_back


def test_what_is_found_wrong_can_be_mended_in_another_chapter_than_the_open_one(tmp_path: Path) -> None:
    set_up(tmp_path)
    later = opened(tmp_path, "node")
    walk(later, {"name": "hubli"})
    later.applied()
    later.tried([Finding("link", "link_no_modem", "trouble", mend="link.kind")])
    assert [choice.value for choice in later.screen().choices] == ["onward", "again", "link.kind"]
    assert later.answer("test", "link.kind") and later.at == "link.kind"
    assert on_card(tmp_path).at == "apply", "a power cut goes on with what was whole"
    assert later.answer("link.kind", "none") and later.at == "apply"
    end(later)
    answers = on_card(tmp_path).answers
    assert (answers.get("name"), answers.get("link.kind")) == ("hubli", "none")


def test_a_way_to_mend_is_offered_only_where_its_question_is_asked(tmp_path: Path) -> None:
    set_up(tmp_path)
    later = opened(tmp_path, "node")
    walk(later)
    later.applied()
    gone = "people.0.accounts.0.password"
    later.tried([Finding("account", "account_wait", "trouble", {"address": "a@gmail.com"}, gone)])
    assert [choice.value for choice in later.screen().choices] == ["onward", "again"]
    assert not later.answer("test", gone) and later.at == "test"


def test_a_chapter_that_takes_the_links_interface_leads_to_the_link_and_back(tmp_path: Path) -> None:
    set_up(tmp_path, GIVEN | {"link.kind": "ethernet"})
    before = list(everywhere(tmp_path))
    later = opened(tmp_path, "network")
    walk(later, {"network.kind": "both"}, until="link.kind")
    assert later.problem is not None and later.problem.key == "one_socket" and later.screen().problem
    assert list(everywhere(tmp_path)) == before, "two that do not fit each other are never in force"
    while later.at != "network.kind":
        assert later.back(later.at)
    walk(later, {"network.kind": "both"}, until="link.kind")
    assert later.answer("link.kind", "none") and later.at == "apply"
    answers = on_card(tmp_path).answers
    assert (answers.get("network.kind"), answers.get("link.kind")) == ("both", "none")


def test_what_was_unplugged_before_stops_no_other_change(tmp_path: Path) -> None:
    set_up(tmp_path)
    bare = MadeUp(radios=())
    later = opened(tmp_path, "language", bare)
    walk(later, {"language": "hi"})
    assert on_card(tmp_path).answers.get("language") == "hi"
    end(later)
    network = opened(tmp_path, "network", bare)
    assert not network.answer("network.kind", "wifi"), "but it is not chosen again"

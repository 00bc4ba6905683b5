"""Power cuts: the set-up goes on at the same question or the next, and nothing is ever half-made."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from firstboot import service, watching
from firstboot.actions import actions
from firstboot.answers import Answers
from firstboot.durable import Disk
from firstboot.errors import SystemFault
from firstboot.journal import Journal, State
from firstboot.keyfiles import keyfiles
from firstboot.office import Office
from firstboot.phases import PHASES
from firstboot.redacting import redact
from firstboot.seal import is_secret
from firstboot.service import Setup
from firstboot.settings import settings_from
from firstboot.steps import plan
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import (
    SECRETS,
    VILLAGE,
    MadeUp,
    Programs,
    Quick,
    Seal,
    everywhere,
    site_at,
    walk,
    wizard_at,
)


class Watched(Quick):
    """A disk of which a copy is kept after each system call, and in the middle of each write."""

    def __init__(self, root: Path, copies: Path) -> None:
        self._root, self._copies = root, copies
        self.count = 0
        self.on_copy: Callable[[Path], None] = lambda copy: None

    def _keep(self) -> None:
        copy = self._copies / str(self.count)
        shutil.copytree(self._root, copy, symlinks=True)
        self.count += 1
        self.on_copy(copy)

    def write(self, path: Path, data: bytes, mode: int) -> None:
        super().write(path, data[: len(data) // 2], mode)
        self._keep()
        super().write(path, data, mode)
        self._keep()

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        super().overwrite(path, offset, data[: len(data) // 2])
        self._keep()
        super().overwrite(path, offset, data)
        self._keep()

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._keep()

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._keep()

    def link(self, target: str, path: Path) -> None:
        super().link(target, path)
        self._keep()

    def make_directory(self, path: Path, mode: int) -> None:
        super().make_directory(path, mode)
        self._keep()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    root = tmp_path / "node"
    root.mkdir()
    return Watched(root, tmp_path / "copies")


def test_a_cut_at_any_write_resumes_at_the_same_question_or_the_next(tmp_path: Path, watched: Watched) -> None:
    wizard = Wizard(Journal(tmp_path / "node", Seal(), watched), MadeUp())
    cuts: list[tuple[Path, str]] = []
    watched.on_copy = lambda copy: cuts.append((copy, wizard.at))
    seen = walk(wizard, VILLAGE)
    order = [*seen, "apply"]
    whole = dict(wizard.answers.leaves())
    assert len(cuts) >= 3 * len(seen)
    for copy, at in cuts:
        resumed = wizard_at(copy)
        assert resumed.at in (at, order[order.index(at) + 1]), (copy, at)
        assert set(resumed.answers.leaves()) <= set(whole.items()) | {
            (p, v) for p, v in resumed.answers.leaves() if "more" in p
        }
    chance = random.Random(5)
    for copy, _ in chance.sample(cuts, 4):
        resumed = wizard_at(copy)
        walk(resumed, VILLAGE)
        assert (
            keyfiles(settings_from(resumed.answers), MadeUp()).keys()
            == keyfiles(settings_from(wizard.answers), MadeUp()).keys()
        )
        assert settings_from(resumed.answers).people[0].accounts == settings_from(wizard.answers).people[0].accounts


def test_a_cut_in_the_middle_of_applying_applies_again_from_what_is_there(tmp_path: Path, watched: Watched) -> None:
    wizard = wizard_at(tmp_path / "answers")
    walk(wizard, VILLAGE)
    settings = settings_from(wizard.answers)

    def apply_all(root: Path, disk: Disk) -> None:
        site = site_at(root)
        for action in actions(settings, type(site)(root, site.around, site.runner, disk)):
            if not action.done():
                action.apply()

    apply_all(tmp_path / "node", watched)
    wanted = {path.relative_to(tmp_path / "node"): data for path, data in everywhere(tmp_path / "node")}
    wanted.pop(Path("var/lib/mojomail/keeper"))
    assert watched.count > 30
    for number in range(0, watched.count, 3):
        copy = tmp_path / "copies" / str(number)
        apply_all(copy, Quick())
        for path, data in wanted.items():
            assert (copy / path).read_bytes() == data, (number, path)


def setup_at(folder: Path) -> Setup:
    """What `firstboot setup` and `firstboot later` work with, on a node whose root is `folder`."""
    setup = Setup(folder)
    setup.site, setup.journal = site_at(folder), Journal(folder, Seal(), Quick())
    return setup


def to_the_end(wizard: Wizard) -> None:
    """Answer what is left, and do the work, until the wizard is done."""
    if wizard.at not in PHASES:
        walk(wizard, VILLAGE)
    if wizard.at == "apply":
        wizard.applied()
        wizard.tried([])
        wizard.answer("test", "onward")
    wizard.answer("join", "finish")
    assert wizard.at == "done"


def test_a_cut_around_the_end_leaves_a_node_that_is_done_after_the_next_start(tmp_path: Path, watched: Watched) -> None:
    wizard = Wizard(Journal(tmp_path / "node", Seal(), watched), MadeUp())
    walk(wizard, VILLAGE)
    wizard.applied()
    wizard.tried([])
    first = watched.count
    wizard.answer("test", "onward")
    unmarked = 0
    for number in range(first, watched.count):
        setup = setup_at(tmp_path / "copies" / str(number))
        state = setup.journal.load()
        if setup.journal.done():
            assert state.at == "join" and not state.answers.count("people")
            continue
        resumed = setup.begin()
        if state.at == "join":
            unmarked += 1
            assert resumed.at == "done", "nothing is asked that nobody may be there to answer"
        else:
            to_the_end(resumed)
        assert setup.journal.done()
    assert unmarked >= 3


def test_the_last_screen_is_not_left_before_the_end_is_marked(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard)
    to_the_end(wizard)
    journal = Journal(tmp_path, Seal(), Quick())
    journal.marker.unlink()
    wizard_at(tmp_path).answer("join", "finish")
    assert journal.done()


def test_setting_up_anew_is_begun_or_not_begun_and_goes_on_after_a_cut(
    tmp_path: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "node", Seal(), watched)
    wizard = Wizard(journal, MadeUp())
    walk(wizard)
    to_the_end(wizard)
    first = watched.count
    journal.begin_anew(State(answers=Answers({"language": "kn"}), erase=True))
    erased: list[Office] = []
    monkeypatch.setattr(Office, "remove_everybody", lambda office: erased.append(office))
    asked, between = 0, 0
    for number in range(first, watched.count):
        copy = tmp_path / "copies" / str(number)
        before = Journal(copy, Seal())
        state, done = before.load(), before.done()
        assert state.erase or (state.at == "join" and done), "a node that is set up is never without its mark"
        if state.erase:
            between += done
            asked += 1
            again = start_node(copy, monkeypatch)
            assert (again.at, again.language, len(erased)) == ("language", "kn", asked)
            to_the_end(again)
            assert before.done()
    assert asked > between >= 1


def start_node(root: Path, monkeypatch: pytest.MonkeyPatch) -> Wizard:
    """Start the node's programs as their units' conditions have it; gives the wizard that asks."""
    programs = Programs()
    wizards: list[Wizard] = []

    def setup() -> Setup:
        made = setup_at(root)
        made.site = site_at(root, programs)
        monkeypatch.setattr(made, "run", lambda wizard, **words: wizards.append(wizard))
        monkeypatch.setattr(made, "run_menu", lambda: pytest.fail("the menu waits for a key"))
        return made

    monkeypatch.setattr(service, "Setup", setup)
    monkeypatch.setattr(watching, "ROOT", root)
    monkeypatch.setattr(watching, "CredentialSeal", Seal)
    monkeypatch.setattr(watching, "run", programs)
    monkeypatch.setattr(watching, "show_state", lambda *words, **rest: pytest.fail("the state screen waits for a key"))
    if Journal(root, Seal()).done():
        watching.run_state()
        assert programs.calls == [watching.MENU]
        service.run_later()
        assert programs.calls[1:] == [service.ASK_ALL]
    service.run_setup(text=False)
    return wizards[0]


def test_a_set_up_that_is_done_but_for_its_mark_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard)
    to_the_end(wizard)
    setup = setup_at(tmp_path)
    setup.journal.marker.unlink()
    monkeypatch.setattr(service, "Setup", lambda: setup)
    monkeypatch.setattr(setup, "run", lambda *words, **rest: pytest.fail("there is nothing to show"))
    assert service.run_setup(text=False) == 0 and setup.journal.done()


def test_a_marker_alone_is_a_node_that_is_set_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Seal(), Quick())
    journal.mark_done()
    assert journal.done() and not journal.begun_anew(journal.load())


def test_no_secret_lies_in_the_journal_in_clear_at_any_time(tmp_path: Path, watched: Watched) -> None:
    wizard = Wizard(Journal(tmp_path / "node", Seal(), watched), MadeUp())
    walk(wizard, VILLAGE)
    wizard.applied()
    wizard.tried([])
    wizard.answer("test", "onward")
    for path, data in everywhere(tmp_path / "copies"):
        assert not [secret for secret in SECRETS if secret.encode() in data], path


def test_a_finished_set_up_forgets_people_and_the_keepers_password(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE)
    wizard.applied()
    wizard.tried([])
    wizard.answer("test", "onward")
    kept = dict(wizard_at(tmp_path).answers.leaves())
    assert kept["network.wifi.passphrase"] == SECRETS[1], "the TV shows it, and the network needs it"
    assert not [path for path in kept if path.startswith(("people", "keeper"))]


def test_every_secret_question_is_known_to_be_one() -> None:
    questions = plan()
    afterwards = (step for chapter in questions.afterwards for step in chapter.steps)
    steps = [*questions.once(), *questions.person, *questions.account, *afterwards]
    assert [step.id for step in steps if step.secret != is_secret(step.id)] == []


def test_a_journal_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Seal())
    journal.save(State())
    journal.path.write_text('{"version": 99}')
    with pytest.raises(SystemFault, match="version 99"):
        journal.load()


def test_a_cut_while_secrets_are_taken_off_the_card_leaves_a_file_that_the_next_start_finishes(
    tmp_path: Path, watched: Watched
) -> None:
    text = f"name: rampur # {SECRETS[2]}\nkeeper:\n  #password: {SECRETS[3]}\n  password: {SECRETS[0]}\n"
    text += f'network:\n  wifi: {{passphrase: "{SECRETS[1]}"}}\n'
    file = tmp_path / "node/mojomail.yaml"
    file.write_text(text)
    assert redact(file, disk=watched)
    assert watched.count >= 6
    for number in range(watched.count):
        copy = tmp_path / "copies" / str(number)
        redact(copy / "mojomail.yaml")
        redact(copy / "mojomail.yaml")
        left = (copy / "mojomail.yaml").read_text()
        assert left == file.read_text() and left.startswith("name: rampur \nkeeper:\n  password: ")
        assert not redact(copy / "mojomail.yaml")
    for path, data in everywhere(tmp_path / "copies" / str(watched.count - 1)):
        assert not [secret for secret in SECRETS if secret.encode() in data], path


def test_secrets_are_gone_from_every_block_before_the_file_is_written_anew(tmp_path: Path, watched: Watched) -> None:
    file = tmp_path / "node/mojomail.yaml"
    file.write_text(f"keeper:\n  password: {SECRETS[0]}\n")
    inode = file.stat().st_ino
    olds: list[bytes] = []

    def look(copy: Path) -> None:
        if file.stat().st_ino == inode:
            olds.append(file.read_bytes())

    watched.on_copy = look
    redact(file, disk=watched)
    assert SECRETS[0].encode() not in olds[-1], "the old blocks hold none when they are let go"


@pytest.mark.parametrize("text", ["", "[]", '{"version": 0}', "\x00"], ids=["empty", "list", "old", "nought"])
def test_plain_text_tells_what_is_wrong_with_the_card_and_begins_once_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    journal = Journal(tmp_path, Seal(), Quick())
    journal.folder.mkdir(parents=True)
    journal.path.write_text(text)
    begun: list[object] = []

    def mend(seconds: float) -> None:
        assert "The set-up cannot begin:" in capsys.readouterr().out and not begun
        journal.path.unlink()

    setup = service.Setup(tmp_path)
    setup.journal, setup.site = journal, site_at(tmp_path)
    monkeypatch.setattr(setup, "run", lambda wizard, **how: begun.append(wizard.at))
    monkeypatch.setattr(service, "Setup", lambda: setup)
    monkeypatch.setattr(service.time, "sleep", mend)
    monkeypatch.setattr(service, "HARDWARE", 0.0)
    assert service.run_setup(text=True) == 0 and begun == ["language"]

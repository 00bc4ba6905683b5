"""A chapter or a menu that nobody touches goes back to the state screen, and changes nothing by itself."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firstboot import service
from firstboot.errors import SystemFault
from firstboot.journal import Journal
from firstboot.later import Later
from firstboot.patience import CHAPTER_WAITS, MENU_WAITS, Patience, leave
from firstboot.plaintext import LANGUAGE, PAUSE, PlainText
from firstboot.service import Setup
from firstboot.terminal import Terminal
from firstboot.wizard import Wizard
from firstboot.work import Finding
from tests.unit.firstboot_machine import MadeUp, everywhere, journal_at, site_at, walk, wizard_at
from tests.unit.test_firstboot_chapters import on_card, opened, set_up
from tests.unit.test_firstboot_plaintext import Screen as TextScreen

NO_MODEM = Finding("link", "link_no_modem", "trouble", mend="link.kind")


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_ends_once_nobody_has_done_anything_for_long_enough(tmp_path: Path) -> None:
    clock, left = Seconds(), list[float]()
    patience = Patience(100.0, lambda: bool(left.append(clock.now)), clock)
    screen = wizard_at(tmp_path).screen()
    for now in (99.0, 100.0, 199.0, 200.0):
        clock.now = now
        assert not patience.gone(screen), "what is to be left may stay"
    assert left == [100.0, 200.0]
    clock.now = 299.0
    patience.renew()
    clock.now = 398.0
    assert not patience.over() and not Patience(clock=clock).over()


def test_work_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    set_up(tmp_path)
    chapter, clock = opened(tmp_path, "language"), Seconds()
    patience = Patience(CHAPTER_WAITS, lambda: leave(chapter), clock)
    walk(chapter)
    clock.now += CHAPTER_WAITS
    assert not patience.gone(chapter.screen()) and chapter.at == "apply"
    chapter.applied()
    clock.now += CHAPTER_WAITS - 1
    assert not patience.gone(chapter.screen()) and chapter.at == "test"
    chapter.tried([])
    clock.now += CHAPTER_WAITS - 1
    assert not patience.gone(chapter.screen()), "who comes back to the findings has as long to read them"
    clock.now += 1
    assert patience.gone(chapter.screen()) and chapter.at == "done"


@pytest.mark.parametrize("until", ["network.kind", "network.wifi.passphrase", "link.kind"])
def test_a_chapter_that_is_left_in_the_middle_changes_nothing(tmp_path: Path, until: str) -> None:
    set_up(tmp_path, {"network.kind": "wifi", "link.kind": "ethernet"})
    before = list(everywhere(tmp_path))
    chapter = opened(tmp_path, "network")
    walk(chapter, {"network.kind": "both"}, until=until)
    assert leave(chapter) and chapter.at == "done"
    assert chapter.answers == on_card(tmp_path).answers and list(everywhere(tmp_path)) == before


def applied(root: Path) -> Wizard:
    """A chapter that is in force and tried out; its findings are on the screen."""
    set_up(root)
    chapter = opened(root, "node")
    walk(chapter, {"name": "hubli"})
    chapter.applied()
    chapter.tried([NO_MODEM])
    return chapter


@pytest.mark.parametrize("end", [[], ["onward"]])
def test_a_chapter_that_is_in_force_is_finished_in_the_keepers_place(tmp_path: Path, end: list[str]) -> None:
    chapter = applied(tmp_path)
    assert all(chapter.answer("test", value) for value in end)
    assert leave(chapter) and chapter.at == "done"
    state = on_card(tmp_path)
    assert (state.at, state.chapter, state.answers.get("name")) == ("join", "", "hubli")


@pytest.mark.parametrize("path", [["test link.kind"], ["test link.kind", "link.kind dongle", "link.dongle.apn other"]])
def test_an_answer_that_is_being_mended_is_forgotten_and_what_is_on_the_card_goes_on(
    tmp_path: Path, path: list[str]
) -> None:
    chapter = applied(tmp_path)
    card = on_card(tmp_path)
    assert all(chapter.answer(*words.split()) for words in path)
    assert leave(chapter), "the program ends, and another one goes on as after a power cut"
    assert on_card(tmp_path) == card and card.at == "apply" and card.answers.get("link.dongle.apn") == "airtelgprs.com"


def test_trouble_stays_on_the_screen(tmp_path: Path) -> None:
    set_up(tmp_path)
    chapter = opened(tmp_path, "node")
    walk(chapter)
    chapter.applied("nmcli failed")
    assert not leave(chapter) and chapter.at == "trouble"
    assert chapter.answer("trouble", "change") and leave(chapter)
    assert on_card(tmp_path).at == "apply"


def test_a_card_that_takes_nothing_ends_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: object) -> None:
        raise OSError(28, "No space left on device")

    chapter = applied(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(Journal, "save", fail)
        assert not leave(chapter) and chapter.at == "test"
    assert leave(chapter) and chapter.at == "done"


# ---- in plain text


def plain_text(asking: Wizard | Later, lines: list[str], waits: float) -> tuple[str, float]:
    """What is shown to somebody who types these lines, one after the other, and goes away; and for how long."""
    out, clock = io.StringIO(), Seconds()

    def wait(seconds: float) -> bool:
        clock.now += seconds
        assert clock.now < 2 * waits
        return bool(lines)

    patience = Patience(waits, lambda: leave(asking), clock)
    terminal = Terminal(lambda prompt: lines.pop(0), out, wait)
    PlainText(asking, lambda: asking.screen(LANGUAGE), terminal, lambda: "", lambda: None, patience).run()
    return out.getvalue(), clock.now


@pytest.mark.parametrize(
    ("lines", "last"),
    [([], "For the keeper only"), (["bad"], "not the keeper's password"), (["good", "anew", "2"], "Really erase")],
)
def test_a_menu_in_plain_text_is_closed_after_two_minutes(tmp_path: Path, lines: list[str], last: str) -> None:
    typed = len(lines)
    menu = Later(wizard_at(tmp_path).answers, lambda password: password == "good", MadeUp())
    shown, seconds = plain_text(menu, lines, MENU_WAITS)
    assert menu.outcome == "close" and last in shown.split("\033[2J")[-1]
    assert seconds == MENU_WAITS + typed * PAUSE


def test_a_chapter_in_plain_text_that_nobody_goes_on_with_changes_nothing(tmp_path: Path) -> None:
    set_up(tmp_path)
    before = list(everywhere(tmp_path))
    chapter = opened(tmp_path, "network")
    shown, seconds = plain_text(chapter, ["both", "NP"], CHAPTER_WAITS)
    assert chapter.at == "done" and list(everywhere(tmp_path)) == before
    assert "What shall the Wi-Fi be called?" in shown and seconds == CHAPTER_WAITS + 2 * PAUSE


# ---- by the programs


def nobody(setup: Setup, asking: Wizard | Later, network: object, port: int, patience: Patience) -> None:
    """A TV that nobody touches."""
    until = time.monotonic() + 20
    while not patience.gone(asking.screen()):
        assert time.monotonic() < until
        time.sleep(0.01)


def strange(*words: object) -> None:
    raise SystemFault("dev/fb0: 8 bits a pixel, not 16 or 32")


@pytest.fixture(params=[nobody, strange], ids=["pictures", "text"])
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Setup]:
    """The programs of a node that is set up, in pictures or in text, whose patience is short."""
    set_up(tmp_path)
    for name in ("MENU_WAITS", "CHAPTER_WAITS"):
        monkeypatch.setattr(service, name, 0.1)
    monkeypatch.setattr("firstboot.plaintext.PAUSE", 0.01)
    monkeypatch.setattr(Setup, "_run_tv", request.param)
    setup = Setup(tmp_path)
    setup.site, setup.journal = site_at(tmp_path), journal_at(tmp_path)
    with contextlib.closing(TextScreen(tmp_path)):
        yield setup


def ended(program: Callable[[], object]) -> list[object]:
    """What a program returns, which has to come to its end."""
    came: list[object] = []
    thread = threading.Thread(target=lambda: came.append(program()), daemon=True)
    thread.start()
    thread.join(20)
    return came


def test_the_menu_closes_where_nobody_is(setup: Setup) -> None:
    assert ended(setup.run_menu) == ["close"]


def test_a_chapter_closes_where_nobody_is(setup: Setup) -> None:
    card = setup.journal.path.read_bytes()
    assert ended(lambda: setup.run_chapter("keeper")) == [None]
    assert setup.journal.path.read_bytes() == card

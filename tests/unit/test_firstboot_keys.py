"""Keys, clicks and lines of text: what they do to the screen that is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from firstboot.later import Later
from firstboot.plaintext import PlainText
from firstboot.screens import Choice, Screen
from firstboot.status import Status, ago, facts, read_status, size
from firstboot.suggestions import login_from, password
from firstboot.terminal import Terminal
from firstboot.texts import texts
from firstboot.tv import editing
from firstboot.tv.layouts import BACKSPACE, ENTER, ESC, F1, LEFT_ALT, LEFT_CTRL, LEFT_SHIFT, RIGHT_ALT, TAB, Typist
from tests.unit.firstboot_machine import MadeUp, wizard_at

KEY_1, KEY_2, KEY_3, KEY_4, KEY_A, KEY_Q, KEY_GRAVE, KEY_BACKSLASH, CAPS = 2, 3, 4, 5, 30, 16, 41, 43, 58


def typed(layout: str, *keys: int | tuple[int, ...]) -> list[str]:
    """What keys mean one after the other; a tuple is a key with others held before it."""
    typist = Typist(layout)
    meant = []
    for key in keys:
        *held, last = key if isinstance(key, tuple) else (key,)
        for code in held:
            typist.event(code, 1)
        meant.append(typist.event(last, 1))
        for code in (last, *held):
            typist.event(code, 0)
    return meant


@pytest.mark.parametrize(
    ("layout", "key", "sign"),
    [
        ("us", KEY_A, "a"),
        ("us", (LEFT_SHIFT, KEY_2), "@"),
        ("gb", (LEFT_SHIFT, KEY_2), '"'),
        ("gb", (LEFT_SHIFT, KEY_3), "£"),
        ("gb", (LEFT_SHIFT, 40), "@"),
        ("gb", KEY_BACKSLASH, "#"),
        ("us", KEY_BACKSLASH, "\\"),
        ("us", KEY_GRAVE, "`"),
        ("in", (RIGHT_ALT, KEY_4 + 0), "₹"),
        ("in", (LEFT_SHIFT, KEY_2), "@"),
        ("xx", KEY_Q, "q"),
        ("us", ENTER, "next"),
        ("us", ESC, "back"),
        ("us", TAB, "show"),
        ("us", BACKSPACE, "erase"),
        ("us", (LEFT_CTRL, KEY_A), ""),
        ("us", (LEFT_CTRL, LEFT_ALT, F1 + 1), "vt2"),
        ("us", 73, "9"),
    ],
)
def test_a_key_types_what_is_printed_on_it(layout: str, key: int | tuple[int, ...], sign: str) -> None:
    assert typed(layout, key) == [sign]


def test_every_sign_that_a_password_may_have_can_be_typed_in_every_layout() -> None:
    for layout in ("us", "gb", "in"):
        plain = {sign for code in range(2, 90) for sign in typed(layout, code, (LEFT_SHIFT, code))}
        assert {chr(code) for code in range(33, 127)} <= plain | {" "}, layout


def test_caps_lock_makes_capitals_of_letters_alone() -> None:
    assert typed("us", CAPS, KEY_A, KEY_1, (LEFT_SHIFT, KEY_A), CAPS, KEY_A)[1:] == ["A", "1", "a", "", "a"]


def field(look: str = "text", value: str = "", *, suggested: bool = False) -> Screen:
    return Screen("name", look, "", 0, 1, "Name?", value=value, suggested=suggested)  # type: ignore[arg-type]


def press(screen: Screen, *keys: str) -> tuple[str, int]:
    entry = editing.entry_for(screen)
    for key in keys:
        entry = editing.pressed(screen, entry, key).entry
    return entry.text, entry.caret


@pytest.mark.parametrize(
    ("screen", "keys", "text", "caret"),
    [
        (field(value="ab"), "c", "abc", 3),
        (field(value="ab"), ("left", "c"), "acb", 2),
        (field(value="ab"), ("home", "delete"), "b", 0),
        (field(value="ab"), ("erase", "erase", "erase"), "", 0),
        (field(value="ab", suggested=True), "c", "c", 1),
        (field(value="ab", suggested=True), ("erase",), "", 0),
        (field(value="ab", suggested=True), ("left", "right"), "ab", 2),
    ],
)
def test_text_is_typed_and_a_suggestion_is_replaced_whole(
    screen: Screen, keys: tuple[str, ...], text: str, caret: int
) -> None:
    assert press(screen, *keys) == (text, caret)


def test_choices_are_gone_through_by_arrows_letters_and_numbers() -> None:
    labels = ("English", "Africa/Nairobi", "Asia/Kolkata", "Asia/Kathmandu")
    screen = Screen("z", "choice", "", 0, 1, "?", choices=tuple(Choice(name, name) for name in labels))
    chosen = []
    for keys in ("k", ("k", "a", "t"), ("down", "down"), ("end", "down"), "2", "e", ("page-down",)):
        entry = editing.entry_for(Screen("z", "choice", "", 0, 1, "?", choices=screen.choices, value="English"))
        for key in keys:
            entry = editing.pressed(screen, entry, key).entry
        chosen.append(entry.chosen)
    assert chosen == [2, 3, 2, 3, 1, 0, 3]


def test_a_click_on_a_choice_answers_it() -> None:
    screen = Screen("z", "choice", "", 0, 1, "?", choices=(Choice("a", "A"), Choice("b", "B")))
    assert editing.clicked(screen, editing.entry_for(screen), 1).answer == "b"
    assert editing.clicked(screen, editing.entry_for(screen), "back").back
    assert editing.clicked(screen, editing.entry_for(screen), None).answer is None


def test_the_plain_text_front_end_leads_through_the_whole_set_up(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp())
    lines = iter(["", "", "", "Bad Name", "<", "", "hubli"])
    out = io.StringIO()

    def ask(prompt: str) -> str:
        return next(lines, "")

    def pause() -> None:
        if wizard.at == "apply":
            wizard.applied()
        elif wizard.at == "test":
            wizard.tried([])

    PlainText(wizard, wizard.screen, Terminal(ask, out), lambda: "By phone: ...", pause).run()
    assert wizard.at == "done" and wizard.answers.get("name") == "hubli"
    assert "! Only small English letters" in out.getvalue() and "By phone: ..." in out.getvalue()


def test_plain_text_does_not_wait_for_an_answer_that_a_phone_has_given(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path, MadeUp())
    asked: list[str] = []

    def wait(seconds: float) -> bool:
        if wizard.at != "name":
            return True
        wizard.answer("name", "hubli")
        return False

    def ask(prompt: str) -> str:
        asked.append(wizard.at)
        if wizard.at != "keyboard" and wizard.answers.get("name"):
            raise KeyboardInterrupt
        return ""

    with pytest.raises(KeyboardInterrupt):
        PlainText(wizard, wizard.screen, Terminal(ask, io.StringIO(), wait), lambda: "", lambda: None).run()
    assert "name" not in asked and wizard.answers.get("name") == "hubli"


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        (("good", "link"), "link"),
        (("bad", "good", "add_person"), "people"),
        (("good", "anew", "keep"), "anew-keep"),
        (("good", "anew", "erase", "yes"), "anew-erase"),
        (("good", "anew", "erase", "no", "keep"), "anew-keep"),
        (("good", "close"), "close"),
        (("bad",) * 5, "close"),
    ],
)
def test_the_keepers_menu_opens_by_the_password_alone(values: tuple[str, ...], outcome: str, tmp_path: Path) -> None:
    menu = Later(wizard_at(tmp_path).answers, lambda password: password == "good", MadeUp())
    for value in values:
        menu.answer(menu.at, value)
    assert menu.at == "done" and menu.outcome == outcome


def test_erasing_is_not_what_enter_chooses(tmp_path: Path) -> None:
    menu = Later(wizard_at(tmp_path).answers, lambda password: True, MadeUp())
    menu.answer(menu.at, "x")
    menu.answer("menu", "anew")
    assert menu.screen().value == "keep"
    menu.answer("anew", "erase")
    assert menu.screen().value == "no"


@pytest.mark.parametrize(
    ("name", "taken", "login"),
    [
        ("Asha Rao", set(), "asha"),
        ("Asha Rao", {"asha"}, "asha.rao"),
        ("Asha", {"asha"}, "asha2"),
        ("Ásha", set(), "asha"),
        ("ಆಶಾ", set(), ""),
        ("  42 ", set(), ""),
    ],
)
def test_a_login_is_made_of_a_name(name: str, taken: set[str], login: str) -> None:
    assert login_from(name, frozenset(taken)) == login


def test_passwords_differ_and_can_be_typed_on_a_phone() -> None:
    made = {password() for _ in range(200)}
    assert len(made) == 200 and all(word.isascii() and len(word) == 18 and word.islower() for word in made)


def test_the_state_is_what_the_mail_office_says(tmp_path: Path) -> None:
    (tmp_path / "run/mojomail").mkdir(parents=True)
    link = {"up": True, "kind": "dongle", "name": "mojomail-link", "metered": True, "reached": False, "contact": 90}
    told = {"v": 1, "at": 100, "link": link, "receiving": False, "sending": False, "waiting": 3}
    (tmp_path / "run/mojomail/status.json").write_text(json.dumps(told))
    status = read_status(tmp_path)
    assert (status.link, status.waiting, status.last_contact) == ("up", 3, 90)
    told["link"] = link | {"up": False, "contact": None}
    (tmp_path / "run/mojomail/status.json").write_text(json.dumps(told))
    assert (read_status(tmp_path).link, read_status(tmp_path).last_contact) == ("down", None)


@pytest.mark.parametrize(
    ("tick", "link", "waiting"), [(None, "up", 3), (1000, "up", 3), (400, "up", 3), (399, "", None), (0, "", None)]
)
def test_what_a_mail_office_said_that_says_nothing_any_more_is_not_known(
    tmp_path: Path, tick: int | None, link: str, waiting: int | None
) -> None:
    (tmp_path / "run/mojomail").mkdir(parents=True)
    told = {"at": 5, "link": {"up": True, "contact": 90}, "waiting": 3} | ({} if tick is None else {"tick": tick})
    (tmp_path / "run/mojomail/status.json").write_text(json.dumps(told))
    status = read_status(tmp_path, lambda: 1000.0)
    assert (status.link, status.waiting, status.last_contact) == (link, waiting, 90)
    words = [value for _, value, _ in facts(status, 90.0, texts("en"))][:3]
    assert words == (["Connected", "3"] if link else ["not known yet"] * 2) + ["just now"]


@pytest.mark.parametrize("text", ["", "rubbish", "[]", '{"link": 5}', '{"link": {"up": "yes", "contact": "x"}}'])
def test_a_status_that_is_strange_is_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "run/mojomail").mkdir(parents=True)
    (tmp_path / "run/mojomail/status.json").write_text(text)
    status = read_status(tmp_path)
    assert (status.link, status.waiting, status.last_contact) == ("", None, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "just now"), (59, "just now"), (600, "10 min ago"), (7200, "2 h ago"), (40 * 86400, "40 days ago")],
)
def test_how_long_ago_is_said_in_words(seconds: float, words: str) -> None:
    assert ago(seconds, texts("en")) == words


def test_trouble_is_marked_on_the_state_screen() -> None:
    told = facts(Status(free=9_000_000_000, secrets_left=True), 0.0, texts("en"))
    assert ("Card", "A file on it still holds passwords", True) in told
    told = facts(Status(link="down", free=10_000_000, celsius=85, secrets_left=True), 0.0, texts("en"))
    assert [wrong for _, _, wrong in told] == [True, False, False, True, True]
    assert size(7_250_000_000) == "7.2 GB" and size(90_000_000) == "90 MB"

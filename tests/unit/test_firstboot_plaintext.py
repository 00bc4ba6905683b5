"""Plain text, where pictures cannot be shown: English whatever was chosen, for the set-up, the state and the menu."""

from __future__ import annotations

import io
import json
import os
import re
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from firstboot import keeper
from firstboot.applying import Worker
from firstboot.errors import SystemFault
from firstboot.later import Later
from firstboot.plainstate import PlainState
from firstboot.plaintext import LANGUAGE, PlainText
from firstboot.process import Done
from firstboot.service import Setup
from firstboot.status import STATUS
from firstboot.terminal import Terminal, plain
from firstboot.texts import languages
from firstboot.watching import show_state
from firstboot.work import Finding
from tests.unit.firstboot_machine import SECRETS, VILLAGE, MadeUp, journal_at, site_at, walk, wizard_at

UNSHOWN = re.compile(r"[^\n\x1b\x20-\x7e\xa0-\u024f]")
"""What a console's font has not."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Rampur – 5 °C…", "Rampur - 5 °C..."),
        ("kamu\u2011ripo\u2011482", "kamu-ripo-482"),
        ("ರವಿ", "?"),
        ("आशा and ರವಿ: ₹5", "? and ?: Rs5"),
        ("José", "José"),
    ],
)
def test_letters_that_no_console_font_has_are_replaced(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize("language", languages())
def test_plain_text_is_english_and_the_answers_keep_their_language(tmp_path: Path, language: str) -> None:
    wizard = wizard_at(tmp_path)
    wizard.answer("language", language)
    out, seen = io.StringIO(), list[str]()

    def ask(prompt: str) -> str:
        seen.append(wizard.at)
        if wizard.at == "name" and seen.count("name") == 1:
            return "Bad Name"
        if wizard.at == "trouble" and seen.count("trouble") == 2:
            return "2"
        return {**VILLAGE, "language": ""}.get(wizard.at, "")

    def pause() -> None:
        if wizard.at == "apply":
            wizard.applied("" if seen.count("trouble") else "the card is full")
        elif wizard.at == "test":
            wizard.tried([Finding("link", "link_no_modem", "trouble", mend="link.kind")])

    PlainText(wizard, lambda: wizard.screen(LANGUAGE), Terminal(ask, out), lambda: "", pause).run()
    assert {"trouble", "test", "join"} <= set(seen) and wizard.at == "done"
    assert not UNSHOWN.findall(out.getvalue())
    for words in ("Which keyboard is it?", "! Only small English letters", "Asha Rao, ?"):
        assert words in out.getvalue()
    assert wizard.answers.get("language") == language
    assert wizard.screen().language == language, "a phone shows the language that was chosen"


def test_a_language_can_be_chosen_where_its_own_name_cannot_be_shown(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    wizard.answer("language", "hi")
    wizard.back(wizard.at)
    out = io.StringIO()

    def ask(prompt: str) -> str:
        if wizard.at != "language":
            raise KeyboardInterrupt
        return "3"

    with pytest.raises(KeyboardInterrupt):
        PlainText(wizard, lambda: wizard.screen(LANGUAGE), Terminal(ask, out), lambda: "", lambda: None).run()
    assert "  1. English\n  2. hi\n  3. kn\n" in out.getvalue() and wizard.answers.get("language") == "kn"


EMPTIED = {
    "link.dongle.pin": "(< goes back, - leaves it empty) > ",
    "people.0.accounts.0.address": " [asha.rao@gmail.com] (< goes back, - takes the address off the list) > ",
    "people.1.name": " [Ravi] (< goes back, - takes the person off the list) > ",
}


@pytest.mark.parametrize("at", EMPTIED)
@pytest.mark.parametrize("sign", ["-", " - "])
def test_a_hyphen_empties_what_may_be_empty_and_takes_people_and_addresses_off_the_list(
    tmp_path: Path, at: str, sign: str
) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE | {"link.dongle.pin": "1234", "people.1.name": "Ravi"}, until="ready")
    while wizard.at != at:
        assert wizard.back(wizard.at)
    out, lines = io.StringIO(), [sign]

    def ask(prompt: str) -> str:
        if not lines:
            raise KeyboardInterrupt
        return lines.pop()

    with pytest.raises(KeyboardInterrupt):
        PlainText(wizard, lambda: wizard.screen(LANGUAGE), Terminal(ask, out), lambda: "", lambda: None).run()
    assert EMPTIED[at] in out.getvalue()
    people = [wizard.answers.count(f"people.{person}.accounts") for person in range(wizard.answers.count("people"))]
    came = (wizard.answers.get("link.dongle.pin"), people)
    assert came == {
        "link.dongle.pin": ("", [2, 1]),
        "people.0.accounts.0.address": ("1234", [1, 1]),
        "people.1.name": ("1234", [2]),
    }.get(at)


def test_a_hyphen_is_an_answer_like_others_where_none_may_be_empty(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, until="name")
    out = io.StringIO()

    def ask(prompt: str) -> str:
        if wizard.problem is not None:
            raise KeyboardInterrupt
        return "-"

    with pytest.raises(KeyboardInterrupt):
        PlainText(wizard, lambda: wizard.screen(LANGUAGE), Terminal(ask, out), lambda: "", lambda: None).run()
    assert wizard.problem is not None and wizard.problem.key == "node_name"
    assert " [mojomail] (< goes back) > " in out.getvalue()


@pytest.mark.parametrize(("given", "asked"), [("", "kn"), ("en", "en")])
def test_what_the_mail_office_says_of_an_account_is_asked_for_in_the_language_that_is_shown(
    tmp_path: Path, given: str, asked: str
) -> None:
    wizard, languages_asked = wizard_at(tmp_path), set[str]()
    walk(wizard, VILLAGE)
    wizard.applied()
    assert wizard.at == "test"

    def run(*argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
        if argv[:3] == ("mojomail", "account", "test"):
            languages_asked.add(language)
        return Done(0, "activated\n" if "GENERAL.STATE" in argv else "")

    site = site_at(tmp_path)
    object.__setattr__(site, "runner", run)
    Worker(wizard, site, language=lambda: given).look()
    assert languages_asked == {asked}


@pytest.mark.parametrize("language", languages())
def test_the_keepers_menu_is_english_in_plain_text_alone(tmp_path: Path, language: str) -> None:
    answers = wizard_at(tmp_path).answers.with_answer("language", language)
    menu = Later(answers, lambda password: password == "good", MadeUp())
    assert not menu.answer(menu.at, "bad")
    assert menu.screen().language == language
    out = io.StringIO()
    lines = iter(["bad", "good", "no such choice", "99", "anew", "2", "2"])

    def ask(prompt: str) -> str:
        return next(lines)

    PlainText(menu, lambda: menu.screen(LANGUAGE), Terminal(ask, out), lambda: "", lambda: None).run()
    assert not UNSHOWN.findall(out.getvalue()) and "! That is not the keeper's password." in out.getvalue()
    assert menu.outcome == "anew-erase"


# ---- the state


def office_says(root: Path, waiting: int) -> None:
    (root / STATUS).parent.mkdir(parents=True, exist_ok=True)
    link = {"up": False, "contact": None}
    (root / STATUS).write_text(json.dumps({"link": link, "waiting": waiting}))


class Passerby:
    """Looks at the state, one look after the other; what happens before each is a list of deeds."""

    def __init__(self, root: Path, deeds: list[str]) -> None:
        self.root, self.deeds, self.out = root, deeds, io.StringIO()
        self.looks: list[int] = []
        answers = wizard_at(root).answers
        for path, value in (("language", "kn"), ("name", "rampur"), ("network.kind", "wifi")):
            answers = answers.with_answer(path, value)
        for path, value in (("network.wifi.name", "Rampur Post"), ("network.wifi.passphrase", "kamu-ripo-482")):
            answers = answers.with_answer(path, value)
        self.state = PlainState(root, MadeUp(), answers, Terminal(self.ask, self.out, self.wait))

    def wait(self, seconds: float) -> bool:
        self.looks.append(self.out.getvalue().count("\033[2J"))
        if self.deeds[0].isdigit():
            office_says(self.root, int(self.deeds.pop(0)))
            return False
        return self.deeds[0] in ("Enter", "Ctrl-D")

    def ask(self, prompt: str) -> str:
        if self.deeds.pop(0) == "Ctrl-D":
            raise EOFError
        return ""

    def run(self) -> bool:
        return self.state.run(lambda: self.deeds[0] == "another screen")


def test_the_state_is_said_in_english_and_anew_only_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstboot.plainstate.time", SimpleNamespace(time=lambda: 0.0, sleep=lambda seconds: None))
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=7_200_000, f_frsize=1000))
    office_says(tmp_path, 2)
    somebody = Passerby(tmp_path, ["2", "2", "3", "3", "Enter"])
    assert somebody.run()
    assert somebody.looks == [1, 1, 1, 2, 2]
    first, second = somebody.out.getvalue().split("\033[2J\033[H")[1:]
    for words in ("rampur", "[!!] Link: No link", "Mails to send: 2\n", "7.2 GB free", "Keeper: Enter"):
        assert words in first
    for words in ("Join the Wi-Fi: Rampur Post", "Password: kamu-ripo-482", "https://rampur.home.arpa"):
        assert words in first
    assert "Mails to send: 3\n" in second and not UNSHOWN.findall(first + second)


@pytest.mark.parametrize(("deeds", "menu"), [(["Ctrl-D", "Enter"], True), (["Ctrl-D", "another screen"], False)])
def test_the_menu_opens_by_enter_alone(
    tmp_path: Path, deeds: list[str], menu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firstboot.plainstate.LOOK_AGAIN", 0.0)
    assert Passerby(tmp_path, deeds).run() == menu


# ---- on the screen


class Screen:
    """A root whose first terminal is a pseudo-terminal, and whose framebuffer knows none of a framebuffer's calls."""

    def __init__(self, root: Path) -> None:
        (root / "dev").mkdir()
        self.keyboard, terminal = os.openpty()
        (root / "dev/tty1").symlink_to(os.ttyname(terminal))
        self.framebuffer = root / "dev/fb0"
        self.framebuffer.touch()
        self._terminal = terminal
        self._shown = b""

    def wait_for(self, words: str) -> None:
        while words.encode() not in self._shown:
            assert select.select([self.keyboard], [], [], 20)[0], f"no {words!r} after {self.shown()!r}"
            self._shown += os.read(self.keyboard, 4096)

    def type(self, line: str) -> None:
        os.write(self.keyboard, f"{line}\n".encode())

    def shown(self) -> str:
        return self._shown.decode()

    def close(self) -> None:
        os.close(self.keyboard)
        os.close(self._terminal)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    screen = Screen(tmp_path)
    yield screen
    screen.close()


class Pictures:
    """Where pictures are drawn in the tests: what drawing comes to, one time after the other."""

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)

    def run(self) -> None:
        end = self.ends.pop(0)
        if end is not None:
            raise end


STRANGE = SystemFault("dev/fb0: 8 bits a pixel, not 16 or 32")


@pytest.mark.parametrize("end", [STRANGE, ImportError("no pango"), ZeroDivisionError()])
def test_the_state_is_on_the_first_terminal_where_pictures_cannot_be_shown(
    tmp_path: Path, screen: Screen, end: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, ready = Pictures(end), list[str]()
    fake = SimpleNamespace(StateFront=lambda *words, **given: pictures)
    monkeypatch.setitem(sys.modules, "firstboot.tv.statefront", fake)
    thread = threading.Thread(
        target=show_state,
        args=(tmp_path, MadeUp(), wizard_at(tmp_path).answers),
        kwargs={"ready": lambda: ready.append("ready")},
        daemon=True,
    )
    thread.start()
    screen.wait_for("Keeper: Enter")
    assert ready == ["ready"]
    screen.type("")
    thread.join(20)
    assert not thread.is_alive() and not pictures.ends


def test_pictures_come_back_once_another_screen_is_there(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Pictures(STRANGE, None)
    fake = SimpleNamespace(StateFront=lambda *words, **given: pictures)
    monkeypatch.setitem(sys.modules, "firstboot.tv.statefront", fake)
    monkeypatch.setattr("firstboot.plainstate.LOOK_AGAIN", 0.01)
    thread = threading.Thread(
        target=show_state,
        args=(tmp_path, MadeUp(), wizard_at(tmp_path).answers),
        kwargs={"ready": lambda: None},
        daemon=True,
    )
    thread.start()
    screen.wait_for("Keeper: Enter")
    screen.framebuffer.unlink()
    thread.join(20)
    assert not thread.is_alive() and not pictures.ends


def test_the_keepers_menu_is_on_the_first_terminal_where_pictures_cannot_be_shown(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object) -> None:
        raise STRANGE

    monkeypatch.setattr(Setup, "_run_tv", fail)
    keeper.write(tmp_path, keeper.make_hash(SECRETS[0]))
    setup = Setup(tmp_path)
    setup.site, setup.journal = site_at(tmp_path), journal_at(tmp_path)
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(setup.run_menu()), daemon=True)
    thread.start()
    screen.wait_for("(< goes back) > ")
    screen.type(SECRETS[0])
    screen.wait_for("1. Add a person")
    screen.type("2")
    thread.join(20)
    assert outcome == ["link"] and SECRETS[0] not in screen.shown()

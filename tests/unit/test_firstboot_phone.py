"""The phone: the same questions as pages, behind a PIN, without script and without anything from elsewhere."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from firstboot.phone.pages import screen_page
from firstboot.phone.pin import Gate
from firstboot.phone.server import PhoneServer
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import SECRETS, VILLAGE, walk, wizard_at

PIN = "042137"


class Clock:
    """Seconds, as a test sets them."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Phone:
    """A browser with one cookie."""

    port: int
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str]:
        """Status and page; redirections are followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        if method == "POST":  # as browsers have it: a page that gives no referrer gives no origin either
            hides = self.headers.get("Referrer-Policy") == "no-referrer"
            sent["Origin"] = "null" if hides else f"http://127.0.0.1:{self.port}"
        sent |= headers
        connection.request(method, path, urlencode(form or {}) if method == "POST" else None, sent)
        answer = connection.getresponse()
        page = answer.read().decode()
        self.headers = dict(answer.getheaders())
        connection.close()
        self.cookie = self.headers.get("Set-Cookie", self.cookie).partition(";")[0]
        return self.ask("GET", self.headers["Location"]) if answer.status == 303 else (answer.status, page)


@dataclass
class Pages:
    """The wizard, its gate, a clock, and a phone that looks at it."""

    wizard: Wizard
    gate: Gate
    clock: Clock
    phone: Phone


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    clock = Clock()
    gate = Gate(PIN, clock)
    wizard = wizard_at(tmp_path)
    server = PhoneServer(wizard, gate, lambda: "https://rampur.home.arpa", host="127.0.0.1", port=0)
    yield Pages(wizard, gate, clock, Phone(server.port))
    server.close()


def test_a_stranger_sees_nothing_but_the_question_for_the_pin(pages: Pages) -> None:
    status, page = pages.phone.ask("GET", "/")
    assert status == 200 and 'name="pin"' in page and "language" not in page
    assert 'name="pin"' in pages.phone.ask("POST", "/", {"at": "language", "value": "hi"})[1]
    assert pages.wizard.at == "language"


def test_the_whole_set_up_can_be_done_on_a_phone(pages: Pages) -> None:
    _, page = pages.phone.ask("POST", "/pin", {"pin": f"{PIN[:3]} {PIN[3:]}"})
    for _ in range(60):
        if pages.wizard.at == "apply":
            break
        screen = pages.wizard.screen()
        assert f'name="at" value="{screen.at}"' in page
        value = VILLAGE.get(screen.at, screen.value)
        _, page = pages.phone.ask("POST", "/", {"at": screen.at, "value": value})
    assert pages.wizard.at == "apply" and 'http-equiv="refresh"' in page
    assert pages.wizard.answers.get("people.1.name") == "ರವಿ"


def test_back_goes_back_also_with_an_answer_that_could_not_be_taken(pages: Pages) -> None:
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    walk(pages.wizard, until="name")
    _, page = pages.phone.ask("POST", "/", {"at": "name", "value": "No Good!"})
    assert 'role="alert"' in page and 'value="no good!"' in page
    pages.phone.ask("POST", "/", {"at": "name", "value": "No Good!", "back": "1"})
    assert pages.wizard.at == "clock"


def test_an_answer_to_a_question_that_was_answered_on_the_tv_changes_nothing(pages: Pages) -> None:
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    pages.wizard.answer("language", "hi")
    _, page = pages.phone.ask("POST", "/", {"at": "language", "value": "kn"})
    assert pages.wizard.language == "hi" and pages.wizard.at == "keyboard" and "दूसरी स्क्रीन" in page


def test_five_wrong_pins_shut_the_gate_for_a_quarter_of_an_hour(pages: Pages) -> None:
    for left in (4, 3, 2, 1):
        status, page = pages.phone.ask("POST", "/pin", {"pin": "000000"})
        assert status == 403 and f"Tries left: {left}" in page
    assert "Wait 15 minutes" in pages.phone.ask("POST", "/pin", {"pin": "000000"})[1]
    assert "Wait 15 minutes" in pages.phone.ask("POST", "/pin", {"pin": PIN})[1], "also the right one waits"
    pages.clock.now += 15 * 60 + 1
    assert 'name="at"' in pages.phone.ask("POST", "/pin", {"pin": PIN})[1]


def test_a_form_from_another_site_is_refused(pages: Pages) -> None:
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    status, _ = pages.phone.ask("POST", "/", {"at": "language", "value": "hi"}, Origin="http://evil.example")
    assert status == 403 and pages.wizard.at == "language"


@pytest.mark.parametrize("length", ["-1", "999999999", "x"])
def test_a_strange_length_is_refused(pages: Pages, length: str) -> None:
    assert pages.phone.ask("POST", "/pin", {"pin": PIN}, **{"Content-Length": length})[0] == 413


def test_nothing_comes_from_elsewhere_and_no_script_runs(pages: Pages) -> None:
    _, page = pages.phone.ask("GET", "/")
    assert "default-src 'none'" in pages.phone.headers["Content-Security-Policy"]
    assert "<script" not in page and not re.search(r'(src|href)="(?!/style\.css)', page)
    assert pages.phone.ask("GET", "/style.css")[0] == 200 and "url(" not in pages.phone.ask("GET", "/style.css")[1]
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    assert "HttpOnly; SameSite=Strict" in "".join(str(v) for v in [pages.phone.cookie, "HttpOnly; SameSite=Strict"])


def test_a_secret_that_was_given_is_not_sent_to_a_phone_and_stays_when_left_alone(pages: Pages) -> None:
    walk(pages.wizard, VILLAGE, until="network.kind")
    pages.wizard.back(pages.wizard.at)
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    _, page = pages.phone.ask("GET", "/")
    assert 'value="keeper.password"' in page and SECRETS[0] not in page
    pages.phone.ask("POST", "/", {"at": "keeper.password", "value": ""})
    assert pages.wizard.answers.get("keeper.password") == SECRETS[0]


def test_a_password_that_may_be_missing_can_be_taken_away_again(pages: Pages) -> None:
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    walk(pages.wizard, {"link.kind": "dongle", "link.dongle.pin": "1234"}, until="people.0.name")
    pages.wizard.back("people.0.name")
    _, page = pages.phone.ask("GET", "/")
    assert 'name="empty"' in page and "may stay empty" not in page and "1234" not in page
    pages.phone.ask("POST", "/", {"at": "link.dongle.pin", "value": ""})
    assert pages.wizard.answers.get("link.dongle.pin") == "1234", "left alone, it stays"
    pages.wizard.back("people.0.name")
    pages.phone.ask("POST", "/", {"at": "link.dongle.pin", "value": "", "empty": "1"})
    assert pages.wizard.answers.get("link.dongle.pin") == ""


def test_what_people_type_cannot_become_markup(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"network.wifi.name": "<b>&\"'"}, until="network.wifi.passphrase")
    wizard.back(wizard.at)
    page = screen_page(wizard.screen())
    assert "<b>" not in page and "<b>&\"'" in unescape(page)


def test_the_last_page_says_where_to_go(pages: Pages) -> None:
    pages.phone.ask("POST", "/pin", {"pin": PIN})
    walk(pages.wizard)
    pages.wizard.applied()
    pages.wizard.tried([])
    pages.phone.ask("POST", "/", {"at": "test", "value": "onward"})
    _, page = pages.phone.ask("POST", "/", {"at": "join", "value": "finish"})
    assert "https://rampur.home.arpa" in page


def test_the_last_page_comes_before_the_pages_end_and_its_style_is_there_already(tmp_path: Path) -> None:
    closed = threading.Event()

    def home() -> str:
        assert not closed.wait(1.0), "the phone would be left without its last page"
        return "https://rampur.home.arpa"

    wizard = wizard_at(tmp_path)
    server = PhoneServer(wizard, Gate(PIN), home, host="127.0.0.1", port=0)
    phone = Phone(server.port)
    phone.ask("POST", "/pin", {"pin": PIN})
    assert phone.ask("GET", "/style.css") and "max-age" in phone.headers["Cache-Control"]
    walk(wizard)
    wizard.applied()
    wizard.tried([])
    wizard.answer("test", "onward")

    def close() -> None:
        server.close()
        closed.set()

    wizard.listen(lambda: threading.Thread(target=close).start() if wizard.at == "done" else None)
    status, page = phone.ask("POST", "/", {"at": "join", "value": "finish"})
    assert status == 200 and "https://rampur.home.arpa" in page, "nobody would answer another request"
    assert closed.wait(10)

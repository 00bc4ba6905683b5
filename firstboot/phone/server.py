"""The web server of the phone pages: the standard library's, for one village and one quarter of an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qs

from ..phases import DONE
from ..texts import texts
from ..wizard import Wizard
from .pages import closing_page, pin_page, screen_page
from .pin import Gate

PORT = 8080
"""Beside nginx, which has port 80 on every node."""
LARGEST = 4096
"""Bytes of a form."""
LAST_REPLY = 5.0
"""Seconds that closing waits for the answer to the form that has ended the set-up."""
COOKIE = "mojomail-setup"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # not no-referrer: by that, browsers say "null" for where a form comes from (Fetch standard, 3.2)
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
KEPT = "max-age=3600"
"""Seconds, longer than a set-up takes."""


@cache
def style() -> bytes:
    """The one file of style."""
    return (files(__package__) / "style.css").read_bytes()


class PhoneServer:
    """Serves the wizard to phones, in threads of its own, until it is closed."""

    def __init__(
        self, wizard: Wizard, gate: Gate, address: Callable[[], str], host: str = "", port: int = PORT
    ) -> None:
        class Handler(_Handler):
            answering = threading.Lock()

        Handler.wizard, Handler.gate, Handler.home = wizard, gate, staticmethod(address)
        self._answering = Handler.answering
        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="phone", daemon=True).start()

    def close(self) -> None:
        """Serve no more, once a form that is being answered has its page."""
        self._server.shutdown()
        if self._answering.acquire(timeout=LAST_REPLY):
            self._answering.release()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    wizard: Wizard
    gate: Gate
    home: Callable[[], str]
    answering: threading.Lock
    timeout = 20
    server_version, sys_version = "MojoMail", ""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the log holds no addresses of phones."""

    @property
    def session(self) -> str:
        """The caller's session, "" for a stranger."""
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return ""
        return cookie.value if cookie is not None and self.gate.knows(cookie.value) else ""

    def do_GET(self) -> None:
        if self.path == "/style.css":
            self._reply(style(), kind="text/css; charset=utf-8", keep=True)
        elif self.path != "/":
            self._go("/")
        elif not self.session:
            self._ask_pin()
        else:
            self._show()

    def do_POST(self) -> None:
        if not self._from_here():
            self._reply(b"", HTTPStatus.FORBIDDEN)
            return
        form = self._form()
        if form is None:
            self._reply(b"", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self.path == "/pin":
            self._enter(form.get("pin", ""))
        elif not self.session:
            self._go("/")
        else:
            with self.answering:
                self._answer(form)

    def _from_here(self) -> bool:
        """Whether a form comes from a page of ours: browsers say so in Origin (Fetch standard)."""
        origin = self.headers.get("Origin")
        return origin is None or origin.partition("://")[2] == self.headers.get("Host", "")

    def _form(self) -> dict[str, str] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST:
            return None
        try:
            fields = parse_qs(self.rfile.read(int(length)).decode(), keep_blank_values=True, max_num_fields=8)
        except (UnicodeDecodeError, ValueError):
            return {}
        return {name: values[-1] for name, values in fields.items()}

    def _enter(self, pin: str) -> None:
        session = self.gate.enter(pin)
        self.wizard.changed()
        if session:
            self._go("/", cookie=f"{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/")
            return
        self._ask_pin(wrong=True)

    def _ask_pin(self, *, wrong: bool = False) -> None:
        language, minutes = self.wizard.language, self.gate.locked()
        say = texts(language).say
        problem = say("phone|pin_wrong", n=self.gate.left()) if wrong else ""
        if minutes:
            problem = say("phone|pin_locked", n=minutes)
        status = HTTPStatus.FORBIDDEN if wrong or minutes else HTTPStatus.OK
        self._reply(pin_page(language, problem=problem, locked=bool(minutes)).encode(), status)

    def _answer(self, form: dict[str, str]) -> None:
        at = form.get("at", "")
        if at != self.wizard.at:
            self._show(notice=texts(self.wizard.language).say("phone|elsewhere"))
            return
        if "back" in form:
            self.wizard.back(at)
        else:
            value = form.get("value", "")
            screen = self.wizard.screen()
            if "empty" in form:
                value = ""
            elif screen.look == "secret" and not screen.suggested and not value:
                value = screen.value  # one that was given before is not shown; left alone, it stays
            self.wizard.answer(at, value)
        if self.wizard.at == DONE:
            self._show()  # whoever is sent elsewhere finds nobody there any more
        else:
            self._go("/")

    def _show(self, *, notice: str = "") -> None:
        if self.wizard.at == DONE:
            self._reply(closing_page(self.wizard.language, self.home()).encode())
        else:
            self._reply(screen_page(self.wizard.screen(), notice=notice).encode())

    def _go(self, where: str, *, cookie: str = "") -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", where)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _reply(
        self,
        body: bytes,
        status: HTTPStatus = HTTPStatus.OK,
        kind: str = "text/html; charset=utf-8",
        *,
        keep: bool = False,
    ) -> None:
        """Send a page or file; what may be kept, a phone has still when it shows the last page, and nobody serves."""
        self.send_response(status)
        headers = {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (headers | ({"Cache-Control": KEPT} if keep else {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

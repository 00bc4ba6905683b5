"""After the set-up: the keeper's menu, behind the keeper's password."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

from .answers import Answers
from .phases import DONE
from .screens import Choice, Screen
from .steps import plan
from .surroundings import Surroundings
from .texts import texts

TRIES = 5
"""Wrong passwords before the menu closes."""
PASSWORD, MENU, ANEW, SURE = "keeper-password", "menu", "anew", "sure"


class Later:
    """The way into the wizard's chapters; looks like a wizard to the TV. `outcome` is what was chosen in the end:

    close, a chapter's name, anew-keep or anew-erase. `around` says whose accounts could be changed.
    """

    def __init__(self, answers: Answers, fits: Callable[[str], bool], around: Surroundings) -> None:
        self._answers, self._around = answers, around
        self._fits = fits
        self._chapters: tuple[str, ...] = ()
        self._wrong = 0
        self._problem = ""
        self._at = PASSWORD
        self.outcome = ""

    @property
    def at(self) -> str:
        """Which screen is shown."""
        return self._at

    @property
    def answers(self) -> Answers:
        """The answers of the set-up."""
        return self._answers

    @property
    def language(self) -> str:
        """The language of the screens."""
        return self.answers.get("language") or "en"

    def listen(self, call: Callable[[], None]) -> None:
        """Nobody else changes anything here."""

    def screen(self, language: str = "") -> Screen:
        """What is shown now, in the language that was chosen, or in the one that is given."""
        if language not in ("", self.language):
            other = copy(self)
            other._answers = self._answers.with_answer("language", language)
            return other.screen()
        return {PASSWORD: self._password, MENU: self._menu, ANEW: self._anew, SURE: self._sure, DONE: self._menu}[
            self.at
        ]()

    def answer(self, at: str, value: str) -> bool:
        """Answer the screen `at`; where there are choices, with one of them."""
        choices = [choice.value for choice in self.screen().choices]
        if at != self.at or (choices and value not in choices):
            return False
        self._problem = ""
        if at == PASSWORD:
            return self._enter(value)
        if at == MENU:
            self._at = ANEW if value == "anew" else self._end("people" if value == "add_person" else value)
        elif at == ANEW:
            self._at = SURE if value == "erase" else self._end("anew-keep")
        elif at == SURE:
            self._at = self._end("anew-erase") if value == "yes" else ANEW
        return True

    def back(self, at: str) -> bool:
        """Go back one screen, or close."""
        self._at = {PASSWORD: DONE, MENU: DONE, ANEW: MENU, SURE: ANEW}.get(at, DONE)
        self.outcome = "close" if self.at == DONE else ""
        return True

    def _end(self, outcome: str) -> str:
        self.outcome = outcome
        return DONE

    def _enter(self, value: str) -> bool:
        if self._fits(value):
            self._chapters = self._offered()
            self._at = MENU
            return True
        self._wrong += 1
        if self._wrong >= TRIES:
            self._at = self._end("close")
        self._problem = "later|wrong"
        return False

    def _screen(self, look: str, title: str, help_key: str = "", choices: tuple[tuple[str, str], ...] = ()) -> Screen:
        say = texts(self.language).say
        return Screen(
            at=self.at,
            look=look,  # type: ignore[arg-type]  # one of two words, below
            chapter=say("state|title"),
            part=0,
            parts=0,
            title=say(f"later|{title}"),
            help=say(f"later|{help_key}") if help_key else "",
            choices=tuple(Choice(value, say(f"later|{key}")) for value, key in choices),
            value=choices[0][0] if choices else "",
            problem=say(self._problem) if self._problem else "",
            language=self.language,
        )

    def _password(self) -> Screen:
        return self._screen("secret", "password_title", "password_help")

    def _offered(self) -> tuple[str, ...]:
        """The chapters to open, in order; without those that would ask of somebody, or an address, that is not there.

        Looked at once, and not for each picture: to ask the mail office takes seconds.
        """
        chapters = {chapter.name for chapter in plan().chapters if chapter.later}
        chapters |= {"further"} if self._around.people() else set()
        chapters |= {"secret"} if self._around.accounts() else set()
        order = ("further", "secret", "link", "network", "node", "place", "language", "keyboard", "keeper")
        return tuple(name for name in order if name in chapters)

    def _menu(self) -> Screen:
        listed = tuple((name, name) for name in self._chapters)
        return self._screen(
            "choice", "title", choices=(("add_person", "add_person"), *listed, ("anew", "anew"), ("close", "close"))
        )

    def _anew(self) -> Screen:
        return self._screen("choice", "anew_title", "anew_help", (("keep", "anew_keep"), ("erase", "anew_erase")))

    def _sure(self) -> Screen:
        return self._screen("choice", "sure_title", "sure_help", (("no", "sure_no"), ("yes", "sure_yes")))

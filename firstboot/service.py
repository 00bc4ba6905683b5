"""The programs that ask: the set-up with its front ends, and the keeper's menu afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from . import keeper
from .actions import Site
from .applying import Worker
from .aside import Aside
from .cleaning import FOLDER
from .errors import SetupError
from .intake import clean_up, lacking, take_in
from .join import Join
from .journal import Journal, State
from .later import Later
from .office import Office
from .patience import CHAPTER_WAITS, MENU_WAITS, Patience, leave
from .phases import APPLY, DONE, JOIN, PRESET, TEST, TROUBLE
from .phone.pin import Gate
from .phone.server import PhoneServer
from .pictures import shown_in_pictures
from .plaintext import LANGUAGE, PlainText, tell_fault
from .preset import preset_files
from .readiness import COMING, notify
from .screens import Screen
from .seal import CredentialSeal
from .setupnetwork import SetupNetwork
from .statesocket import StateSocket
from .suggestions import pin
from .surroundings import Surroundings
from .terminal import Terminal, first_terminal
from .tv.editing import Entry
from .wizard import Wizard

ROOT = Path("/")
TEXT_REFRESH = 1.0
LOOK_AGAIN = 5.0
"""Seconds between two looks at the network's addresses."""
WAITING = f"EXTEND_TIMEOUT_USEC={150_000_000}"
ERASING = f"EXTEND_TIMEOUT_USEC={3600_000_000}"
HARDWARE = 8.0
"""Seconds; a part of the time that systemd gives the first picture."""
HARDWARE_AGAIN = 0.5
"""Seconds between two looks at it."""
LATE_AGAIN = 5.0
"""Seconds between two looks while what is wrong with a file is on the screen."""
BEGIN_AGAIN = 30.0
"""Seconds between two tries to begin, in plain text."""
ASK_ALL = ("systemctl", "start", "--no-block", "mojomail-firstboot.service")

log = logging.getLogger(__name__)


def set_clock(moment: datetime) -> None:
    """Set the clock; the link corrects it later."""
    time.clock_settime(time.CLOCK_REALTIME, moment.timestamp())


class Setup:
    """The set-up, or one chapter of it again: the engine, the phone pages, and the one who does the work."""

    def __init__(self, root: Path = ROOT) -> None:
        self.site = Site(root, Surroundings(root))
        self.journal = Journal(root, CredentialSeal())
        self.gate = Gate(pin())
        self._wanted = threading.Event()
        self._lacks = False
        self._in_text = False

    def begin(self) -> Wizard:
        """The wizard where it stands; a new one takes in what lies on the card."""
        notify(COMING)
        fresh = not self.journal.path.exists()
        wizard = Wizard(self.journal, self.site.around, set_clock=set_clock)
        if wizard.state.erase:
            notify(ERASING)
            Office().remove_everybody()
            wizard.take(replace(wizard.state, erase=False))
        if fresh:
            self._wait_for_hardware(wizard)
            take_in(wizard, self.site.root)
        else:
            clean_up(wizard, self.site.root)
        wizard.answer(JOIN, "finish")  # where a power cut came between the end and its mark, nothing else is left
        return wizard

    def _wait_for_hardware(self, wizard: Wizard) -> None:
        """Give the network hardware, which hangs on USB or on slow firmware, time to be found: files on the card are
        checked against it.
        """
        try:
            file = bool(preset_files(self.site.root / FOLDER))
        except OSError:
            file = True  # which cannot be read yet; take_in() says so
        if file:
            notify(WAITING)
            self.site.around.await_network()
        until = time.monotonic() + HARDWARE
        while (lacks := lacking(wizard, self.site.root)) and time.monotonic() < until:
            time.sleep(HARDWARE_AGAIN)
        self._lacks = lacks

    def _await_late_hardware(self, wizard: Wizard, ended: threading.Event) -> None:
        """Take in a preset that asked for hardware which was not there, once it is, unless somebody has answered."""
        if not self._lacks:
            return
        looking = Wizard(self.journal, self.site.around, start=State())
        while wizard.at == PRESET and not ended.wait(LATE_AGAIN):
            try:
                if lacking(looking, self.site.root):
                    continue
                wizard.if_at(PRESET, lambda: take_in(wizard, self.site.root))
                return
            except OSError as error:  # a card that cannot be read may be read the next time
                log.warning("%s", error)

    def run(self, wizard: Wizard, *, text: bool, phone: bool) -> None:
        """Until the wizard is done: in pictures or plain text, with or without phones, for which it waits for ever.

        Where there are phones, a failure of the pictures ends it, and systemd starts the unit of the text.
        """
        self._in_text = text
        network = SetupNetwork(self.site)
        server = PhoneServer(wizard, self.gate, lambda: self._join(wizard).address) if phone else None
        port = server.port if server else 0
        if server:
            self.site = replace(self.site, after_firewall=network.let_in)
        for_phones = network if server else None
        threading.Thread(target=self._work, args=(wizard, for_phones), name="work", daemon=True).start()
        wizard.listen(self._wanted.set)
        self._wanted.set()
        asked, ended = threading.Event(), threading.Event()
        threading.Thread(target=self._await_late_hardware, args=(wizard, ended), name="late", daemon=True).start()

        def see() -> None:
            if asks(wizard):
                asked.set()

        def connect() -> None:
            asked.wait()
            if ended.is_set():
                return
            network.start()
            wizard.changed()
            while not ended.wait(LOOK_AGAIN):
                if network.look():
                    wizard.changed()

        if server:
            wizard.listen(see)
            see()
            threading.Thread(target=connect, name="network", daemon=True).start()
        notify(COMING)
        try:
            if text:
                self._run_text(
                    wizard,
                    lambda: wizard.screen(LANGUAGE),
                    Terminal.standard(),
                    lambda: network.aside(LANGUAGE, self.gate.pin, port, self.gate.locked()).brief,
                )
            elif phone:
                self._run_tv(wizard, network, port)
            else:
                patience = Patience(CHAPTER_WAITS, lambda: leave(wizard))
                self._run_either(wizard, lambda: wizard.screen(LANGUAGE), patience)
        finally:
            ended.set()
            asked.set()
            if server:
                server.close()
                network.stop()

    def _join(self, wizard: Wizard) -> Join:
        return Join.from_answers(wizard.answers, self.site.around)

    def _work(self, wizard: Wizard, network: SetupNetwork | None) -> None:
        def after() -> None:
            if network is not None:
                network.applied(self._join(wizard))

        worker = Worker(wizard, self.site, after, language=lambda: LANGUAGE if self._in_text else "")
        try:
            while wizard.at != DONE:
                self._wanted.wait(TEXT_REFRESH)
                self._wanted.clear()
                worker.look()
        except BaseException:
            # Without this thread the screen would wait for ever; ended so, plain text takes over.
            log.critical("nobody does the work any more", exc_info=True)
            os._exit(1)

    def _run_text(
        self,
        asking: Wizard | Later,
        look: Callable[[], Screen],
        terminal: Terminal,
        aside: Callable[[], str] = lambda: "",
        patience: Patience | None = None,
    ) -> None:
        with contextlib.closing(StateSocket(self.site.root, lambda: _told(look()))):
            notify("READY=1")
            PlainText(asking, look, terminal, aside, lambda: time.sleep(TEXT_REFRESH), patience).run()

    def _run_either(self, asking: Wizard | Later, look: Callable[[], Screen], patience: Patience) -> None:
        """In pictures, or as text on the first terminal where these cannot be shown; until nobody is there any more."""
        if shown_in_pictures(lambda: self._run_tv(asking, None, 0, patience)):
            return
        self._in_text = True
        with first_terminal(self.site.root) as terminal:
            self._run_text(asking, look, terminal, patience=patience)

    def _run_tv(
        self, wizard: Wizard | Later, network: SetupNetwork | None, port: int, patience: Patience | None = None
    ) -> None:
        from .tv.console import Console
        from .tv.devices import Devices
        from .tv.front import Television
        from .tv.output import Output

        def aside() -> Aside:
            if network is None or not port:
                return Aside()
            return network.aside(wizard.language, self.gate.pin, port, self.gate.locked())

        notify(COMING)
        ready = [lambda: notify("READY=1")]
        with contextlib.ExitStack() as held:
            console = held.enter_context(Console(root=self.site.root))
            devices = held.enter_context(contextlib.closing(Devices(self.site.root)))
            output = held.enter_context(contextlib.closing(Output(self.site.root)))
            television = Television(
                wizard,
                devices,
                console,
                output,
                aside=aside,
                on_frame=lambda: ready.pop()() if ready else None,
                patience=patience,
            )

            def tell() -> dict[str, object]:
                beside = {"beside": [list(row) for row in aside().lines], "keyboard": devices.has_keyboard}
                return _told(*television.shown) | beside

            held.enter_context(contextlib.closing(StateSocket(self.site.root, tell)))
            television.run()

    # --- Afterwards

    def run_menu(self) -> str:
        """The keeper's menu; returns what was chosen."""
        state = self.journal.load()
        around = self.site.around
        menu = Later(state.answers, lambda password: keeper.fits(password, keeper.read(self.site.root)), around)
        # Looked up while the password is typed: the mail office takes seconds to answer.
        threading.Thread(target=around.accounts, name="accounts", daemon=True).start()
        self._run_either(menu, lambda: menu.screen(LANGUAGE), Patience(MENU_WAITS, lambda: leave(menu)))
        return menu.outcome

    def run_chapter(self, chapter: str) -> None:
        """One chapter again, and everything in force anew."""
        state = replace(self.journal.load(), at="", chapter=chapter)
        wizard = Wizard(self.journal, self.site.around, set_clock=set_clock, start=state)
        self.run(wizard, text=False, phone=False)

    def begin_anew(self, *, erase: bool) -> None:
        """All questions again, with or without people and their mail."""
        before = self.journal.load().answers
        answers = State().answers.with_answer("language", before.get("language") or "en")
        for number in range(0 if erase else before.count("extra_ca")):  # the mail of those who stay may need them
            answers = answers.with_answer(f"extra_ca.{number}", before.need(f"extra_ca.{number}"))
        self.journal.begin_anew(State(answers=answers, erase=erase))


def asks(wizard: Wizard) -> bool:
    """Whether somebody is asked something, by phone too: an unattended set-up begins to at its first trouble."""
    return wizard.at == TROUBLE or (wizard.at not in (JOIN, DONE) and not wizard.state.unattended)


def _told(screen: Screen, entry: Entry | None = None) -> dict[str, object]:
    """What the state socket tells: the screen that is shown, and what was typed or chosen on it so far."""
    value = entry.text if entry else screen.value
    if screen.choices:
        value = screen.choices[entry.chosen].value if entry else screen.value
    return {
        "screen": screen.at,
        "field": screen.look,
        "value": "" if screen.look == "secret" else value,
        "letters": len(value),
        "suggested": screen.suggested and not (entry and entry.touched),
        "language": screen.language,
        "problem": screen.problem,
        "aid": screen.aid,
        "choices": [choice.value for choice in screen.choices],
        "lines": [[line.label, line.value, line.mark] for line in screen.lines if screen.at != JOIN],
    }


def run_setup(*, text: bool) -> int:
    """`firstboot setup`: until the node is set up."""
    setup = Setup()
    wizard = _begin_or_tell(setup) if text else _begin(setup)
    if wizard is None or wizard.at == DONE:
        notify("READY=1")  # a program that ends without having said so has failed, for systemd
    else:
        setup.run(wizard, text=text, phone=True)
    return 0


def _begin(setup: Setup) -> Wizard | None:
    """The wizard where it stands; None where the node is set up."""
    if setup.journal.done():
        state = setup.journal.load()
        if not setup.journal.begun_anew(state):
            return None
        setup.journal.begin_anew(state)
    return setup.begin()


def _begin_or_tell(setup: Setup) -> Wizard | None:
    """The same for plain text, after which no other program takes over: what keeps it from beginning is told and tried
    again, where another start would only leave the screen empty.
    """
    while True:
        try:
            return _begin(setup)
        except (SetupError, OSError) as error:
            log.error("%s", error)
            notify("READY=1")
            tell_fault(str(error), Terminal.standard())
            time.sleep(BEGIN_AGAIN)


def run_later() -> int:
    """`firstboot later`: the keeper's menu and what it leads to; also what a power cut has stopped in the middle."""
    setup = Setup()
    state = setup.journal.load()
    if state.at in (APPLY, TEST) and state.chapter:
        setup.run(Wizard(setup.journal, setup.site.around, start=state), text=False, phone=False)
        return 0
    if setup.journal.begun_anew(state):
        notify("READY=1")
        setup.journal.begin_anew(state)
        setup.site.runner(*ASK_ALL)
        return 0
    chosen = setup.run_menu()
    if chosen.startswith("anew-"):
        setup.begin_anew(erase=chosen == "anew-erase")
        setup.site.runner(*ASK_ALL)
    elif chosen not in ("", "close"):
        setup.run_chapter(chosen)
    return 0

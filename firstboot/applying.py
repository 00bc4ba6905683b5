"""Bringing the answers into force, group by group, and trying it all out."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from .actions import Site, actions
from .errors import SetupError
from .pages import groups
from .phases import APPLY, JOIN, TEST, TROUBLE
from .settings import settings_from
from .trial import Trial
from .wizard import Wizard
from .work import Progress

PREPARED = "mojomail-prepare.service"
"""Makes the mail office's database and the key of its vault, at each start."""
AGAIN = (60.0, 300.0, 900.0)
"""Seconds until what failed with nobody there is tried again: the first time, the second, and each further time."""

log = logging.getLogger(__name__)


def work(wizard: Wizard, site: Site) -> None:
    """Do what the wizard waits for, if it waits for something."""
    if wizard.at == APPLY:
        wizard.applied(_apply(wizard, site))
    if wizard.at == TEST and wizard.findings is None:
        wizard.tried(Trial(settings_from(wizard.answers), site).findings())


def _apply(wizard: Wizard, site: Site) -> str:
    """Bring everything into force; returns what went wrong, "" for nothing."""
    progress = Progress()
    group = ""
    wanted = groups(wizard)
    try:
        # After a power cut this may be early in a start: what the actions stand on has to be there.
        site.around.await_network()
        site.runner("systemctl", "start", PREPARED, limit=180.0)
        for action in actions(settings_from(wizard.answers), site):
            if action.group not in wanted:
                continue
            if action.group != group:
                group = action.group
                progress = Progress(done=wanted[: wanted.index(group)], running=group)
                wizard.report(progress)
            if not action.done():
                log.info("%s: %s", action.group, action.name)
                action.apply()
    except (SetupError, OSError) as error:
        log.error("%s: %s", group, error)
        wizard.report(replace(progress, trouble=str(error)))
        return str(error)
    wizard.report(Progress(done=wanted))
    return ""


class Worker:
    """The one who does what the wizard waits for, and who never leaves it waiting: what fails becomes trouble.

    Where nobody is asked anything, nobody can say "try again", so this does.
    """

    def __init__(
        self,
        wizard: Wizard,
        site: Site,
        after: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wizard, self._site, self._after, self._clock = wizard, site, after, clock
        self._failed, self._due = 0, 0.0
        self._closing = False

    def look(self) -> None:
        """Do what there is to do now; `after` is called when something was done."""
        wizard = self._wizard
        late = self._clock() >= self._due
        if wizard.at == TROUBLE and wizard.state.unattended and late:
            wizard.once_more()
        if wizard.at == APPLY or (wizard.at == TEST and wizard.findings is None):
            self._do(unattended=wizard.state.unattended)
        elif self._closing and wizard.at == JOIN and late:
            self._close()

    def _do(self, *, unattended: bool) -> None:
        wizard = self._wizard
        try:
            work(wizard, self._site)
        except (SetupError, OSError) as error:
            self._fail(str(error) or type(error).__name__)
        except Exception as error:
            # No text of the error: one that nobody has thought of may quote an answer that is a secret.
            name = type(error).__name__
            log.error("".join(traceback.format_tb(error.__traceback__)))
            self._fail(f"unexpected {name}; the log of this unit says where")
        try:
            self._after()
        except (SetupError, OSError) as error:
            log.warning("%s", error)
        wizard.changed()
        if wizard.at == TROUBLE:
            self._wait()
        self._closing = unattended and wizard.at == JOIN
        if self._closing:
            self._close()

    def _fail(self, why: str) -> None:
        log.error("%s", why)
        if self._wizard.at in (APPLY, TEST):
            self._wizard.applied(why)

    def _close(self) -> None:
        """Finish in place of somebody who reads the last screen; the state screen says the same."""
        try:
            self._wizard.answer(JOIN, "finish")
        except OSError as error:
            log.error("%s", error)
            self._wait()

    def _wait(self) -> None:
        self._due = self._clock() + AGAIN[min(self._failed, len(AGAIN) - 1)]
        self._failed += 1

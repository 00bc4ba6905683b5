"""Bringing the answers into force, group by group, and trying it all out."""

from __future__ import annotations

import errno
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


def work(wizard: Wizard, site: Site, language: str = "") -> None:
    """Do what the wizard waits for, if it waits for something; what others say comes in the chosen language, or in the
    one that is given.
    """
    if wizard.at == APPLY:
        _apply(wizard, site)
    if wizard.at == TEST and wizard.findings is None:
        settings = settings_from(wizard.answers)
        wizard.tried(Trial(replace(settings, language=language or settings.language), site).findings())


def _apply(wizard: Wizard, site: Site) -> None:
    """Bring everything into force, but for what may be left for later, and tell the wizard how it ended."""
    progress = Progress()
    wanted = groups(wizard)
    left = tuple(name for name in wizard.state.left if name not in wanted)
    # After a power cut this may be early in a start: what the actions stand on has to be there.
    site.around.await_network()
    site.runner("systemctl", "start", PREPARED, limit=180.0)
    for action in actions(settings_from(wizard.answers), site):
        group = action.group
        if group not in wanted:
            continue
        if group != progress.running:
            done = tuple(name for name in wanted[: wanted.index(group)] if name not in left)
            progress = Progress(done=done, running=group, left=left)
            wizard.report(progress)
        try:
            if not action.done():
                log.info("%s: %s", group, action.name)
                action.apply()
        except Exception as error:
            trouble = told(error)
            log.error("%s: %s: %s", group, action.name, trouble)
            can_wait = action.can_wait and not of_the_card(error) and not wizard.accounts_only()
            if can_wait and group in wizard.state.left:
                left = (*left, *({group} - set(left)))
                continue
            words = "card" if of_the_card(error) else action.words or group
            wizard.report(replace(progress, what=action.name, words=words, can_wait=can_wait))
            wizard.applied(trouble)
            return
    wizard.report(Progress(done=tuple(name for name in wanted if name not in left), left=left))
    wizard.applied(left=left)


def of_the_card(error: Exception) -> bool:
    """Whether an error says that the card takes nothing more."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT)


def told(error: Exception) -> str:
    """What an error says. One that nobody has thought of may quote an answer that is a secret: its name must do."""
    if isinstance(error, SetupError | OSError):
        return str(error) or type(error).__name__
    log.error("".join(traceback.format_tb(error.__traceback__)))
    return f"unexpected {type(error).__name__}; the log of this unit says where"


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
        language: Callable[[], str] = lambda: "",
    ) -> None:
        self._language = language
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
            work(wizard, self._site, self._language())
        except Exception as error:
            self._fail(error)
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

    def _fail(self, error: Exception) -> None:
        why = told(error)
        log.error("%s", why)
        if self._wizard.at in (APPLY, TEST):
            words = "card" if of_the_card(error) else "other"
            self._wizard.report(replace(self._wizard.progress, what="", words=words, can_wait=False))
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

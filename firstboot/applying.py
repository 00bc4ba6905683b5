"""Bringing the answers into force, group by group, and trying it all out."""

from __future__ import annotations

import logging
from dataclasses import replace

from .actions import Site, actions
from .errors import SetupError
from .pages import GROUPS
from .phases import APPLY, TEST
from .settings import settings_from
from .trial import Trial
from .wizard import Wizard
from .work import Progress

PREPARED = "mojomail-prepare.service"
"""Makes the mail office's database and the key of its vault, at each start."""

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
    try:
        # After a power cut this may be early in a start: what the actions stand on has to be there.
        site.around.await_network()
        site.runner("systemctl", "start", PREPARED, limit=180.0)
        for action in actions(settings_from(wizard.answers), site):
            if action.group != group:
                group = action.group
                progress = Progress(done=GROUPS[: GROUPS.index(group)], running=group)
                wizard.report(progress)
            if not action.done():
                log.info("%s: %s", action.group, action.name)
                action.apply()
    except (SetupError, OSError) as error:
        log.error("%s: %s", group, error)
        wizard.report(replace(progress, trouble=str(error)))
        return str(error)
    wizard.report(Progress(done=GROUPS))
    return ""

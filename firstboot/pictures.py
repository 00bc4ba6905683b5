"""Trying to show something in pictures, for programs that show it as text where that fails."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from .errors import SystemFault

log = logging.getLogger(__name__)


def shown_in_pictures(show: Callable[[], None]) -> bool:
    """Whether `show` came to its end; what kept it from that is in the log."""
    try:
        show()
    except SystemFault as error:
        log.warning("%s; so it is shown as text", error)
        return False
    except Exception as error:
        # No text of the error: one that nobody has thought of may quote an answer that is a secret.
        log.error(
            "%s%s; so it is shown as text", "".join(traceback.format_tb(error.__traceback__)), type(error).__name__
        )
        return False
    return True

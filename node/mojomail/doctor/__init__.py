"""The doctor: logs in to an account's servers for real, and says in plain words what is wrong."""

from ..accountstate import Finding, state_of
from .examination import Report, examine, examine_waiting, record
from .wire import Patience

__all__ = ["Finding", "Patience", "Report", "examine", "examine_waiting", "record", "state_of"]

"""Where the set-up can be besides at a question."""

from __future__ import annotations

READY, CHANGE, APPLY, TROUBLE, TEST, JOIN, DONE, PRESET = (
    *("ready", "change", "apply", "trouble", "test", "join", "done", "preset"),
)
PHASES = (READY, CHANGE, APPLY, TROUBLE, TEST, JOIN, DONE, PRESET)

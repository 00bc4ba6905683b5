"""Overlay mounts over layers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from . import namespace
from .errors import BuildError

MAX_OPTIONS = 4095
"""mount(2) takes one page of options."""


def mount_overlay(store: Path, lower: Sequence[str], target: Path, upper: Path | None, scratch: Path | None) -> None:
    """Mount layers on `target`: `lower` uppermost first, relative to `store`; read-only without `upper`.

    `scratch` is overlayfs's work directory, on the same file system as `upper`. Lower directories are
    named relatively, because all options together must fit in one page.
    """
    target.mkdir(parents=True, exist_ok=True)
    lower = list(lower)
    if upper is None and len(lower) < 2:
        lower += [_empty(store)] * (2 - len(lower))
    if not lower:
        lower = [_empty(store)]
    options = "userxattr,lowerdir=" + ":".join(lower)
    if upper is not None:
        assert scratch is not None
        upper.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(parents=True, exist_ok=True)
        options += f",upperdir={os.path.relpath(upper, store)},workdir={os.path.relpath(scratch, store)}"
    if len(options) > MAX_OPTIONS:
        raise BuildError(f"too many layers for one overlay mount: {len(lower)}")
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(store)
        namespace.mount("overlay", target, "overlay", 0, options)
    finally:
        os.fchdir(here)
        os.close(here)


def _empty(store: Path) -> str:
    (store / ".empty").mkdir(exist_ok=True)
    return ".empty"

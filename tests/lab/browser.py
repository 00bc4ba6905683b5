"""A phone's browser: Debian's Chromium, headless, in the village's network namespace, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab import processes
from tests.lab.processes import LabError

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright, ViewportSize

PHONE: ViewportSize = {"width": 360, "height": 740}
"""The size of a cheap phone's screen, in CSS pixels."""
DESKTOP: ViewportSize = {"width": 1280, "height": 720}
ARGUMENTS = (
    "--no-sandbox",  # it is root of a namespace, where Chromium's own sandbox cannot be made
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
)
LIMIT = 60.0
"""Seconds that an action on the page may take, unless told otherwise: the node may be emulated."""


def wrapper(directory: Path, holder: int) -> Path:
    """A program in `directory` that starts Chromium in the namespaces of the process `holder`."""
    nsenter, setpriv = processes.find_program("nsenter"), processes.find_program("setpriv")
    words = [nsenter, "-t", str(holder), "-U", "-n", "-m", "--preserve-credentials", "--"]
    # Entering the namespaces clears the signal that comes with the parent's death: it is set only after.
    words += [setpriv, "--pdeathsig", "KILL", processes.find_program("chromium")]
    program = directory / "chromium-in-the-village"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    program.chmod(0o755)
    return program


def homes(directory: Path) -> dict[str, str | float | bool]:
    """Where a browser keeps what it would keep in a person's home, such as its reports of crashes."""
    places = {"HOME": "home", "XDG_CONFIG_HOME": "config", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data"}
    return {name: str(directory / place) for name, place in places.items()}


class _Shared:
    """Playwright's driver: a process may have one at a time (and one thread), however many browsers it has."""

    users = 0
    playwright: Playwright
    closing = contextlib.ExitStack()


@contextlib.contextmanager
def playwright() -> Iterator[Playwright]:
    """Playwright, started for the first who asks and ended with the last."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise LabError("Playwright is missing: .venv/bin/pip install -r requirements-dev.txt") from None
    if _Shared.users == 0:
        _Shared.playwright = _Shared.closing.enter_context(sync_playwright())
    _Shared.users += 1
    try:
        yield _Shared.playwright
    finally:
        _Shared.users -= 1
        if _Shared.users == 0:
            _Shared.closing.close()


@contextlib.contextmanager
def page(
    holder: int,
    *,
    viewport: ViewportSize | None = None,
    phone: bool = True,
    ignore_https_errors: bool = False,
    locale: str = "en-GB",
    limit: float = LIMIT,
    **options: Any,
) -> Iterator[Page]:
    """A page in a browser of its own, with nothing remembered. `page.screenshot(path=...)` takes its picture.

    `phone`: a touch screen of 360 x 740; `viewport` is another size in CSS pixels. `limit` is how many seconds an
    action may take. Other options are those of Playwright's Browser.new_context().
    """
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(processes.temporary_directory("mojo-browser-"))
        program = wrapper(directory, holder)
        chromium = stack.enter_context(playwright()).chromium.launch(
            executable_path=str(program),
            args=list(ARGUMENTS),
            env={**os.environ, **homes(directory)},
            headless=True,
            handle_sigint=False,
            handle_sigterm=False,
        )
        stack.callback(chromium.close)
        context = chromium.new_context(
            viewport=viewport or (PHONE if phone else DESKTOP),
            is_mobile=phone,
            has_touch=phone,
            ignore_https_errors=ignore_https_errors,
            locale=locale,
            **options,
        )
        context.set_default_timeout(limit * 1000)
        yield context.new_page()

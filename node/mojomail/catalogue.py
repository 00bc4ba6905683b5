"""Every sentence that people read, by key and language: texts/<language>.yaml.

A text may hold `{names}` that are filled in. A key that a language lacks is said in English. To add a language, put a
file beside the others; a test compares keys and names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from . import shipped

FALLBACK = "en"

_language: ContextVar[str] = ContextVar("language", default=FALLBACK)


@cache
def languages() -> tuple[str, ...]:
    """The codes of all languages there are texts in (ISO 639-1), English first."""
    names = sorted(file.stem for file in (shipped.DIRECTORY / "texts").glob("*.yaml"))
    return (FALLBACK, *(name for name in names if name != FALLBACK))


def spoken(language: str) -> str:
    """The language in which somebody who reads `language` (ISO 639) is spoken to: English where it has no texts."""
    return language if language in languages() else FALLBACK


@cache
def texts(language: str) -> dict[str, str]:
    """All texts of one language, by key."""
    loaded = shipped.table(f"texts/{language}.yaml")
    return {str(key): str(text).strip() for key, text in loaded.items()}


def say(key: str, /, **values: object) -> str:
    """The text of a key in the language of the moment, filled in. Raises KeyError for a key that English lacks."""
    return say_in(_language.get(), key, **values)


def say_in(language: str, key: str, /, **values: object) -> str:
    """The text of a key in a language, in English where that language lacks it."""
    return (texts(spoken(language)).get(key) or texts(FALLBACK)[key]).format(**values)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Say everything inside the block in this language: a code, or a locale such as `hi_IN.UTF-8`."""
    token = _language.set(language.partition(".")[0].partition("_")[0].lower() or FALLBACK)
    try:
        yield
    finally:
        _language.reset(token)

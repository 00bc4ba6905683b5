"""What the screens say, by language: one file of texts each; a new language is a new file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

FIRST = "en"
"""The language of what is not translated, and the first on the list."""

_PLACE = re.compile(r"\{(\w+)\}")


class Texts:
    """The texts of one language by key, such as "steps.name|title": keys of the file joined by "|"."""

    def __init__(self, language: str, flat: Mapping[str, str]) -> None:
        self.language = language
        self.name = flat["language"]
        self._flat = flat

    def say(self, key: str, **given: object) -> str:
        """The text with what stands in {braces} filled in. A key that is not there is an error of ours."""
        return _PLACE.sub(lambda found: str(given.get(found[1], found[0])), self._flat[key])

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self._flat

    def names(self) -> frozenset[str]:
        """The keys of all texts."""
        return frozenset(self._flat)


def load_yaml(text: str) -> Any:
    """Parse YAML with libyaml where it is there: a Pi needs a second for what plain Python does in ten."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=loader)


def _flatten(tree: Mapping[str, Any], before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{before}{key}|")
        else:
            flat[f"{before}{key}"] = str(value).strip()
    return flat


@cache
def languages() -> tuple[str, ...]:
    """The languages there are, English first, as ISO 639 names them."""
    found = {file.name.removesuffix(".yaml") for file in (files(__package__) / "texts").iterdir()}
    return (FIRST, *sorted(name for name in found if name != FIRST and re.fullmatch(r"[a-z]{2,3}", name)))


@cache
def texts(language: str) -> Texts:
    """The texts of a language, of English where there is no such language."""
    if language not in languages():
        language = FIRST
    loaded = load_yaml((files(__package__) / "texts" / f"{language}.yaml").read_text("utf-8"))
    return Texts(language, _flatten(loaded))

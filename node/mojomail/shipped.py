"""Files that lie in this package beside its code: texts, providers, the database's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent


def table(name: str) -> dict[str, Any]:
    """What a YAML file holds, by its path in the package."""
    # Imported with the first table that is read: many commands say nothing.
    import yaml

    # libyaml reads a table in a tenth of the time that the parser in Python takes: on a small Pi that is a second.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, Any] = yaml.load((DIRECTORY / name).read_text("utf-8"), loader)
    return loaded

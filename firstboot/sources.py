"""Lists of answers that are made on the node, by the name that steps.yaml gives each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .surroundings import Surroundings
from .texts import languages

_LISTS: dict[str, Callable[[Surroundings], Sequence[str]]] = {
    "languages": lambda around: languages(),
    "zones": lambda around: around.zones(),
    "countries": lambda around: tuple(around.countries()),
    "people": lambda around: sorted(around.people()),
    "accounts": lambda around: [one.address for one in around.accounts()],
}


def listed(source: str, around: Surroundings) -> Sequence[str]:
    """The answers that a source has at the moment."""
    return _LISTS[source](around)

"""What keys and clicks do to the screen that is shown: type, choose, answer, go back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..screens import Screen

PAGE = 5
"""Choices that Page Up and Page Down go by."""


@dataclass(frozen=True)
class Entry:
    """What is being typed or chosen: text with the caret before letter `caret`, or the choice `chosen`."""

    text: str = ""
    caret: int = 0
    chosen: int = 0
    shown: bool = False
    touched: bool = False


@dataclass(frozen=True)
class Deed:
    """What a key led to: another entry, and perhaps an answer or a step back."""

    entry: Entry
    answer: str | None = None
    back: bool = False


def entry_for(screen: Screen) -> Entry:
    """What is on a screen before anybody has touched it."""
    values = [choice.value for choice in screen.choices]
    chosen = values.index(screen.value) if screen.value in values else max(0, len(values) - 1)
    return Entry(text=screen.value, caret=len(screen.value), chosen=chosen)


def pressed(screen: Screen, entry: Entry, what: str) -> Deed:
    """What a key does: a letter, or a command (layouts.py)."""
    if screen.look == "busy":
        return Deed(entry)
    if what == "back":
        return Deed(entry, back=True)
    if what == "next":
        if screen.look in ("text", "secret"):
            return Deed(entry, answer=entry.text)
        return Deed(entry, answer=screen.choices[entry.chosen].value if screen.choices else None)
    if screen.look in ("text", "secret"):
        return Deed(_typed(screen, entry, what))
    return Deed(_moved(screen, entry, what))


def clicked(screen: Screen, entry: Entry, what: int | str | None) -> Deed:
    """What a click does, on a choice by its number or on one of the keys shown at the bottom."""
    if isinstance(what, int):
        return pressed(screen, replace(entry, chosen=what), "next")
    return pressed(screen, entry, what) if what in ("next", "back", "show") else Deed(entry)


def _typed(screen: Screen, entry: Entry, what: str) -> Entry:
    text, caret = entry.text, entry.caret
    if screen.suggested and not entry.touched and (len(what) == 1 or what in ("erase", "delete")):
        # A suggestion is taken whole or replaced whole, as a selected text is.
        text, caret = "", 0
        if len(what) > 1:
            return replace(entry, text="", caret=0, touched=True)
    if len(what) == 1:
        return replace(entry, text=text[:caret] + what + text[caret:], caret=caret + 1, touched=True)
    if what == "erase":
        return replace(entry, text=text[: max(0, caret - 1)] + text[caret:], caret=max(0, caret - 1), touched=True)
    if what == "delete":
        return replace(entry, text=text[:caret] + text[caret + 1 :], touched=True)
    if what == "show":
        return replace(entry, shown=not entry.shown)
    places = {"left": caret - 1, "right": caret + 1, "home": 0, "end": len(text)}
    return replace(entry, caret=min(len(text), max(0, places.get(what, caret))))


def _moved(screen: Screen, entry: Entry, what: str) -> Entry:
    count = len(screen.choices)
    if not count:
        return entry
    steps = {"up": -1, "left": -1, "down": 1, "right": 1, "show": 1, "page-up": -PAGE, "page-down": PAGE}
    if what in steps:
        return replace(entry, chosen=min(count - 1, max(0, entry.chosen + steps[what])), text="")
    if what in ("home", "end"):
        return replace(entry, chosen=0 if what == "home" else count - 1, text="")
    if len(what) == 1:
        return _jumped(screen, entry, what)
    return entry


def _jumped(screen: Screen, entry: Entry, letter: str) -> Entry:
    """Go to the choice that begins with the letters typed so far, or to the one with this number."""
    typed = (entry.text if entry.touched else "") + letter.lower()
    for wanted in (typed, letter.lower()):
        for number, choice in enumerate(screen.choices):
            words = [choice.label.lower(), *choice.label.lower().split("/")]
            if any(word.startswith(wanted) for word in words):
                return replace(entry, chosen=number, text=wanted, touched=True)
    if letter.isdigit() and 0 < int(letter) <= len(screen.choices):
        return replace(entry, chosen=int(letter) - 1, text="")
    return replace(entry, text="", touched=False)

"""Licences of a Debian package, from its copyright file, as SPDX expressions.

Only the machine-readable format is read (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/);
guessing licences from free text is left to lawyers. A short name becomes an SPDX identifier only where
both stand for the same text: Debian's "MIT" or "Artistic" is any of several texts and becomes a
LicenseRef with the text that the package gives.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from .errors import InputError

NO_TEXT = "The package's copyright file names this licence without giving its text."

_VERSIONED = {
    "gpl-1": "GPL-1.0",
    "gpl-2": "GPL-2.0",
    "gpl-3": "GPL-3.0",
    "lgpl-2": "LGPL-2.0",
    "lgpl-2.1": "LGPL-2.1",
    "lgpl-3": "LGPL-3.0",
    "agpl-3": "AGPL-3.0",
    "gfdl-1.1": "GFDL-1.1",
    "gfdl-1.2": "GFDL-1.2",
    "gfdl-1.3": "GFDL-1.3",
}
_NO_INVARIANTS = re.compile(r"gfdl-niv-(1\.[123])(\+?)")
_PLAIN = {
    name.lower(): name
    for name in (
        "0BSD",
        "AFL-2.1",
        "Apache-1.1",
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-4-Clause",
        "BSL-1.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "CDDL-1.0",
        "CPL-1.0",
        "EPL-1.0",
        "EPL-2.0",
        "FSFAP",
        "FTL",
        "ISC",
        "LPPL-1.3c",
        "MPL-1.0",
        "MPL-1.1",
        "MPL-2.0",
        "OFL-1.1",
        "PostgreSQL",
        "Python-2.0",
        "QPL-1.0",
        "Unlicense",
        "W3C",
        "WTFPL",
        "Zlib",
        "curl",
    )
} | {"expat": "MIT", "apache-2": "Apache-2.0", "cc0": "CC0-1.0", "zpl-2.1": "ZPL-2.1", "psf-2": "PSF-2.0"}


@dataclass
class Licences:
    """What a copyright file declares. `expression` is None when the file is not machine-readable;
    `texts` holds the text of each LicenseRef in it, `names` the short name it had in Debian."""

    expression: str | None
    texts: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def read_copyright(text: str) -> Licences:
    """The licences of all files of a package, joined with AND, each once, in alphabetical order."""
    found_paragraphs = _machine_readable(text)
    if found_paragraphs is None:
        return Licences(None)
    texts: dict[str, str] = {}
    for paragraph in found_paragraphs:
        name, _, body = paragraph.get("license", "").partition("\n")
        if body.strip():
            texts.setdefault(_key(name), body.strip("\n"))
    found = Licences("")
    parts = set()
    for paragraph in found_paragraphs:
        declared = paragraph.get("license", "").partition("\n")[0].strip()
        if declared and ("files" in paragraph or "format" in paragraph):
            parts |= set(_conjuncts(declared, texts, found))
    found.expression = " AND ".join(sorted(parts)) or None
    return found


def paragraphs(text: str) -> list[dict[str, str]]:
    """The paragraphs of a deb822 file, such as dpkg's status; names of fields in lower case. Lines that
    continue a field lose their first character, and "." alone stands for an empty line.

    Raises InputError for a line that is none of the format.
    """
    found: list[dict[str, str]] = []
    current: dict[str, str] = {}
    name = ""
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if not line.strip():
            if current:
                found.append(current)
            current, name = {}, ""
        elif line[0] in " \t":
            if not name:
                raise InputError(f"line {number} continues no field: {line.strip()[:60]}")
            rest = line[1:].rstrip("\r")
            current[name] += "\n" + ("" if rest.strip() == "." else rest)
        elif line[0] != "#":
            name, colon, value = line.partition(":")
            name = name.lower()
            if not colon or not re.fullmatch(r"[!-9;-~]+", name):
                raise InputError(f"line {number} is not a field: {line[:60]}")
            current[name] = value.strip()
    return found


def _machine_readable(text: str) -> list[dict[str, str]] | None:
    """The paragraphs of a copyright file, or None when it is in free text or broken."""
    if not re.match(r"(?:\s*#.*\n|\s*\n)*format(?:-specification)?:", text, re.IGNORECASE):
        return None
    try:
        found = paragraphs(text)
    except InputError:
        return None
    return found if any("files" in paragraph for paragraph in found) else None


def _key(name: str) -> str:
    return " ".join(name.lower().split())


def _conjuncts(declared: str, texts: dict[str, str], found: Licences) -> list[str]:
    """A License field as SPDX expressions that all hold. "and" binds closer than "or", ", and" less close."""
    text = " ".join(declared.split())
    if re.search(r",\s*or\b|[()|]", text, re.IGNORECASE):
        return [_reference(text, texts, found)]
    parts = []
    for part in re.split(r",\s*and\s+", text, flags=re.IGNORECASE):
        choices = []
        for choice in re.split(r"\s+or\s+", part, flags=re.IGNORECASE):
            names = re.split(r"\s+and\s+|\s*,\s*", choice, flags=re.IGNORECASE)
            choices.append(sorted({_licence(name, texts, found) for name in names if name}))
        if len(choices) == 1:
            parts += choices[0]
        else:
            alternatives = {f"({' AND '.join(names)})" if len(names) > 1 else names[0] for names in choices if names}
            joined = " OR ".join(sorted(alternatives))
            parts.append(f"({joined})" if len(alternatives) > 1 else joined)
    return parts


def _licence(name: str, texts: dict[str, str], found: Licences) -> str:
    key = _key(name)
    if key in _PLAIN:
        return _PLAIN[key]
    number = re.sub(r"(?<=\d)\.0(?=\+|$)", "", key)
    base, later = number.removesuffix("+"), number.endswith("+")
    if base in _VERSIONED:
        return f"{_VERSIONED[base]}-{'or-later' if later else 'only'}"
    free = _NO_INVARIANTS.fullmatch(key)
    if free:
        return f"GFDL-{free[1]}-no-invariants-{'or-later' if free[2] else 'only'}"
    return _reference(name, texts, found)


def _reference(name: str, texts: dict[str, str], found: Licences) -> str:
    """A LicenseRef of its own for each text, since the same name stands for other texts elsewhere."""
    key = _key(name)
    text = texts.get(key) or texts.get(key.split(" with ")[0]) or NO_TEXT
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", key.replace("+", "plus")).strip("-.")[:60] or "unnamed"
    digest = hashlib.sha256(f"{key}\0{text}".encode()).hexdigest()[:8]
    reference = f"LicenseRef-Debian-{slug}-{digest}"
    found.texts[reference] = text
    found.names[reference] = " ".join(name.split())
    return reference

"""Reads a profile's YAML against the table of settings, and gathers every problem with its place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .errors import Problem
from .scriptvariables import ENGINE_VARIABLES, SECRET_VARIABLES
from .settings import Kind, Setting, Settings, sections, table
from .suggestion import did_you_mean
from .valuechecks import APT_SOURCE
from .yamltree import Entries, Items, Place, Scalar, Tree, read_yaml

WHAT_IS_RIGHT = {
    Kind.TEXT: "text",
    Kind.FLAG: "yes or no",
    Kind.NUMBER: "a whole number",
    Kind.PATH: "a path",
    Kind.TEXTS: "a list of texts",
    Kind.MAP: "a map of names and texts",
}


class ProfileReader:
    """Reads one profile; afterwards `problems` holds what is wrong and `places` where each setting is written."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self.problems: list[Problem] = []
        self.places: dict[str, Place] = {}

    def read(self) -> tuple[Settings, tuple[Path, ...]]:
        """The settings and the directories of the stages; worth something only when there are no problems."""
        tree = read_yaml(self.path, self.problems)
        values: dict[str, dict[str, Any]] = {name: {} for name in ("", *sections())}
        if isinstance(tree, Entries):
            self._read_entries(tree, "", values)
        elif tree is not None:
            self._add(tree.place, f"found {tree}, a map of settings is right", "begin with 'stages:'")
        parts = {name: cls(**values[name]) for name, (cls, _) in sections().items()}
        settings = Settings(**{"name": self.path.stem} | values[""], **parts)
        if tree is None:
            return settings, ()
        self._check_together(settings)
        return settings, self._find_stages(settings)

    def _add(self, place: Place | None, message: str, hint: str | None = None) -> None:
        where = place or Place(0, 0)
        self.problems.append(Problem(self.path, where.line, where.column, message, hint))

    def _add_at(self, name: str, message: str, hint: str | None = None) -> None:
        """Add a problem at a setting, or at its section or the file when it is not given."""
        place = self.places.get(name) or self.places.get(name.partition(".")[0])
        self._add(place, message, hint)

    def _read_entries(self, tree: Entries, section: str, values: dict[str, dict[str, Any]]) -> None:
        rows = {row.name: row for row in table()}
        prefix = f"{section}." if section else ""
        for entry in tree.entries:
            name = prefix + entry.key
            if not section and entry.key in sections():
                self.places[name] = entry.place
                if isinstance(entry.value, Entries):
                    self._read_entries(entry.value, entry.key, values)
                elif not _is_nothing(entry.value):
                    self._add(entry.value.place, f"'{name}': found {entry.value}, a map of settings is right")
            elif name in rows and "." not in entry.key:
                self.places[name] = entry.value.place
                value = self._value(rows[name], entry.value)
                if value is not None:
                    values[section][entry.key] = value
            else:
                hint = _hint_for_key(entry.key, prefix)
                self._add(entry.place, f"unknown setting '{name}'", hint)

    def _value(self, row: Setting, tree: Tree) -> Any:
        """The value of one setting, or None when it is wrong or left empty."""
        match row.kind, tree:
            case Kind.TEXTS, Items():
                return self._items(row, tree)
            case Kind.MAP, Entries():
                return self._map(row, tree)
            case ((Kind.TEXTS | Kind.MAP), Scalar(tag="null")):
                return None
            case Kind.FLAG, Scalar(tag="bool"):
                return tree.text.lower() in ("yes", "true", "on")
            case Kind.NUMBER, Scalar(tag="int") if re.fullmatch(r"[+-]?(0|[1-9][0-9]*)", tree.text):
                return self._checked(row, row.name, tree.place, int(tree.text))
            case ((Kind.TEXT | Kind.PATH), Scalar(tag="str")):
                text = self._text(row, row.name, tree)
                return text if row.kind is Kind.TEXT or not text else self._absolute(text)
        hint = None
        if isinstance(tree, Scalar) and tree.tag == "null":
            hint = "give a value or remove the line"
        elif isinstance(tree, Scalar) and row.kind in (Kind.TEXT, Kind.PATH):
            hint = f'put it in quotes: "{tree.text}"'
        elif isinstance(tree, Scalar) and row.kind is Kind.TEXTS:
            hint = f"write [{tree.text}]"
        elif isinstance(tree, Scalar) and tree.tag == "str" and row.kind in (Kind.FLAG, Kind.NUMBER):
            plain = re.fullmatch(r"yes|no|true|false|on|off|[0-9]+", tree.text, re.IGNORECASE)
            hint = "write it without quotes" if plain else None
        self._add(tree.place, f"'{row.name}': found {tree}, {WHAT_IS_RIGHT[row.kind]} is right", hint)
        return None

    def _text(self, row: Setting, name: str, tree: Scalar) -> str | None:
        text = tree.text.strip()
        if any(ord(char) < 32 or ord(char) == 127 for char in text) and "PRIVATE KEY" not in text:
            self._add(tree.place, f"'{name}': must be one line, without control characters")
            return None
        if not text:
            return text if name.endswith("]") else None
        checked: str | None = self._checked(row, name, tree.place, text)
        return checked

    def _checked(self, row: Setting, name: str, place: Place, value: Any) -> Any:
        if row.choices and value not in row.choices:
            hint = did_you_mean(str(value), row.choices)
            self._add(place, f"'{name}': {value!r} is none of {', '.join(row.choices)}", hint)
            return None
        wrong = row.check(value) if row.check is not None else None
        if wrong is None:
            return value
        self._add(place, f"'{name}': {wrong}")
        return None

    def _items(self, row: Setting, tree: Items) -> tuple[str, ...]:
        found: list[str] = []
        for index, item in enumerate(tree.items):
            name = f"{row.name}[{index}]"
            if not isinstance(item, Scalar) or item.tag != "str":
                hint = f'put it in quotes: "{item.text}"' if isinstance(item, Scalar) and item.text else None
                self._add(item.place, f"'{row.name}', item {index + 1}: found {item}, text is right", hint)
                continue
            text = self._text(row, name, item)
            if text is None:
                continue
            if not text:
                self._add(item.place, f"'{row.name}', item {index + 1}: is empty")
            elif text in found:
                self._add(item.place, f"'{row.name}': {text!r} is given twice", "keep one of them")
            else:
                self.places[name] = item.place
                found.append(text)
        return tuple(found)

    def _map(self, row: Setting, tree: Entries) -> tuple[tuple[str, str], ...]:
        owners = {name: other.name for other in table() for name in other.environment}
        found: dict[str, str] = {}
        for entry in tree.entries:
            name = f"{row.name}.{entry.key}"
            self.places[name] = entry.value.place
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", entry.key):
                self._add(entry.place, f"'{entry.key}' cannot be a variable's name: it must be letters, digits and '_'")
            elif entry.key in SECRET_VARIABLES:
                self._add(entry.place, f"'{entry.key}': no password is put into an image")
            elif entry.key in owners:
                self._add(entry.place, f"'{entry.key}' comes from a setting", f"set '{owners[entry.key]}'")
            elif entry.key in ENGINE_VARIABLES:
                self._add(entry.place, f"'{entry.key}' is set by the build itself", "use another name")
            elif not isinstance(entry.value, Scalar) or entry.value.tag == "null":
                self._add(entry.value.place, f"'{name}': found {entry.value}, text is right")
            elif "\0" in entry.value.text:
                self._add(entry.value.place, f"'{name}': a variable cannot hold a NUL character")
            else:
                found[entry.key] = entry.value.text
        return tuple(found.items())

    def _absolute(self, text: str) -> Path:
        """A path as written in the profile, from the profile's directory."""
        return Path(os.path.normpath(self.path.absolute().parent / Path(text).expanduser()))

    def _check_together(self, settings: Settings) -> None:
        """What only shows when several settings are looked at, or the disk."""
        if "name" not in self.places:
            wrong = next(row.check for row in table() if row.name == "name" and row.check)(settings.name)
            if wrong is not None:
                self._add(None, f"the file's name does not do as the profile's name: {wrong}", "set 'name'")
        if settings.ssh.enabled and not settings.ssh.authorized_keys and settings.base != "pi-gen":
            message = "'ssh.enabled': nobody could log in, as there is neither a password nor a key"
            if not any(problem.message.startswith("'ssh.authorized_keys") for problem in self.problems):
                self._add_at("ssh.enabled", message, "give a public key in 'ssh.authorized_keys'")
        if settings.raspios.key is not None and not settings.raspios.key.is_file():
            self._add_at("raspios.key", f"'raspios.key': there is no file {settings.raspios.key}")
        for index, source in enumerate(settings.apt.sources):
            match = APT_SOURCE.fullmatch(source)
            if match is None:
                continue
            for option in match["options"].split():
                if option != f"signed-by={match['key']}":
                    message = f"'apt.sources': the option {option!r} is not possible here"
                    self._add_at(f"apt.sources[{index}]", message, "give 'signed-by=KEYFILE' alone")
            if not (self.path.parent / match["key"]).is_file():
                self._add_at(f"apt.sources[{index}]", f"'apt.sources': there is no key file {match['key']}")
        self._check_pi_gen(settings)

    def _check_pi_gen(self, settings: Settings) -> None:
        path = settings.pi_gen.path
        if settings.base != "pi-gen":
            return
        if path is None:
            if "pi_gen.path" not in self.places:
                self._add_at("base", "'base: pi-gen' needs a pi-gen checkout", "set 'pi_gen: path:'")
        elif not (path / "build.sh").is_file():
            self._add_at("pi_gen.path", f"'pi_gen.path': {path} is no pi-gen checkout: it has no build.sh")
        else:
            for index, name in enumerate(settings.pi_gen.stages):
                if not (path / name).is_dir():
                    hint = did_you_mean(name, _directories(path))
                    place = f"pi_gen.stages[{index}]"
                    self._add_at(place, f"'pi_gen.stages': there is no stage '{name}' in {path}", hint)

    def _find_stages(self, settings: Settings) -> tuple[Path, ...]:
        taken = dict.fromkeys(settings.pi_gen.stages, "the base's") if settings.base == "pi-gen" else {}
        found: list[Path] = []
        for index, name in enumerate(settings.stages):
            setting = f"stages[{index}]"
            by_path = "/" in name or name in (".", "..")
            path = self._absolute(name) if by_path else self.root / "stages" / name
            if not path.is_dir():
                self._add_at(
                    setting, f"stage '{name}' {_why_no_stage(path)}", self._hint_for_stage(name, path, by_path)
                )
            elif path.name in taken:
                message = f"stage '{name}' has the same directory name as {taken[path.name]} stage"
                self._add_at(setting, message, "rename one of them, as scripts tell stages by that name")
            else:
                taken[path.name] = f"an earlier ('{name}')"
                found.append(path)
        return tuple(found)

    def _hint_for_stage(self, name: str, path: Path, by_path: bool) -> str | None:
        if not by_path and (self.path.parent / name).is_dir():
            return f"for the directory beside the profile write './{name}'"
        hint = did_you_mean(path.name, _directories(path.parent))
        if hint is None and not by_path:
            known = _directories(path.parent)
            return f"there are: {', '.join(known)}" if known else None
        return hint


def _why_no_stage(path: Path) -> str:
    return f"is no directory: {path}" if path.exists() else f"does not exist: there is no directory {path}"


def _directories(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir()) if path.is_dir() else []


def _is_nothing(tree: Tree) -> bool:
    return isinstance(tree, Scalar) and tree.tag == "null"


def _hint_for_key(key: str, prefix: str) -> str | None:
    """The setting that was meant: one of this name elsewhere, else the nearest beside it, else the nearest of all."""
    names = [row.name for row in table()] + list(sections())
    beside = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    by_dash = key.replace("-", "_")
    elsewhere = {name.rpartition(".")[2]: name for name in names}
    if key in names:
        section, _, rest = key.partition(".")
        return (
            f"write '{section}:' and below it, indented, '{rest}:'" if rest else f"it belongs outside '{prefix[:-1]}:'"
        )
    if by_dash in elsewhere and by_dash not in beside:
        return f"did you mean '{elsewhere[by_dash]}'?"
    return did_you_mean(by_dash, [name for name in beside if "." not in name]) or did_you_mean(by_dash, names)

"""A profile: what to build, read from YAML and checked whole before any work starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from .errors import InputError, Problem, ProblemsError
from .profilereader import ProfileReader
from .scriptvariables import PI_GEN_DEFAULTS
from .settings import Kind, Settings, table, value_of
from .suggestion import did_you_mean
from .valuechecks import APT_SOURCE
from .yamltree import Place

BOOT_STAGES = {"debian": ("boot-debian",), "raspios": ("boot-raspios",), "pi-gen": ()}
"""Stages of ours, by base, that come before the profile's own: kernel and firmware."""


@dataclass(frozen=True)
class AptSource:
    """One more package source, a line of sources.list(5); `key` is the path of its keyring on the host."""

    url: str
    suite: str
    components: tuple[str, ...]
    key: Path


@dataclass(frozen=True, kw_only=True)
class Profile(Settings):
    """A profile's settings, and where they came from.

    path         the profile file
    root         the directory that holds stages/, overlay/ and profiles/
    stage_dirs   the directories of `stages`, in order
    places       where a setting or an item of a list (`packages[2]`) is written; those given only
    """

    path: Path
    root: Path
    stage_dirs: tuple[Path, ...]
    places: Mapping[str, Place]

    @property
    def image_name(self) -> str:
        """What the names of the finished files begin with."""
        return f"mojomail-{self.name}"

    @property
    def base_stage_dirs(self) -> tuple[Path, ...]:
        """The stages that the base brings, before the profile's own."""
        if self.base == "pi-gen" and self.pi_gen.path is not None:
            return tuple(self.pi_gen.path / name for name in self.pi_gen.stages)
        return tuple(self.root / "stages" / name for name in BOOT_STAGES[self.base])

    def is_strict(self, stage: Path) -> bool:
        """Whether what pi-gen passes over in this stage directory, such as a missing run bit, is an error."""
        foreign = self.pi_gen.path is not None and stage.resolve().is_relative_to(self.pi_gen.path.resolve())
        return self.strict and not foreign

    def apt_sources(self) -> tuple[AptSource, ...]:
        """`apt.sources`, taken apart; the keys' paths are absolute."""
        found = [match for match in map(APT_SOURCE.fullmatch, self.apt.sources) if match is not None]
        return tuple(
            AptSource(
                match["url"],
                match["suite"],
                tuple(match["components"].split()),
                self.path.absolute().parent / match["key"],
            )
            for match in found
        )

    def environment(self) -> dict[str, str]:
        """Variables for the scripts of stages, by pi-gen's names and ours; paths and dates are the engine's."""
        values = PI_GEN_DEFAULTS | dict(self.variables)
        for row in table():
            value = value_of(self, row.name)
            for name in row.environment:
                if row.kind is Kind.FLAG:
                    values[name] = "1" if value else "0"
                elif row.kind is Kind.TEXTS:
                    values[name] = row.joiner.join(value)
                else:
                    values[name] = str(value)
        values |= {
            "IMG_NAME": self.image_name,
            "ARCH": "arm64",
            "FIRST_USER_NAME": self.system.first_user or ("pi" if self.base == "pi-gen" else ""),
            "FIRST_USER_PASS": "",
            "PUBKEY_ONLY_SSH": "1" if self.ssh.authorized_keys else "0",
            "MOJOMAIL_LOCALES": " ".join(dict.fromkeys((self.system.locale, *self.system.locales))),
        }
        return dict(sorted(values.items()))

    def problem(self, name: str, message: str, hint: str | None = None) -> Problem:
        """A problem with a setting or an item of a list (`packages[2]`), placed where it is written."""
        place = self.places.get(name, Place(0, 0))
        return Problem(self.path, place.line, place.column, message, hint)


def draft_profile(path: Path, *, root: Path) -> tuple[Profile, list[Problem]]:
    """The profile at `path` as far as it can be read, and every problem with it; `root` holds stages/."""
    reader = ProfileReader(path, root)
    settings, stage_dirs = reader.read()
    values = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    return Profile(**values, path=path, root=root, stage_dirs=stage_dirs, places=reader.places), reader.problems


def load_profile(path: Path, *, root: Path) -> Profile:
    """Read and check the profile at `path`; `root` holds stages/. Raises ProblemsError with every problem there is."""
    profile, problems = draft_profile(path, root=root)
    if problems:
        raise ProblemsError(problems)
    return profile


def resolve_profile(name_or_path: str, root: Path) -> Path:
    """The file of the profile with this name under profiles/, or at this path. Raises InputError when there is none."""
    if os.sep in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        near = [file.name for file in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise InputError(f"there is no profile file {path}", hint=did_you_mean(path.name, near))
    path = root / "profiles" / f"{name_or_path}.yaml"
    if path.is_file():
        return path
    known = profile_names(root)
    hint = did_you_mean(name_or_path, known) or f"there are: {', '.join(known) or 'none'}"
    raise InputError(f"there is no profile '{name_or_path}' in {root / 'profiles'}", hint=hint)


def profile_names(root: Path) -> list[str]:
    """The names of the profiles under profiles/, sorted."""
    return sorted(file.stem for file in (root / "profiles").glob("*.yaml"))

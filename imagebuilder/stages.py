"""pi-gen's stage directories as a model: what there is to run, in which order, and which files it is made of.

A stage holds sub-stages, a sub-stage holds steps named NN-KIND. The order and the conditions are those of
run_stage() and run_sub_stage() in pi-gen's build.sh.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .errors import InputError


class StepKind(Enum):
    """The kinds of step, by the end of their name, in the order in which those of one number run."""

    DEBCONF = "debconf"
    PACKAGES_NR = "packages-nr"
    PACKAGES = "packages"
    PATCHES = "patches"
    RUN = "run.sh"
    RUN_CHROOT = "run-chroot.sh"


KIND_ORDER = list(StepKind)
STEP_NAME = re.compile(f"([0-9][0-9])-({'|'.join(re.escape(kind.value) for kind in StepKind)})")


@dataclass(frozen=True)
class Step:
    """One NN-KIND of a sub-stage. `skipped`: a run.sh without run bit, which pi-gen passes over."""

    kind: StepKind
    number: int
    path: Path
    skipped: bool = False

    @property
    def name(self) -> str:
        """Such as `00-run.sh`."""
        return self.path.name


@dataclass(frozen=True)
class SubStage:
    """A directory of steps, those in `steps` in the order they run.

    overlay   what its OVERLAY names, as paths in the overlay/ directory of the tree that the stage belongs to
    inputs    what its INPUTS names, as paths
    """

    path: Path
    name: str
    skip: bool
    steps: tuple[Step, ...]
    overlay: tuple[Path, ...]
    inputs: tuple[Path, ...]

    def files(self) -> tuple[Path, ...]:
        """All files below it, sorted; links are among them, and not followed."""
        return files_below(self.path)

    def linked_files(self) -> tuple[Path, ...]:
        """The files elsewhere that its links lead to, and those below it when it is a link itself, by real path."""
        return files_behind_links((self.path, *self.files()))

    def declared_files(self) -> tuple[Path, ...]:
        """The files that OVERLAY and INPUTS name, and the program that installs an overlay."""
        found = [file for path in (*self.overlay, *self.inputs) for file in files_below(path)]
        if self.overlay:
            found += files_below(self.path.parent.parent / "install-overlay")
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Stage:
    """A stage directory. `prerun` is None when there is no prerun.sh that can be run."""

    path: Path
    name: str
    skip: bool
    skip_images: bool
    export_image: bool
    export_noobs: bool
    prerun: Path | None
    substages: tuple[SubStage, ...]

    def loose_files(self) -> tuple[Path, ...]:
        """The files of the stage outside its sub-stages, which any script of it may read, sorted."""
        substages = {substage.name for substage in self.substages}
        found = [file for entry in sorted_entries(self.path) if entry.name not in substages for file in _walk(entry)]
        return tuple(sorted(found, key=os.fsencode))

    def linked_files(self) -> tuple[Path, ...]:
        """The files elsewhere that links among its loose files lead to, by real path."""
        return files_behind_links(self.loose_files())


@dataclass(frozen=True)
class Word:
    """A word in a file, and where it begins; line and column count from 1."""

    text: str
    line: int
    column: int


def read_stage(path: Path) -> Stage:
    """The stage in the directory at `path`. Raises InputError when it is none."""
    if not path.is_dir():
        raise InputError(f"there is no stage directory {path}")
    path = path.absolute()
    prerun = path / "prerun.sh"
    substages = [read_substage(entry) for entry in sorted_entries(path) if entry.is_dir()]
    return Stage(
        path=path,
        name=path.name,
        skip=(path / "SKIP").is_file(),
        skip_images=(path / "SKIP_IMAGES").is_file(),
        export_image=(path / "EXPORT_IMAGE").is_file(),
        export_noobs=(path / "EXPORT_NOOBS").exists(),
        prerun=prerun if can_run(prerun) else None,
        substages=tuple(s for s in substages if s.steps or re.match(r"[0-9][0-9]-", s.name)),
    )


def read_substage(path: Path) -> SubStage:
    """The sub-stage in the directory at `path`."""
    steps: list[Step] = []
    for entry in sorted_entries(path):
        match = STEP_NAME.fullmatch(entry.name)
        if match is None:
            continue
        kind = StepKind(match[2])
        if entry.is_dir() if kind is StepKind.PATCHES else entry.is_file():
            skipped = kind is StepKind.RUN and not can_run(entry)
            steps.append(Step(kind, int(match[1]), entry, skipped))
    steps.sort(key=lambda step: (step.number, KIND_ORDER.index(step.kind)))
    overlay = path.parent.parent.parent / "overlay"
    return SubStage(
        path=path,
        name=path.name,
        skip=(path / "SKIP").is_file(),
        steps=tuple(steps),
        overlay=tuple(overlay_source(overlay, word.text) for word in read_paths(path / "OVERLAY")),
        inputs=tuple(path / word.text for word in read_paths(path / "INPUTS")),
    )


def find_postrun(directory: Path) -> Path | None:
    """The postrun.sh that pi-gen runs after a whole build, if it can be run; it stands beside build.sh."""
    path = directory / "postrun.sh"
    return path if can_run(path) else None


def read_packages(path: Path) -> list[Word]:
    """The words of a packages file without its comments, as pi-gen's scripts/remove-comments.sed leaves them.

    A comment begins at any `#`; in a file of one single line, which that script passes on as it is, the shell
    takes only a `#` at the beginning of a word for one.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    comment = re.compile(r"(?:(?<=[ \t\r\v\f])|^)#.*" if "\n" not in text.removesuffix("\n") else "#.*")
    return [
        Word(match[0], number, match.start() + 1)
        for number, line in enumerate(text.split("\n"), 1)
        for match in re.finditer(r"[^ \t\r\v\f]+", comment.sub("", line))
    ]


def overlay_source(overlay: Path, name: str) -> Path:
    """The path in overlay/ that a line of OVERLAY stands for: `name`, or the template `name.j2` it is made from."""
    path = overlay / name
    template = path.with_name(path.name + ".j2")
    return template if not os.path.lexists(path) and template.is_file() else path


def read_paths(path: Path) -> list[Word]:
    """The paths that an OVERLAY or INPUTS file names, one to a line, `#` comments; none when there is no file."""
    if not path.is_file():
        return []
    found: list[Word] = []
    for number, line in enumerate(path.read_bytes().decode("utf-8", "surrogateescape").splitlines(), 1):
        text = line.partition("#")[0]
        if text.strip():
            found.append(Word(text.strip(), number, len(text) - len(text.lstrip()) + 1))
    return found


def can_run(path: Path) -> bool:
    """Whether it is a file with a run bit, for whomever."""
    return path.is_file() and bool(path.stat().st_mode & 0o111)


def sorted_entries(directory: Path) -> list[Path]:
    """What the shell's `*` gives in the directory in the C locale: hidden names left out, sorted by bytes."""
    found = [entry for entry in directory.iterdir() if not entry.name.startswith(".")]
    return sorted(found, key=lambda entry: os.fsencode(entry.name))


def files_below(path: Path) -> tuple[Path, ...]:
    """All files at and below `path`, hidden ones too, sorted by bytes; nothing when there is nothing.

    Links below `path` are files, wherever they lead.
    """
    if path.is_dir():
        return tuple(sorted((file for entry in path.iterdir() for file in _walk(entry)), key=os.fsencode))
    return tuple(_walk(path))


def files_behind_links(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files that the relative links among `paths` lead to, sorted; those of a directory, when it is one.

    An absolute link is meant for the root filesystem that it will be copied to.
    """
    found: set[Path] = set()
    queue = list(paths)
    while queue:
        path = queue.pop()
        if path.is_symlink() and not path.readlink().is_absolute():
            new = set(files_below(path.resolve())) - found
            found |= new
            queue += new
    return tuple(sorted(found, key=os.fsencode))


def _walk(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            yield from _walk(entry)
    elif os.path.lexists(path):
        yield path

"""Checks stages before anything runs: every mistake that would otherwise show late in a build, or never.

What pi-gen passes over in silence, such as a script without run bit, is a problem in a strict stage and a
warning in another.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from .errors import Problem
from .profile import Profile
from .scriptcheck import check_chroot_shebang, check_line_ends, check_shebang
from .stages import (
    STEP_NAME,
    Stage,
    Step,
    StepKind,
    SubStage,
    Word,
    can_run,
    files_below,
    overlay_source,
    read_packages,
    read_paths,
    sorted_entries,
)
from .suggestion import did_you_mean, nearest
from .valuechecks import is_package

Known = Callable[[str], bool]
Suggest = Callable[[str], str | None]
Findings = tuple[tuple[Problem, ...], tuple[Problem, ...]]

STAGE_FILES = ("prerun.sh", "SKIP", "SKIP_IMAGES", "EXPORT_IMAGE", "EXPORT_NOOBS")
SUBSTAGE_FILES = ("SKIP", "OVERLAY", "INPUTS")
PUT_ASIDE = re.compile(r".*(~|\.bak|\.old|\.orig|\.rej|\.disabled|\.dpkg-\w+|\.sw[op])", re.IGNORECASE)


def check_stages(
    stages: Iterable[Stage],
    known_packages: Known | None = None,
    suggest: Suggest | None = None,
    *,
    strict: Callable[[Path], bool] = lambda stage: True,
) -> Findings:
    """All problems of the stages, and all warnings.

    known_packages   whether a package of this name can be installed; None leaves the names unchecked
    suggest          the package name nearest to a wrong one
    strict           whether the stage in a directory is strict, such as Profile.is_strict
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for stage in stages:
        check = _StageCheck(stage, strict(stage.path), known_packages, suggest)
        check.check()
        problems += check.problems
        warnings += check.warnings
    return tuple(problems), tuple(warnings)


def check_profile_packages(profile: Profile, known: Known, suggest: Suggest | None = None) -> tuple[Problem, ...]:
    """Those of the profile's own `packages` that are not known."""
    return tuple(
        profile.problem(f"packages[{index}]", f"there is no package '{name}'", _package_hint(name, suggest))
        for index, name in enumerate(profile.packages)
        if not known(name.partition(":")[0])
    )


def _package_hint(name: str, suggest: Suggest | None) -> str | None:
    found = suggest(name) if suggest is not None else None
    return f"did you mean '{found}'?" if found else None


class _StageCheck:
    def __init__(self, stage: Stage, strict: bool, known: Known | None, suggest: Suggest | None) -> None:
        self.stage = stage
        self.strict = strict
        self.known = known
        self.suggest = suggest
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def check(self) -> None:
        stage = self.stage
        if stage.export_noobs:
            self._warn(Problem(stage.path / "EXPORT_NOOBS", 0, 0, "not supported: no files for NOOBS are made"))
        if stage.skip:
            self._warn(Problem(stage.path / "SKIP", 0, 0, "the whole stage is skipped"))
            return
        self._check_prerun(stage.path / "prerun.sh")
        self._check_names(stage.path, STAGE_FILES, in_stage=True)
        substages = {substage.name: substage for substage in stage.substages}
        for entry in sorted_entries(stage.path):
            substage = substages.get(entry.name)
            if substage is not None and substage.skip:
                self._warn(Problem(entry / "SKIP", 0, 0, "the sub-stage is skipped"))
            elif substage is not None:
                self._check_substage(substage)
            elif entry.is_dir() and entry.name != "files":
                self._check_names(entry, SUBSTAGE_FILES)

    def _error(self, problem: Problem | None) -> None:
        if problem is not None:
            self.problems.append(problem)

    def _warn(self, problem: Problem) -> None:
        self.warnings.append(problem)

    def _fault(self, problem: Problem | None) -> None:
        """Something that pi-gen puts up with."""
        if problem is not None:
            (self.problems if self.strict else self.warnings).append(problem)

    def _check_prerun(self, path: Path) -> None:
        if path.is_file():
            self._check_run_bit(path)
            if can_run(path):
                self._check_script(path)

    def _check_run_bit(self, path: Path) -> None:
        if not can_run(path):
            hint = f"chmod +x {shlex.quote(str(path))}"
            self._fault(Problem(path, 0, 0, "has no run bit, so that it would be skipped", hint))

    def _check_script(self, path: Path) -> None:
        data = path.read_bytes()
        self._error(check_line_ends(path, data))
        wrong = check_shebang(path, data)
        # bash, which starts the script in pi-gen, reads one without this line itself
        (self._fault if wrong is not None and not data.startswith(b"#!") else self._error)(wrong)

    def _check_substage(self, substage: SubStage) -> None:
        self._check_names(substage.path, SUBSTAGE_FILES)
        if not substage.steps:
            self._warn(Problem(substage.path, 0, 0, "the sub-stage has no steps"))
        for step in substage.steps:
            try:
                self._check_step(step)
            except OSError as error:
                self._error(Problem(step.path, 0, 0, f"cannot be read: {error.strerror}"))
        self._check_paths(substage.path / "OVERLAY", substage.path.parent.parent.parent / "overlay")
        self._check_paths(substage.path / "INPUTS", substage.path)

    def _check_step(self, step: Step) -> None:
        path = step.path
        if step.kind is StepKind.PATCHES:
            self._check_patches(path)
        elif step.kind is StepKind.RUN:
            self._check_run_bit(path)
            if self.strict or not step.skipped:
                self._check_script(path)
        elif step.kind is StepKind.RUN_CHROOT:
            data = path.read_bytes()
            self._error(check_line_ends(path, data))
            self._fault(check_chroot_shebang(path, data))
        else:
            self._fault(check_line_ends(path, path.read_bytes()))
            if step.kind is not StepKind.DEBCONF:
                self._check_packages(path)

    def _check_packages(self, path: Path) -> None:
        for word in read_packages(path):
            # apt-get(8), install: NAME:ARCH, NAME=VERSION, NAME/RELEASE, NAME+, NAME- (remove), TASK^
            name = re.split(r"[=/]", word.text)[0]
            bare = name.partition(":")[0]
            if name.endswith("^"):
                continue
            if is_package(name) is not None:
                message = f"'{word.text}' cannot be a package's name"
                self._fault(Problem(path, word.line, word.column, message, "one name to a word, '#' for comments"))
            elif self.known is not None and not self.known(bare) and not self._known_with_sign(bare):
                hint = _package_hint(bare, self.suggest)
                self._error(Problem(path, word.line, word.column, f"there is no package '{bare}'", hint))

    def _known_with_sign(self, name: str) -> bool:
        return self.known is not None and name[-1] in "+-" and self.known(name[:-1])

    def _check_patches(self, directory: Path) -> None:
        series = directory / "series"
        if not series.is_file():
            self._error(Problem(directory, 0, 0, "has no 'series' file, which names the patches in order"))
            return
        files = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
        named: set[str] = set()
        for number, line in enumerate(series.read_text("utf-8", "replace").split("\n"), 1):
            match = re.match(r"\s*([^\s#]\S*)", line)
            if match is None:
                continue
            named.add(match[1])
            if match[1] not in files:
                hint = did_you_mean(match[1], files - {"series"})
                self._error(Problem(series, number, match.start(1) + 1, f"there is no patch '{match[1]}'", hint))
        for name in sorted(files):
            if name.endswith((".diff", ".patch")) and name not in named:
                self._warn(Problem(directory / name, 0, 0, "is not applied, as 'series' does not name it"))
        if "EDIT" in files:
            self._warn(Problem(directory / "EDIT", 0, 0, "not supported: no shell is opened to edit patches"))

    def _check_paths(self, listing: Path, base: Path) -> None:
        for word in read_paths(listing):
            is_overlay = listing.name == "OVERLAY"
            path = overlay_source(base, word.text) if is_overlay else base / word.text
            if is_overlay and (word.text.startswith("/") or ".." in Path(word.text).parts):
                message = f"'{word.text}' leads out of the overlay"
                self._fault(_at(listing, word, message, "paths begin in overlay/, such as etc/fstab"))
            elif not os.path.lexists(path):
                near = (
                    [e.relative_to(base).as_posix().removesuffix(".j2") for e in path.parent.iterdir()]
                    if path.parent.is_dir()
                    else []
                )
                self._fault(_at(listing, word, f"there is no {path}", did_you_mean(word.text, near)))
            elif is_overlay and path.is_dir() and not files_below(path):
                self._fault(_at(listing, word, f"there are no files in {path}", None))

    def _check_names(self, directory: Path, special: tuple[str, ...], in_stage: bool = False) -> None:
        """Names that look like one that would be used, but are not."""
        for entry in sorted_entries(directory):
            name = entry.name
            if PUT_ASIDE.fullmatch(name) or name in special or (in_stage and entry.is_dir()):
                continue
            if STEP_NAME.fullmatch(name):
                is_patches = name.endswith(StepKind.PATCHES.value)
                if in_stage:
                    self._fault(Problem(entry, 0, 0, "would not run: a step belongs in a sub-stage directory"))
                elif entry.is_dir() is not is_patches:
                    what = "must be a directory" if is_patches else "must be a file"
                    self._fault(Problem(entry, 0, 0, f"would not be used: it {what}"))
                continue
            meant = _step_meant(name) if not in_stage else None
            meant = meant or (nearest(name, special) if _is_near(name, special) else None)
            if meant is not None:
                self._fault(Problem(entry, 0, 0, "would not be used", f"did you mean '{meant}'?"))


def _at(path: Path, word: Word, message: str, hint: str | None) -> Problem:
    return Problem(path, word.line, word.column, message, hint)


def _is_near(name: str, special: tuple[str, ...]) -> bool:
    return bool(difflib.get_close_matches(name.lower(), [s.lower() for s in special], n=1, cutoff=0.85))


def _step_meant(name: str) -> str | None:
    """`00-packages` for `0-packages`, `00-package` or `00_packages`; None when it is like no step."""
    match = re.fullmatch(r"([0-9]*)[-_. ]?([A-Za-z].*)", name)
    if match is None:
        return None
    kinds = [kind.value for kind in StepKind]
    rest = match[2].lower().replace("_", "-")
    found = [rest + ".sh"] if rest + ".sh" in kinds else difflib.get_close_matches(rest, kinds, n=1, cutoff=0.8)
    if not found or (not match[1] and rest not in kinds):
        return None
    return f"{int(match[1] or 0) % 100:02d}-{found[0]}"

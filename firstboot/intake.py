"""What lies on the FAT partition for the first boot: a preset file, or Raspberry Pi Imager's settings."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from .answers import Answers
from .cleaning import FOLDER, MISTAKES, leave_clean, take_away
from .durable import DISK, Disk, write_file
from .errors import FaultyFile
from .imagersettings import USER_DATA, imager_lacks, read_imager
from .journal import State
from .phases import APPLY
from .preset import FILE, Lacking, Preset, find_preset, read_file
from .wizard import Wizard

log = logging.getLogger(__name__)


def take_in(wizard: Wizard, root: Path, disk: Disk = DISK) -> None:
    """Answer what the files on the card answer, or show what is wrong with them. Nothing is half-taken."""
    folder = root / FOLDER
    try:
        path = find_preset(folder)
        if path is None:
            _take_imagers(wizard, folder)
        else:
            _take_preset(wizard, path)
    except FaultyFile as error:
        log.warning("%s", error)
        _tell(folder, error.lines(), disk)
        wizard.show_faults(error.file, error.lines())
    clean_up(wizard, root, disk)


def _take_imagers(wizard: Wizard, folder: Path) -> None:
    imager = read_imager(folder, wizard.around)
    given = tuple(path for path, _ in imager.leaves())
    if not given:
        return
    if "keeper.hash" in given:
        given += ("keeper.password",)
    wizard.take(State(answers=imager, given=given, preset=USER_DATA))


def lacking(wizard: Wizard, root: Path) -> bool:
    """Whether the files on the card want network hardware that is not there, or not yet."""
    folder, around, before = root / FOLDER, wizard.around, wizard.state
    try:
        path = find_preset(folder)
        if path is None:
            return imager_lacks(folder, around)
        preset = read_file(path, around)
        given = dict(preset.answers.leaves())
        if preset.ask:
            return False
        if not {"network.kind", "link.kind"} <= given.keys() and not (around.radios() and around.sockets()):
            return True  # what the node would choose depends on them
        _fill_in(wizard, preset)
    except Lacking:
        return True
    except FaultyFile:
        return False
    finally:
        wizard.state = before
        wizard.forget_suggestions()
    return False


def _take_preset(wizard: Wizard, path: Path) -> None:
    preset = read_file(path, wizard.around)
    given = tuple(path for path, _ in preset.answers.leaves())
    if "keeper.hash" in given:
        given += ("keeper.password",)
    state = State(answers=preset.answers, given=given, preset=FILE, unattended=not preset.ask)
    if not preset.ask:
        state = replace(state, at=APPLY, answers=_fill_in(wizard, preset))
    wizard.take(state)
    log.info("%s is taken", path.name)


def _fill_in(wizard: Wizard, preset: Preset) -> Answers:
    """The file's answers with all others as Enter has them. Raises FaultyFile where Enter has none, or one that does
    not go with the others.
    """
    before = wizard.state
    wizard.state = replace(before, answers=preset.answers)
    try:
        troubles = wizard.fill_in()
        if troubles:
            raise preset.faulty(troubles)
        return wizard.answers.without("keeper.password") if preset.answers.get("keeper.hash") else wizard.answers
    finally:
        wizard.state = before


def _tell(folder: Path, lines: list[str], disk: Disk) -> None:
    """Leave the mistakes beside the file, for those who have no TV."""
    try:
        write_file(folder / MISTAKES, "".join(f"{line}\n" for line in lines).encode(), 0o600, disk)
    except OSError as error:
        log.warning("%s: %s", MISTAKES, error)


def clean_up(wizard: Wizard, root: Path, disk: Disk = DISK) -> None:
    """Take the secrets off the FAT partition: now, where they are in the journal; in any case before the end is marked.

    Done again at each start, until none is left; also after the end.
    """
    wizard.ending = lambda: leave_clean(root, disk)
    if wizard.state.preset:
        take_away(root / FOLDER, disk, whole=False)

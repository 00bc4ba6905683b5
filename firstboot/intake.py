"""What lies on the FAT partition for the first boot: a preset file, or Raspberry Pi Imager's settings."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from .answers import Answers
from .cleaning import FOLDER, MISTAKES, leave_clean, take_away
from .durable import DISK, Disk, write_file
from .errors import Fault, FaultyFile
from .imagersettings import USER_DATA, imager_lacks, read_imager
from .journal import State
from .phases import APPLY
from .preset import FILE, Lacking, Preset, read_preset
from .surroundings import Surroundings
from .wizard import Wizard

LARGEST = 1_000_000
"""Bytes of a preset file."""

log = logging.getLogger(__name__)


def take_in(wizard: Wizard, root: Path, disk: Disk = DISK) -> None:
    """Answer what the files on the card answer, or show what is wrong with them. Nothing is half-taken."""
    folder = root / FOLDER
    imager = read_imager(folder, wizard.around)
    path = folder / FILE
    if path.exists():
        try:
            _take_preset(wizard, path)
        except FaultyFile as error:
            log.warning("%s", error)
            _tell(folder, error.lines(), disk)
            wizard.show_faults(FILE, error.lines())
    elif list(imager.leaves()):
        given = tuple(path for path, _ in imager.leaves())
        if "keeper.hash" in given:
            given += ("keeper.password",)
        wizard.take(State(answers=imager, given=given, preset=USER_DATA))
    clean_up(wizard, root, disk)


def lacking(wizard: Wizard, root: Path) -> bool:
    """Whether the files on the card want network hardware that is not there, or not yet."""
    path, around, before = root / FOLDER / FILE, wizard.around, wizard.state
    if not path.exists():
        return imager_lacks(root / FOLDER, around)
    try:
        preset = _read(path, around)
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


def _read(path: Path, around: Surroundings) -> Preset:
    try:
        text = path.read_bytes()[:LARGEST].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FaultyFile(FILE, [Fault(0, 0, "this is no text in UTF-8", "save it again as UTF-8")]) from None
    except IsADirectoryError:
        raise FaultyFile(FILE, [Fault(0, 0, "this is a folder, and no file", "give the file this name")]) from None
    except OSError as error:
        why = f"the card does not give this file back: {error.strerror}"
        raise FaultyFile(FILE, [Fault(0, 0, why, "copy it to the card again, or to another card")]) from None
    return read_preset(text, around)


def _take_preset(wizard: Wizard, path: Path) -> None:
    preset = _read(path, wizard.around)
    given = tuple(path for path, _ in preset.answers.leaves())
    if "keeper.hash" in given:
        given += ("keeper.password",)
    state = State(answers=preset.answers, given=given, preset=FILE, unattended=not preset.ask)
    if not preset.ask:
        state = replace(state, at=APPLY, answers=_fill_in(wizard, preset))
    wizard.take(state)


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

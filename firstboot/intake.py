"""What lies on the FAT partition for the first boot: a preset file, or Raspberry Pi Imager's settings."""

from __future__ import annotations

import logging
from pathlib import Path

from .durable import DISK, Disk, write_file
from .errors import Fault, FaultyFile
from .imagersettings import USER_DATA, read_imager, redact_imager
from .journal import State
from .phases import APPLY
from .preset import FILE, read_preset
from .redacting import redact
from .texts import texts
from .wizard import Wizard

FOLDER = Path("boot/firmware")
MISTAKES = "mojomail-mistakes.txt"
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
    clean_up(wizard, root)


def _take_preset(wizard: Wizard, path: Path) -> None:
    try:
        text = path.read_bytes()[:LARGEST].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FaultyFile(FILE, [Fault(0, 0, "this is no text in UTF-8", "save it again as UTF-8")]) from None
    preset = read_preset(text, wizard.around)
    given = tuple(path for path, _ in preset.answers.leaves())
    if "keeper.hash" in given:
        given += ("keeper.password",)
    state = State(answers=preset.answers, given=given, preset=FILE, unattended=not preset.ask)
    if preset.ask:
        wizard.take(state)
        return
    wizard.state = state
    troubles = wizard.fill_in()
    if troubles:
        say = texts("en").say
        wizard.state = State()
        lines = [f"{FILE}: {where}: {say(f'problems|{problem.key}', **problem.given)}" for where, problem in troubles]
        wizard.show_faults(FILE, lines)
        return
    answers = wizard.answers
    wizard.take(State(at=APPLY, answers=answers, given=given, preset=FILE, unattended=True))


def _tell(folder: Path, lines: list[str], disk: Disk) -> None:
    """Leave the mistakes beside the file, for those who have no TV."""
    try:
        write_file(folder / MISTAKES, "".join(f"{line}\n" for line in lines).encode(), 0o600, disk)
    except OSError as error:
        log.warning("%s: %s", MISTAKES, error)


def clean_up(wizard: Wizard, root: Path, disk: Disk = DISK) -> None:
    """Take the secrets off the FAT partition: now, where they are in the journal; in any case before the end is marked.

    Done again at each start, until none is left.
    """
    wizard.ending = lambda: _take_away(root / FOLDER, disk, whole=True)
    if wizard.state.preset:
        _take_away(root / FOLDER, disk, whole=False)


def _take_away(folder: Path, disk: Disk, *, whole: bool) -> None:
    try:
        if redact(folder / FILE, disk=disk, whole=whole):
            log.info("%s: the secrets are taken out", FILE)
        redact_imager(folder, disk, whole=whole)
        (folder / MISTAKES).unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: %s", folder, error)

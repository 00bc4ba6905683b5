"""What every node must be once it is up: which errors are let pass, and what counts as a picture."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.flows.goodnode import EXPLAINED, PAINTED, Explained, assert_picture_fits, unexplained
from tests.lab.qemu import LANES

Entry = dict[str, object]


def node_that_says(*entries: Entry, lane: str = "virt") -> Any:
    """A node with these errors in its journal."""
    return SimpleNamespace(lane=LANES[lane], journal=lambda priority: list(entries) if priority == "err" else [])


def said(who: str, message: object) -> Entry:
    return {"SYSLOG_IDENTIFIER": who, "MESSAGE": message}


@pytest.mark.parametrize("entry", EXPLAINED, ids=lambda entry: entry.pattern[:40])
def test_each_explained_error_has_a_pattern_a_reason_and_boards(entry: Explained) -> None:
    re.compile(entry.pattern)
    assert len(entry.reason.split()) >= 4, "a reason tells why it may be there"
    assert entry.lanes and set(entry.lanes) <= set(LANES)


@pytest.mark.parametrize("entry", EXPLAINED, ids=lambda entry: entry.pattern[:40])
def test_no_explained_error_covers_what_another_program_says(entry: Explained) -> None:
    """Nor that a unit of ours has failed: each of its alternatives names who says it."""
    for line in (
        "systemd: Failed to start mojomaild.service - The mail office.",
        "systemd: Failed to start postfix.service - Postfix Mail Transport Agent.",
        "kernel: EXT4-fs error (device vda2): ext4_lookup:1858: inode #2: comm sh: deleted inode referenced: 12",
        "kernel: Out of memory: Killed process 1",
        "dovecot: imap(asha): Error: Mailbox INBOX: corrupted",
        "dovecot: imap: Fatal: master: service(imap): child 1771 killed with signal 11 (core dumped)",
        "mojomaild: Traceback",
        "",
    ):
        assert not re.fullmatch(entry.pattern, line), line


KNOWN = said("kernel", "leds-gpio leds: probe with driver leds-gpio failed with error -5")


def test_an_explained_error_is_let_pass_on_its_boards_alone() -> None:
    assert unexplained(node_that_says(KNOWN, lane="raspi3b")) == []
    assert unexplained(node_that_says(KNOWN, lane="virt")) == [f"kernel: {KNOWN['MESSAGE']}"]


@pytest.mark.parametrize(
    "line",
    [
        said("kernel", "then leds-gpio leds: probe with driver leds-gpio failed"),
        said("kernel", "cpu cpu0: Cannot get clock for CPU0, and then it burned"),
        said("other", "leds-gpio leds: probe with driver leds-gpio failed with error -5"),
    ],
    ids=["more before", "more behind", "somebody else"],
)
def test_an_error_that_is_explained_in_part_is_not_explained(line: Entry) -> None:
    assert unexplained(node_that_says(line, lane="raspi3b")) == [f"{line['SYSLOG_IDENTIFIER']}: {line['MESSAGE']}"]


def test_a_message_that_is_not_utf_8_is_shown_all_the_same() -> None:
    assert unexplained(node_that_says(said("x", list(b"caf\xe9")))) == ["x: caf\ufffd"]


class Television:
    """A node's screen with so many lit pixels; the node has a wizard, or has none."""

    def __init__(self, lit: int, size: tuple[int, int], wizard: bool) -> None:
        self._lit, self._size, self._wizard = lit, size, wizard

    def execute(self, command: str) -> Any:
        assert command == "systemctl cat mojomail-firstboot.service"
        return SimpleNamespace(code=0 if self._wizard else 1)

    def wait_for_picture(self, limit: float = 60.0, pixels: int = 500) -> None:
        assert self._lit >= pixels, f"a picture of {pixels} pixels: not after {limit:g} s"

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", *self._size))
        return path


TEXT = 44_000
"""Lit pixels of a console of 1280x720 full of a boot's words, in the image's font (Terminus Bold, 24x12)."""


def television(lit: int, size: tuple[int, int] = (1280, 720), *, wizard: bool) -> Any:
    return Television(lit, size, wizard)


def test_a_screen_of_text_is_no_picture_where_there_is_a_wizard(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=f"a picture of {PAINTED} pixels"):
        assert_picture_fits(television(TEXT, wizard=True), (1280, 720), tmp_path)
    assert_picture_fits(television(PAINTED, wizard=True), (1280, 720), tmp_path)


def test_a_screen_of_text_is_all_that_an_image_without_a_wizard_shows(tmp_path: Path) -> None:
    assert_picture_fits(television(TEXT, wizard=False), (1280, 720), tmp_path)
    with pytest.raises(AssertionError, match="a picture of 500 pixels"):
        assert_picture_fits(television(100, wizard=False), (1280, 720), tmp_path)


def test_a_picture_of_another_size_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        assert_picture_fits(television(PAINTED, (640, 480), wizard=True), (720, 576), tmp_path)

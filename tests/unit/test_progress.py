"""Steps tell what is going on: a live line on a terminal, plain lines elsewhere, and times for the report."""

from __future__ import annotations

import io
import os
import pty
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from imagebuilder import progress
from imagebuilder.progress import Progress, detail, format_seconds, note, showing, step


def shown(shower: Progress) -> list[str]:
    """The lines so far, without times."""
    assert isinstance(shower.stream, io.StringIO)
    return re.sub(r"\d+(\.\d)? s", "TIME", shower.stream.getvalue()).splitlines()


def test_steps_are_plain_lines_where_there_is_no_terminal() -> None:
    with showing(Progress(io.StringIO())) as shower:
        with step("stage"), step("sub-stage"):
            note("warning: something")
            detail("never shown in a log")
        with step("image"):
            pass
    assert shown(shower) == ["stage ...", "  sub-stage ...", "    warning: something", "image ..."]


def test_step_that_took_long_tells_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 66.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with showing(Progress(io.StringIO())) as shower, step("unpack 325 packages"):
        pass
    assert shower.stream.getvalue() == "unpack 325 packages ...\nunpack 325 packages: done in 1 min 05 s\n"


def test_failed_step_is_told_as_failed_with_all_around_it() -> None:
    with showing(Progress(io.StringIO())) as shower, pytest.raises(ValueError), step("stage"), step("sub-stage"):
        raise ValueError
    assert shown(shower) == ["stage ...", "  sub-stage ...", "  sub-stage: failed in TIME", "stage: failed in TIME"]


def test_times_are_kept_for_the_report() -> None:
    with showing(Progress(io.StringIO())) as shower:
        with step("stage"):
            with step("first"):
                time.sleep(0.02)
            with step("second"):
                pass
        with pytest.raises(ValueError), step("failed"):
            raise ValueError
    assert [child.name for child in shower.root.children] == ["stage", "failed"]
    stage = shower.root.children[0]
    assert [child.name for child in stage.children] == ["first", "second"]
    assert stage.seconds >= stage.children[0].seconds >= 0.02


def test_without_progress_steps_are_timed_and_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with step("alone") as timing:
        time.sleep(0.01)
        note("waiting for something")
        detail("nothing")
    assert timing.seconds >= 0.01
    assert capsys.readouterr().err == "waiting for something\n"


@contextmanager
def terminal() -> Iterator[tuple[io.TextIOWrapper, int]]:
    """The two ends of a terminal: a stream to write to, and a descriptor to read from."""
    master, slave = pty.openpty()
    stream = os.fdopen(slave, "w")
    try:
        yield stream, master
    finally:
        stream.close()
        os.close(master)


def read_until(master: int, wanted: str, seconds: float = 5) -> str:
    """What comes from a terminal until `wanted` is in it."""
    text = ""
    end = time.monotonic() + seconds
    while wanted not in text:
        assert time.monotonic() < end, text
        text += os.read(master, 65536).decode()
    return text


def test_terminal_has_a_live_line_with_elapsed_and_expected_time_and_detail() -> None:
    with terminal() as (stream, master):
        with showing(Progress(stream, {"unpack": 83.0})) as shower, step("unpack"):
            detail("linux-image")
            text = read_until(master, "linux-image")
        assert re.search(r"\r\x1b\[K\[\d\.\d s\] unpack \d\.\d s of about 1 min 23 s  linux-image", text)
        rest = read_until(master, "done in")
        assert re.search(r"\r\x1b\[Kunpack: done in \d\.\d s", rest)
        assert shower._ticker is None, "the thread that draws the line ends with the last step"


def test_note_on_a_terminal_does_not_mix_with_the_live_line() -> None:
    with terminal() as (stream, master), showing(Progress(stream)), step("build"):
        read_until(master, "build")
        note("warning: old indexes")
        assert "\r\x1b[K  warning: old indexes\r\n" in read_until(master, "indexes").replace("\x1b[K\x1b[K", "\x1b[K")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.97, "10 s"), (12.4, "12 s"), (59.4, "59 s")),
        *((59.7, "1 min 00 s"), (65.2, "1 min 05 s"), (3599.7, "60 min 00 s")),
    ],
)
def test_durations_as_people_read_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text

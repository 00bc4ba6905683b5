"""A clock that is set back does not stop the mail: overlay/usr/lib/mojomail/clock-was-set."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROGRAM = ROOT / "overlay/usr/lib/mojomail/clock-was-set"
UP = 1000


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A tree of a machine that has been up for UP seconds, with programs that write down how they were called."""
    for folder in ("proc", "run/mojomail-clock", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/uptime").write_text(f"{UP}.25 2.00\n")
    for name in ("systemctl", "postqueue"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/called\n')
        program.chmod(0o755)
    return tmp_path


def called(node: Path) -> list[str]:
    """What the program does when it is run."""
    path = f"{node}/bin:{os.environ['PATH']}"
    subprocess.run([PROGRAM], env={"PATH": path, "MOJOMAIL_ROOT": str(node)}, check=True, stdout=subprocess.DEVNULL)
    log = node / "called"
    return log.read_text().splitlines() if log.exists() else []


def remember(node: Path, seconds: int) -> None:
    """Let the clock have been ahead by so much at the last look."""
    (node / "run/mojomail-clock/began").write_text(f"{int(time.time()) - UP + seconds}\n")


def test_first_look_only_remembers(node: Path) -> None:
    assert called(node) == []
    assert abs(int((node / "run/mojomail-clock/began").read_text()) - (time.time() - UP)) < 30


@pytest.mark.parametrize("seconds", [0, 20, -20, -86400])
def test_a_clock_that_is_right_or_set_forward_disturbs_nobody(node: Path, seconds: int) -> None:
    remember(node, seconds)
    assert called(node) == []


def test_after_a_clock_set_back_the_certificate_is_looked_at_and_postfix_begins_anew_once(node: Path) -> None:
    remember(node, 3600)
    expected = ["systemctl --no-block restart mojomail-certificate.service", "systemctl try-restart postfix.service"]
    assert called(node) == expected
    assert called(node) == expected, "and only once"


def test_after_a_clock_set_back_waiting_mail_is_due_and_none_is_sent_out_of_turn(node: Path) -> None:
    remember(node, 3600)
    mails = [node / "var/spool/postfix" / name for name in ("deferred/4/4dF9Zk1q2Jz3x", "incoming/4dF9Zk1q2Jz3y")]
    held = node / "var/spool/postfix/hold/4dF9Zk1q2Jz3z"
    tomorrow = time.time() + 86400
    for mail in (*mails, held):
        mail.parent.mkdir(parents=True)
        mail.write_bytes(b"")
        os.utime(mail, (tomorrow, tomorrow))
    done = called(node)
    assert [mail.stat().st_mtime <= time.time() for mail in (*mails, held)] == [True, True, False]
    assert not any(line.startswith("postqueue") for line in done)


def test_its_unit_lets_it_reach_the_files_of_waiting_mail() -> None:
    unit = (ROOT / "overlay/usr/lib/systemd/system/mojomail-clock.service").read_text().splitlines()
    assert {"CapabilityBoundingSet=CAP_DAC_OVERRIDE", "ReadWritePaths=/var/spool/postfix"} <= set(unit)

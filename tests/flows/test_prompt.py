"""`make lab` as a person has it: on a terminal, from the first line it prints to Ctrl-D."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import FAILURES, ROOT
from tests.flows.conftest import LIMITS
from tests.flows.leftovers import descendants, homes, still_there, wait_until
from tests.lab import processes

CTRL_C, CTRL_D = b"\x03", b"\x04"
ANSI = re.compile(r"\x1b\[[?\d;]*[a-zA-Z]|\r")


class Terminal:
    """A terminal that a program runs on; what it showed so far is `text`."""

    def __init__(self, master: int, program: subprocess.Popen[bytes]) -> None:
        self.master, self.program, self.text, self._looked = master, program, "", 0

    def wait_for(self, pattern: str, limit: float) -> re.Match[str]:
        """Wait until something is shown after what was waited for before; fails after `limit` seconds."""
        end = time.monotonic() + limit
        while (found := re.compile(pattern, re.MULTILINE).search(self.text, self._looked)) is None:
            assert time.monotonic() < end, f"{pattern!r} is not shown after {limit} s:\n{self.text}"
            assert self._read() or self.program.poll() is None, f"it ended before {pattern!r}:\n{self.text}"
        self._looked = found.end()
        return found

    def _read(self) -> bool:
        if not select.select([self.master], [], [], 1)[0]:
            return False
        try:
            said = os.read(self.master, 1 << 16)
        except OSError:  # the program has closed its end
            return False
        self.text += ANSI.sub("", said.decode(errors="replace"))
        return bool(said)

    def end(self, limit: float) -> int | None:
        """Wait until the program is over; gives its exit code, None after `limit` seconds."""
        until = time.monotonic() + limit
        while self.program.poll() is None and time.monotonic() < until:
            self._read()
        return self.program.returncode

    def ask(self, line: str, answer: str, limit: float = 120.0) -> re.Match[str]:
        """Type a line, and wait for what it prints: the line itself is shown as it is typed."""
        os.write(self.master, line.encode() + b"\n")
        self.wait_for(re.escape(line), 60)
        return self.wait_for(answer, limit)


@contextmanager
def prompt(image: Path, out: Path, state: Path) -> Iterator[Terminal]:
    """The prompt of `make lab` on a terminal of its own; what was shown stays as prompt.log in `out`."""
    master, slave = pty.openpty()
    # whoever leads a session and opens a terminal has it as theirs from then on, with Ctrl-C
    words = ["sh", "-c", 'exec <> "$0" >&0 2>&0 && exec "$@"', os.ttyname(slave)]
    words += [sys.executable, "-m", "tests.lab.prompt", str(image)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "400"}
    program = processes.start(words, env=environment | {"XDG_STATE_HOME": str(state)})
    terminal = Terminal(master, program)
    try:
        terminal.wait_for(r"TV +vnc://127\.0\.0\.1:\d+", 300)
        os.close(slave)  # it has opened it itself by now
        yield terminal
    except BaseException:
        with suppress(AssertionError, OSError):
            terminal.ask(
                f"node.bundle(Path({str(FAILURES / 'prompt')!r})); print('it is', 'kept')", "^it is kept$", 180
            )
        raise
    finally:
        (out / "prompt.log").write_text(terminal.text)
        processes.end(program, patience=60)
        os.close(master)


def test_the_machine_can_be_asked_and_looked_at_and_is_gone_after_ctrl_d(
    image: Path, tmp_path: Path, out: Path
) -> None:
    with prompt(image, out, tmp_path / "state") as terminal:
        wizard = terminal.wait_for(r"wizard +(http://[\d.]+:\d+/)", 10)[1]
        terminal.wait_for(r"webmail +https://[\d.]+:\d+/", 10)
        terminal.wait_for(r"prompt .*Ctrl-D ends", 10)
        terminal.ask("node", r"<node: .* on virt, on>")

        terminal.wait_for(r"node is up, \d+ s after power-on", LIMITS["virt"])
        terminal.ask("node.wait_for_control(600); print('it', 'listens')", "^it listens$", 600)
        terminal.ask("node.succeed('echo one; echo two')", "^one\ntwo$")
        terminal.ask("node.succeed('false')", r"^false\n  exit code 1$")
        terminal.ask("room.wait_for_screen('language')['screen']", "^'language'$")
        terminal.ask("room.pin()", r"^'\d{6}'$")
        with urllib.request.urlopen(wizard, timeout=60) as page:
            assert "PIN" in page.read().decode()
        terminal.ask(f"node.screenshot({str(tmp_path / 'tv.png')!r})", "^PosixPath")
        assert (tmp_path / "tv.png").read_bytes().startswith(b"\x89PNG")
        terminal.ask("len(village.ping())", "^5$")
        terminal.ask("world.uplink.use('none'); world.uplink.state()", "^'none'$")

        terminal.ask("node.snapshot('here'); node.plug_dongle(dongle); print('plugged', 'in')", "^plugged in$", 300)
        terminal.ask("node.snapshot('there')", "^no snapshot can be made: unplug the dongle first$")
        terminal.ask("node.restore('here'); node.succeed('cd /dev; ls ttyUSB* ttyAMA0 || true')", "^ttyAMA0$", 300)

        # Ctrl-C ends what is being waited for, and the next answer is the next question's
        terminal.ask("print('it', 'waits'); world.uplink.wait_for_state('cut', 300)", "^it waits$")
        os.write(terminal.master, CTRL_C)
        terminal.wait_for("^KeyboardInterrupt$", 60)
        terminal.ask("world.uplink.state()", "^'none'$")

        family = descendants(terminal.program.pid)
        namespaces = {home for number in family for home in homes(number)} - set(homes(os.getpid()))
        assert namespaces and len(family) > 5
        os.write(terminal.master, CTRL_D)
        assert terminal.end(120) == 0, terminal.text
        wait_until(lambda: not still_there(family, namespaces), 90)
        with pytest.raises(OSError):
            urllib.request.urlopen(wizard, timeout=10)
        assert "room.pin()" in (tmp_path / "state/mojomail/lab-history").read_text()

"""Somebody at the TV of a new node: what its screens say (asked at the wizard's state socket), and what is typed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.lab.keyboard import keys_of
from tests.lab.machine import Machine

SOCKET = "/run/mojomail/firstboot-state"
JOURNAL = "/var/lib/mojomail/firstboot/journal.json"
ASK = f"""perl -MIO::Socket::UNIX -e '
    my ($before, $looks) = @ARGV;
    while (1) {{
        my $asked = IO::Socket::UNIX->new("{SOCKET}");
        my $told = $asked ? join "", $asked->getlines : "";
        chomp $told;
        if ( $told ne $before || $looks-- <= 0 ) {{ print $told; last }}
        select undef, undef, undef, 0.2;
    }}' """
"""Prints what is told, once it is not what it was before; its arguments: that, and after how many more looks anyhow.
To begin a program for each look would take the emulated machine longer than what it is waited for."""
LOOKS = 25
"""Looks of one such command, five a second."""
ANSWERED = 120.0
"""Seconds until the screen after an answer: some are looked up by other programs, and all is emulated."""
FOUND = 300.0
"""Seconds until a keyboard is found: on a first boot it may be later than the first screen."""
AHEAD = 14
"""Keys going down or up that the machine may not have taken yet: QEMU's keyboard keeps 16, and drops the others (QEMU's
hw/input/hid.c, QUEUE_LENGTH)."""
APPLIED = 900.0
"""Seconds until everything is in force and tried out."""
Told = dict[str, Any]


class WizardRoom:
    """The TV and the keyboard of a node. `pictures`: where to keep a picture of each screen, None for none."""

    def __init__(self, node: Machine, pictures: Path | None = None) -> None:
        self.node, self._pictures = node, pictures
        self.seen: list[str] = []

    # ---- looking

    def told(self) -> Told:
        """What is on the screen; {} while there is nobody to ask."""
        return self._read(self._ask())

    def _ask(self, before: str = "", looks: int = 0) -> str:
        """What is told, "" while there is nobody to ask; `looks` more are made while it is still as `before`."""
        return self.node.execute(f"{ASK} {shlex.quote(before)} {looks}").stdout

    @staticmethod
    def _read(said: str) -> Told:
        try:
            told: Told = json.loads(said)
        except ValueError:
            return {}
        return told

    def wait_for(self, what: str, condition: Callable[[Told], object], limit: float = ANSWERED) -> Told:
        """Wait until what is on the screen fits; gives it."""
        last: Told = {}
        said: str | None = None

        def fits() -> Told:
            nonlocal said
            said = self._ask() if said is None else self._ask(said, LOOKS)
            last.clear()
            last.update(self._read(said))
            return last if last and condition(last) else {}

        try:
            found: Told = self.node.wait_until(fits, limit, what)
        except Exception as error:
            raise AssertionError(f"{what}; on the screen: {last}\n{error}") from None
        return found

    def wait_for_screen(self, screen: str, limit: float = ANSWERED) -> Told:
        """Wait until a screen can be answered."""
        return self.wait_for(f"the screen {screen}", lambda told: told["screen"] == screen != told["field"], limit)

    def picture(self, name: str) -> None:
        """Keep a picture of the screen, if pictures are kept."""
        if self._pictures is not None:
            self.node.screenshot(self._pictures / f"{name}.png")

    def keep_pictures(self, place: str | Path) -> None:
        """Keep a picture of each screen in the directory `place` from now on."""
        self._pictures = Path(place)

    def pin(self) -> str:
        """The PIN for phones, as the TV shows it once there is an address."""
        told = self.wait_for("a PIN beside the question", lambda now: now["beside"])
        return next("".join(value.split()) for _, value in told["beside"] if re.fullmatch(r"\d{3} \d{3}", value))

    def journal(self) -> str:
        """The wizard's state on the card."""
        return self.node.succeed(f"cat {JOURNAL}")

    def answered(self) -> set[str]:
        """The questions that have an answer on the card."""

        def leaves(tree: Any, before: str) -> Iterator[str]:
            for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
                nested = isinstance(value, list) or (isinstance(value, dict) and set(value) != {"sealed"})
                yield from leaves(value, f"{before}{key}.") if nested else [f"{before}{key}"]

        written = self.node.execute(f"cat {JOURNAL}")
        return set() if written.code else set(leaves(json.loads(written.stdout)["answers"], ""))

    def memory_of(self, unit: str) -> int:
        """Bytes of memory of a unit's main process; what it shares with others counts in part (proc_pid_smaps(5))."""
        rollup = self.node.succeed(f"cat /proc/$(systemctl show --value -p MainPID {unit})/smaps_rollup")
        found = re.search(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)
        assert found is not None, rollup
        return int(found[1]) * 1024

    # ---- the machine

    def start_with_preset(self, text: str) -> None:
        """Begin as a new card does that has this preset file."""
        self.node.succeed("systemctl stop mojomail-firstboot.service && rm -rf /var/lib/mojomail/firstboot")
        self.node.send_file(text.encode(), "/boot/firmware/mojomail.yaml")
        self.node.succeed("sync && systemctl start --no-block mojomail-firstboot.service")

    def restart(self, limit: float = 1500.0) -> None:
        """Switch the machine off, in order, and on again, until the TV shows its state."""
        self.node.shutdown(300)
        self.node.start()
        self.node.wait_for_control(limit)
        self.node.settle(limit)  # its keyboard may be found later than the screen shows something
        self.wait_for_state_screen(limit)

    def open_menu(self, password: str) -> None:
        """From the state screen to the keeper's menu."""
        self.node.key("ret")
        self.wait_for_screen("keeper-password")
        self.enter(password)
        self.wait_for_screen("menu")

    # ---- answering

    def shown(self) -> Told:
        """What is on the screen. Raises AssertionError when no screen of ours is there, to look at or to answer."""
        if not (told := self.told()):
            raise AssertionError("neither wizard nor state screen is there (yet): see node.screenshot('tv.png')")
        return told

    def enter(self, value: str | None = None) -> Told:
        """Answer the screen that is shown: by Enter alone, or by typing or choosing `value`. Gives the next screen."""
        told = self.shown()
        if value is not None:
            self.put_in(told, value)
        return self.leave_by("ret", told)

    def put_in(self, told: Told, value: str) -> None:
        """Type or choose, without Enter. What was pressed is seen to have arrived before AHEAD is exceeded."""
        if told["field"] == "choice":
            self._choose(told, value)
            return
        secret = told["field"] == "secret"
        if told["letters"] and not told["suggested"]:
            for left in self._press("backspace", told["letters"]):
                self.wait_for(f"{left} letters to be left", _shows(letters=left))
        if not value:
            self.node.key("backspace")
            self.wait_for("nothing to be left", _shows(letters=0))
        typed = ""
        for piece in pieces(value):
            self.node.type(piece, None)
            typed += piece
            if secret:
                self.wait_for("a secret to be typed", _shows(letters=len(typed)))
            else:
                self.wait_for(f"{typed} to be typed", _shows(letters=len(typed), value=typed))

    def _choose(self, told: Told, value: str) -> None:
        choices: list[str] = told["choices"]
        wanted, at = choices.index(value), choices.index(told["value"])
        for left in self._press("down" if wanted > at else "up", abs(wanted - at)):
            passed = choices[wanted - left if wanted > at else wanted + left]
            self.wait_for(f"{passed} to be chosen", _shows(value=passed))

    def _press(self, key: str, times: int) -> Iterator[int]:
        """Press a key so often; gives how often it is still to be pressed whenever it is time to look."""
        while times:
            for _ in range(many := min(times, AHEAD // 2)):
                self.node.key(key)
            times -= many
            yield times

    def leave_by(self, key: str, told: Told) -> Told:
        """Press Enter or Escape, and wait until the screen is another one, or says what is wrong."""
        self.node.key(key)
        before = (told["screen"], told["problem"])
        return self.wait_for(
            f"an answer to {key} at {told['screen']}",
            lambda now: (now["screen"], now["problem"]) != before or now["field"] == "busy",
        )

    def back(self) -> Told:
        """Press Escape."""
        return self.leave_by("esc", self.shown())

    def go_through(self, answers: Mapping[str, str], *, until: str = "ready") -> Told:
        """Answer screen after screen, as given or by Enter alone, up to the screen `until`."""
        told = self.wait_for(
            "a screen to answer, and a keyboard",
            lambda now: now["field"] != "busy" and now.get("keyboard", True),
            FOUND,
        )
        left = set(answers)
        while told["screen"] != until:
            at = told["screen"]
            self.seen.append(at)
            self.picture(f"{len(self.seen):02}-{at}")
            left.discard(at)
            told = self.enter(answers.get(at))
            if told["problem"]:
                raise AssertionError(f"{at}: {told['problem']}")
        if left:
            raise AssertionError(f"never asked: {sorted(left)}; but {self.seen}")
        self.picture(f"{len(self.seen) + 1:02}-{until}")
        return told

    def set_up(self) -> Told:
        """From the summary to the findings."""
        self.enter("start")
        told = self.wait_for_findings()
        self.picture(f"{len(self.seen) + 2:02}-{told['screen']}")
        return told

    def wait_for_findings(self) -> Told:
        """Wait until everything is in force and tried out, or could not be."""
        return self.wait_for(
            "everything to be tried out", lambda now: now["screen"] in ("test", "trouble") and now["field"] == "choice",
            APPLIED,
        )  # fmt: skip

    def finish(self) -> None:
        """From the findings, or from how to join, to the state screen."""
        if self.shown()["screen"] == "test":
            self.enter("onward")
        self.wait_for_screen("join")
        self.picture(f"{len(self.seen) + 3:02}-join")
        self.node.key("ret")
        self.wait_for_state_screen()
        if self._pictures is not None:
            self.node.wait_for_picture(APPLIED, 10_000)
        self.picture(f"{len(self.seen) + 4:02}-state")

    def wait_for_state_screen(self, limit: float = ANSWERED) -> Told:
        """Wait until the TV shows the node's state."""
        return self.wait_for("the state screen", lambda told: told["screen"] == "state", limit)


def _shows(**wanted: object) -> Callable[[Told], bool]:
    """Whether what is on the screen is so."""
    return lambda told: all(told[name] == value for name, value in wanted.items())


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of at most AHEAD keys going down or up."""
    piece, events = "", 0
    for character in text:
        more = 2 * len(keys_of(character))
        if events + more > AHEAD:
            yield piece
            piece, events = "", 0
        piece, events = piece + character, events + more
    if piece:
        yield piece


def findings(told: Told) -> dict[str, str]:
    """What was found to work, by what it is called on the screen: ok, wait or trouble."""
    return {label: mark for label, _, mark in told["lines"]}

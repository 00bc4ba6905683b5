"""What is asked of a machine, with its answers played."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lab.control import CommandLate, ControlError, Result
from tests.lab.guest import CommandFailed, Guest, MachineFailure

Answer = Callable[[str], tuple[int, str, str]]


class Played(Guest):
    """A guest whose commands are answered by a function of the command; `stdin` is what the last one was given."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.given: list[bytes] = []
        self.control = self  # type: ignore[assignment]

    def run(self, command: str, limit: float, stdin: bytes = b"") -> Result:
        self.asked.append(command)
        self.given.append(stdin)
        code, out, err = self.answer(command)
        return Result(code, out, err, out.encode("latin-1"))

    def failure(self, message: str) -> MachineFailure:
        return MachineFailure(f"{message}\n  console | last words")

    def wait(self, seconds: float) -> None:
        return


def unit(active: str, load: str = "loaded", job: str = "", result: str = "success") -> Answer:
    """systemd's answers for one unit."""

    def answer(command: str) -> tuple[int, str, str]:
        if command.startswith("systemctl show"):
            lines = [f"ActiveState={active}", "SubState=sub", f"LoadState={load}", f"Result={result}"]
            return 0, "\n".join([*lines, *([f"Job={job}"] if job else [])]), ""
        return 0, "the unit's journal\n", ""

    return answer


def test_a_unit_that_is_active_is_not_waited_for() -> None:
    Played(unit("active")).wait_for_unit("x.service", limit=0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (unit("failed", result="timeout"), r"it has failed \(timeout\)"),
        (unit("inactive"), "it is inactive, and no job is there to start it"),
        (unit("inactive", load="not-found"), "it is not-found"),
        (unit("inactive", load="masked"), "it is masked"),
    ],
)
def test_a_unit_that_will_not_be_active_fails_at_once_with_its_journal(answer: Answer, said: str) -> None:
    with pytest.raises(MachineFailure, match=rf"(?s)x\.service: {said}.*the unit's journal.*last words"):
        Played(answer).wait_for_unit("x.service", limit=100_000)


@pytest.mark.parametrize("answer", [unit("inactive", job="7"), unit("activating"), unit("reloading")])
def test_a_unit_on_its_way_is_waited_for_until_the_limit(answer: Answer) -> None:
    with pytest.raises(MachineFailure, match="after 0 s"):
        Played(answer).wait_for_unit("x.service", limit=0)


def test_a_unit_that_becomes_active_is_found() -> None:
    states = ["inactive", "activating", "active"]
    guest = Played(lambda command: unit(states.pop(0), job="7")(command))
    guest.wait_for_unit("x.service", limit=100)
    assert not states


def test_a_wrong_exit_code_says_what_was_printed() -> None:
    guest = Played(lambda _command: (2, "some\nlines\n", "trouble\n"))
    with pytest.raises(CommandFailed, match=r"(?s)^do it\n  exit code 2\n  out \| some\n.*err \| trouble\n") as failed:
        guest.succeed("do it")
    assert failed.value.result.code == 2


@pytest.mark.parametrize(
    ("error", "said"), [(CommandLate(3, "some", ""), "killed after 3 s"), (ControlError("off"), "off")]
)
def test_no_answer_is_a_failure_of_the_machine(error: Exception, said: str) -> None:
    def answer(_command: str) -> tuple[int, str, str]:
        raise error

    with pytest.raises(MachineFailure, match=rf"(?s)do it\n  {said}.*last words"):
        Played(answer).execute("do it")


def test_a_large_file_goes_in_pieces() -> None:
    guest = Played(lambda _command: (0, "", ""))
    data = bytes(range(256)) * 3000
    guest.send_file(data, "/root/a b")
    assert b"".join(guest.given) == data
    assert guest.asked == ["cat > '/root/a b'", "cat >> '/root/a b'", "cat >> '/root/a b'"]


def test_an_empty_file_is_made_too() -> None:
    guest = Played(lambda _command: (0, "", ""))
    guest.send_file(b"", "/x")
    assert guest.asked == ["cat > /x"]


def test_a_condition_gives_what_it_found() -> None:
    found = iter([None, "", "there"])
    assert Played(lambda _command: (0, "", "")).wait_until(lambda: next(found), limit=60) == "there"


def test_a_condition_that_does_not_come_says_what_was_seen_last() -> None:
    guest = Played(lambda _command: (1, "", "not yet"))
    with pytest.raises(MachineFailure, match=r"(?s)^test -e x: not after 0 s; last: exit code 1\n  err \| not yet"):
        guest.wait_until("test -e x", limit=0)


def test_a_look_that_hangs_is_a_condition_that_does_not_hold() -> None:
    def answer(_command: str) -> tuple[int, str, str]:
        raise CommandLate(15, "", "stuck")

    with pytest.raises(MachineFailure, match=r"(?s)^hang: not after 0 s; last: killed after 15 s\n  err \| stuck"):
        Played(answer).wait_until("hang", limit=0)


def test_the_text_screen_is_read_up_to_its_cursor() -> None:
    screen = "login: me  " + "and more   " + "           "
    guest = Played(lambda _command: (0, f" 3 11 4 1\n{screen}", ""))
    assert guest.tty_text() == "login: me\nand more"
    assert guest.text_screen().typed == "login: me  and "


def test_memory_in_use_is_what_is_not_available() -> None:
    said = "MemTotal:        1000 kB\nMemFree:          10 kB\nMemAvailable:    700 kB\n"
    assert Played(lambda _command: (0, said, "")).idle_memory() == 300 * 1024


def test_the_journal_is_read_as_entries() -> None:
    guest = Played(lambda _command: (0, '{"MESSAGE":"one","PRIORITY":"3"}\n{"MESSAGE":[255]}\n', ""))
    assert [entry["MESSAGE"] for entry in guest.journal("err")] == ["one", [255]]
    assert guest.asked == ["journalctl --no-pager -o json -b 0 -p err"]

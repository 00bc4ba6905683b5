"""The one way out to other programs: what is kept, logged, passed on, and told when a command fails."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from imagebuilder.errors import BuildError, CommandFailed, InputError, MojoError, format_command
from imagebuilder.process import (
    TAIL_LINES,
    Patience,
    clean_environment,
    current_log,
    find_program,
    logging_to,
    run,
)


def test_standard_output_is_returned_and_standard_error_is_not() -> None:
    assert run("sh", "-c", "echo one; echo two >&2; printf three") == "one\nthree"


def test_output_goes_to_a_file_when_asked(tmp_path: Path) -> None:
    assert run("printf", "a\\0b", stdout=tmp_path / "out") == ""
    assert (tmp_path / "out").read_bytes() == b"a\0b"


@pytest.mark.parametrize("given", ["text\n", b"text\n", "FILE"], ids=["text", "bytes", "path"])
def test_standard_input(given: str | bytes, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text\n")
    assert run("cat", stdin=tmp_path / "in" if given == "FILE" else given) == "text\n"


def test_without_input_a_command_reads_nothing() -> None:
    assert run("cat") == ""


def test_bytes_that_are_no_utf8_survive(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log"):
        text = run("printf", "\\377\\n")
    assert text.encode("utf-8", "surrogateescape") == b"\xff\n"
    assert b"\xff\n" in (tmp_path / "log").read_bytes()


def test_arguments_are_passed_as_they_are() -> None:
    words = ["a b", "$HOME", "'", '"', "*", "\n", "-n", "ಕನ್ನಡ"]
    assert run("printf", "%s|", *words) == "".join(f"{word}|" for word in words)


def test_environment_is_exactly_the_one_given() -> None:
    path = clean_environment()["PATH"]
    assert run("env", env={"PATH": path, "ONE": "1"}).splitlines() == [f"PATH={path}", "ONE=1"]


def test_environment_does_not_depend_on_who_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "hi_IN.UTF-8")
    monkeypatch.setenv("PERL5LIB", "/elsewhere")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    seen = dict(line.split("=", 1) for line in run("env").splitlines())
    assert seen["LC_ALL"] == "C.UTF-8"
    assert "PERL5LIB" not in seen
    assert seen["PATH"].split(":") == ["/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]


def test_programs_in_sbin_are_found_for_users_who_lack_it_in_their_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert find_program("chroot") is not None
    assert find_program("no-such-program") is None


def test_failure_tells_command_code_last_lines_and_log(tmp_path: Path) -> None:
    script = f"for i in $(seq {TAIL_LINES + 5}); do echo line $i; done; exit 7"
    with logging_to(tmp_path / "a log"), pytest.raises(CommandFailed) as caught:
        run("sh", "-c", script)
    failed = caught.value
    assert (failed.exit_code, failed.returncode, failed.log) == (3, 7, tmp_path / "a log")
    assert failed.tail == tuple(f"line {number}" for number in range(6, TAIL_LINES + 6))
    message = str(failed)
    assert message.startswith("command failed with exit code 7: sh -c 'for i in")
    assert f"  | line {TAIL_LINES + 5}\n" in message
    assert "| line 5\n" not in message
    assert message.endswith(f"full log: {tmp_path / 'a log'}")


def test_failure_tells_directory_and_input(tmp_path: Path) -> None:
    script = tmp_path / "01-run-chroot.sh"
    script.write_text("exit 4\n")
    with pytest.raises(CommandFailed) as caught:
        run("sh", "-e", stdin=script, cwd=tmp_path)
    assert caught.value.message == f"command failed with exit code 4: sh -e < {script}\n  in {tmp_path}"


def test_failure_shows_what_was_said_on_standard_error() -> None:
    with pytest.raises(CommandFailed, match="disk is on fire"):
        run("sh", "-c", "echo disk is on fire >&2; false")


def test_death_by_a_signal_is_told_as_such() -> None:
    with pytest.raises(CommandFailed, match="signal 9") as caught:
        run("sh", "-c", "kill -9 $$")
    assert caught.value.returncode == -9


def test_exit_codes_that_are_fine() -> None:
    assert run("sh", "-c", "echo nothing to do; exit 2", ok=(0, 2)) == "nothing to do\n"


def test_program_that_is_not_there() -> None:
    with pytest.raises(BuildError, match="program not found: no-such-program"):
        run("no-such-program")


@pytest.mark.parametrize(
    ("content", "why"), [("#!/no/such/shell\n", "No such file"), ("neither ELF nor script", "Exec format error")]
)
def test_program_that_cannot_be_started(content: str, why: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(content)
    program.chmod(0o755)
    with pytest.raises(BuildError, match=f"cannot start .*program: {why}"):
        run(program)


def test_what_a_listener_raises_is_raised_after_the_command_has_ended(tmp_path: Path) -> None:
    def listen(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="one"):
        run("sh", "-c", f"echo one; echo two; echo done > '{tmp_path}/end'", on_line=listen)
    assert (tmp_path / "end").read_text() == "done\n"


def test_log_on_a_full_disk_is_an_error_and_the_command_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Full:
        """A file that takes the command's line and then no more."""

        written = 0

        def write(self, data: bytes) -> int:
            self.written += 1
            if self.written > 1:
                raise OSError(28, "No space left on device")
            return len(data)

        def close(self) -> None: ...

    usual = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *how, **more: Full() if path.name == "log" else usual(path, *how))
    with logging_to(tmp_path / "log"), pytest.raises(OSError, match="No space left on device"):
        run("sh", "-c", f"echo one; echo two; : > '{tmp_path}/end'")
    assert (tmp_path / "end").exists()


def test_log_holds_every_command_and_its_output(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    assert current_log() is None
    with logging_to(log):
        assert current_log() == log
        run("echo", "first one")
        run("sh", "-c", "echo second >&2")
        run("echo", "kept out", quiet=True)
    assert current_log() is None
    text = log.read_text()
    assert "+ echo 'first one'\nfirst one\n= " in text
    assert "+ sh -c 'echo second >&2'\nsecond\n= " in text
    assert "+ echo 'kept out'\n= " in text


def test_lines_are_passed_on_as_they_come() -> None:
    came: list[float] = []
    started = time.monotonic()
    run("sh", "-c", "echo early; sleep 0.5; echo late", on_line=lambda _: came.append(time.monotonic() - started))
    assert len(came) == 2
    assert came[1] - came[0] > 0.3


def test_commands_can_run_at_the_same_time(tmp_path: Path) -> None:
    found: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: run("sh", "-c", f"sleep 0.1; echo {n}")}))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: f"{n}\n" for n in range(4)}


def test_much_output_is_neither_lost_nor_slow() -> None:
    text = run("seq", "200000")
    assert len(text.splitlines()) == 200_000


def test_long_command_is_shown_cut() -> None:
    shown = format_command(["printf", *["word word"] * 100])
    assert len(shown) == 300
    assert shown.startswith("printf 'word word'")
    assert shown.endswith(" ...")


def test_variables_do_not_hide_the_command() -> None:
    words = ["chroot", "/r", "/usr/bin/env", "-i", *(f"V{n}=text" for n in range(99)), "dpkg", "-i", "A=B"]
    assert format_command(words) == "chroot /r /usr/bin/env -i ... dpkg -i A=B"


def test_errors_are_told_apart_by_exit_code_and_carry_a_hint() -> None:
    assert [kind.exit_code for kind in (MojoError, InputError, BuildError)] == [1, 2, 3]
    assert str(InputError("wrong", hint="do this")) == "wrong\n  hint: do this"


def test_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    program = f"echo begun; sleep 1000 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(CommandFailed) as failed:
        run("sh", "-c", program, patience=Patience(0.4))
    assert "  | begun\n  | (it said and fetched nothing for " in failed.value.message
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    assert not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("sign", ["echo more", "echo more >> files/growing"], ids=["talks", "fetches"])
def test_command_that_is_slow_is_waited_for(sign: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    program = f"for i in 1 2 3 4 5 6; do sleep 0.2; {sign}; done"
    run("sh", "-c", program, cwd=tmp_path, patience=Patience(0.8, (tmp_path / "files",)))

"""The command line: its help, its completion, and the exit code that tells who can mend an error."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuilder import __version__, cli, commands
from imagebuilder.cli import guarded, main
from imagebuilder.completion import script
from imagebuilder.errors import BuildError, InputError, MojoError, Problem, ProblemsError
from imagebuilder.process import logging_to, run

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("plan", "check", "build", "shell", "flash", "clean", "completion")


def ends(*words: str) -> int:
    """The exit code of a command line that argparse ends by itself."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return int(end.value.code or 0)


def test_help_says_what_it_is_how_to_begin_and_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("--help") == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^ +{name}\s+\w", text, re.MULTILINE), f"{name} has no line of help"
    for said in ("build.py build", "build.py flash /dev/sdX", "docs/profiles.md", "MOJOMAIL_CACHE", "Exit codes"):
        assert said in text
    assert (ROOT / "docs/profiles.md").exists()
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_and_each_of_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(name, "--help") == 0
    text = capsys.readouterr().out
    usage, _, rest = text.partition("\n\n")
    assert usage.startswith(f"usage: build.py {name}")
    for option in re.findall(r"--[a-z-]+", usage):
        assert re.search(rf"{option}( [A-Z]+)?\s+[a-z.(]", rest), f"{option} of {name} has no help:\n{text}"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("--version") == 0
    assert capsys.readouterr().out == f"MojoMail image builder {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["bake"], "bake"),
        (["build", "--fast"], "--fast"),
        (["build", "one", "two"], "two"),
        (["flash"], "DEVICE"),
        (["clean", "village"], "village"),
        (["build", "--", "ls"], "only shell takes a command after --, not build"),
    ],
)
def test_command_line_that_cannot_be_understood_is_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(*words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "profile", "arguments"),
    [
        (["shell"], "village", []),
        (["shell", "mine"], "mine", []),
        (["shell", "--", "apt", "list", "--installed"], "village", ["apt", "list", "--installed"]),
        (["shell", "mine", "--", "sh", "-c", "ls -- /"], "mine", ["sh", "-c", "ls -- /"]),
        (["shell", "mine", "--", "ls", "--", "--help"], "mine", ["ls", "--", "--help"]),
    ],
)
def test_words_after_two_dashes_are_the_command_that_shell_runs(
    words: list[str], profile: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(commands, "shell", lambda options: seen.append(options) or 42)
    assert main(words) == 42
    assert (seen[0].profile, seen[0].arguments) == (profile, arguments)


def test_options_as_the_commands_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(commands, "build", lambda options: seen.append(options) or 0)
    main(["build"])
    main(["build", "raspios", "--frozen", "--raw", "--no-native", "--deploy", "a b", "--cache", "c"])
    usual, other = seen
    assert (usual.profile, usual.frozen, usual.raw, usual.native) == ("village", False, False, True)
    assert (usual.deploy, usual.cache) == (Path("deploy"), None)
    assert (other.profile, other.frozen, other.raw, other.native) == ("raspios", True, True, False)
    assert (other.deploy, other.cache) == (Path("a b"), Path("c"))


def raising(error: BaseException) -> int:
    def work() -> int:
        raise error

    return guarded(work)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("no such stage", hint="make one"), 2, "error: no such stage\n  hint: make one\n"),
        (
            ProblemsError([Problem(Path("p.yaml"), 3, 7, "unknown key 'stage'", "did you mean 'stages'?")]),
            2,
            "error: p.yaml:3:7: unknown key 'stage' (did you mean 'stages'?)\n1 problem found\n",
        ),
        (BuildError("the mirror is away"), 3, "error: the mirror is away\n"),
        (MojoError("odd"), 1, "error: odd\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/a b"), 3, "error: /a b: No space left on device\n  hint: "),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 3, "error: Disk quota exceeded\n  hint: "),
        (OSError(errno.EACCES, "Permission denied", "/x"), 2, "error: /x: Permission denied\n  hint: "),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_errors_that_someone_can_mend(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == code
    text = capsys.readouterr().err
    assert text.startswith(said)
    assert "Traceback" not in text


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), OSError(errno.EBADF, "Bad file descriptor")])
def test_bug_of_ours_is_exit_code_1_with_traceback_and_what_to_report(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        with logging_to(tmp_path / "build.log"):
            raise error

    assert guarded(work) == 1
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert str(error) in text
    assert "This is a bug" in text
    assert str(tmp_path / "build.log") in text


def test_output_that_nobody_reads_any_more_is_no_error() -> None:
    program = "import sys; from imagebuilder.cli import main; sys.exit(main(['completion']))"
    command = f"{shlex.join([sys.executable, '-c', program])} | true; echo ${{PIPESTATUS[0]}}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, env=buffered)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("stagez: [base]\n", "{path}:1:1: "),
        ("stages: base\n", "{path}:1:9: "),
        ("stages: [./nowhere]\n", "{path}:1:10: "),
        (None, "there is no profile file {path}"),
    ],
)
def test_wrong_profile_is_exit_code_2_and_told_before_anything_is_made(
    profile: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    if profile is not None:
        path.write_text(profile)
    cache = tmp_path / "cache"
    for name in ("plan", "check", "build", "shell"):
        assert main([name, str(path), "--cache", str(cache)]) == 2
        assert f"error: {said.format(path=path)}" in capsys.readouterr().err
    assert not cache.exists()


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", 'a"b', "a\nb"])
def test_cache_at_a_path_that_overlayfs_cannot_take(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "village", "--cache", str(tmp_path / name)]) == 2
    assert "the cache's path must not hold" in capsys.readouterr().err


class Bash:
    """An interactive bash as far as completion goes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def completes(self, line: str) -> list[str]:
        """What pressing Tab at the end of `line` offers."""
        program = f"""
{script()}
line={shlex.quote(line)}
read -ra COMP_WORDS <<< "$line"
[[ $line == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_mojomail_build
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        return [line for line in run("bash", "-eu", stdin=program, cwd=self.directory).splitlines() if line]


def test_completion_of_commands_options_and_profiles(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    for name in ("village", "valley", "raspios"):
        (tmp_path / f"profiles/{name}.yaml").touch()
    bash = Bash(tmp_path)
    assert bash.completes("./build.py b") == ["build"]
    assert set(bash.completes("./build.py ")) == {*COMMANDS, "--help", "--version"}
    assert bash.completes("./build.py build v") == ["valley", "village"]
    assert bash.completes("./build.py build --raw ra") == ["raspios"]
    assert bash.completes("./build.py build --fr") == ["--frozen"]
    assert set(bash.completes("./build.py clean --")) == {"--help", "--cache", "--prune", "--layers", "--all"}
    assert bash.completes("./build.py flash v") == [], "devices are files, which bash completes by itself"


def test_completion_from_another_directory_finds_the_profiles(tmp_path: Path) -> None:
    (tmp_path / "the tree/profiles").mkdir(parents=True)
    (tmp_path / "the tree/profiles/village.yaml").touch()
    (tmp_path / "elsewhere").symlink_to("the tree")
    assert Bash(tmp_path).completes("elsewhere/build.py plan ") == ["village"]


def test_completion_script_passes_the_shell_checker() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("not installed: shellcheck")
    run("shellcheck", "--shell=bash", "-", stdin=script() + "\n")


def test_completion_is_for_the_program_by_any_path() -> None:
    assert cli.parser().prog == "build.py"
    registered = run("bash", stdin=f"{script()}\ncomplete -p build.py; complete -p ./build.py")
    assert registered.count("-F _mojomail_build") == 2

"""The namespace that a build runs in: root inside, nothing left outside, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder import namespace
from imagebuilder.errors import InputError
from imagebuilder.namespace import ID_COUNT, IdMap, id_maps, subordinate_range

ROOT = Path(__file__).resolve().parents[2]

PRELUDE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from imagebuilder import namespace
def main():
{body}
try:
    sys.exit(namespace.enter(main))
except namespace.InputError as error:
    print(error, file=sys.stderr)
    sys.exit(99)
"""


CAN_UNSHARE = subprocess.run(["unshare", "-Urmpf", "true"], capture_output=True, text=True)
"""What util-linux says of this machine, whatever our own code makes of it."""

needs_namespace = pytest.mark.skipif(
    CAN_UNSHARE.returncode != 0, reason=f"no namespace on this machine: {CAN_UNSHARE.stderr}"
)


def program(body: str) -> list[str]:
    """A Python program that runs `body` in the namespace and ends with the code it returns."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return [sys.executable, "-c", PRELUDE.format(body=indented)]


def inside(body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` in the namespace to its end."""
    done = subprocess.run(program(body), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 99, done.stderr
    return done


def started(process: subprocess.Popen[str]) -> None:
    """Wait until a program in the namespace has printed that it started."""
    assert process.stdout is not None
    if process.stdout.readline() != "started\n":
        _, stderr = process.communicate(timeout=20)
        pytest.fail(f"it did not start: {stderr}")


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("keeper:100000:65536\n", (100000, 65536)),
        ("other:1:65536\nkeeper:300000:65536\n", (300000, 65536)),
        ("1000:200000:65536\n", (200000, 65536)),
        ("keeper:100000:1000\nkeeper:200000:131072\n", (200000, 131072)),
        ("keeper:100000:65535\n", (100000, 65535)),
        ("keeper:100000:1000\n", None),
        ("keeper2:100000:65536\n", None),
        ("# keeper\nkeeper\nkeeper:x:y\n\n", None),
        ("", None),
    ],
)
def test_subordinate_ids(text: str, found: tuple[int, int] | None, tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_text(text)
    assert subordinate_range(path, "keeper", 1000) == found


def test_no_file_gives_no_subordinate_ids(tmp_path: Path) -> None:
    assert subordinate_range(tmp_path / "none", "keeper", 1000) is None


def test_root_keeps_its_ids_and_others_get_their_own_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    assert id_maps(0, 0) == ([IdMap(0, 0, ID_COUNT)], [IdMap(0, 0, ID_COUNT)])
    ranges = {"subuid": (100000, 65536), "subgid": (300000, 65536)}
    monkeypatch.setattr(namespace, "subordinate_range", lambda path, *_: ranges[path.name])
    assert id_maps(54321, 54322) == (
        [IdMap(0, 54321, 1), IdMap(1, 100000, ID_COUNT - 1)],
        [IdMap(0, 54322, 1), IdMap(1, 300000, ID_COUNT - 1)],
    )


def test_missing_subordinate_ids_are_told_with_the_command_that_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "subordinate_range", lambda *_: None)
    with pytest.raises(InputError) as caught:
        id_maps(54321, 54321)
    assert "/etc/subuid gives 54321 no range" in caught.value.message
    assert "usermod --add-subuids" in str(caught.value.hint)


@needs_namespace
@pytest.mark.parametrize("call", ["setgroups", "setresgid", "setresuid"])
def test_namespace_whose_root_may_do_nothing_is_told_in_one_line_with_what_mends_it(call: str) -> None:
    """So it is on Ubuntu 24.04, whose AppArmor lets a user make a namespace and takes all rights in it."""
    forbid = f"import errno, os\ndef forbid(*_): raise PermissionError(errno.EPERM, 'no')\nos.{call} = forbid\n"
    words = [sys.executable, "-c", forbid + PRELUDE.format(body="    print('inside')")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (99, "")
    message, hint = done.stderr.splitlines()
    assert message == "the kernel does not let us be root in a user namespace: Operation not permitted"
    assert "sudo sysctl -w" in hint and "kernel.apparmor_restrict_unprivileged_userns=0" in hint


@needs_namespace
def test_inside_is_root_process_1_and_may_give_files_to_any_user(tmp_path: Path) -> None:
    done = inside(f"""
path = Path({str(tmp_path)!r}, "file")
path.touch()
os.chown(path, 65534, 42)
status = path.stat()
print(os.getuid(), os.getgid(), os.getpid(), namespace.inside(), status.st_uid, status.st_gid, os.getgroups())
path.unlink()
return 0
""")
    assert (done.returncode, done.stdout.split()) == (0, ["0", "0", "1", "True", "65534", "42", "[]"])
    assert not namespace.inside()


@needs_namespace
def test_mounts_inside_are_not_seen_outside(tmp_path: Path) -> None:
    done = inside(f"""
namespace.mount("none", "/", flags=namespace.MS_REC | namespace.MS_PRIVATE)
here = Path({str(tmp_path)!r}) / "a b\\\\c"
here.mkdir()
namespace.mount("mine", here, "tmpfs", options="size=64k")
(here / "d").mkdir()
namespace.mount("mine", here / "d", "tmpfs")
(here / "file").touch()
print([str(path.relative_to(here.parent)) for path in namespace.mounts_below(here)])
namespace.unmount_below(here)
print(namespace.mounts_below(here), list(here.iterdir()))
namespace.mount("left behind", here, "tmpfs")
(here / "file").touch()
return 0
""")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["['a b\\\\c/d', 'a b\\\\c']", "[] []"]), done.stderr
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list((tmp_path / "a b\\c").iterdir()) == []


@needs_namespace
def test_mount_that_fails_names_what_and_where() -> None:
    done = inside("""
for work in (lambda: namespace.mount("none", "/no/such/place", "tmpfs"), lambda: namespace.unmount("/no/such/place")):
    try:
        work()
    except namespace.BuildError as error:
        print(error)
return 0
""")
    assert done.stdout.splitlines() == [
        "cannot mount tmpfs on /no/such/place: No such file or directory",
        "cannot unmount /no/such/place: No such file or directory",
    ]


@needs_namespace
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return 0", 0),
        ("return 3", 3),
        ("sys.exit(2)", 2),
        ("raise KeyboardInterrupt", 130),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)", 143),
        ("raise ZeroDivisionError", 1),
    ],
)
def test_exit_code_is_passed_on(body: str, code: int) -> None:
    done = inside(body)
    assert done.returncode == code, done.stderr
    assert ("Traceback" in done.stderr) == (code == 1)


@needs_namespace
def test_what_was_printed_before_comes_out_once() -> None:
    python, option, text = program("print('inside'); return 0")
    words = [python, option, f"print('before')\n{text}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "before\ninside\n", done.stderr


def state(pid: int) -> str:
    """The state letter of a process, S when it sleeps and Z when it has ended (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


SLEEPER = """
subprocess.Popen(["setsid", "sleep", {seconds!r}])
subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; while :; do sleep {seconds}; done"])
print("started", flush=True)
{then}
"""


def sleepers(seconds: str) -> list[str]:
    """Processes of this machine whose command line holds `seconds`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] in (b"sleep", b"sh") and seconds in b" ".join(words).decode(errors="replace"):
                found.append(entry.name)
    return found


@needs_namespace
@pytest.mark.parametrize(
    ("how", "then", "code"),
    [
        (None, "return 0", 0),
        (signal.SIGTERM, "time.sleep(60)", 143),
        (signal.SIGKILL, "time.sleep(60)", -9),
    ],
    ids=["end", "SIGTERM", "SIGKILL"],
)
def test_everything_started_inside_ends_with_it(how: signal.Signals | None, then: str, code: int) -> None:
    """Also what has a session of its own, or does not listen to signals."""
    seconds = f"{7000 + os.getpid() / 1e7:.7f}"
    process = subprocess.Popen(
        program(SLEEPER.format(seconds=seconds, then=then)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started(process)
    if how is not None:
        wait_for(lambda: len(sleepers(seconds)) >= 2)
        process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode == code
    wait_for(lambda: not sleepers(seconds))


@needs_namespace
def test_key_press_that_interrupts_goes_to_the_build_and_not_to_those_who_wait_for_it() -> None:
    process = subprocess.Popen(
        program("""
try:
    print("started", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
    print("cleaned up", flush=True)
    return 130
"""),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    started(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "interrupted\n"
    # Whoever heard the key press besides is running, or gone; the build waits for its line.
    wait_for(lambda: state(process.pid) in "SZ")
    assert process.poll() is None, "nobody waited for the build to clean up"
    out, stderr = process.communicate("go on\n", timeout=20)
    assert (process.returncode, out) == (130, "cleaned up\n"), stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 100_000), ("other:100000:65536\n", 165_536), ("a:500000:1000\nb:100000:65536\nnonsense\n", 501_000)],
)
def test_free_range_lies_above_what_anybody_has(tmp_path: Path, text: str, expected: int) -> None:
    path = tmp_path / "subuid"
    path.write_text(text)
    assert namespace.free_range(path) == expected

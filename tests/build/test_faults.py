"""What can go wrong in a build: each is a clear error, nothing is left half-done, and the next build goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagebuilder.cache import Cache, default_cache
from imagebuilder.errors import CommandFailed
from imagebuilder.indexes import Indexes, Source
from imagebuilder.preflight import PROGRAMS
from tests.build.aptrepo import Mirror, Repository, random_bytes
from tests.build.project import NAME, PYTHON, ROOT, Project, cache_beside

IMAGE = {"image": {"free_space": 32, "compression_level": 0}}

SEED = """
import sys
from imagebuilder import namespace
from imagebuilder.process import run
source, target, *layers = sys.argv[1:]
def main():
    run("bash", "-c", 'cp -al "$1"/debs/*.deb "$2/debs/"', "seed", source, target)
    run("cp", "-a", f"{source}/indexes", target)
    for path in ["tools", *(f"layers/{layer}" for layer in layers)]:
        run("cp", "-al", f"{source}/{path}", f"{target}/{path}".rpartition("/")[0])
    return 0
sys.exit(namespace.enter(main))
"""
"""Copies a cache by hard links, as root of a namespace, since files in it belong to many users."""


def python(program: str, *words: str | Path) -> list[str]:
    """The argument vector of a Python program that uses the builder's own modules."""
    return [str(PYTHON), "-c", program, *map(str, words)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    """A cache of our own with the base's layers in it, so that a build takes seconds and nobody else waits."""
    usual = default_cache()
    ground = Project(tmp_path_factory.mktemp("ground"), IMAGE)
    ground.configure([])
    ground.build("--frozen" if any(usual.indexes.glob("*/fetched")) else "--raw").ok()
    layers = re.findall(r"([0-9a-f]{16})  cached", ground.run("plan").ok().out)
    with cache_beside(usual, "-faults-") as made:
        made.tools.rmdir()
        subprocess.run(python(SEED, usual.path, made.path, *layers), cwd=ROOT, check=True)
        yield made


@pytest.fixture
def project(tmp_path: Path, cache: Cache) -> Project:
    return Project(tmp_path, dict(IMAGE), cache=cache.path)


def counted(project: Project) -> str:
    """A line for a script that counts how often it ran, in a file named after its sub-stage."""
    return f'echo ran >> "{project.path}/count-$(basename "$PWD")"\n'


def count(project: Project, substage: str) -> int:
    """How often the script of a sub-stage ran."""
    path = project.path / f"count-{substage}"
    return len(path.read_text().splitlines()) if path.exists() else 0


def script(text: str) -> str:
    return f"#!/bin/bash -e\n{text}"


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def left_behind(cache: Cache, mark: str) -> list[str]:
    """Mounts below the cache, and processes whose command line holds `mark`."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(cache.path) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if mark in words:
                found.append(words)
    return found


def test_package_that_does_not_exist_is_named_with_its_place_before_any_work(project: Project) -> None:
    project.stage("mail", {"00-ground/00-run.sh*": script(counted(project)), "01-x/00-packages": "bash  postfixx\n"})
    project.configure(["mail"], packages=["sqlite3", "no-such-package"])
    failed = project.build("--frozen").failed(2)
    assert f"{project.path}/mail/01-x/00-packages:1:7: " in failed.err
    assert "postfix" in failed.err.split("did you mean", 1)[1]
    assert re.search(rf"{project.profile}:\d+:\d+: .*no-such-package", failed.err)
    assert count(project, "00-ground") == 0
    assert not project.image.exists()


@pytest.mark.parametrize("kind", ["run.sh", "run-chroot.sh"])
def test_script_that_fails_in_the_middle(kind: str, project: Project) -> None:
    good = script(counted(project) + 'echo good > "${ROOTFS_DIR}/etc/good"\n')
    talk = "for i in $(seq 40); do echo line $i; done\necho it is broken >&2\n"
    half = 'echo half > "${ROOTFS_DIR}/etc/half"\n' if kind == "run.sh" else "echo half > /etc/half\n"
    bad = (script("") if kind == "run.sh" else "") + half + talk
    files = {"00-good/00-run.sh*": good, f"01-bad/00-{kind}*": bad + "exit 9\n", "02-after/00-run.sh*": good}
    project.stage("mail", files)
    project.configure(["mail"])

    failed = project.build("--frozen").failed(3)
    assert "command failed with exit code 9" in failed.err
    assert f"{project.path}/mail/01-bad" in failed.err
    assert f"00-{kind}" in failed.err
    assert "  | line 40\n" in failed.err
    assert "  | it is broken\n" in failed.err
    assert "  | line 1\n" not in failed.err
    assert f"build.py shell {project.profile}" in failed.err
    log = Path(re.findall(r"full log: (.*)", failed.err)[0])
    assert "line 1\n" in log.read_text()
    assert not project.image.exists()

    assert project.look("cat /etc/good /etc/half").split() == ["good", "half"], "as it stood"
    planned = project.run("plan").ok().out
    assert re.search(r"00-good .* cached", planned)
    assert re.search(r"01-bad .* build", planned)

    project.stage("mail", {f"01-bad/00-{kind}*": (script("") if kind == "run.sh" else "") + "true\n"})
    project.build("--frozen").ok()
    assert (count(project, "00-good"), count(project, "02-after")) == (1, 1), "it went on at the one that failed"
    assert project.look("cat /etc/good; ls /etc/half || echo no half").split() == ["good", "no", "half"]


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=lambda value: str(value)
)
def test_stopped_build_leaves_nothing_behind_and_the_next_one_goes_on(
    how: signal.Signals, code: int, project: Project, cache: Cache
) -> None:
    seconds = f"{8000 + os.getpid() / 1e7 + how / 1e9:.9f}"
    slow = f"[ -e {project.path}/go ] || on_chroot <<< 'sleep {seconds} & sleep {seconds}'\n"
    files = {"00-good/00-run.sh*": script(counted(project)), "01-slow/00-run.sh*": script(slow + counted(project))}
    project.stage("mail", files)
    project.configure(["mail"])
    process = project.start("build", "--raw", "--frozen", "--deploy", project.deploy)
    wait_for(lambda: len(left_behind(cache, f"sleep {seconds}")) >= 2)
    # A key press goes to all processes of the terminal; the other signals come from a person or a system.
    os.killpg(process.pid, how) if how is signal.SIGINT else process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if how is signal.SIGINT:
        assert "stopped; a build goes on next time with the sub-stage it was at" in err
    wait_for(lambda: not left_behind(cache, seconds), 10)
    for layer in cache.layers.iterdir():
        if layer.is_dir() and "." not in layer.name:
            assert json.loads((layer / "layer.json").read_text())["id"] == layer.name
    assert not project.image.exists()

    (project.path / "go").touch()
    project.build("--frozen").ok()
    assert (count(project, "00-good"), count(project, "01-slow")) == (1, 1)
    assert project.image.exists()


def test_second_build_at_the_same_time_waits_and_says_for_whom(project: Project, cache: Cache) -> None:
    wait = f"until [ -e {project.path}/go ]; do sleep 0.1; done\n"
    project.stage("mail", {"00-slow/00-run.sh*": script(counted(project) + wait)})
    project.configure(["mail"])
    first = project.start("build", "--raw", "--frozen", "--deploy", project.deploy)
    wait_for(lambda: count(project, "00-slow"))
    second = project.start("build", "--raw", "--frozen", "--deploy", project.deploy)
    assert second.stderr is not None
    said = second.stderr.readline()
    assert said == f"waiting: the cache {cache.path} is in use by process {first.pid}\n"
    assert second.poll() is None
    (project.path / "go").touch()
    for process in (first, second):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert count(project, "00-slow") == 1, "the second finds it done"


def test_missing_programs_are_all_named_with_the_command_that_installs_them(project: Project, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in set(PROGRAMS) - {"mmdebstrap", "mmtarfilter", "quilt"} | {"newuidmap", "qemu-aarch64-static"}:
        found = shutil.which(name)
        if found is not None:
            (programs / name).symlink_to(found)
    project.cache = tmp_path / "never made"
    project.configure([])
    for command in ("build", "plan", "check", "shell"):
        failed = project.run(command, env={"PATH": str(programs)}).failed(2)
        for name in ("mmdebstrap", "mmtarfilter", "quilt"):
            assert f"the program {name} is missing" in failed.err
        assert "apt-get install -y mmdebstrap quilt" in failed.err
    assert not project.cache.exists()


def test_wrong_profile_is_told_with_exit_code_2(project: Project) -> None:
    project.configure([], stagez=["base"], packages="postfix")
    failed = project.build("--frozen").failed(2)
    assert "2 problems found" in failed.err
    assert "did you mean 'stages'?" in failed.err


def test_whole_release_with_blanks_in_every_path(tmp_path: Path, cache: Cache) -> None:
    project = Project(tmp_path / "a project of mine", dict(IMAGE), cache=cache.path)
    # Half of the root is the kernel, and packing takes time by size.
    run = script(
        counted(project)
        + 'rm -rf "${ROOTFS_DIR}"/usr/lib/{modules,firmware} "${ROOTFS_DIR}"/boot/{,firmware/}{initrd,vmlinuz}*\n'
        + 'install -m 644 "files/a file" "${ROOTFS_DIR}/etc/a file"\n'
    )
    project.stage("my stage", {"00 first/": "", "00-first/00-run.sh*": run, "00-first/files/a file": "text\n"})
    (project.path / "my stage/00 first").rmdir()
    project.configure(["my stage"])
    deploy = project.path / "the finished files"
    project.run("build", "--frozen", "--deploy", deploy).ok()
    assert count(project, "00-first") == 1
    assert project.look("cat '/etc/a file'") == "text\n"
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=deploy, check=True)
    assert (deploy / f"mojomail-{NAME}.img.xz").stat().st_size > 10 << 20
    before = {path: path.stat().st_mtime_ns for path in deploy.iterdir()}
    again = project.run("build", "--frozen", "--deploy", deploy).ok()
    assert "is up to date" in again.err
    assert {path: path.stat().st_mtime_ns for path in deploy.iterdir()} == before
    assert count(project, "00-first") == 1


SMALL_DISK = """
import json, os, subprocess, sys
from pathlib import Path
from imagebuilder import namespace
small, cache, sizes, *command = sys.argv[1:]
small, cache = Path(small), Path(cache)
def seed():
    subprocess.run(["cp", "-a", cache / "tools", small], check=True)
    for place in [cache / "debs", cache / "indexes", *(cache / "layers").glob("?" * 16)]:
        target = small / place.relative_to(cache)
        target.mkdir(parents=True)
        namespace.mount(str(place), target, flags=namespace.MS_BIND)
def build(room):
    disk = os.statvfs(small)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    size = used + (room << 20)
    namespace.mount("small", small, "tmpfs", flags=namespace.MS_REMOUNT, options=f"size={size}")
    done = subprocess.run(command, capture_output=True, text=True)
    whole = [path.parent.name for path in (small / "layers").glob("*/layer.json")]
    return [done.returncode, done.stdout + done.stderr, whole]
def main():
    namespace.mount("none", "/", flags=namespace.MS_REC | namespace.MS_PRIVATE)
    namespace.mount("proc", "/proc", "proc")
    namespace.mount("small", small, "tmpfs", options="size=4g")
    if cache.is_dir():
        seed()
    print(json.dumps([build(room) for room in json.loads(sizes)]))
    return 0
sys.exit(namespace.enter(main))
"""
"""Builds with a copy of the cache on a file system that has so much room (MiB) left, time after time.

Prints exit codes, output and finished layers.
"""


def on_small_disk(project: Project, cache: Path, rooms: list[int], *more: str) -> list[tuple[int, str, list[str]]]:
    """The builds of a project with its cache on a disk that has this room in MiB, one after the other."""
    if tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) < (6, 6):
        pytest.skip("layers on a tmpfs need Linux 6.6")
    small = project.path / "small"
    small.mkdir()
    project.cache = small
    words = project.command("build", "--raw", "--deploy", project.deploy, *more)
    program = python(SMALL_DISK, small, cache, json.dumps(rooms), *words)
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[tuple[int, str, list[str]]] = json.loads(done.stdout)
    return found


def test_full_disk_is_told_with_its_place_and_a_build_goes_on_when_there_is_room(
    project: Project, cache: Cache
) -> None:
    files = {
        "00-good/00-run.sh*": script(counted(project)),
        "01-big/00-run.sh*": script(counted(project) + 'head -c 64M /dev/urandom > "${ROOTFS_DIR}/big"\n'),
    }
    project.stage("mail", files)
    project.configure(["mail"])
    script_full, image_full, room = on_small_disk(project, cache.path, [24, 100, 3000], "--frozen")
    small = project.path / "small"
    for (code, text, _), place in ((script_full, small), (image_full, small / "images")):
        assert code == 3, text
        assert "Traceback" not in text
        assert re.search(rf"[0-9]+ MiB are (left|free) in {place}|in {place}\S*, [0-9]+ MiB are free", text), text
        assert "hint: " in text
    assert "the disk is full: " in script_full[1]
    assert "build.py clean" in script_full[1]
    assert "01-big" in script_full[1]
    assert "Putting" in image_full[1]
    assert len(image_full[2]) > len(script_full[2])
    assert room[0] == 0, room[1]
    assert (count(project, "00-good"), count(project, "01-big")) == (1, 2)
    assert project.image.exists()


def test_disk_that_is_full_before_the_indexes_are_there(project: Project) -> None:
    project.configure([])
    ((code, text, whole),) = on_small_disk(project, Path("none"), [4])
    assert code == 3, text
    small = project.path / "small"
    told = rf"the disk is full: [0-9]+ MiB are left in {small}/indexes/\w+, the package indexes need about [0-9]+ MiB"
    assert re.search(told, text), text
    assert "Traceback" not in text
    assert whole == []


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    with Repository(tmp_path_factory.mktemp("archive") / "debian") as made:
        made.add("first", files={"usr/share/first": random_bytes(200_000)})
        made.add("second", depends="first", files={"usr/share/second": random_bytes(3_000_000)})
        made.add("heavy", files={"usr/share/heavy": bytes(8_000_000)})
        made.publish()
        yield made


@pytest.fixture
def mirror(repository: Repository) -> Iterator[Mirror]:
    with Mirror(repository.path) as serving:
        yield serving


NO_ROOM_FOR_PACKAGES = """
import sys
from pathlib import Path
from imagebuilder import archives, diskspace, namespace
from imagebuilder.cache import Cache
from imagebuilder.indexes import Indexes, Source
small, url, key = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
def main():
    namespace.mount("none", "/", flags=namespace.MS_REC | namespace.MS_PRIVATE)
    namespace.mount("small", small, "tmpfs", options="size=400m")
    cache = Cache(small)
    cache.create()
    indexes = Indexes(cache, [Source(url, "trixie", ("main",), key, key)])
    indexes.refresh()
    (small / "ballast").write_bytes(bytes(diskspace.free_space(small) - (5 << 20)))
    try:
        with diskspace.explained(small):
            archives.download(cache, indexes, "arm64", ["install", "heavy"])
    except diskspace.DiskFull as told:
        print(told)
    return 0
sys.exit(namespace.enter(main))
"""
"""Fetches a package of 8 MB with 5 MiB left, and prints what is told."""


def test_packages_for_which_there_is_no_room_are_not_begun(tmp_path: Path, mirror: Mirror) -> None:
    program = python(NO_ROOM_FOR_PACKAGES, tmp_path, mirror.url, mirror.directory / "raspberrypi.gpg.key")
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert re.match(
        r"the disk is full: [1-5] MiB are left in \S+, packages of 8,?[0-9]+ kB are to be fetched", done.stdout
    ), done.stdout + done.stderr
    assert mirror.fetched("heavy") == []


def test_mirror_that_goes_away_half_way(project: Project, cache: Cache, mirror: Mirror, repository: Repository) -> None:
    """What was downloaded is kept, also of the file that broke off."""
    base = Project(project.path / "base", dict(IMAGE), cache=cache.path)
    base.configure([])
    root = project.path / "root.tar"
    with root.open("wb") as file:
        words = base.command("shell", "--layer", "bootstrap", "--", "tar", "-C", "/", "--one-file-system", "-c", ".")
        subprocess.run(words, stdout=file, check=True)
    with tarfile.open(root) as archive:
        assert "./etc/apt/sources.list" in archive.getnames()
    begin = f"""
mkdir -p "${{ROOTFS_DIR}}"
tar -C "${{ROOTFS_DIR}}" -xpf {root}
cp {repository.key} "${{ROOTFS_DIR}}/usr/share/keyrings/test.asc"
echo "deb [signed-by=/usr/share/keyrings/test.asc] {mirror.url} trixie main" > "${{ROOTFS_DIR}}/etc/apt/sources.list"
echo 'Acquire::Retries "1";' > "${{ROOTFS_DIR}}/etc/apt/apt.conf.d/zzz-test"
"""
    project.stage("pi-gen/stage0", {"prerun.sh*": script(begin), "00-x/00-packages": "first second\n"})
    project.write("pi-gen/build.sh", "")
    project.configure([], base="pi-gen", pi_gen={"path": str(project.path / "pi-gen"), "stages": ["stage0"]})
    mirror.cut = {"second": 1_000_000}

    failed = project.build("--frozen").failed(3)
    assert f"{mirror.url}/pool/second_1.0_all.deb" in failed.err
    assert mirror.away
    assert (cache.debs / "first_1.0_all.deb").exists()
    assert (cache.debs / "partial/second_1.0_all.deb").stat().st_size >= 900_000

    mirror.away = False
    mirror.requests.clear()
    project.build("--frozen").ok()
    assert mirror.fetched("first") == []
    assert [start >= 900_000 for start in mirror.fetched("second")] == [True]
    assert project.look("cat /usr/share/first /usr/share/second | wc -c").strip() == "3200000"


def test_new_package_is_noticed_and_what_is_known_stays_when_the_archive_is_away(
    tmp_path: Path, repository: Repository, mirror: Mirror
) -> None:
    made = Cache(tmp_path / "cache")
    made.create()
    indexes = Indexes(made, [Source(mirror.url, "trixie", ("main",), repository.key, repository.key)])
    assert not indexes.present
    assert indexes.refresh()
    assert indexes.names() >= {"first", "second"}
    digest, epoch = indexes.digest, indexes.epoch
    assert abs(epoch - time.time()) < 3600
    assert not indexes.refresh(), "nothing is new"
    repository.add("third")
    repository.publish()
    assert indexes.refresh()
    assert "third" in indexes.names()
    assert indexes.digest != digest
    digest = indexes.digest
    mirror.away = True
    with pytest.raises(CommandFailed):
        indexes.refresh()
    assert indexes.present
    assert indexes.digest == digest
    assert "third" in indexes.names()


def test_frozen_build_asks_nobody_and_says_so_when_nothing_is_known(project: Project, tmp_path: Path) -> None:
    project.cache = tmp_path / "new"
    project.configure([], apt={"mirror": "http://127.0.0.1:9/none", "security_mirror": "http://127.0.0.1:9/none"})
    failed = project.build("--frozen").failed(2)
    assert "--frozen, but there are no package indexes for these sources yet" in failed.err
    assert "build once without it" in failed.err


def test_archive_out_of_reach_with_nothing_known_is_told_with_what_to_check(project: Project, tmp_path: Path) -> None:
    project.cache = tmp_path / "new"
    project.configure([], apt={"mirror": "http://127.0.0.1:9/none", "security_mirror": "http://127.0.0.1:9/none"})
    failed = project.build().failed(3)
    assert "the package sources cannot be reached" in failed.err
    assert "127.0.0.1" in failed.err
    assert "check the network" in failed.err

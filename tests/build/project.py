"""A project in a temporary directory: stage directories and a profile, built by the real `build.py`.

Every project's profile has the same name, so that all share the layers of the base in the cache.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from imagebuilder.cache import Cache
from tests.lab.processes import PR_SET_PDEATHSIG

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
BUILD = ROOT / "build.py"

NAME = "trial"
"""The profile's name. Layers are keyed by it, through IMG_NAME."""

TIMEOUT = 1800
"""Seconds that one command may take; a base that is built from nothing needs a few minutes."""


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.out + self.err

    def ok(self) -> Result:
        """Itself, when the command succeeded; fails the test otherwise."""
        assert self.code == 0, f"exit code {self.code}\n{self.text}"
        return self

    def failed(self, code: int) -> Result:
        """Itself, when the command ended with this exit code, as an error and not as a crash."""
        assert self.code == code, f"exit code {self.code}, not {code}\n{self.text}"
        assert "Traceback" not in self.text, self.text
        return self


@dataclass
class Project:
    """Stage directories and a profile below `path`.

    settings      the profile's settings, as they go into its YAML
    cache         the cache to use, instead of the one that the environment names
    environment   variables for `build.py` besides this process's own
    profile       another profile than the project's own
    """

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)
    cache: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    profile: Path = field(default=Path())

    def __post_init__(self) -> None:
        if self.profile == Path():
            self.profile = self.path / f"{NAME}.yaml"

    @property
    def deploy(self) -> Path:
        """Where finished files go."""
        return self.path / "deploy"

    @property
    def image(self) -> Path:
        """The uncompressed image that `build("--raw")` leaves."""
        return self.deploy / f"mojomail-{NAME}.img"

    def write(self, name: str, content: str | bytes, *, run: bool = False) -> Path:
        """Write a file below the project, with run bits if `run`."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o755 if run else 0o644)
        return path

    def stage(self, name: str, files: Mapping[str, str | bytes], *, previous: bool = True) -> Path:
        """Write a stage directory; a file whose name ends in `*` gets run bits, one that ends in `/` is a directory.

        previous   give it the prerun.sh that nearly every stage has
        """
        directory = self.path / name
        directory.mkdir(parents=True, exist_ok=True)
        if previous and "prerun.sh*" not in files:
            files = {"prerun.sh*": COPY_PREVIOUS, **files}
        for file, content in files.items():
            if file.endswith("/"):
                (directory / file).mkdir(parents=True, exist_ok=True)
            else:
                self.write(f"{name}/{file.rstrip('*')}", content, run=file.endswith("*"))
        return directory

    def configure(self, stages: list[str], **settings: Any) -> Path:
        """Write the profile. Stages are names of this project's directories, or paths; settings override."""
        paths = [stage if "/" in stage else f"./{stage}" for stage in stages]
        everything = {"name": NAME, "stages": paths} | self.settings | settings
        return self.write(self.profile.name, yaml.safe_dump(everything, sort_keys=False, allow_unicode=True))

    def command(self, command: str, *arguments: str | Path) -> list[str]:
        """The argument vector of a `build.py` command on this project."""
        words = [str(PYTHON), str(BUILD), command]
        if command not in ("flash", "clean", "completion"):
            words.append(str(self.profile))
        if self.cache is not None:
            words += ["--cache", str(self.cache)]
        return words + [str(argument) for argument in arguments]

    def run(self, command: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
        """Run a `build.py` command to its end."""
        process = self.start(command, *arguments, env=env)
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=30)
            raise
        return Result(process.returncode, out, err)

    def start(
        self, command: str, *arguments: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a `build.py` command, in a process group of its own, and do not wait for it."""
        return subprocess.Popen(
            self.command(command, *arguments),
            cwd=self.path,
            env={**os.environ, **self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=end_in_order,
        )

    def build(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
        """Build the layers and the uncompressed image, from the package indexes there are."""
        return self.run("build", "--raw", "--deploy", self.deploy, *arguments, env=env)

    def look(self, command: str, *, layer: str | None = None) -> str:
        """What a shell command prints in the root as last built, or as it stood where the build failed."""
        return self.enter(command, layer=layer).ok().out

    def enter(self, command: str, *, layer: str | None = None) -> Result:
        """Run a shell command in the root as last built, or as it stood where the build failed."""
        chosen = ["--layer", layer] if layer else []
        return self.run("shell", *chosen, "--", "sh", "-c", command)

    def files(self, *paths: str) -> dict[str, str]:
        """The text of files of the root, by path; those that are not there are missing. One entry for all."""
        mark = "=== file "
        listed = " ".join(shlex.quote(path) for path in paths)
        script = f'for f in {listed}; do [ -f "$f" ] && echo && echo "{mark}$f" && cat "$f"; done; true'
        found = {}
        for part in self.look(script).split(f"\n{mark}")[1:]:
            name, _, text = part.partition("\n")
            found[name] = text
        return found


def inquire(program: str, *words: str | Path, cache: Path | None = None) -> str:
    """What one of the programs beside this file prints, which look at what was built with the builder's own modules."""
    named = {"MOJOMAIL_CACHE": str(cache)} if cache else {}
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name(program), *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | named,
        text=True,
        capture_output=True,
        preexec_fn=end_in_order,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def end_in_order() -> None:
    """For a child before it begins: a build left by a test run that was killed would hold its cache's lock.

    A test run that was started in the background ignores interrupts; what it tests does not.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def cache_beside(usual: Cache, what: str) -> Iterator[Cache]:
    """A cache on the same file system as the usual one, so that files can be shared by links; removed afterwards.

    what   what its name has between the usual one's and the number of this process

    Those of test runs that were killed are removed too.
    """
    for left in usual.path.parent.glob(f"{usual.path.name}{what}*"):
        number = left.name.removeprefix(f"{usual.path.name}{what}")
        if number.isdigit() and not Path("/proc", number).exists():
            remove_cache(Cache(left))
    made = Cache(usual.path.parent / f"{usual.path.name}{what}{os.getpid()}")
    made.create()
    try:
        yield made
    finally:
        remove_cache(made)


def remove_cache(cache: Cache) -> None:
    """Remove a cache with all that is in it, also files that belong to other users."""
    cache.create()
    Project(cache.path, cache=cache.path).run("clean", "--all").ok()
    shutil.rmtree(cache.path)


COPY_PREVIOUS = """\
#!/bin/bash -e
if [ ! -d "${ROOTFS_DIR}" ]; then
	copy_previous
fi
"""

"""Our stages run under pi-gen's own build.sh, and parts of pi-gen's stages run here.

MOJOMAIL_PI_GEN names a checkout of pi-gen for the tests that need one; build.sh itself needs root, its `depends`, and
an emulator for armhf that the kernel knows, since it asks for one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from tests.build.listtree import walk
from tests.build.project import ROOT, Project
from tests.build.recording import PI_GEN_FUNCTIONS, PI_GEN_VARIABLES

STAGES = ROOT / "stages"
OVERLAY = ROOT / "overlay"
SCRIPTS = sorted({*STAGES.glob("*/*.sh"), *STAGES.glob("*/*/*.sh")})
COPIES = sorted(path.parent for path in STAGES.glob("*/*/OVERLAY"))

UNSET = ("FIRST_USER_PASS", "PUBKEY_SSH_FIRST_USER", "WPA_COUNTRY", "APT_PROXY", "TEMP_REPO")
"""What build.sh exports only when its config sets it."""

ENVIRONMENT = {name: f"value-of-{name.lower()}" for name in PI_GEN_VARIABLES} | {"LOCALE_DEFAULT": "en_GB.UTF-8"}


def named(path: Path) -> str:
    return str(path.relative_to(STAGES))


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_a_script_relies_on_no_variable_that_pi_gen_has_not(script: Path) -> None:
    text = script.read_text()
    # ${NAME:-...} holds its own remedy.
    used = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]*)(?![A-Z0-9_]*:?-)", text))
    own = set(re.findall(r"^\s*(?:export |local )?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))
    assert used - own <= set(PI_GEN_VARIABLES)


def test_scripts_are_given_no_function_that_pi_gen_has_not() -> None:
    text = (ROOT / "imagebuilder/shell/functions.bash").read_text()
    exported = re.findall(r"^export -f (.*)$", text, re.MULTILINE)
    assert sorted(" ".join(exported).split()) == sorted(PI_GEN_FUNCTIONS)


@pytest.mark.parametrize("template", sorted(OVERLAY.rglob("*.j2")), ids=lambda path: path.name)
def test_a_template_can_be_filled_in_from_pi_gens_variables(template: Path) -> None:
    jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(template.read_text()).render(ENVIRONMENT)


@pytest.mark.parametrize("substage", COPIES, ids=named)
def test_files_are_installed_as_pi_gen_calls_it(substage: Path, tmp_path: Path) -> None:
    rootfs = tmp_path / "work/rootfs"
    (rootfs / "etc").mkdir(parents=True)
    environment = ENVIRONMENT | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ROOTFS_DIR": str(rootfs),
        "STAGE_DIR": str(substage.parent),
    }
    subprocess.run(["./00-run.sh"], cwd=substage, env=environment, check=True, stdout=subprocess.DEVNULL)
    lines = (line.partition("#")[0].strip() for line in (substage / "OVERLAY").read_text().splitlines())
    assert [name for name in lines if name and not os.path.lexists(rootfs / name)] == []


@pytest.fixture
def pi_gen() -> Path:
    """A checkout of pi-gen."""
    given = os.environ.get("MOJOMAIL_PI_GEN")
    if not given:
        pytest.skip("MOJOMAIL_PI_GEN names no checkout of pi-gen")
    return Path(given).absolute()


BORROWED = {
    "00-locale": ("stage0/01-locale", ("00-debconf", "00-packages")),
    "01-boot-files": ("stage1/00-boot-files", ("00-run.sh", "files")),
    "02-sys-tweaks": ("stage1/01-sys-tweaks", ("00-patches", "00-run.sh", "files")),
    "03-set-timezone": ("stage2/03-set-timezone", ("02-run.sh",)),
}
"""Steps of pi-gen's that need nothing from Raspberry Pi's archive: our sub-stage, theirs, and what is taken of it."""


def test_stages_of_pi_gen_run_unmodified(project: Project, pi_gen: Path) -> None:
    project.stage(
        "borrowed",
        {"prerun.sh*": (pi_gen / "stage1/prerun.sh").read_text(), "00-important/00-packages": "adduser\ntzdata\n"},
    )
    for number, (name, (theirs, steps)) in enumerate(BORROWED.items(), 1):
        substage = project.path / f"borrowed/{number:02d}-{name}"
        substage.mkdir()
        for step in steps:
            (substage / step).symlink_to(pi_gen / theirs / step)
    # Not en_IN: stage0's answers name LOCALE_DEFAULT with its encoding, and Debian knows that locale only without.
    project.configure(["borrowed"], strict=False, system={"first_user": "pi", "locale": "en_GB.UTF-8"})
    project.build().ok()
    assert "pi:" in project.look("cat /etc/passwd")
    assert "Asia/Kolkata" in project.look("cat /etc/timezone")
    assert "en_GB.utf8" in project.look("locale -a")
    assert "force_color_prompt=yes" in project.look("grep -v '^#' /etc/skel/.bashrc")
    assert "root=PARTUUID=" in project.look("cat /boot/firmware/cmdline.txt")


STAGE0 = """\
#!/bin/bash -e
if [ ! -d "${ROOTFS_DIR}" ]; then
	mkdir -p "${ROOTFS_DIR}"
	tar -C "${ROOTFS_DIR}" -xpf "${PREPARED}" --numeric-owner
	mkdir -p "${ROOTFS_DIR}/var/lib/apt/lists/partial" "${ROOTFS_DIR}/var/cache/apt/archives/partial"
fi
"""

CONFIG = """\
IMG_NAME=ours
RELEASE=trixie
WORK_DIR={work}
DEPLOY_DIR={work}/deploy
GIT_HASH=none
LOCALE_DEFAULT=en_IN.UTF-8
TIMEZONE_DEFAULT=Asia/Kolkata
TARGET_HOSTNAME=mojomail
KEYBOARD_KEYMAP=us
WPA_COUNTRY=IN
export PREPARED={prepared}
STAGE_LIST="{stages}"
"""

DIFFERING = re.compile(
    r"var/log/.*|var/lib/apt/(extended_states|lists).*|var/cache/(apt|debconf|ldconfig)(/.*)?|var/lib/dpkg/(.*-old|lock.*)"
    r"|etc/(resolv\.conf|\.pwd\.lock|passwd-|shadow-|group-|gshadow-|console-setup/cached_setup_keyboard\.sh)"
)
"""What two builds in different places need not agree on: logs, backups, and a script that names the consoles which
setupcon saw in /dev, which are the build machine's under pi-gen."""


@pytest.mark.skipif(os.geteuid() != 0, reason="pi-gen's build.sh wants root")
def test_the_base_stage_comes_out_the_same_under_pi_gen(project: Project, pi_gen: Path) -> None:
    """pi-gen's build.sh runs the stage on a root that has its packages, and leaves what the engine leaves."""
    project.configure([str(STAGES / "base")])
    project.build().ok()
    prepared, ours = (_unpacked(project, layer) for layer in ("base/01-packages", "base/99-clean"))
    work = project.path / "work"
    project.stage("stage0", {"prerun.sh*": STAGE0}, previous=False)
    shutil.copytree(STAGES, project.path / "stages", symlinks=True)
    shutil.copytree(OVERLAY, project.path / "overlay", symlinks=True)
    config = project.write(
        "config",
        CONFIG.format(work=work, prepared=prepared, stages=f"{project.path}/stage0 {project.path}/stages/base"),
    )
    subprocess.run(
        ["unshare", "--mount", "--propagation=private", "./build.sh", "-c", config],
        cwd=pi_gen,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    tree = project.path / "ours"
    tree.mkdir()
    subprocess.run(["tar", "-C", tree, "--numeric-owner", "-xpf", ours], check=True)
    found = [
        {path: what for path, what in walk(place).items() if not DIFFERING.fullmatch(path)}
        for place in (tree, work / "base/rootfs")
    ]
    differing = {path for path in found[0].keys() | found[1].keys() if found[0].get(path) != found[1].get(path)}
    assert sorted(differing) == []


def _unpacked(project: Project, layer: str) -> Path:
    """A tar file of the root file system as a layer left it."""
    path = project.path / f"{layer.replace('/', '-')}.tar"
    with path.open("wb") as file:
        command = project.command("shell", "--layer", layer, "--", "tar", "-C", "/", "--one-file-system", "-c", ".")
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
    return path

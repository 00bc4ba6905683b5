"""Stages mean here what they mean to pi-gen: run_stage() and run_sub_stage() of its build.sh, and its scripts/common.

Most cases are rows of a table, looked up in what one build of a tree of stages recorded below /record.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.build.project import NAME, Project
from tests.build.recording import PI_GEN_FUNCTIONS, PI_GEN_VARIABLES, record_everything


@dataclass(frozen=True)
class Built:
    """A finished build: the text of what it recorded, and what `build.py` printed."""

    project: Project
    records: dict[str, str]
    printed: str

    def __getitem__(self, name: str) -> str:
        return self.records[f"/record/{name}"]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a script on the host had."""
        return dict(re.findall(r"^(\w+)=(.*)$", self["env"], re.MULTILINE))


def fresh() -> dict[str, str]:
    """A file that makes a stage's layers differ from those of any run before."""
    return {"files/nonce": uuid.uuid4().hex}


def lines(*text: str) -> str:
    return "".join(f"{line}\n" for line in text)


@pytest.fixture(scope="module")
def built(make_project: Callable[[str], Project]) -> Built:
    """Stages that use everything, built once."""
    project = make_project("everything")
    record_everything(project, fresh())
    result = project.build().ok()
    listing = project.look("find /record -type f; ls -d /etc/rpi-issue /etc/patched")
    return Built(project, project.files(*listing.split()), result.text)


ALL = " libjs-sprintf-js cl-anaphora cl-rt"

RECORDED = {
    "steps of a number run in pi-gen's order, and numbers in theirs": (
        "order",
        lines(
            "prerun.sh in its stage",
            "prerun.sh's on_chroot",
            f"00-run.sh:{ALL} patched",
            f"00-run-chroot.sh:{ALL} patched",
            f"01-run-chroot.sh:{ALL} libjs-spin.js patched",
            "09-run.sh",
            "99-run.sh",
            "99-run-chroot.sh",
            "a sub-stage without a number",
        ),
    ),
    "packages-nr come before packages": ("installed", lines("libjs-sprintf-js:all", "cl-anaphora:all", "cl-rt:all")),
    "files/ is found from the sub-stage, and from the stage": (
        "files",
        lines("of the sub-stage", "of the stage", "of the stage"),
    ),
    "run.sh begins in its sub-stage": ("cwd", "the sub-stage\n"),
    "run.sh finds nothing on standard input": ("stdin", "nothing\n"),
    "run.sh makes files that all can read": ("umask", "0022\n"),
    "run.sh without bash -e goes on, and finds what another left in STAGE_WORK_DIR": ("note", "from 02-host\n"),
    "on_chroot takes a here-document, arguments, a script and a pipe": (
        "on-chroot",
        lines(
            "heredoc by 0 in / with 02-host",
            "hello from an exported function",
            "of the script's,",
            "on two lines",
            f"first mojomail-{NAME}",
            "tmpdir none home /root",
            "arguments: name and more",
            "a script with argument",
            "from a pipe",
            "before",
            "exit 7",
        ),
    ),
    "on_chroot has the kernel's file systems": (
        "mounts",
        lines(
            *("/proc/self/status", "/dev/null", "/dev/urandom", "/dev/pts/ptmx"),
            *(f"{place} is mounted" for place in ("/proc", "/sys", "/dev", "/dev/pts", "/run", "/tmp")),
        ),
    ),
    "unmount undoes nested mounts": ("unmount", "not mounted\n"),
    "run-chroot.sh begins at the root": ("chroot/cwd", "/\n"),
    "run-chroot.sh is read by bash -e": ("chroot/options", "bash -e\n"),
    "run-chroot.sh has no arguments": ("chroot/zero", "/bin/bash 0\n"),
    "run-chroot.sh has the variables": ("chroot/env", "first rootfs /root trixie\n"),
    "run-chroot.sh is its own standard input": (
        "chroot/stdin",
        "what the script itself reads is its own next line\n",
    ),
    "owners and modes stay": ("chroot/owned", "1000:1000 4750\n"),
    "the stage before is named": ("second/stage", "second after first\n"),
    "the directory of the stage before is named": ("second/prev-stage-dir", "first's directory\n"),
    "work directories are named by stage": ("second/work", "yes\n"),
    "a stage can make its root itself": ("own", lines("a root of its own", "and more")),
    "a stage goes on from one that made its root itself": ("fourth", "fourth over third\n"),
}


@pytest.mark.parametrize(("name", "expected"), RECORDED.values(), ids=list(RECORDED))
def test_recorded(built: Built, name: str, expected: str) -> None:
    assert built[name] == expected


def test_scripts_get_all_variables_of_pi_gen(built: Built) -> None:
    assert set(PI_GEN_VARIABLES) <= set(built.environment)


def test_variables_say_what_the_profile_says(built: Built) -> None:
    expected = {
        "IMG_NAME": f"mojomail-{NAME}",
        "RELEASE": "trixie",
        "ARCH": "arm64",
        "TARGET_HOSTNAME": "mojomail",
        "TIMEZONE_DEFAULT": "Asia/Kolkata",
        "LOCALE_DEFAULT": "en_IN.UTF-8",
    }
    assert {name: built.environment[name] for name in expected} == expected


def test_the_image_date_is_a_date(built: Built) -> None:
    assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", built.environment["IMG_DATE"])


def test_scripts_get_all_functions_of_pi_gen(built: Built) -> None:
    assert set(PI_GEN_FUNCTIONS) <= set(built["functions"].split())


def test_the_previous_root_is_there_as_it_was_left(built: Built) -> None:
    assert built["second/prev-rootfs"] == built["order"]
    assert "/record/doomed" not in built.records, "what a later stage removes stays removed"


def test_debconf_answers_are_there_before_packages_are_configured(built: Built) -> None:
    assert built.project.look("readlink /etc/localtime").strip() == "/usr/share/zoneinfo/Asia/Kolkata"


def test_every_series_of_patches_is_applied(built: Built) -> None:
    assert built.records["/etc/patched"] == "changed\nkept\nmore\n"


def test_log_prints_the_time(built: Built) -> None:
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\] a line of the log\n", built["log"])


def test_update_issue_tells_what_made_the_image(built: Built) -> None:
    assert re.search(r" 20\d\d-\d\d-\d\d\nGenerated using .*, a-stage\n$", built.records["/etc/rpi-issue"])


def test_what_scripts_leave_mounted_or_running_is_not_in_the_image(built: Built) -> None:
    assert built.project.look("find /srv /mnt /tmp /run -name left").strip() == ""


def test_a_run_script_without_run_bit_is_passed_over_with_a_warning(built: Built) -> None:
    assert re.search(r"warning: .*/first/00-order/10-run\.sh", built.printed)


def test_noobs_is_named_as_unsupported(built: Built) -> None:
    assert re.search(r"EXPORT_NOOBS.*not supported", built.printed)


def test_steps_are_shown_in_the_order_they_run(built: Built) -> None:
    shown = re.findall(r"^ *(\d\d-(?!order)[\w.-]+) \.\.\.$", built.printed, re.MULTILINE)
    expected = [
        *("00-debconf", "00-packages-nr", "00-packages", "00-patches", "00-run.sh", "00-run-chroot.sh"),
        *("01-packages-nr", "01-patches", "01-run-chroot.sh", "09-run.sh", "99-run.sh", "99-run-chroot.sh"),
    ]
    # When the base is not in the cache, its own steps come first.
    begin = next((at for at, name in enumerate(shown) if name == "00-debconf"), 0)
    assert shown[begin : begin + len(expected)] == expected


def test_images_are_made_of_the_stages_that_export_and_of_the_last(built: Built) -> None:
    names = sorted(path.name for path in built.project.deploy.glob("*.img"))
    assert names == [f"mojomail-{NAME}-early.img", f"mojomail-{NAME}.img"]


def test_what_a_script_puts_into_the_deploy_directory_is_there(built: Built) -> None:
    assert (built.project.deploy / "from-a-stage.txt").read_text() == "for the user\n"


def test_an_unchanged_tree_is_not_built_again(built: Built) -> None:
    assert "00-run" not in built.project.build("--frozen").ok().err.partition("warning")[0]


def test_package_lists_that_a_stage_fetches_serve_the_stages_above(project: Project) -> None:
    # Also when only a stage above is built again.
    fetch = 'echo "# another source" >> /etc/apt/sources.list\necho fetched > /var/lib/apt/lists/other_list\n'
    show = "cat /var/lib/apt/lists/other_list > /lists-seen\n"
    project.stage("adds", {**fresh(), "00-a/00-run-chroot.sh": fetch})
    project.stage("uses", {"00-a/00-run-chroot.sh": show})
    project.configure(["adds", "uses"])
    project.build().ok()
    assert project.look("cat /lists-seen") == "fetched\n"
    project.stage("uses", {"00-a/00-run-chroot.sh": f"{show}echo again >> /lists-seen\n"})
    again = project.build("--frozen").ok()
    assert project.look("cat /lists-seen") == "fetched\nagain\n"
    assert "adds/00-a" not in again.text, "the indexes that count have not changed"


def test_a_skipped_stage_is_the_previous_one_as_it_was_built_before(project: Project) -> None:
    nonce = fresh()
    project.stage("skipped", {**nonce, "00-a/00-run-chroot.sh": "echo old > /from-skipped\n"})
    project.stage("next", {"00-a/00-run-chroot.sh": "true\n"})
    project.configure(["skipped", "next"])
    project.build().ok()
    project.stage("skipped", {"SKIP": "", "00-a/00-run-chroot.sh": "echo new > /from-skipped\n"})
    project.stage("next", {"00-a/00-run.sh*": '#!/bin/bash -e\necho "$PREV_STAGE" > "${ROOTFS_DIR}/previous"\n'})
    project.build().ok()
    assert project.look("cat /from-skipped /previous") == "old\nskipped\n"


def test_a_stage_that_was_never_built_cannot_be_skipped(project: Project) -> None:
    project.stage("skipped", {**fresh(), "SKIP": "", "00-a/00-run-chroot.sh": "true\n"})
    project.configure(["skipped"])
    told = project.build().failed(2).err
    assert "skipped is marked SKIP" in told
    assert "hint: remove" in told


def test_no_image_is_made_when_the_last_stage_says_so(project: Project) -> None:
    project.stage("last", {"EXPORT_IMAGE": "", "SKIP_IMAGES": "", "00-a/00-run-chroot.sh": "true\n"})
    project.configure(["last"])
    told = project.build().ok()
    assert "no image is made" in told.text
    assert not list(project.deploy.glob("*.img"))


def test_two_images_of_one_name_are_refused(project: Project) -> None:
    project.stage("one", {"EXPORT_IMAGE": "", "00-a/00-run-chroot.sh": "true\n"})
    project.stage("two", {"00-a/00-run-chroot.sh": "true\n"})
    project.configure(["one", "two"])
    told = project.build().failed(2).err
    assert f"both make an image named mojomail-{NAME}" in told


NEVER = 'touch "${ROOTFS_DIR}/not-reached"\n'
HUNK = "@@ -1 +1 @@\n-this line is not there\n+whatever\n"
FAILING: dict[str, tuple[dict[str, str], str]] = {
    "prerun.sh": ({"prerun.sh*": f"#!/bin/bash -e\ncopy_previous\nfalse\n{NEVER}"}, "prerun.sh"),
    "a prerun.sh that makes no root": ({"prerun.sh*": "#!/bin/bash -e\ntrue\n"}, "has no root file system"),
    "a prerun.sh that cannot be run": ({"prerun.sh": "#!/bin/bash -e\ncopy_previous\n"}, "has no root file system"),
    "run.sh": ({"00-a/00-run.sh*": f"#!/bin/bash -e\nfalse\n{NEVER}"}, "00-run.sh"),
    "on_chroot in run.sh": (
        {"00-a/00-run.sh*": f"#!/bin/bash -e\non_chroot << EOF\nfalse\ntrue\nEOF\n{NEVER}"},
        "00-run.sh",
    ),
    "run-chroot.sh": ({"00-a/00-run-chroot.sh": "false\ntouch /not-reached\n"}, "00-run-chroot.sh"),
    "a patch that does not fit": (
        {
            "00-a/00-patches/series": "bad.diff\n",
            "00-a/00-patches/bad.diff": f"--- a/rootfs/etc/fstab\n+++ b/rootfs/etc/fstab\n{HUNK}",
            "00-a/00-run.sh*": f"#!/bin/bash -e\n{NEVER}",
        },
        "bad.diff",
    ),
}


@pytest.mark.parametrize(("files", "told"), FAILING.values(), ids=list(FAILING))
def test_a_failing_step_ends_the_build(project: Project, files: dict[str, str], told: str) -> None:
    project.stage("failing", {**files, **fresh()}, previous="prerun.sh" not in files)
    project.configure(["failing"], strict=False)
    result = project.build().failed(3)
    assert told in result.err
    assert not project.deploy.exists()
    if "00-a" in "".join(files):
        found = project.look("ls /").split()
        assert "etc" in found
        assert "not-reached" not in found


STAGE0 = """\
#!/bin/bash -e
if [ ! -d "${ROOTFS_DIR}" ]; then
	bootstrap --variant=minbase "${RELEASE}" "${ROOTFS_DIR}"
fi
"""
GROUND = """\
#!/bin/bash -e
mkdir -p "${ROOTFS_DIR}/boot/firmware"
echo "proc /proc proc defaults 0 0" > "${ROOTFS_DIR}/etc/fstab"
"""
POSTRUN = """\
#!/bin/bash -e
[ "$PWD" = "${BASE_DIR}" ] && log "postrun.sh" > "${DEPLOY_DIR}/postrun.txt"
(cd "${DEPLOY_DIR}" && ls ./*.img) >> "${DEPLOY_DIR}/postrun.txt"
"""


def test_a_checkout_of_pi_gen_is_a_base(project: Project) -> None:
    # stage0 is the same in every run, so that its layer, which takes minutes, is made once.
    project.stage("pi-gen/stage0", {"prerun.sh*": STAGE0, "00-a/00-run.sh*": GROUND})
    project.stage(
        "pi-gen/stage1",
        {
            **fresh(),
            "EXPORT_IMAGE": "IMG_SUFFIX=-lite\n",
            "00-a/00-run.sh": "#!/bin/bash -e\nfalse\n",
            "00-a/01-run.sh*": '#!/bin/bash -e\necho "$BASE_DIR|$SCRIPT_DIR|$FIRST_USER_NAME" > "${ROOTFS_DIR}/base"\n',
            "00-a/02-packages-nr": "libjs-spin.js\n",
        },
    )
    project.write("pi-gen/build.sh", "#!/bin/bash -e\n", run=True)
    project.write("pi-gen/postrun.sh", POSTRUN, run=True)
    project.stage("ours", {"00-a/00-run.sh*": '#!/bin/bash -e\necho "$PREV_STAGE" > "${ROOTFS_DIR}/previous"\n'})
    project.configure(["ours"], base="pi-gen", pi_gen={"path": "./pi-gen", "stages": ["stage0", "stage1"]})
    printed = project.build().ok().text
    checkout = project.path / "pi-gen"
    assert project.look("cat /base /previous; ls /var/lib/dpkg/info/libjs-spin.js.list") == lines(
        f"{checkout}|{checkout}/scripts|pi", "stage1", "/var/lib/dpkg/info/libjs-spin.js.list"
    )
    assert re.search(r"warning: .*/stage1/00-a/00-run\.sh", printed)
    told = (project.deploy / "postrun.txt").read_text().splitlines()
    assert told[0].endswith("] postrun.sh")
    assert told[1:] == [f"./mojomail-{NAME}-lite.img", f"./mojomail-{NAME}.img"]

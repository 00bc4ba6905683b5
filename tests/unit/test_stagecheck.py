"""Mistakes in stages are told before anything runs, with their place and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from stagetree import SCRIPT, write_tree

from imagebuilder.errors import Problem
from imagebuilder.profile import load_profile
from imagebuilder.stagecheck import check_profile_packages, check_stages
from imagebuilder.stages import read_stage
from imagebuilder.suggestion import nearest

PACKAGES = {"vim", "nano", "nftables", "g++", "libstdc++6", "zram-tools"}
GOOD_SHEBANG = "begin it with '#!/bin/bash -e'"


def suggest(name: str) -> str | None:
    return nearest(name, PACKAGES)


def told(problems: Iterable[Problem], stage: Path) -> list[tuple[str, str, str | None]]:
    """Problems as (path:line:column, message, hint), with paths from the stage's directory."""
    return [
        (
            f"{p.path.relative_to(stage)}:{p.line}:{p.column}",
            p.message.replace(str(stage), "STAGE"),
            p.hint.replace(str(stage), "STAGE") if p.hint else None,
        )
        for p in problems
    ]


RUN = "00-a/00-run.sh"
CHROOT = "00-a/00-run-chroot.sh"
NO_RUN_BIT = "has no run bit, so that it would be skipped"

PROBLEMS_IN_ANY_STAGE = [
    ({f"{RUN}*": "#!/bin/bsh -e\n"}, f"{RUN}:1:3", "there is no interpreter /bin/bsh", "did you mean '/bin/bash'?"),
    ({f"{RUN}*": "#! /usr/bin/pyton3\n"}, f"{RUN}:1:4", "there is no interpreter /usr/bin/pyton3",
     "did you mean '/usr/bin/python3'?"),
    ({f"{RUN}*": "#!bash -e\n"}, f"{RUN}:1:3", "the interpreter 'bash' is not a full path",
     "did you mean '/bin/bash'?"),
    ({f"{RUN}*": "#!/usr/bin/env bash -e\n"}, f"{RUN}:1:16", "env is given 'bash -e' as one single word",
     "write '#!/usr/bin/env -S bash -e' or the interpreter's full path"),
    ({f"{RUN}*": "#!/usr/bin/env bsah\n"}, f"{RUN}:1:16", "there is no interpreter 'bsah' for env to find",
     "name one that is there"),
    ({f"{RUN}*": "#!\ntrue\n"}, f"{RUN}:1:1", "the '#!' line names no interpreter", GOOD_SHEBANG),
    ({f"{RUN}*": SCRIPT.replace("\n", "\r\n")}, f"{RUN}:1:15",
     "Windows line ends (CRLF): 2 lines end with a carriage return", f"sed -i 's/\\r$//' STAGE/{RUN}"),
    ({CHROOT: "true\nfalse\r\n"}, f"{CHROOT}:2:6",
     "Windows line ends (CRLF): this line ends with a carriage return", f"sed -i 's/\\r$//' STAGE/{CHROOT}"),
    ({"prerun.sh*": "#!/bin/bahs\n"}, "prerun.sh:1:3", "there is no interpreter /bin/bahs",
     "did you mean '/bin/bash'?"),
    ({"00-a/00-packages": "# editors\nvim\n  nanoo # small\n"}, "00-a/00-packages:3:3", "there is no package 'nanoo'",
     "did you mean 'nano'?"),
    ({"00-a/00-packages-nr": "vim qqq:arm64"}, "00-a/00-packages-nr:1:5", "there is no package 'qqq'", None),
    ({"00-a/00-packages": "vmi=2:9.1-1\n"}, "00-a/00-packages:1:1", "there is no package 'vmi'",
     "did you mean 'vim'?"),
    ({"00-a/00-patches/series": "# first\n 01-a.dif -p1\n", "00-a/00-patches/01-a.diff": ""},
     "00-a/00-patches/series:2:2", "there is no patch '01-a.dif'", "did you mean '01-a.diff'?"),
    ({"00-a/00-patches/": ""}, "00-a/00-patches:0:0", "has no 'series' file, which names the patches in order", None),
]  # fmt: skip


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("files", "place", "message", "hint"), PROBLEMS_IN_ANY_STAGE)
def test_what_would_fail_is_a_problem_in_any_stage(
    tmp_path: Path, files: dict[str, str], place: str, message: str, hint: str | None, strict: bool
) -> None:
    stage = write_tree(tmp_path / "s", files)
    problems, _ = check_stages([read_stage(stage)], PACKAGES.__contains__, suggest, strict=lambda _: strict)
    assert told(problems, stage) == [(place, message, hint)]


PROBLEMS_IN_STRICT_STAGES = [
    ({RUN: SCRIPT}, f"{RUN}:0:0", NO_RUN_BIT, f"chmod +x STAGE/{RUN}"),
    ({"prerun.sh": SCRIPT}, "prerun.sh:0:0", NO_RUN_BIT, "chmod +x STAGE/prerun.sh"),
    ({f"{RUN}*": "true\n"}, f"{RUN}:1:1", "has no '#!' line", GOOD_SHEBANG),
    ({f"{RUN}*": ""}, f"{RUN}:1:1", "has no '#!' line", GOOD_SHEBANG),
    ({f"{RUN}*": "\ufeff" + SCRIPT}, f"{RUN}:1:1", "a byte order mark stands before the '#!'",
     "save the file as UTF-8 without one"),
    ({CHROOT: "#!/usr/bin/python3\n"}, f"{CHROOT}:1:1",
     "the '#!' line names '/usr/bin/python3', but a chroot script is read by 'bash -e'", GOOD_SHEBANG),
    ({CHROOT: "#!/bin/bsh\n"}, f"{CHROOT}:1:1",
     "the '#!' line names '/bin/bsh', but a chroot script is read by 'bash -e'", GOOD_SHEBANG),
    ({"00-a/00-debconf": "a a/b string x\r\n"}, "00-a/00-debconf:1:15",
     "Windows line ends (CRLF): this line ends with a carriage return", "sed -i 's/\\r$//' STAGE/00-a/00-debconf"),
    ({"00-a/00-packages": "vim\r\nnano\r\n"}, "00-a/00-packages:1:4",
     "Windows line ends (CRLF): 2 lines end with a carriage return", "sed -i 's/\\r$//' STAGE/00-a/00-packages"),
    ({"00-a/00-packages": "vim, nano\n"}, "00-a/00-packages:1:1", "'vim,' cannot be a package's name",
     "one name to a word, '#' for comments"),
    ({"00-a/00-packages": "vim", "00-a/OVERLAY": "etc/fstab\netc/fsatb\n"}, "00-a/OVERLAY:2:1",
     "there is no ROOT/overlay/etc/fsatb", "did you mean 'etc/fstab'?"),
    ({"00-a/00-packages": "vim", "00-a/OVERLAY": "etc/none\n"}, "00-a/OVERLAY:1:1",
     "there are no files in ROOT/overlay/etc/none", None),
    ({"00-a/00-packages": "vim", "00-a/OVERLAY": "# x\n  ../etc\n"}, "00-a/OVERLAY:2:3",
     "'../etc' leads out of the overlay", "paths begin in overlay/, such as etc/fstab"),
    ({"00-a/00-packages": "vim", "00-a/INPUTS": "files/kye\n", "00-a/files/key": ""}, "00-a/INPUTS:1:1",
     "there is no STAGE/00-a/files/kye", "did you mean 'files/key'?"),
    # names that are nearly those of steps
    *[
        ({"00-a/00-debconf": "", f"00-a/{name}": SCRIPT}, f"00-a/{name}:0:0", "would not be used",
         f"did you mean '{meant}'?")
        for name, meant in [
            ("0-packages", "00-packages"), ("00-package", "00-packages"), ("1-run.sh", "01-run.sh"),
            ("00_packages", "00-packages"), ("00packages", "00-packages"), ("00-packages_nr", "00-packages-nr"),
            ("00-run-chroot", "00-run-chroot.sh"), ("00-run_chroot.sh", "00-run-chroot.sh"), ("00-run", "00-run.sh"),
            ("00-RUN.sh", "00-run.sh"), ("00-debconfs", "00-debconf"), ("packages", "00-packages"),
            ("skip", "SKIP"), ("OVERLAYS", "OVERLAY"), ("INPUT", "INPUTS"),
        ]
    ],
    ({"00-a/00-debconf": "", "00-a/00-patches": "x"}, "00-a/00-patches:0:0",
     "would not be used: it must be a directory", None),
    ({"00-a/00-debconf": "", "00-a/00-packages/vim": "x"}, "00-a/00-packages:0:0",
     "would not be used: it must be a file", None),
    ({"00-run.sh*": SCRIPT}, "00-run.sh:0:0", "would not run: a step belongs in a sub-stage directory", None),
    ({"pre-run.sh*": SCRIPT}, "pre-run.sh:0:0", "would not be used", "did you mean 'prerun.sh'?"),
    ({"EXPORT_IMAGES": ""}, "EXPORT_IMAGES:0:0", "would not be used", "did you mean 'EXPORT_IMAGE'?"),
    ({"tools/0-run.sh": SCRIPT}, "tools/0-run.sh:0:0", "would not be used", "did you mean '00-run.sh'?"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "place", "message", "hint"), PROBLEMS_IN_STRICT_STAGES)
def test_what_pi_gen_puts_up_with_is_a_problem_in_strict_stages_and_a_warning_in_others(
    tmp_path: Path, files: dict[str, str], place: str, message: str, hint: str | None
) -> None:
    stage = write_tree(tmp_path / "stages" / "s", files)
    write_tree(tmp_path, {"overlay/etc/fstab.j2": "", "overlay/etc/none/": ""})
    expected = [(place, message.replace("ROOT", str(tmp_path)), hint)]
    problems, warnings = check_stages([read_stage(stage)], PACKAGES.__contains__, suggest)
    assert (told(problems, stage), warnings) == (expected, ())
    problems, warnings = check_stages([read_stage(stage)], PACKAGES.__contains__, suggest, strict=lambda _: False)
    assert (problems, told(warnings, stage)) == ((), expected)


@pytest.mark.parametrize(
    ("files", "place", "message"),
    [
        ({"EXPORT_NOOBS": ""}, "EXPORT_NOOBS:0:0", "not supported: no files for NOOBS are made"),
        ({"SKIP": "", RUN: ""}, "SKIP:0:0", "the whole stage is skipped"),
        ({"00-a/SKIP": "", RUN: ""}, "00-a/SKIP:0:0", "the sub-stage is skipped"),
        ({"00-a/README": ""}, "00-a:0:0", "the sub-stage has no steps"),
        ({"00-a/00-patches/series": "", "00-a/00-patches/x.diff": ""}, "00-a/00-patches/x.diff:0:0",
         "is not applied, as 'series' does not name it"),
        ({"00-a/00-patches/series": "", "00-a/00-patches/EDIT": ""}, "00-a/00-patches/EDIT:0:0",
         "not supported: no shell is opened to edit patches"),
    ],
)  # fmt: skip
def test_warnings(tmp_path: Path, files: dict[str, str], place: str, message: str) -> None:
    stage = write_tree(tmp_path, files)
    problems, warnings = check_stages([read_stage(stage)])
    assert (problems, told(warnings, stage)) == ((), [(place, message, None)])


def test_good_stage_has_no_findings(tmp_path: Path) -> None:
    files = {
        "prerun.sh*": SCRIPT,
        "EXPORT_IMAGE": 'IMG_SUFFIX="-lite"\n',
        "README.md": "",
        "files/0-packages": "data of a script",
        "00-a/00-debconf": "a a/b string x\n",
        "00-a/00-packages": "# C++\ng++ libstdc++6 vim/trixie nano- nftables+ vim:arm64=2:9.1 ssh-server^\n",
        "00-a/00-patches/series": "# none\n01-a.diff\nsub/02-b.patch -p0\n",
        "00-a/00-patches/01-a.diff": "",
        "00-a/00-patches/sub/02-b.patch": "",
        "00-a/00-run.sh*": "#!/usr/bin/env python3\n",
        "00-a/01-run.sh*": b"\x7fELF\x02",
        "00-a/01-run-chroot.sh": "true\n",
        "00-a/02-run-chroot.sh": "#!/usr/bin/env bash\n",
        "00-a/00-run.sh~": "put aside",
        "00-a/02-run.sh.disabled": "put aside",
        "00-a/run-helper.sh": "called by a script",
        "00-a/00-settings.conf": "read by a script",
        "00-a/files/1-run.sh": "data",
        "00-a/OVERLAY": "etc\n",
        "00-a/INPUTS": "../files\n",
    }
    stage = write_tree(tmp_path / "stages" / "my stage", files)
    write_tree(tmp_path, {"overlay/etc/hosts": ""})
    assert check_stages([read_stage(stage)], PACKAGES.__contains__, suggest) == ((), ())


def test_all_problems_of_all_stages_are_told_at_once(tmp_path: Path) -> None:
    stages = [
        write_tree(tmp_path / name, {RUN: "", f"{CHROOT}": "a\r\n", "00-a/00-packages": "x1 x2"}) for name in "ab"
    ]
    problems, _ = check_stages([read_stage(stage) for stage in stages], PACKAGES.__contains__)
    assert len(problems) == 10


def test_hint_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    stage = write_tree(tmp_path / "my stage", {RUN: SCRIPT})
    [problem], _ = check_stages([read_stage(stage)])
    assert problem.hint == f"chmod +x '{stage}/{RUN}'"


def test_package_of_a_profile_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("stages: []\npackages:\n  - vim\n  - nftable\n  - nano:arm64\n")
    problems = check_profile_packages(load_profile(path, root=tmp_path), PACKAGES.__contains__, suggest)
    assert told(problems, tmp_path) == [("p.yaml:4:5", "there is no package 'nftable'", "did you mean 'nftables'?")]

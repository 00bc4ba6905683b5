"""What a machine lacks is told all at once, with the one command that mends it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

from imagebuilder import preflight
from imagebuilder.errors import InputError
from imagebuilder.preflight import BINFMT_IN_NAMESPACE, PROGRAMS, Host, check_host, survey

FIT = Host(
    uid=1000,
    user="keeper",
    kernel=(6, 12),
    missing_programs=frozenset(),
    keyring=True,
    foreign=True,
    interpreter="/usr/bin/qemu-aarch64-static",
    registered=True,
    subuid=True,
    subgid=True,
)


@pytest.fixture(autouse=True)
def _newuidmap_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find_program", lambda name: f"/usr/bin/{name}")


def lacks(**changes: Any) -> InputError:
    """The error that a machine with these changes gets."""
    with pytest.raises(InputError) as caught:
        check_host(dataclasses.replace(FIT, **changes))
    return caught.value


def test_machine_that_has_everything_is_let_through() -> None:
    check_host(FIT)
    check_host(dataclasses.replace(FIT, uid=0, user="root"))


def test_arm64_machine_needs_no_emulator() -> None:
    check_host(dataclasses.replace(FIT, foreign=False, interpreter=None, registered=False, kernel=(5, 10)))


def test_new_kernel_needs_no_registered_emulator_since_the_build_registers_its_own() -> None:
    check_host(dataclasses.replace(FIT, registered=False, kernel=BINFMT_IN_NAMESPACE))


@pytest.mark.parametrize(
    ("changes", "problem", "command"),
    [
        pytest.param(
            {"missing_programs": frozenset({"mmdebstrap"})},
            "the program mmdebstrap is missing",
            "apt-get install -y mmdebstrap",
            id="program",
        ),
        pytest.param(
            {"missing_programs": frozenset({"mmdebstrap", "mmtarfilter", "quilt"})},
            "the program quilt is missing",
            "apt-get install -y mmdebstrap quilt",
            id="programs of one package",
        ),
        pytest.param(
            {"keyring": False}, "debian-archive-keyring.gpg is missing", "apt-get install -y debian-archive-keyring"
        ),
        pytest.param(
            {"interpreter": None},
            "no emulator for arm64 programs",
            "apt-get install -y qemu-user-static",
            id="emulator",
        ),
        pytest.param(
            {"registered": False, "kernel": (6, 1)},
            "binfmt_misc: qemu-aarch64, flag F",
            "apt-get install -y binfmt-support qemu-user-static && update-binfmts --enable qemu-aarch64",
            id="binfmt",
        ),
        pytest.param(
            {"subuid": False},
            "/etc/subuid gives keeper no range of 65536 ids",
            "usermod --add-subuids 100000-165535 keeper",
            id="subuid",
        ),
        pytest.param(
            {"subgid": False},
            "/etc/subgid gives keeper no range of 65536 ids",
            "usermod --add-subgids 100000-165535 keeper",
            id="subgid",
        ),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_mends_it(
    changes: dict[str, Any], problem: str, command: str
) -> None:
    error = lacks(**changes)
    assert error.exit_code == 2
    assert problem in error.message
    assert error.hint == f"sudo sh -c '{command}'"
    assert lacks(**changes, uid=0).hint == command, "root needs no sudo"


def test_everything_missing_is_named_at_once_with_one_command() -> None:
    error = lacks(
        missing_programs=frozenset(PROGRAMS),
        keyring=False,
        interpreter=None,
        registered=False,
        kernel=(6, 1),
        subuid=False,
        subgid=False,
    )
    for name in (*PROGRAMS, "debian-archive-keyring", "qemu-aarch64", "/etc/subuid", "/etc/subgid", "binfmt_misc"):
        assert name in error.message
    assert error.hint is not None
    sudo, shell, option, script = shlex.split(error.hint)
    assert (sudo, shell, option) == ("sudo", "sh", "-c")
    install, *others = script.split(" && ")
    packages = install.removeprefix("apt-get install -y ").split()
    assert set(packages) == {*PROGRAMS.values(), "debian-archive-keyring", "qemu-user-static", "binfmt-support"}
    assert others == [
        "usermod --add-subuids 100000-165535 keeper",
        "usermod --add-subgids 100000-165535 keeper",
        "update-binfmts --enable qemu-aarch64",
    ]


def test_newuidmap_is_needed_by_ordinary_users_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find_program", lambda name: None)
    error = lacks()
    assert "newuidmap" in error.message
    assert error.hint == "sudo sh -c 'apt-get install -y uidmap'"
    check_host(dataclasses.replace(FIT, uid=0))


def test_survey_sees_which_programs_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find_program", lambda name: None if name in ("quilt", "gpg") else f"/bin/{name}")
    host = survey()
    assert host.missing_programs == {"quilt", "gpg"}
    assert host.kernel > (2, 6)


def test_survey_does_not_look_for_subordinate_ids_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "getuid", lambda: 0)
    monkeypatch.setattr(preflight, "subordinate_range", lambda *_: None)
    host = survey()
    assert (host.subuid, host.subgid) == (True, True)


def test_caller_without_a_name_is_called_by_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(preflight.os, "getuid", lambda: 54321)
    monkeypatch.setattr(preflight, "subordinate_range", lambda *_: None)
    host = survey()
    assert (host.user, host.subuid) == ("54321", False)

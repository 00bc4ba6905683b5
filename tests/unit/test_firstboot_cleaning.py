"""Secrets go off the card, comments too, and a card that cannot be written is tried again: firstboot/cleaning.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstboot import cleaning
from firstboot.__main__ import main
from firstboot.cleaning import FOLDER, MISTAKES, leave_clean
from firstboot.intake import take_in
from firstboot.preset import REMOVED
from firstboot.redacting import redact
from firstboot.status import SECRETS_LEFT, read_status
from tests.unit.firstboot_machine import SECRETS, Quick, wizard_at
from tests.unit.test_firstboot_preset import LEAST, NETWORK_CONFIG, PSK, ROOT, Olds, finish, put


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("# password: {0}\nname: rampur\n", "name: rampur\n"),
        ("name: rampur   # once {0}\n#{0}", "name: rampur   \n"),
        ('keeper: {{hash: "a # b"}} # {0}\n', f'keeper: {{hash: "{REMOVED}"}} \n'),
        ("keeper:\n  password: | # {0}\n    {0}\n# {0}\n", f'keeper:\n  password: "{REMOVED}"\n'),
        ("extra_ca:\n  - | # {0}\n    # no comment\n", "extra_ca:\n  - | \n    # no comment\n"),
        ("name: a#b\r\n# {0}\r\nask: yes\r\n", "name: a#b\r\nask: yes\r\n"),
        ("\ufeff# {0}\nname: ರಾಂಪುರ # ಹಳೆಯ {0}\n", "\ufeffname: ರಾಂಪುರ \n"),
        ("#cloud-config\n# {0}\nname: rampur\n", "#cloud-config\nname: rampur\n"),
    ],
)
def test_what_stands_in_a_comment_goes_with_the_secrets(tmp_path: Path, text: str, left: str) -> None:
    file = tmp_path / "mojomail.yaml"
    file.write_bytes(text.format(SECRETS[0]).encode())
    disk = Olds()
    assert redact(file, disk=disk) and not redact(file, disk=disk)
    assert file.read_bytes().decode().removeprefix("\ufeff") == left.removeprefix("\ufeff")
    assert [SECRETS[0].encode() in old for old in disk.olds] == [False]


def test_where_the_card_does_not_show_its_files_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path, LEAST, "mojomail.yaml.txt")
    wizard = wizard_at(tmp_path)

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "iterdir", fail)
        take_in(wizard, tmp_path)
        assert wizard.faults == (
            "mojomail.yaml: the card does not show its files: Input/output error (copy them to another card)",
        )
        finish(wizard)
        assert read_status(tmp_path).secrets_left
    assert leave_clean(tmp_path, Quick()) and SECRETS[0] not in file.read_text()


class Stuck(Quick):
    """A disk on which some files cannot be written: the kernel has made their partition read-only, say."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        if path.name in self.names:
            raise OSError(30, "Read-only file system")
        super().overwrite(path, offset, data)


def test_a_file_that_cannot_be_written_keeps_no_other_from_being_cleaned(tmp_path: Path) -> None:
    file = put(tmp_path, "langage: hi\nname: rampur\n")
    network = put(tmp_path, NETWORK_CONFIG, "network-config")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path, Stuck("mojomail.yaml"))
    finish(wizard)
    assert "langage: hi" in file.read_text() and PSK not in network.read_text()
    assert not (tmp_path / FOLDER / MISTAKES).exists()


def test_secrets_that_could_not_go_are_told_and_tried_again_until_they_are_gone(tmp_path: Path) -> None:
    file = put(tmp_path, LEAST)
    wizard = wizard_at(tmp_path)
    stuck = Stuck("mojomail.yaml")
    take_in(wizard, tmp_path, stuck)
    wizard.applied()
    wizard.tried([])
    assert wizard.at == "join" and SECRETS[0] in file.read_text()
    assert read_status(tmp_path).secrets_left
    assert not leave_clean(tmp_path, stuck) and read_status(tmp_path).secrets_left
    assert leave_clean(tmp_path, Quick()) and not read_status(tmp_path).secrets_left
    assert SECRETS[0] not in file.read_text()


def test_a_card_that_was_cleaned_leaves_no_note(tmp_path: Path) -> None:
    put(tmp_path, LEAST)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path, Quick())
    wizard.applied()
    wizard.tried([])
    assert not read_status(tmp_path).secrets_left


@pytest.mark.parametrize(("clean", "code"), [(True, 0), (False, 3)])
def test_the_program_that_tries_again_is_one_that_systemd_starts_until_it_succeeds(
    monkeypatch: pytest.MonkeyPatch, clean: bool, code: int
) -> None:
    monkeypatch.setattr(cleaning, "leave_clean", lambda root: clean)
    assert main(["clean"]) == code
    units = ROOT / "overlay/usr/lib/systemd/system"
    unit = (units / "mojomail-clean-card.service").read_text()
    assert f"ConditionPathExists=/{SECRETS_LEFT}\n" in unit and "Restart=on-failure\n" in unit
    assert "Wants=mojomail-clean-card.service\n" in (units / "mojomail-tv.service").read_text()

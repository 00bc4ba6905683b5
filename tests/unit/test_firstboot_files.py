"""Files on the card that are no text, too large, or not called as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstboot.__main__ import main
from firstboot.cleaning import FOLDER
from firstboot.errors import FaultyFile
from firstboot.intake import lacking, take_in
from firstboot.preset import LARGEST, REMOVED, read_file
from firstboot.redacting import redact
from tests.unit.firstboot_machine import SECRETS, MadeUp, wizard_at
from tests.unit.test_firstboot_preset import LEAST, Olds, finish, mistakes, put, unreadable

BAD = b"keeper:\r\n  password: abcd-efgh-1\r\nname: \xe0\xb2\x95"
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("bom", [b"", BOM], ids=["", "bom"])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (BAD + b"Andr\xe9\r\n", "3:12: from here on this is no text in UTF-8 (save it again as UTF-8)"),
        (BAD.replace(b"\r", b"") + b"Andr\xe9\n", "3:12: from here on this is no text in UTF-8"),
        (BAD + b"\x07\r\n", "3:8: a control character stands here, U+0007 (delete it)"),
        (BAD.replace(b"\r\n", b"\r") + b"\x07\r", "3:8: a control character stands here, U+0007"),
        (b"\x07" + BAD, "1:1: a control character stands here, U+0007"),
        (b"\xff\xfen\x00a\x00", "1:1: from here on this is no text in UTF-8"),
        (BAD + b"\r\nlanguage: *x\r\n", "4:11: this is used again by its name"),
        (BAD + b"\r\nlangage: en\r\n", "4:1: there is no setting called langage"),
    ],
)
def test_what_is_no_text_is_told_in_one_line_with_its_place(tmp_path: Path, data: bytes, told: str, bom: bytes) -> None:
    file = put(tmp_path, "")
    file.write_bytes(bom + data)
    with pytest.raises(FaultyFile) as caught:
        read_file(file, MadeUp())
    assert [line.startswith(f"mojomail.yaml:{told}") for line in caught.value.lines()].count(True) == 1
    assert "\n" not in "".join(caught.value.lines()) and "abcd-efgh-1" not in str(caught.value)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert list(wizard.faults) == caught.value.lines()


@pytest.mark.parametrize("written", ["*{0}", "!{0}!x"])
def test_a_password_that_begins_with_a_sign_of_yaml_is_told_by_its_place_alone(written: str) -> None:
    [told] = mistakes(f"keeper:\n  password: {written.format(SECRETS[0])}\n")
    assert told.startswith("mojomail.yaml:2:13: ") and "quotes" in told and SECRETS[0] not in told


def test_a_file_that_is_too_large_is_told_before_it_is_read_and_is_written_over_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(tmp_path, LEAST + "#" * 2 * LARGEST)
    wizard = wizard_at(tmp_path)
    with monkeypatch.context() as broken:
        unreadable(broken, file)
        assert not lacking(wizard, tmp_path)
        take_in(wizard, tmp_path)
        assert wizard.faults == (
            "mojomail.yaml: this file is too large: 2.0 MB, and settings have at most 1 MB "
            "(copy the right file to the card)",
        )
    disk = Olds()
    assert redact(file, disk=disk, whole=True) and not redact(file, disk=disk, whole=True)
    assert [SECRETS[0].encode() in old for old in disk.olds] == [False]
    assert REMOVED in file.read_text()


NEARLY = ("mojomail.yaml.txt", "mojomail.yml", "mojomail.yml.txt", "MojoMail.YAML", "Mojomail.yaml.TXT")


@pytest.mark.parametrize("name", NEARLY)
def test_a_file_that_is_nearly_called_so_is_taken(tmp_path: Path, name: str) -> None:
    file = put(tmp_path, LEAST + "network: {kind: ethernet}\nlink: {kind: ethernet}\n", name)
    assert lacking(wizard_at(tmp_path), tmp_path), "its hardware is waited for"
    wizard = wizard_at(tmp_path, MadeUp(sockets=("eth0", "eth1")))
    take_in(wizard, tmp_path)
    assert wizard.at == "apply" and wizard.state.unattended
    assert SECRETS[0] not in file.read_text() and REMOVED in file.read_text()


@pytest.mark.parametrize("text", ["langage: hi\n", LEAST + "link:\n  kind: wifi\n"])
def test_its_mistakes_are_told_with_its_own_name(tmp_path: Path, text: str) -> None:
    put(tmp_path, text, "mojomail.yaml.txt")
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.faults and all(line.startswith("mojomail.yaml.txt:") for line in wizard.faults)
    assert "mojomail.yaml.txt" in wizard.screen().title


@pytest.mark.parametrize("name", NEARLY)
def test_the_right_name_goes_before_another_whose_secrets_go_too(tmp_path: Path, name: str) -> None:
    put(tmp_path, LEAST + "name: rampur\n")
    other = put(tmp_path, f"name: other\nkeeper:\n  password: {SECRETS[1]}\n", name)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.answers.get("name") == "rampur"
    assert SECRETS[1] not in other.read_text() and "name: other" in other.read_text()


def test_of_two_that_are_nearly_called_so_none_is_taken_and_both_lose_their_secrets_at_the_end(tmp_path: Path) -> None:
    files = [put(tmp_path, LEAST, name) for name in ("mojomail.yml", "mojomail.yaml.txt")]
    (tmp_path / FOLDER / "mojomail.yml.txt").mkdir()
    wizard = wizard_at(tmp_path)
    assert not lacking(wizard, tmp_path)
    take_in(wizard, tmp_path)
    assert [line.partition(":")[2] for line in wizard.faults] == [
        " this file is not on the card, and more than one that may be meant: mojomail.yaml.txt, mojomail.yml "
        "(give the right one this name)"
    ]
    finish(wizard)
    assert not [file for file in files if SECRETS[0] in file.read_text()]


@pytest.mark.parametrize("name", ["mojomail.yaml.example", "mojomail.txt", "._mojomail.yaml", "my-mojomail.yml"])
def test_other_files_are_nobodys_business(tmp_path: Path, name: str) -> None:
    file = put(tmp_path, LEAST, name)
    wizard = wizard_at(tmp_path)
    take_in(wizard, tmp_path)
    assert wizard.at == "language"
    finish(wizard)
    assert file.read_text() == LEAST


def test_the_command_that_checks_a_file_tells_mistakes_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = put(tmp_path, "", "mine.yaml")
    file.write_bytes(b"name: Andr\xe9\n")
    assert main(["check", str(file)]) == 2
    assert capsys.readouterr().err.startswith("mine.yaml:1:11: from here on this is no text in UTF-8")

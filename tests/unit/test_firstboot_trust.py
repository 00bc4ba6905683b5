"""Who may log in by ssh, and whom mail servers may be certified by: what only a file on the card gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firstboot.actions import Site, actions
from firstboot.journal import State
from firstboot.process import Done
from firstboot.service import Setup
from firstboot.settings import Settings, settings_from
from firstboot.wizard import Wizard
from tests.unit.firstboot_machine import VILLAGE, MadeUp, Programs, journal_at, site_at, walk, wizard_at

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBsomekey keeper@laptop"
KEYS, RULES = "root/.ssh/authorized_keys", "etc/nftables.d/10-ssh.nft"
FOLDER = "usr/local/share/ca-certificates"
FIRST, SECOND = (f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----" for body in ("AAAA", "BBBB"))
UPDATE = ("update-ca-certificates",)
SHUT = ("systemctl", "disable", "--now", "ssh.service")


class Trusting(Programs):
    """Programs of which one makes the list of trusted certificates, unless the power goes."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root, self.power = root, True

    def __call__(self, *argv: str, stdin: str = "", limit: float = 60.0, language: str = "C") -> Done:
        if argv == UPDATE:
            if not self.power:
                raise KeyboardInterrupt
            bundle = self.root / "etc/ssl/certs/ca-certificates.crt"
            bundle.parent.mkdir(parents=True, exist_ok=True)
            bundle.write_text("".join(path.read_text() for path in sorted((self.root / FOLDER).glob("*.crt"))))
        return super().__call__(*argv, stdin=stdin, limit=limit, language=language)


def answered(root: Path) -> Wizard:
    """A wizard at its first question, to which a file has given a key and two certificates."""
    wizard = wizard_at(root)
    answers = wizard.answers.with_answer("ssh_keys.0", KEY)
    for number, each in enumerate((FIRST, SECOND)):
        answers = answers.with_answer(f"extra_ca.{number}", each)
    wizard.take(State(answers=answers))
    return wizard


def set_up(wizard: Wizard, site: Site) -> None:
    """Answer what is left, bring it into force, and finish."""
    walk(wizard, VILLAGE)
    apply(settings_from(wizard.answers), site)
    wizard.applied()
    wizard.tried([])
    assert wizard.answer("test", "onward") and wizard.answer("join", "finish")


def apply(settings: Settings, site: Site) -> None:
    for action in actions(settings, site):
        if not action.done():
            action.apply()


def begin_anew(root: Path, *, erase: bool) -> Wizard:
    """Choose it in the keeper's menu; gives the wizard of the next start."""
    setup = Setup(root)
    setup.journal = journal_at(root)
    setup.begin_anew(erase=erase)
    return wizard_at(root)


def trusted(root: Path) -> list[str]:
    """The bodies that the list of trusted certificates has."""
    return [line for line in (root / "etc/ssl/certs/ca-certificates.crt").read_text().split() if len(line) == 4]


@pytest.mark.parametrize("erase", [True, False])
def test_who_had_a_key_gets_in_no_more_once_the_node_is_set_up_anew(tmp_path: Path, erase: bool) -> None:
    programs = Trusting(tmp_path)
    site = site_at(tmp_path, programs)
    set_up(answered(tmp_path), site)
    assert KEY in (tmp_path / KEYS).read_text().splitlines() and "dport 22" in (tmp_path / RULES).read_text()
    assert SHUT not in programs.calls
    set_up(begin_anew(tmp_path, erase=erase), site)
    assert not (tmp_path / KEYS).exists() and "dport" not in (tmp_path / RULES).read_text()
    shut = programs.calls.index(SHUT)
    assert programs.calls[shut - 1] == ("nft", "-f", "/etc/nftables.conf")


@pytest.mark.parametrize(("erase", "left"), [(True, []), (False, ["AAAA", "BBBB"])])
def test_certificates_stay_with_the_people_whose_mail_may_need_them(
    tmp_path: Path, erase: bool, left: list[str]
) -> None:
    site = site_at(tmp_path, Trusting(tmp_path))
    set_up(answered(tmp_path), site)
    assert trusted(tmp_path) == ["AAAA", "BBBB"]
    set_up(begin_anew(tmp_path, erase=erase), site)
    assert trusted(tmp_path) == left and len(list((tmp_path / FOLDER).iterdir())) == len(left)


def test_keys_and_certificates_outlive_a_change_of_the_name(tmp_path: Path) -> None:
    programs = Trusting(tmp_path)
    site = site_at(tmp_path, programs)
    set_up(answered(tmp_path), site)
    journal = journal_at(tmp_path)
    later = Wizard(journal, MadeUp(), start=replace(journal.load(), at="", chapter="node"))
    walk(later, {"name": "hubli"})
    apply(settings_from(later.answers), site)
    assert (tmp_path / "etc/hostname").read_text() == "hubli\n"
    assert KEY in (tmp_path / KEYS).read_text() and "dport 22" in (tmp_path / RULES).read_text()
    assert trusted(tmp_path) == ["AAAA", "BBBB"] and programs.calls.count(UPDATE) == 1


def test_a_key_that_the_image_was_built_with_stays(tmp_path: Path) -> None:
    (tmp_path / KEYS).parent.mkdir(parents=True)
    (tmp_path / KEYS).write_text(f"{KEY}\n")
    programs = Programs()
    set_up(wizard_at(tmp_path), site_at(tmp_path, programs))
    assert (tmp_path / KEYS).read_text() == f"{KEY}\n" and SHUT not in programs.calls


def test_a_certificate_goes_also_where_the_power_went_before_the_list_was_made(tmp_path: Path) -> None:
    programs = Trusting(tmp_path)
    site = site_at(tmp_path, programs)
    wizard = answered(tmp_path)
    walk(wizard, VILLAGE)
    settings = settings_from(wizard.answers)
    apply(settings, site)
    fewer = replace(settings, authorities=(FIRST,))
    programs.power = False
    with pytest.raises(KeyboardInterrupt):
        apply(fewer, site)
    programs.power = True
    apply(fewer, site)
    assert trusted(tmp_path) == ["AAAA"]
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["mojomail-extra-0.crt"]

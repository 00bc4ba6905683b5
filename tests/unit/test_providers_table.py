"""The table of far providers, and the filter that sees their mail."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.lab.authority import Authority
from tests.lab.milter import Change, Habits, Mail, _Conversation
from tests.lab.providers import PROVIDERS, provider_of


def test_no_two_providers_share_an_address_a_name_or_a_domain() -> None:
    for things in (
        [address for provider in PROVIDERS.values() for address in provider.addresses.values()],
        [name for provider in PROVIDERS.values() for name in provider.names],
        [domain for provider in PROVIDERS.values() for domain in provider.domains],
        [provider.loopback for provider in PROVIDERS.values()],
    ):
        assert len(things) == len(set(things))


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_special_folders_are_among_a_provider_s_folders(provider: object) -> None:
    folders = {folder.name for folder in provider.folders}  # type: ignore[attr-defined]
    special = {provider.sent_folder, provider.all_folder} - {None}  # type: ignore[attr-defined]
    assert special <= folders


def test_an_address_tells_its_provider_in_any_case() -> None:
    assert provider_of("Asha@GMail.com").name == "gmail"
    with pytest.raises(ValueError, match=r"no provider of the lab has mail for 'x@gmail\.co'"):
        provider_of("x@gmail.co")


class Recorder(Habits):
    """Takes all but mail for nobody, and changes From:."""

    def __init__(self) -> None:
        self.seen: list[Mail] = []

    def recipient(self, mail: Mail, address: str) -> str | None:
        return "550 5.1.1 No" if address == "nobody@b.org" else None

    def message(self, mail: Mail, change: Change) -> str | None:
        self.seen.append(mail)
        change.set_header("From", " new@a.org")
        return None


def test_the_filter_sees_a_message_as_it_was_sent() -> None:
    habits = Recorder()
    talk = _Conversation(habits).answer
    (options,) = talk(b"O", struct.pack("!III", 6, 0x1FF, 0x1FFFFF))
    assert options[:1] == b"O" and len(options) == 13
    talk(b"D", b"C{daemon_name}\0submission\0{client_addr}\x00192.0.2.10\0")
    assert talk(b"C", b"host\0U") == [b"c"]
    talk(b"D", b"M{auth_authen}\0Asha@a.org\0")
    assert talk(b"M", b"<asha@a.org>\0SIZE=99\0") == [b"c"]
    assert talk(b"R", b"<nobody@b.org>\0") == [b"y550 5.1.1 No\0"]
    assert talk(b"R", b"<b@b.org>\0") == [b"c"]
    for name, value in ((b"Subject", b" one\n two"), (b"X", b"no space")):
        assert talk(b"L", name + b"\0" + value + b"\0") == []
    assert talk(b"B", b"line\r\n") == []
    assert talk(b"E", b"") == [b"m\0\0\0\x01From\0 new@a.org\0", b"c"]
    (mail,) = habits.seen
    assert (mail.port, mail.login, mail.client) == ("submission", "asha@a.org", "192.0.2.10")
    assert (mail.sender, mail.recipients, mail.declared) == ("asha@a.org", ["b@b.org"], 99)
    assert mail.header("subject") == "one two"
    assert mail.content() == b"Subject: one\r\n two\r\nX:no space\r\n\r\nline\r\n"


def test_a_second_message_in_a_session_needs_no_login_of_the_first() -> None:
    habits = Recorder()
    talk = _Conversation(habits).answer
    talk(b"D", b"M{auth_authen}\0asha@a.org\0")
    talk(b"M", b"<asha@a.org>\0")
    talk(b"E", b"")
    talk(b"M", b"<b@b.org>\0")
    talk(b"E", b"")
    assert [mail.login for mail in habits.seen] == ["asha@a.org", ""]


def test_the_authority_keeps_its_key_and_its_certificates(tmp_path: Path) -> None:
    first = Authority(tmp_path / "ca")
    made = first.issue("one", ("a.example", "b.example"))
    content = made.certificate.read_bytes()
    again = Authority(tmp_path / "ca")
    assert again.pem == first.pem
    assert again.issue("one", ("a.example", "b.example")).certificate.read_bytes() == content
    assert again.issue("one", ("c.example",)).certificate.read_bytes() != content

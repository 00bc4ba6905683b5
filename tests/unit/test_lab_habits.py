"""What the lab's providers say of the mail they were given."""

from __future__ import annotations

import imaplib

import pytest

from tests.lab.habits import Account, ProviderHabits, legible
from tests.lab.mailboxes import MailboxError
from tests.lab.milter import Change, Mail
from tests.lab.processes import LabError
from tests.lab.providers import GMAIL


def test_a_header_is_told_as_a_reader_sees_it() -> None:
    assert legible("plain: as it is") == "plain: as it is"
    assert legible("Re: =?UTF-8?B?4KSo4KSu4KS4?= =?UTF-8?B?4KWN4KSk4KWH?=") == "Re: नमस्ते"


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (MailboxError("append: [OVERQUOTA] Quota exceeded"), "452 4.2.2 append: [OVERQUOTA] Quota exceeded"),
        (LabError("gmail has no account asha@gmail.com"), "451 4.3.0 "),
        (imaplib.IMAP4.abort("socket error:\r\nEOF"), "451 4.3.0 The copy was not filed: socket error: EOF"),
        (BrokenPipeError(), "451 4.3.0 "),
    ],
)
def test_mail_of_which_no_copy_can_be_filed_is_refused_and_not_listed(error: Exception, reply: str) -> None:
    def file(address: str, message: bytes, folder: str) -> None:
        raise error

    address = "asha@gmail.com"
    habits = ProviderHabits(GMAIL, {address: Account(address, "secret")}, file)
    mail = Mail(port="submission", login=address, sender=address, recipients=["dev@example.org"])
    answer = habits.message(mail, Change())
    assert answer is not None and answer.startswith(reply) and "\r" not in answer
    assert habits.posted == []

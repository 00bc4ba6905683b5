"""What the lab's providers say of the mail they were given."""

from __future__ import annotations

from tests.lab.habits import legible


def test_a_header_is_told_as_a_reader_sees_it() -> None:
    assert legible("plain: as it is") == "plain: as it is"
    assert legible("Re: =?UTF-8?B?4KSo4KSu4KS4?= =?UTF-8?B?4KWN4KSk4KWH?=") == "Re: नमस्ते"

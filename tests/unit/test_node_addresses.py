"""Addresses and logins as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mojomail.addresses import login_from, lookup_keys, parse_address, parse_login
from mojomail.errors import InputError


@pytest.mark.parametrize(
    ("typed", "written", "ascii_key", "unicode_key"),
    [
        ("asha@gmail.com", "asha@gmail.com", "asha@gmail.com", "asha@gmail.com"),
        ("  Asha.Devi@GMail.COM ", "Asha.Devi@gmail.com", "asha.devi@gmail.com", "asha.devi@gmail.com"),
        ("o'brien+list@a-b.co.in", "o'brien+list@a-b.co.in", "o'brien+list@a-b.co.in", "o'brien+list@a-b.co.in"),
        ("info@डाक.भारत", "info@डाक.भारत", "info@xn--11bx1g.xn--h2brj9c", "info@डाक.भारत"),
        ("info@xn--11bx1g.xn--h2brj9c", "info@डाक.भारत", "info@xn--11bx1g.xn--h2brj9c", "info@डाक.भारत"),
        ("a@BÜCHER.example", "a@bücher.example", "a@xn--bcher-kva.example", "a@bücher.example"),
    ],
)
def test_address_is_compared_lower_case_and_in_both_spellings(
    typed: str, written: str, ascii_key: str, unicode_key: str
) -> None:
    address = parse_address(typed)
    assert (address.written, address.ascii, address.unicode) == (written, ascii_key, unicode_key)


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("asha@gmail.com", ("asha@gmail.com",)),
        ("asha+shop@gmail.com", ("asha+shop@gmail.com", "asha@gmail.com")),
        ("asha+a+b@gmail.com", ("asha+a+b@gmail.com", "asha@gmail.com")),
        ("+shop@gmail.com", ("+shop@gmail.com",)),
        ("", ("",)),
    ],
)
def test_an_extension_belongs_to_the_owner_of_the_address(address: str, keys: tuple[str, ...]) -> None:
    assert lookup_keys(address) == keys


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "no @"),
        ("asha", "no @"),
        ("asha@", "'' is not the name"),
        ("@gmail.com", "'' cannot stand"),
        ("asha devi@gmail.com", "space"),
        ("asha\n@gmail.com", "space"),
        ("a@b@gmail.com", "cannot stand"),
        (".asha@gmail.com", "cannot stand"),
        ("a..b@gmail.com", "cannot stand"),
        ('"a b"@gmail.com', "space"),
        ('"ab"@gmail.com', "cannot stand"),
        ("Asha <asha@gmail.com>", "space"),
        ("<asha@gmail.com>", "cannot stand"),
        ("आशा@gmail.com", "a-z"),
        ("asha@gmail", "not the name"),
        ("asha@gmail..com", "not the name"),
        ("asha@-gmail.com", "not the name"),
        ("asha@[192.0.2.1]", "not the name"),
        ("asha@192.0.2.1", "not the name"),
        ("asha@gmail.com;drop", "not the name"),
        ("asha@mojo.home.arpa", "not the name"),
        ("a" * 65 + "@gmail.com", "cannot stand"),
        ("a" * 60 + "@" + ".".join(["b" * 60] * 4), "too long"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(typed: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_address(typed)
    assert said in refused.value.message


@given(st.text(max_size=80) | st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=30)))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except InputError as error:
        assert error.message
        return
    for again in (address.written, address.ascii, address.unicode, address.written.upper()):
        assert parse_address(again).ascii == address.ascii
    assert address.ascii == address.ascii.lower()
    assert address.ascii.isascii()
    assert not set(address.ascii) & set(' \t\r\n"<>,:;[]\\()')


@pytest.mark.parametrize("login", ["asha", "asha.devi", "a1-b2", "x" * 32])
def test_plain_login_is_taken_as_it_is(login: str) -> None:
    assert parse_login(login) == login


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Asha Devi", "asha.devi"),
        ("ASHA", "asha"),
        ("asha@gmail.com", "asha"),
        ("9asha", "asha"),
        ("asha_k", "asha.k"),
        ("José", "jose"),
        ("a..b", "a.b"),
        ("आशा", None),
        ("", None),
        ("-", None),
    ],
)
def test_login_that_cannot_be_is_refused_with_one_that_can(typed: str, meant: str | None) -> None:
    with pytest.raises(InputError) as refused:
        parse_login(typed)
    assert refused.value.hint == (f"did you mean {meant}?" if meant else None)


@pytest.mark.parametrize("login", ["root", "postmaster", "mailer-daemon", "www-data", "vmail"])
def test_login_of_the_node_itself_is_nobodys(login: str) -> None:
    with pytest.raises(InputError):
        parse_login(login)


@given(st.text(max_size=60))
def test_login_made_of_any_text_can_be_one(text: str) -> None:
    made = login_from(text)
    assert made is None or parse_login(made) == made

"""Accounts and providers."""

from __future__ import annotations

import re

import pytest
from mojomail.accounts import account, accounts, add_account, change_account, draft, put_first, remove_account
from mojomail.accountsettings import SETTINGS
from mojomail.catalogue import languages, texts
from mojomail.errors import InputError
from mojomail.providers import (
    GENERIC,
    Server,
    mistyped_domain,
    parse_server,
    provider_for_domain,
    provider_for_mx,
    providers,
)
from node_village import Village, village_fixture

village = pytest.fixture(village_fixture)


@pytest.mark.parametrize(
    ("address", "provider", "imap", "smtp", "kind"),
    [
        ("a@gmail.com", "gmail", "imap.gmail.com 993 tls", "smtp.gmail.com 465 tls", "app-password"),
        ("a@googlemail.com", "gmail", "imap.gmail.com 993 tls", "smtp.gmail.com 465 tls", "app-password"),
        ("a@hotmail.com", "outlook", "outlook.office365.com 993 tls", "smtp-mail.outlook.com 587 starttls", "oauth2"),
        ("a@live.in", "outlook", "outlook.office365.com 993 tls", "smtp-mail.outlook.com 587 starttls", "oauth2"),
        ("a@x.onmicrosoft.com", "microsoft365", "outlook.office365.com 993 tls", "smtp.office365.com 587 starttls",
         "oauth2"),
        ("a@yahoo.co.in", "yahoo", "imap.mail.yahoo.com 993 tls", "smtp.mail.yahoo.com 465 tls", "app-password"),
        ("a@rediffmail.com", "rediffmail", "imap.rediffmail.com 993 tls", "smtp.rediffmail.com 465 tls", "password"),
        ("a@zoho.in", "zoho-in", "imap.zoho.in 993 tls", "smtp.zoho.in 465 tls", "app-password"),
        ("a@icloud.com", "icloud", "imap.mail.me.com 993 tls", "smtp.mail.me.com 587 starttls", "app-password"),
        ("a@fastmail.com", "fastmail", "imap.fastmail.com 993 tls", "smtp.fastmail.com 465 tls", "app-password"),
        ("a@gmx.de", "gmx", "imap.gmx.net 993 tls", "mail.gmx.net 465 tls", "password"),
    ],
)  # fmt: skip
def test_provider_is_known_by_the_address(address: str, provider: str, imap: str, smtp: str, kind: str) -> None:
    found = draft(address)
    assert (found.provider.id, str(found.imap), str(found.smtp), found.secret_kind) == (provider, imap, smtp, kind)


@pytest.mark.parametrize(
    ("names", "provider"),
    [
        (["aspmx.l.google.com", "alt1.aspmx.l.google.com"], "google-workspace"),
        (["SMTP.GOOGLE.COM."], "google-workspace"),
        (["example-org.mail.protection.outlook.com"], "microsoft365"),
        (["mx.zoho.in", "mx2.zoho.in"], "zoho-in-pro"),
        (["mx.zoho.com"], "zoho-pro"),
        (["in1-smtp.messagingengine.com"], "fastmail"),
        (["mx.rediffmailpro.com"], "rediffmail-pro"),
        (["mail.example.org"], None),
        (["notgoogle.com", "evil-aspmx.l.google.com.example.org"], None),
        ([], None),
    ],
)
def test_provider_of_an_own_domain_is_told_by_its_mx(names: list[str], provider: str | None) -> None:
    found = provider_for_mx(names)
    assert (found.id if found else None) == provider


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gamil.com", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("gmail.com", None),
        ("panchayat.gov.in", None),
    ],
)
def test_mistyped_domain_is_noticed(typed: str, meant: str | None) -> None:
    assert mistyped_domain(typed) == meant


def test_each_preset_is_whole() -> None:
    owners: dict[str, str] = {}
    for one in providers().values():
        assert one.secrets
        assert one.how_to()
        assert re.compile(one.app_password)
        assert ("oauth2" in one.secrets) == (one.oauth is not None)
        assert one.id == GENERIC or (one.imap and one.smtp)
        for domain in one.domains:
            assert owners.setdefault(domain, one.id) == one.id
            assert provider_for_domain(domain) == one


def test_every_language_says_the_same_with_the_same_names() -> None:
    english = texts("en")
    for language in languages():
        for key, text in texts(language).items():
            assert set(re.findall(r"\{(\w+)", text)) == set(re.findall(r"\{(\w+)", english[key])), (language, key)


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ({"address": "asha"}, "no @", "looks like"),
        ({"address": "asha@example.org"}, "example.org is not known", "--imap"),
        ({"address": "asha@gamil.com"}, "gamil.com is not known", "did you mean gmail.com?"),
        ({"address": "asha@gmail.com", "provider": "gmial"}, "no preset", "did you mean gmail?"),
        ({"address": "asha@gmail.com", "provider": "xyzzy"}, "no preset", "known are"),
        ({"address": "asha@gmail.com", "secret_kind": "password"}, "does not take", "app password"),
        ({"address": "asha@example.org", "provider": "generic"}, "not known", "--imap"),
    ],
)
def test_account_that_cannot_be_is_refused_with_what_would_do(arguments: dict[str, str], said: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        draft(**arguments)  # type: ignore[arg-type]
    assert said in refused.value.message
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "imap.x.org",
        "imap.x.org 993",
        "imap.x.org 993 ssl",
        "imap.x.org 0 tls",
        "imap.x.org 99999 tls",
        "a]b 993 tls",
        "-x 993 tls",
        "x..y 1 tls",
        "x y 1 tls",
        "x ²5 tls",
    ],
)
def test_what_names_no_server_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="HOST PORT TLS"):
        parse_server(text)


def test_server_is_read() -> None:
    assert parse_server("IMAP.Example.org:143 starttls") == Server("imap.example.org", 143, "starttls")


@pytest.mark.parametrize("address", ["ASHA@GMAIL.com", "asha@gmail.com"])
def test_address_belongs_to_one_person(village: Village, address: str) -> None:
    village.person()
    village.person("ravi")
    add_account(village.database, "asha", draft("Asha@gmail.com"))
    with pytest.raises(InputError, match=r"asha has the account .* already"):
        add_account(village.database, "asha", draft(address))
    with pytest.raises(InputError, match="belongs to asha"):
        add_account(village.database, "ravi", draft(address))
    assert len(accounts(village.database)) == 1


def test_international_address_is_the_same_in_both_spellings(village: Village) -> None:
    village.person()
    village.account(address="info@डाक.भारत", provider="generic")
    with pytest.raises(InputError, match="already"):
        village.account(address="INFO@xn--11bx1g.xn--h2brj9c", provider="generic")
    assert account(village.database, "info@xn--11bx1g.xn--h2brj9c").address == "info@डाक.भारत"


def test_first_account_is_at_the_root_and_further_ones_in_folders_of_their_own(village: Village) -> None:
    village.person()
    village.account(address="asha@gmail.com")
    village.account(address="asha@yahoo.com")
    assert [(one.position, one.folder) for one in accounts(village.database, "asha")] == [
        (1, ""),
        (2, "asha@yahoo.com"),
    ]


def test_order_can_change_and_the_mail_stays_where_it_is(village: Village) -> None:
    village.person()
    for address in ("asha@gmail.com", "asha@yahoo.com", "asha@zoho.com"):
        village.account(address=address)
    put_first(village.database, "asha@zoho.com")
    found = [(one.address, one.position, one.folder) for one in accounts(village.database, "asha")]
    assert found == [
        ("asha@zoho.com", 1, "asha@zoho.com"),
        ("asha@gmail.com", 2, ""),
        ("asha@yahoo.com", 3, "asha@yahoo.com"),
    ]


def test_folder_of_a_removed_account_never_goes_to_another_provider(village: Village) -> None:
    village.person()
    village.account(address="asha@gmail.com")
    remove_account(village.database, "asha@gmail.com")
    assert village.account(address="asha@yahoo.com").folder == "asha@yahoo.com"
    back = village.account(address="asha@gmail.com")
    assert (back.folder, back.position) == ("", 2)


def test_removed_account_leaves_no_secret(village: Village) -> None:
    village.person()
    made = village.account()
    remove_account(village.database, made.address)
    assert village.database.rows("SELECT * FROM secret") == []


def test_unknown_account_is_answered_with_the_nearest(village: Village) -> None:
    village.person()
    village.account(address="asha@gmail.com")
    with pytest.raises(InputError) as refused:
        account(village.database, "aasha@gmail.com")
    assert refused.value.hint == "did you mean asha@gmail.com?"


GOOD = {
    "--sender-name": "Asha D.",
    "--imap": "mail.example.org 143 starttls",
    "--smtp": "mail.example.org 587 starttls",
    "--imap-user": "asha",
    "--smtp-user": "asha",
    "--synced": "INBOX, Work , INBOX",
    "--realdelete": "yes",
    "--village-copy": "no",
    "--files-sent": "yes",
    "--paused": "yes",
} | {f"--folder-{role}": "Ordner" for role in ("sent", "drafts", "trash", "junk", "archive")}
BAD = {
    "--sender-name": "a<b",
    "--imap": "x",
    "--smtp": "x",
    "--imap-user": " ",
    "--smtp-user": "a\nb",
    "--synced": ",",
    "--realdelete": "maybe",
    "--village-copy": "1",
    "--files-sent": "",
    "--paused": "on",
}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.option)
def test_each_setting_can_be_set_and_refuses_what_cannot_be(village: Village, setting: object) -> None:
    village.person()
    made = village.account()
    values = setting.parse(GOOD[setting.option])  # type: ignore[attr-defined]
    after = change_account(village.database, made.address, values)
    assert {name: getattr(after, name) for name in values} == values
    assert after != made
    with pytest.raises(InputError):
        setting.parse(BAD.get(setting.option, "a\nb"))  # type: ignore[attr-defined]


def test_synced_folders_are_one_a_line(village: Village) -> None:
    [setting] = [one for one in SETTINGS if one.option == "--synced"]
    assert setting.parse(GOOD["--synced"]) == {"synced": "INBOX\nWork"}


def test_folders_may_be_called_as_indian_keyboards_write_them() -> None:
    name = "ಮೇಲ್\u200cಗಳು"
    for setting in SETTINGS:
        if setting.option == "--synced" or setting.option.startswith("--folder-"):
            assert list(setting.parse(name).values()) == [name]


@pytest.mark.parametrize("language", ["hi", "kn"])
def test_what_a_person_reads_of_accounts_is_said_in_the_villages_languages(language: str) -> None:
    subjects = ("provider.", "finding.", "address.", "password.")
    english = {key for key in texts("en") if key.startswith(subjects)}
    commands_only = {"provider.unknown", "provider.list", "provider.give-servers"}
    assert english - set(texts(language)) == commands_only

"""`mojomail account`: the addresses people have at providers."""

from __future__ import annotations

import argparse
from typing import Any

from ..accounts import Account, account, accounts, change_account, put_first, remove_account
from ..accountsettings import SETTINGS
from ..accountstate import state_of
from ..catalogue import say
from ..errors import InputError
from ..providers import CLIENT_SECRETS, SECRET_KINDS, provider_named, providers
from .context import Commands, Context, Result, command, group, table, wrapped
from .leaving import CANCEL_HELP, LeavingMail

FD_HELP = "read the password, app password or refresh token from this open file descriptor"


def add_to(commands: Commands) -> None:
    """Add the commands of `account` to the grammar."""
    sub = group(commands, "account", "their mail accounts", "Adds, tests, changes and removes mail accounts.")
    one = command(
        sub,
        "add",
        _add,
        "add an address of a person",
        "Adds an account; the provider is known by the address, or looked for when the link is up. Asks for the\n"
        "password (or shows how to allow access), then logs in for real. With no link it is tested when that comes.\n\n"
        "  mojomail account add asha asha@gmail.com\n"
        "  mojomail account add asha asha@example.org --imap 'imap.example.org 993 tls' \\\n"
        "                       --smtp 'smtp.example.org 587 starttls'\n"
        "  mojomail account add asha asha@gmail.com --secret-fd 3 --no-test 3< file",
    )
    one.add_argument("login", metavar="LOGIN", help="whose it is")
    one.add_argument("address", metavar="ADDRESS", help="the mail address")
    one.add_argument("--provider", metavar="ID", help="the preset to use; see `mojomail account providers`")
    one.add_argument("--kind", choices=SECRET_KINDS, help="the kind of secret (the first that the provider takes)")
    one.add_argument("--secret-fd", type=int, metavar="N", help=FD_HELP)
    one.add_argument("--no-secret", action="store_true", help="give the password later")
    one.add_argument("--no-test", action="store_true", help="leave the test to the daemon")
    one.add_argument("--ispdb", action="store_true", help="also ask Mozilla's list of providers (tells it the domain)")
    _add_settings(one)

    one = command(
        sub,
        "test",
        _test,
        "log in for real, and say what is wrong",
        "Logs in to the provider's IMAP and SMTP servers without fetching or sending anything.\n"
        "Exit code 2: something that you can mend; 3: the link or the provider.\n\n"
        "  mojomail account test asha@gmail.com\n  mojomail account test --all --json",
    )
    one.add_argument("address", metavar="ADDRESS", nargs="*", help="which accounts")
    one.add_argument("--all", action="store_true", help="all accounts")

    one = command(
        sub, "list", _list, "show accounts", "Shows accounts and their states.\n\n  mojomail account list asha"
    )
    one.add_argument("login", metavar="LOGIN", nargs="?", help="of one person")

    one = command(
        sub, "show", _show, "show one account", "Shows all settings.\n\n  mojomail account show asha@gmail.com"
    )
    one.add_argument("address", metavar="ADDRESS", help="which account")

    one = command(
        sub,
        "set",
        _set,
        "change settings of an account",
        "Changes settings; a change of servers or logins makes the account be tested again.\n\n"
        "  mojomail account set asha@gmail.com --realdelete yes\n"
        "  mojomail account set asha@example.org --first --smtp 'smtp.example.org 465 tls'",
    )
    one.add_argument("address", metavar="ADDRESS", help="which account")
    one.add_argument("--first", action="store_true", help="send from it unless another is chosen")
    _add_settings(one)

    one = command(
        sub,
        "passwd",
        _passwd,
        "give the provider's password anew",
        "For when the password at the provider was changed, or access must be allowed anew.\n"
        "Mail that waits is kept.\n\n  mojomail account passwd asha@gmail.com",
    )
    one.add_argument("address", metavar="ADDRESS", help="which account")
    one.add_argument("--kind", choices=SECRET_KINDS, help="another kind of secret than now")
    one.add_argument("--secret-fd", type=int, metavar="N", help=FD_HELP)
    one.add_argument("--no-test", action="store_true", help="leave the test to the daemon")

    one = command(
        sub,
        "remove",
        _remove,
        "remove an account",
        "Removes an account and its password from this node. Nothing at the provider changes; mail that was fetched\n"
        "stays in the person's mailbox. While mail from it waits to be sent it stays, unless that is removed too.\n\n"
        "  mojomail account remove asha@gmail.com\n  mojomail account remove asha@gmail.com --cancel-waiting --yes",
    )
    one.add_argument("address", metavar="ADDRESS", help="which account")
    one.add_argument("--cancel-waiting", action="store_true", help=CANCEL_HELP)
    one.add_argument("--yes", action="store_true", help="do not ask")

    one = command(
        sub,
        "providers",
        _providers,
        "show the providers there are presets for",
        "Shows presets; for one, also how to get the password it wants.\n\n  mojomail account providers gmail",
    )
    one.add_argument("provider", metavar="ID", nargs="?", help="one of them, with all settings")

    one = command(
        sub,
        "oauth-client",
        _oauth_client,
        "say as which program this node asks for access",
        "For Outlook and Gmail with OAuth2: register a program there and give its client id. Google also gives\n"
        "a client secret, which is asked for.\n\n  mojomail account oauth-client microsoft 0123-4567 --no-secret",
    )
    one.add_argument("provider", metavar="PROVIDER", choices=sorted(CLIENT_SECRETS), help="microsoft or google")
    one.add_argument("client_id", metavar="CLIENT_ID", help="what the provider calls this node")
    one.add_argument("--secret-fd", type=int, metavar="N", help="read the client secret from this file descriptor")
    one.add_argument("--no-secret", action="store_true", help="there is no client secret")


def _add_settings(one: argparse.ArgumentParser) -> None:
    for setting in SETTINGS:
        # argparse takes % in help for its own.
        help_text, choices = setting.help.replace("%", "%%"), setting.choices or None
        metavar = None if choices else setting.form
        one.add_argument(setting.option, metavar=metavar, choices=choices, help=help_text)


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The columns that options on the command line set. Raises InputError."""
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = getattr(options, setting.option.removeprefix("--").replace("-", "_"))
        if text is not None:
            values |= setting.parse(text)
    return values


def account_data(context: Context, one: Account) -> dict[str, Any]:
    """An account for --json: all but its secret."""
    return vars(one) | {
        "synced": one.synced.splitlines(),
        "has_secret": context.database.row("SELECT 1 FROM secret WHERE account = ?", one.id) is not None,
        **state_of(context.database, one),
    }


def _add(context: Context, options: argparse.Namespace) -> Result:
    from . import providerlogin

    return providerlogin.add(context, options)


def _test(context: Context, options: argparse.Namespace) -> Result:
    from . import providerlogin

    return providerlogin.test(context, options)


def _passwd(context: Context, options: argparse.Namespace) -> Result:
    from . import providerlogin

    return providerlogin.passwd(context, options)


def _oauth_client(context: Context, options: argparse.Namespace) -> Result:
    from . import providerlogin

    return providerlogin.oauth_client(context, options)


def _list(context: Context, options: argparse.Namespace) -> Result:
    logins = {row["uid"]: row["login"] for row in context.database.rows("SELECT uid, login FROM person")}
    found = accounts(context.database, options.login)
    data = [account_data(context, one) | {"login": logins[one.uid]} for one in found]
    rows = [(one["login"], str(one["position"]), one["address"], one["provider"], one["state"]) for one in data]
    text = table(("LOGIN", "", "ADDRESS", "PROVIDER", "STATE"), rows) if rows else say("account.none")
    return Result(text, data)


def _show(context: Context, options: argparse.Namespace) -> Result:
    one = account(context.database, options.address)
    data = account_data(context, one)
    lines = [
        ("address", one.address),
        ("provider", one.preset.name),
        ("state", data["text"]),
        ("secret", f"{one.secret_kind}{'' if data['has_secret'] else ', missing'}"),
        ("imap", f"{one.imap} as {one.imap_user}"),
        ("smtp", f"{one.smtp} as {one.smtp_user}"),
        ("folder", one.folder or "(the root of the mailbox)"),
        ("synced", ", ".join(data["synced"])),
        *((name, "yes" if data[name] else "no") for name in ("files_sent", "realdelete", "village_copy", "paused")),
    ]
    return Result("\n".join(f"{name:13} {value}" for name, value in lines), data)


def _set(context: Context, options: argparse.Namespace) -> Result:
    changes = given_settings(options)
    if not changes and not options.first:
        raise InputError(say("account.nothing-to-set"))
    with context.database.change():
        one = change_account(context.database, options.address, changes)
        if options.first:
            put_first(context.database, one.address)
    one = account(context.database, options.address)
    return Result(say("account.changed", address=one.address), account_data(context, one))


def _remove(context: Context, options: argparse.Namespace) -> Result:
    one = account(context.database, options.address)
    mail = LeavingMail.of(context, [one], one.address)
    mail.check(cancel=options.cancel_waiting)
    question = mail.question(say("account.ask-remove", address=one.address))
    context.confirm(question, one.address, yes=options.yes)
    mail.cancel(context)
    remove_account(context.database, one.address)
    return Result(say("account.removed", address=one.address), {"address": one.address, "cancelled": mail.numbers})


def _providers(context: Context, options: argparse.Namespace) -> Result:
    if options.provider:
        one = provider_named(options.provider)
        data = {**vars(one), "imap": str(one.imap or ""), "smtp": str(one.smtp or ""), "how_to": one.how_to()}
        lines = [
            ("name", one.name),
            ("domains", ", ".join(one.domains) or "-"),
            ("imap", str(one.imap or "-")),
            ("smtp", str(one.smtp or "-")),
            ("secrets", ", ".join(one.secrets)),
            *((role, name) for role, name in one.folders.items() if name),
        ]
        return Result("\n".join(f"{name:10} {value}" for name, value in lines) + f"\n{wrapped(one.how_to(), '')}", data)
    rows = [(one.id, one.name, ", ".join(one.secrets), ", ".join(one.domains[:4])) for one in providers().values()]
    data_all = [
        {"id": one.id, "name": one.name, "domains": one.domains, "secrets": one.secrets, "how_to": one.how_to()}
        for one in providers().values()
    ]
    return Result(table(("ID", "NAME", "SECRETS", "DOMAINS"), rows), data_all)

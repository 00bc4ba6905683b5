"""`mojomail account`: the addresses people have at providers."""

from __future__ import annotations

import argparse
from typing import Any

from ..accounts import (
    Account,
    Draft,
    account,
    accounts,
    add_account,
    change_account,
    draft,
    put_first,
    refuse_taken,
    remove_account,
)
from ..accountsettings import SETTINGS
from ..addresses import parse_address
from ..autoconfig import look_up
from ..catalogue import say
from ..doctor import Report, examine, record, state_of
from ..doctor.examination import looks_like_app_password
from ..doctor.findings import SECRET, has_default_route
from ..errors import InputError
from ..nameservice import NoAnswer, mail_exchangers
from ..oauth import CLIENT_SECRETS, begin_device_flow, begin_errand, end_errand, wait_for_device
from ..people import person
from ..providers import (
    GENERIC,
    SECRET_KINDS,
    parse_server,
    provider_for_domain,
    provider_for_mx,
    provider_named,
    providers,
)
from ..vault import tidy_secret
from .context import Commands, Context, Result, command, group, table, wrapped

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
        "stays in the person's mailbox.\n\n  mojomail account remove asha@gmail.com",
    )
    one.add_argument("address", metavar="ADDRESS", help="which account")
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


def _given_settings(options: argparse.Namespace) -> dict[str, Any]:
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
    owner = person(context.database, options.login)
    refuse_taken(context.database, owner.login, parse_address(options.address))
    new = _draft(context, options)
    vault = None if options.no_secret else context.vault
    secret = None if options.no_secret else _ask_secret(context, options, new)
    with context.database.change():
        one = add_account(context.database, owner.login, new)
        if vault is not None and secret is not None:
            vault.store(context.database, one.id, one.secret_kind, secret)
    text = say("account.added", address=one.address, provider=new.provider.name, login=owner.login)
    if secret is None:
        return Result(f"{text}\n{say('account.secret-later')}", account_data(context, one))
    return _tested(context, one, text, test=not options.no_test)


def _draft(context: Context, options: argparse.Namespace) -> Draft:
    settings = _given_settings(options)
    servers = {name: parse_server(getattr(options, name)) for name in ("imap", "smtp") if getattr(options, name)}
    users: dict[str, str] = {name: settings.pop(name) for name in ("imap_user", "smtp_user") if name in settings}
    settings = {name: value for name, value in settings.items() if not name.startswith(("imap_", "smtp_"))}
    address = parse_address(options.address)
    found = None
    known = options.provider not in (None, GENERIC) or provider_for_domain(address.domain) or len(servers) == 2
    if not known and has_default_route():
        context.tell(say("account.looking", domain=address.domain))
        if options.provider is None:
            try:
                found = provider_for_mx(mail_exchangers(address.domain))
            except NoAnswer:
                found = None
        config = look_up(address, ispdb=options.ispdb) if found is None else None
        if config is not None:
            context.tell(say("account.autoconfig", source=config.source, imap=config.imap, smtp=config.smtp))
            servers = {"imap": config.imap, "smtp": config.smtp} | servers
            users = {"imap_user": config.imap_user, "smtp_user": config.smtp_user} | users
    return draft(
        options.address,
        provider=options.provider,
        found=found,
        imap=servers.get("imap"),
        smtp=servers.get("smtp"),
        imap_user=users.get("imap_user"),
        smtp_user=users.get("smtp_user"),
        secret_kind=options.kind,
        settings=settings,
    )


def _ask_secret(context: Context, options: argparse.Namespace, new: Draft) -> str:
    """The secret that the provider wants; for OAuth2 the person is led to it. Raises InputError, SystemFault."""
    if new.secret_kind == "oauth2" and options.secret_fd is None:
        return _allow_access(context, new)
    if options.secret_fd is None:
        context.tell(wrapped(new.provider.how_to()))
    prompt = say(f"ask.{new.secret_kind}", address=new.address.written)
    return tidy_secret(new.secret_kind, context.ask_secret(prompt, descriptor=options.secret_fd))


def _allow_access(context: Context, new: Draft) -> str:
    provider = context.vault.oauth_provider(context.database, new.provider.oauth)
    context.tell(wrapped(new.provider.how_to()))
    if provider.device_flow:
        code = begin_device_flow(provider)
        context.tell(say("oauth.type-code", url=code.url, code=code.user_code))
        token = wait_for_device(provider, code)
    else:
        errand = begin_errand(provider, new.address.written)
        context.tell(say("oauth.open", url=errand.url))
        token = end_errand(provider, errand, context.ask_secret(say("ask.pasted"), descriptor=None))
    if token.refresh_token is None:
        raise InputError(say("oauth.no-refresh-token"))
    return token.refresh_token


def _tested(context: Context, one: Account, text: str, *, test: bool) -> Result:
    """The result of a command that gave an account a secret: what the test says, or that it comes later."""
    if one.secret_kind == "app-password":
        _, secret = context.vault.reveal(context.database, one.id)
        if not looks_like_app_password(one, secret):
            context.tell(
                wrapped(f"{say('secret.not-app-password', provider=one.preset.name)} {one.preset.how_to()}", "")
            )
    if not test:
        return Result(f"{text}\n{say('account.not-tested')}", account_data(context, one))
    context.tell(say("account.testing", imap=one.imap_host, smtp=one.smtp_host))
    report = examine(one, context.vault)
    record(context.database, one, report)
    data = account_data(context, one) | {"test": report.as_dict()}
    code = 0 if report.undecided else _exit_code(report)
    return Result(f"{text}\n{_report_text(report)}", data, code)


def _report_text(report: Report) -> str:
    lines = [report.imap.sentence()]
    if report.imap.key != "no-link":
        lines.append(report.smtp.sentence())
    text = "\n".join(wrapped(line) for line in lines)
    return f"{text}\n{wrapped(report.advice)}" if report.advice else text


def _exit_code(report: Report) -> int:
    """2 for what the caller can mend by giving something else, 3 for the far side."""
    if report.ok:
        return 0
    mendable = SECRET | {"name-unknown", "refused", "no-tls", "rubbish"}
    return 2 if {report.imap.key, report.smtp.key} & mendable else 3


def _test(context: Context, options: argparse.Namespace) -> Result:
    if options.all == bool(options.address):
        raise InputError(say("account.test-which"))
    chosen = accounts(context.database) if options.all else [account(context.database, a) for a in options.address]
    texts, data, code = [], [], 0
    for one in chosen:
        report = examine(one, context.vault)
        record(context.database, one, report)
        texts.append(f"{one.address}\n{_report_text(report)}")
        data.append(report.as_dict())
        code = max(code, _exit_code(report))
    return Result("\n".join(texts), data, code)


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
    changes = _given_settings(options)
    if not changes and not options.first:
        raise InputError(say("account.nothing-to-set"))
    with context.database.change():
        one = change_account(context.database, options.address, changes)
        if options.first:
            put_first(context.database, one.address)
    one = account(context.database, options.address)
    return Result(say("account.changed", address=one.address), account_data(context, one))


def _passwd(context: Context, options: argparse.Namespace) -> Result:
    one = account(context.database, options.address)
    kind = options.kind or one.secret_kind
    secret = _ask_secret(
        context, options, draft(one.address, provider=one.provider, imap=one.imap, smtp=one.smtp, secret_kind=kind)
    )
    with context.database.change():
        one = change_account(context.database, one.address, {"secret_kind": kind})
        context.vault.store(context.database, one.id, kind, secret)
    return _tested(context, one, say("account.secret-set", address=one.address), test=not options.no_test)


def _remove(context: Context, options: argparse.Namespace) -> Result:
    one = account(context.database, options.address)
    context.confirm(say("account.ask-remove", address=one.address), one.address, yes=options.yes)
    remove_account(context.database, one.address)
    return Result(say("account.removed", address=one.address), {"address": one.address})


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


def _oauth_client(context: Context, options: argparse.Namespace) -> Result:
    prompt = say("ask.client-secret", provider=options.provider)
    secret = "" if options.no_secret else context.ask_secret(prompt, descriptor=options.secret_fd)
    context.vault.set_oauth_client(context.database, options.provider, options.client_id, secret)
    return Result(say("oauth.client-set", provider=options.provider), {"provider": options.provider})

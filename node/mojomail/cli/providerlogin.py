"""The commands of `mojomail account` that deal with secrets and with providers themselves.

They lie apart from the others, which are run more often and need neither TLS nor a mail protocol.
"""

from __future__ import annotations

import argparse

from ..accounts import Account, Draft, account, accounts, add_account, change_account, draft, refuse_taken
from ..addresses import parse_address
from ..catalogue import say
from ..doctor import Report, examine, record
from ..doctor.examination import looks_like_app_password
from ..doctor.findings import SECRET, has_default_route
from ..errors import InputError
from ..oauth import begin_device_flow, begin_errand, end_errand, wait_for_device
from ..people import person
from ..providers import GENERIC, parse_server, provider_for_domain, provider_for_mx
from ..vault import tidy_secret
from .accounts import account_data, given_settings
from .context import Context, Result, wrapped


def add(context: Context, options: argparse.Namespace) -> Result:
    """Add an account, with its secret unless that comes later; log in for real."""
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
    settings = given_settings(options)
    servers = {name: parse_server(getattr(options, name)) for name in ("imap", "smtp") if getattr(options, name)}
    users: dict[str, str] = {name: settings.pop(name) for name in ("imap_user", "smtp_user") if name in settings}
    settings = {name: value for name, value in settings.items() if not name.startswith(("imap_", "smtp_"))}
    address = parse_address(options.address)
    found = None
    known = options.provider not in (None, GENERIC) or provider_for_domain(address.domain) or len(servers) == 2
    if not known and has_default_route():
        from ..autoconfig import look_up
        from ..nameservice import NoAnswer, mail_exchangers

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


def test(context: Context, options: argparse.Namespace) -> Result:
    """Examine accounts."""
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


def passwd(context: Context, options: argparse.Namespace) -> Result:
    """Give an account its provider's password anew, and log in for real."""
    one = account(context.database, options.address)
    kind = options.kind or one.secret_kind
    secret = _ask_secret(
        context, options, draft(one.address, provider=one.provider, imap=one.imap, smtp=one.smtp, secret_kind=kind)
    )
    with context.database.change():
        one = change_account(context.database, one.address, {"secret_kind": kind})
        context.vault.store(context.database, one.id, kind, secret)
    return _tested(context, one, say("account.secret-set", address=one.address), test=not options.no_test)


def oauth_client(context: Context, options: argparse.Namespace) -> Result:
    """Say as whom this node asks a provider for tokens."""
    prompt = say("ask.client-secret", provider=options.provider)
    secret = "" if options.no_secret else context.ask_secret(prompt, descriptor=options.secret_fd)
    context.vault.set_oauth_client(context.database, options.provider, options.client_id, secret)
    return Result(say("oauth.client-set", provider=options.provider), {"provider": options.provider})

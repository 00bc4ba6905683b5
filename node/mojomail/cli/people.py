"""`mojomail person`: who has a mailbox here."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from ..accounts import accounts
from ..catalogue import languages, say
from ..errors import InputError
from ..people import (
    Person,
    add_person,
    change_person,
    former_people,
    people,
    person,
    remove_person,
    set_locked,
    set_password,
)
from .context import Commands, Context, Result, command, group, table
from .leaving import CANCEL_HELP, LeavingMail

FD_HELP = "read the password from this open file descriptor"


def add_to(commands: Commands) -> None:
    """Add the commands of `person` to the grammar."""
    sub = group(commands, "person", "people of this village", "Adds, shows and removes people of this village.")
    one = command(
        sub,
        "add",
        _add,
        "add a person",
        "Makes a mailbox that works at once, link or no link. Asks for a password unless told to make one.\n\n"
        '  mojomail person add asha --name "Asha Devi" --language hi --generate\n'
        "  mojomail person add asha --mail-of 20003       with the mail a removed person left",
    )
    one.add_argument("login", metavar="LOGIN", help="what to log in with: a-z, 0-9, dots and hyphens")
    one.add_argument("--name", metavar="NAME", help="as others see it on mail (the login)")
    one.add_argument("--language", choices=languages(), default="en", help="of pages and notices (en)")
    one.add_argument("--generate", action="store_true", help="make a password and show it once")
    one.add_argument("--password-fd", type=int, metavar="N", help=FD_HELP)
    one.add_argument("--mail-of", type=int, metavar="UID", help="take over the mail that a removed person left")

    one = command(
        sub, "list", _list, "show everybody", "Shows everybody with their addresses.\n\n  mojomail person list --json"
    )
    one.add_argument("--former", action="store_true", help="show removed people whose mail is still here")

    one = command(sub, "show", _show, "show one person", "Shows a person with accounts.\n\n  mojomail person show asha")
    one.add_argument("login", metavar="LOGIN", help="whom to show")

    one = command(
        sub, "set", _set, "change name or language", "Changes a person.\n\n  mojomail person set asha --language kn"
    )
    one.add_argument("login", metavar="LOGIN", help="whom to change")
    one.add_argument("--name", metavar="NAME", help="as others see it on mail")
    one.add_argument("--language", choices=languages(), help="of pages and notices")

    one = command(
        sub,
        "passwd",
        _passwd,
        "give a person another password",
        "Gives a person another password for this node; the one at the provider stays as it is.\n\n"
        "  mojomail person passwd asha\n  mojomail person passwd asha --generate",
    )
    one.add_argument("login", metavar="LOGIN", help="whose password")
    one.add_argument("--generate", action="store_true", help="make a password and show it once")
    one.add_argument("--password-fd", type=int, metavar="N", help=FD_HELP)

    for name, what in (("lock", "keep a person from logging in"), ("unlock", "let a person log in again")):
        one = command(
            sub, name, _lock, what, f"Mail is received and kept all the time.\n\n  mojomail person {name} asha"
        )
        one.add_argument("login", metavar="LOGIN", help="whom")

    one = command(
        sub,
        "remove",
        _remove,
        "remove a person",
        "Removes a person with accounts and their passwords. The mail stays in /srv/mail/UID, unless --erase.\n"
        "While mail waits to be sent the person stays, unless that is removed too.\n\n"
        "  mojomail person remove asha\n  mojomail person remove asha --erase --cancel-waiting --yes",
    )
    one.add_argument("login", metavar="LOGIN", help="whom to remove")
    one.add_argument("--erase", action="store_true", help="erase the mail too; it cannot be brought back")
    one.add_argument("--cancel-waiting", action="store_true", help=CANCEL_HELP)
    one.add_argument("--yes", action="store_true", help="do not ask")

    one = command(
        sub,
        "import",
        _import,
        "add many people from a table",
        "Adds everybody in a CSV table, or, when anything in it is wrong, nobody; all errors are told at once.\n"
        "Columns: login,name,language,password,address,provider,secret,imap,smtp. A second line for a login adds\n"
        "another account. Erase the table afterwards if it holds passwords.\n\n"
        "  mojomail person import people.csv --dry-run\n  mojomail person import - < people.csv",
    )
    one.add_argument("csv", metavar="CSV", help="the table; - is standard input")
    one.add_argument("--language", choices=languages(), default="en", help="of those whose line names none (en)")
    one.add_argument("--dry-run", action="store_true", help="only check the table")


def _data(context: Context, one: Person) -> dict[str, Any]:
    owned = [account.address for account in accounts(context.database, one.login)]
    return vars(one) | {"locked": one.locked, "home": f"/srv/mail/{one.uid}", "addresses": owned}


def _new_password(context: Context, options: argparse.Namespace) -> tuple[str, dict[str, str], str]:
    """A password, and what to show of it: only one that was made here."""
    if options.generate:
        from ..passwords import make_password

        made = make_password()
        return made, {"password": made}, "\n" + say("person.password-made", password=made)
    prompt = say("ask.own-password", login=options.login)
    return context.ask_secret(prompt, descriptor=options.password_fd, twice=True), {}, ""


def _add(context: Context, options: argparse.Namespace) -> Result:
    password, shown, said = _new_password(context, options)
    one = add_person(
        context.database,
        login=options.login,
        name=options.name or options.login,
        language=options.language,
        password=password,
        mail_of=options.mail_of,
    )
    return Result(say("person.added", login=one.login) + said, _data(context, one) | shown)


def _list(context: Context, options: argparse.Namespace) -> Result:
    if options.former:
        gone = former_people(context.database)
        rows = [(str(one.uid), one.login, one.name, _day(one.removed_at), f"/srv/mail/{one.uid}") for one in gone]
        text = table(("UID", "LOGIN", "NAME", "REMOVED", "MAIL"), rows) if rows else say("person.no-former-people")
        return Result(text, [vars(one) for one in gone])
    data = [_data(context, one) for one in people(context.database)]
    rows = [
        (one["login"], one["name"], one["language"], "locked" if one["locked"] else "", ", ".join(one["addresses"]))
        for one in data
    ]
    text = table(("LOGIN", "NAME", "LANGUAGE", "STATE", "ADDRESSES"), rows) if rows else say("person.nobody")
    return Result(text, data)


def _show(context: Context, options: argparse.Namespace) -> Result:
    data = _data(context, person(context.database, options.login))
    addresses = ", ".join(data["addresses"]) or "-"
    state = f"locked since {_day(data['locked_at'])}" if data["locked"] else "can log in"
    lines = (
        ("login", data["login"]),
        ("name", data["name"]),
        ("language", data["language"]),
        ("state", state),
        ("addresses", addresses),
        ("mail", data["home"]),
        ("since", _day(data["created_at"])),
    )
    return Result("\n".join(f"{name:10} {value}" for name, value in lines), data)


def _set(context: Context, options: argparse.Namespace) -> Result:
    one = change_person(context.database, options.login, name=options.name, language=options.language)
    return Result(say("person.changed", login=one.login), _data(context, one))


def _passwd(context: Context, options: argparse.Namespace) -> Result:
    one = person(context.database, options.login)
    password, shown, said = _new_password(context, options)
    set_password(context.database, one.login, password)
    return Result(say("person.password-set", login=one.login) + said, {"login": one.login} | shown)


def _lock(context: Context, options: argparse.Namespace) -> Result:
    locked = options.person_command == "lock"
    set_locked(context.database, options.login, locked)
    one = person(context.database, options.login)
    return Result(say("person.locked" if locked else "person.unlocked", login=one.login), _data(context, one))


def _remove(context: Context, options: argparse.Namespace) -> Result:
    one = person(context.database, options.login)
    mail = LeavingMail.of(context, accounts(context.database, one.login), one.login)
    mail.check(cancel=options.cancel_waiting)
    question = say("person.ask-erase" if options.erase else "person.ask-remove", login=one.login, name=one.name)
    context.confirm(mail.question(question), one.login, yes=options.yes)
    mail.cancel(context)
    gone = remove_person(context.database, one.login, erase=options.erase)
    text = say("person.erased" if options.erase else "person.removed", login=gone.login, uid=gone.uid)
    return Result(text, vars(gone) | {"erased": options.erase, "cancelled": mail.numbers})


def _import(context: Context, options: argparse.Namespace) -> Result:
    from ..csvimport import read_people, take_people

    file = "<stdin>" if options.csv == "-" else options.csv
    try:
        content = Path("/dev/stdin" if options.csv == "-" else options.csv).read_bytes()
    except OSError as error:
        raise InputError(say("csv.unreadable", file=file, reason=error.strerror)) from None
    found = read_people(content, file, context.database, language=options.language)
    data = [
        {"login": one.login, "name": one.name, "addresses": [str(account.draft.address) for account in one.accounts]}
        | ({"password": one.password} if one.made and not options.dry_run else {})
        for one in found
    ]
    if options.dry_run:
        return Result(say("csv.fine", count=len(found)), data)
    secrets = any(account.secret for one in found for account in one.accounts)
    take_people(found, context.database, context.vault if secrets else None)
    rows = [(one.login, one.name, one.password if one.made else say("person.password-given")) for one in found]
    return Result(say("csv.taken", count=len(found)) + "\n" + table(("LOGIN", "NAME", "PASSWORD"), rows), data)


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))

"""`mojomail status`, `link`, `sync` and `outbox`: what the daemon knows and does."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from ..controlclient import ask
from .context import Commands, Context, Result, command, group, table

WHY = {
    "link": "waiting for the link",
    "turn": "waiting for its turn",
    "password": "waiting: the provider refuses the password",
    "paused": "waiting: the account is paused",
    "owner": "held",
    "account": "waiting: its account was removed; it goes when the address is added again",
    "provider": "waiting: the provider did not take it yet",
    "unknown": "left the queue; what became of it was not recorded",
}
STATE = {"sending": "being sent", "sent": "sent", "refused": "refused", "cancelled": "cancelled", "held": "held"}
LINK = {
    "none": "no link",
    "dongle": "mobile dongle",
    "phone": "phone shared by cable or Bluetooth",
    "cable": "cable",
    "wifi": "Wi-Fi",
}


def add_to(commands: Commands) -> None:
    """Add the commands to the grammar."""
    status = command(
        commands,
        "status",
        _status,
        "what is going on",
        "Shows the link, what waits, and when there was contact last.\n\n  mojomail status --person asha",
    )
    status.add_argument("--person", metavar="LOGIN", help="with the accounts of one person")
    command(
        commands,
        "link",
        _link,
        "the link",
        "Shows whether there is a way out, of what kind, and since when.\n\n  mojomail link",
    )
    sync = command(
        commands,
        "sync",
        _sync,
        "fetch a person's mail now",
        "Gives a person the next turn, if there is a link.\n\n  mojomail sync asha",
    )
    sync.add_argument("person", metavar="LOGIN")
    words = group(commands, "outbox", "mail on its way", "Shows what waits to be sent, why, and what became of it.")
    listing = command(
        words,
        "list",
        _list,
        "all mails",
        "Lists mails that wait, and those of the last days.\n\n  mojomail outbox list --person asha",
    )
    listing.add_argument("--person", metavar="LOGIN", help="of one person")
    show = command(
        words,
        "show",
        _show,
        "one mail",
        "Shows each recipient of a mail and what was said.\n\n  mojomail outbox show 4dF9Zk1q2Jz3x",
    )
    show.add_argument("id", metavar="ID")
    for verb, help_text, description in (
        ("cancel", "remove a waiting mail", "Removes a mail that is not on its way yet, for good."),
        ("hold", "stop a waiting mail", "Stops a mail until it is released."),
        ("release", "let a held mail go on", "Lets a held mail have its turn again."),
    ):
        example = f"{description}\n\n  mojomail outbox {verb} 4dF9Zk1q2Jz3x"
        one = command(words, verb, _change, help_text, example)
        one.add_argument("id", metavar="ID")
        one.set_defaults(verb=verb)


def _ask(context: Context, verb: str, **arguments: Any) -> dict[str, Any]:
    answer = ask(context.places.run / "control", verb, **{k: v for k, v in arguments.items() if v is not None})
    return {key: value for key, value in answer.items() if key not in ("ok", "v")}


def _status(context: Context, options: argparse.Namespace) -> Result:
    found = _ask(context, "status", person=options.person)
    lines = [link_line(found["link"]), f"waiting to be sent: {found['waiting']}"]
    lines += [f"receiving: {'now' if found['receiving'] else 'not at the moment'}"]
    for one in found.get("accounts", []):
        state = one["trouble"] or "well"
        lines.append(f"  {one['address']}: {state}, last fetched {moment(one['synced_at'])}")
    return Result("\n".join(lines), found)


def _link(context: Context, options: argparse.Namespace) -> Result:
    found = _ask(context, "status")["link"]
    return Result(link_line(found), found)


def _sync(context: Context, options: argparse.Namespace) -> Result:
    found = _ask(context, "sync", person=options.person, insist=True)
    return Result("the next turn is theirs" if found["soon"] else "no turn soon: see mojomail status", found)


def _list(context: Context, options: argparse.Namespace) -> Result:
    mails = _ask(context, "outbox", person=options.person)["mails"]
    rows = [
        (one["id"], moment(one["submitted_at"]), kilobytes(one["size"]), one["sender"], recipients(one), state(one))
        for one in mails
    ]
    header = ("ID", "HANDED IN", "SIZE", "FROM", "TO", "STATE")
    return Result(table(header, rows) if rows else "nothing is on its way", mails)


def _show(context: Context, options: argparse.Namespace) -> Result:
    mails = [one for one in _ask(context, "outbox")["mails"] if one["id"] == options.id]
    if not mails:
        return Result(f"no mail {options.id} is known", {}, exit_code=2)
    (mail,) = mails
    lines = [f"{mail['id']} from {mail['sender']}, {kilobytes(mail['size'])}: {state(mail)}"]
    for one in mail["recipients"]:
        lines.append(f"  {one['address']}: {STATE.get(one['state'], one['state'])}")
        if one["said"]:
            lines.append(f"    {one['said']}")
    return Result("\n".join(lines), mail)


def _change(context: Context, options: argparse.Namespace) -> Result:
    found = _ask(context, options.verb, id=options.id)
    return Result(f"{found['id']}: {STATE.get(found['state'], found['state'])}", found)


def link_line(link: Mapping[str, Any]) -> str:
    """The link in one line."""
    kind = LINK.get(link["kind"], link["kind"])
    if not link["up"]:
        return f"no link since {moment(link['since'])}; last contact {moment(link['contact'])}"
    proof = "" if link["reached"] else ", no provider has answered yet"
    return f"link: {kind} since {moment(link['since'])}{proof}; last contact {moment(link['contact'])}"


def state(mail: Mapping[str, Any]) -> str:
    """What a mail is doing, in words."""
    if mail["state"] in ("sent", "refused"):
        return f"{STATE[mail['state']]} {moment(mail['changed_at'])}"
    return WHY[mail["why"]] if mail["why"] else STATE.get(mail["state"], "waiting for its turn")


def recipients(mail: Mapping[str, Any]) -> str:
    """The first recipient, and how many more."""
    names = [one["address"] for one in mail["recipients"]]
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else ""


def moment(when: int | None) -> str:
    """A time as the clock on the wall shows it."""
    return "never" if when is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(when))


def kilobytes(size: int) -> str:
    """A size in whole kB."""
    return f"{max(1, round(size / 1000))} kB"

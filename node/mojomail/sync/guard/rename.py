"""Changing flags in the name of a mail's file while its reader may be changing them too."""

from __future__ import annotations

from typing import Any

from mojomail.sync.guard.store import MailStore


def change_flags(folder: Any, uid: int, flags: set[str]) -> None:
    """For MaildirFolder.savemessageflags: add and remove what was asked for, keep what Dovecot did meanwhile."""
    entry = folder.messagelist[uid]
    added, removed = set(flags) - entry["flags"], entry["flags"] - set(flags)
    try:
        path = MailStore(folder).file(uid)
    except FileNotFoundError:
        return  # its owner has just deleted or moved it; the next run sees that
    first, _, rest = path.name.partition(":")
    present = set(rest.removeprefix("2,"))
    wanted = (present | added) - removed
    place = "cur" if wanted else path.parent.name
    name = f"{first}:2,{''.join(sorted(wanted))}"
    if name != path.name or place != path.parent.name:
        path.rename(path.parent.parent / place / name)
    folder.messagelist[uid] = entry | {"flags": wanted, "filename": f"{place}/{name}"}

"""Whether who is logged in may write under what the mail's header names, by what Postfix asks about the envelope."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from ..lookups import POSTFIX
from .authors import Authors, Unreadable, read_authors

CHECKED = {name.lower(): name for name in ("From", "Sender", "Resent-From", "Resent-Sender")}
"""The headers that say who writes (RFC 5322, 3.6.2 and 3.6.6), as they are named to people."""
ONCE = ("From", "Sender")
"""Of these a mail has one at most (RFC 5322, 3.6)."""
MANY = 20
"""So many of all of them no mail has: who forwards a mail adds two."""
SENDER_LOGIN = POSTFIX["smtpd_sender_login_maps"].replace("'%s'", "?")
OWN = "SELECT address FROM postfix_sender_login WHERE login = ? ORDER BY address LIKE '%.home.arpa', address"
REPLY_LIMIT = 400
"""Characters of a reply; an SMTP line has 512 octets (RFC 5321, 4.5.3.1.5), and Postfix puts words before."""
UNSHOWN = re.compile(r"[^A-Za-z0-9!#$&'*+/=?^_`{|}~.@-]")


class Rule:
    """Answers by the database at this path, which is only read."""

    def __init__(self, database: Path) -> None:
        self._uri = f"file:{quote(str(database))}?mode=ro"

    def refusal(self, login: str, headers: Sequence[tuple[str, str]]) -> str | None:
        """Why a mail with these headers is refused to this login, as an SMTP reply, or None.

        `headers` are those of CHECKED, as (name, value). Who may write anything else of the header does not matter.
        """
        try:
            with closing(sqlite3.connect(self._uri, uri=True, timeout=5)) as database:
                return _refusal(database, login, headers)
        except sqlite3.Error:
            return "451 4.3.0 The mail office cannot look up its addresses now, try again later"


def _refusal(database: sqlite3.Connection, login: str, headers: Sequence[tuple[str, str]]) -> str | None:
    if not login:
        return "550 5.7.1 Nobody is logged in who could write this mail"
    names = [CHECKED[name.lower()] for name, _ in headers]
    if "From" not in names:
        return _reply("The mail has no From line", database, login)
    for name in ONCE:
        if names.count(name) > 1:
            return _reply(f"The mail has more than one {name} line", database, login)
    if len(names) > MANY:
        return _reply("The mail has too many Resent lines", database, login)
    for name, (_, value) in zip(names, headers, strict=True):
        try:
            authors = read_authors(value)
        except Unreadable:
            return _reply(f"The {name} line does not name its addresses plainly", database, login)
        foreign = _foreign(database, login, authors)
        if foreign is not None:
            return _reply(f"The {name} line names {UNSHOWN.sub('?', foreign)[:100]}", database, login)
    return None


def _foreign(database: sqlite3.Connection, login: str, authors: Authors) -> str | None:
    """The first address that is not the person's."""
    for address in (*authors.addresses, *authors.shown):
        if not _owns(database, login, address):
            return address
    return None


def _owns(database: sqlite3.Connection, login: str, address: str) -> bool:
    """As Postfix looks it up: lower-case, as it is, then without what follows a + (smtpd_sender_login_maps)."""
    local, _, domain = address.lower().rpartition("@")
    asked = (f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}")
    return any((login,) in database.execute(SENDER_LOGIN, (one,)).fetchall() for one in asked)


def _reply(what: str, database: sqlite3.Connection, login: str) -> str:
    """A refusal with the addresses that may be used, as far as a reply has room for them."""
    reply = f"550 5.7.1 {what}, but you can write only from your own addresses"
    own = [address for (address,) in database.execute(OWN, (login,)) if not UNSHOWN.search(address)]
    for number, address in enumerate(own):
        more = f"{', ' if number else ': '}{address}"
        if len(reply) + len(more) > REPLY_LIMIT:
            return f"{reply}, ..."
        reply += more
    return reply

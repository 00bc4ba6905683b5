"""What can be set of an account: one table that the command, its help and its checks read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .catalogue import say
from .errors import InputError
from .lines import is_line
from .people import parse_name
from .providers import parse_server

USER_LIMIT = 254
FOLDER_LIMIT = 200


@dataclass(frozen=True)
class Setting:
    """A setting: its option on the command line, what it may be, what it does, and the columns it ends in."""

    option: str
    form: str
    help: str
    columns: tuple[str, ...]
    read: Callable[[str], tuple[Any, ...]]
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> dict[str, Any]:
        """The columns' values. Raises InputError."""
        return dict(zip(self.columns, self.read(text), strict=True))


def _server(text: str) -> tuple[str, int, str]:
    server = parse_server(text)
    return server.host, server.port, server.tls


def _flag(text: str) -> tuple[int]:
    if text not in ("yes", "no"):
        raise InputError(say("setting.yes-no", given=text[:40]))
    return (int(text == "yes"),)


def _line(text: str) -> tuple[str]:
    if not text.strip() or len(text) > USER_LIMIT or not is_line(text):
        raise InputError(say("setting.line", given=text[:40]))
    return (text.strip(),)


def _sender_name(text: str) -> tuple[str]:
    return (parse_name(text) if text.strip() else "",)


def _folder(text: str) -> tuple[str]:
    if len(text) > FOLDER_LIMIT or not is_line(text):
        raise InputError(say("setting.line", given=text[:40]))
    return (text,)


def _folders(text: str) -> tuple[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not all(is_line(name) for name in names) or not names:
        raise InputError(say("setting.line", given=text[:40]))
    return ("\n".join(dict.fromkeys(names)),)


SWITCH = ("yes", "no")
SETTINGS = (
    Setting("--sender-name", "NAME", "the name others see on mail from it ('' is the person's own)",
            ("sender_name",), _sender_name),
    Setting("--imap", "'HOST PORT TLS'", "where mail is fetched; TLS is tls or starttls",
            ("imap_host", "imap_port", "imap_tls"), _server),
    Setting("--smtp", "'HOST PORT TLS'", "where mail is handed in",
            ("smtp_host", "smtp_port", "smtp_tls"), _server),
    Setting("--imap-user", "USER", "what to log in to IMAP with, where it is not the address", ("imap_user",), _line),
    Setting("--smtp-user", "USER", "what to log in to SMTP with, where it is not the address", ("smtp_user",), _line),
    Setting("--synced", "A,B,...", "the provider's folders to fetch (INBOX)", ("synced",), _folders),
    Setting("--realdelete", "yes|no", "also delete at the provider what is deleted here (no)",
            ("realdelete",), _flag, SWITCH),
    Setting("--village-copy", "yes|no", "send mail from the village to the provider too, later (yes)",
            ("village_copy",), _flag, SWITCH),
    Setting("--files-sent", "yes|no", "the provider files what it sends by itself", ("files_sent",), _flag, SWITCH),
    Setting("--paused", "yes|no", "fetch nothing for now (no)", ("paused",), _flag, SWITCH),
    *(
        Setting(f"--folder-{role}", "NAME", f"the provider's name for its folder of {what}",
                (f"remote_{role}",), _folder)
        for role, what in (
            ("sent", "sent mail"),
            ("drafts", "drafts"),
            ("trash", "deleted mail"),
            ("junk", "junk"),
            ("archive", "archived mail"),
        )
    ),
)  # fmt: skip

"""What the guard is told for one run: a file of JSON beside OfflineIMAP's configuration, without a secret in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

KILOBYTE = 1000


@dataclass(frozen=True)
class Settings:
    """One run's rules. Sizes are bytes, times seconds."""

    account: str
    secret_socket: str
    state: str
    """Directory of the guard's own memory of this account; belongs to the person, on the mail's file system."""
    folders: tuple[str, ...] = ()
    """The folders of the run, by our names, as they are called on the disk."""
    method: str = "password"
    """`password`, or `xoauth2`: then what the vault hands out is an access token."""
    realdelete: bool = False
    """Whether a mail that its owner deleted here is deleted at the provider too."""
    uploads: tuple[str, ...] = ()
    """The provider's folders that get what is in ours alone. Not INBOX: what a neighbour delivered there comes to the
    provider by SMTP."""
    budget: int = 256 * KILOBYTE
    """How much is downloaded before others have their turn; 0 for no limit."""
    upload_limit: int = 5000 * KILOBYTE
    """A mail larger than this is not copied to the provider."""
    history_days: int = 0
    """Mail that came to the provider longer ago is left there; 0 for no limit."""
    chunk: int = 32 * KILOBYTE
    """How much of a large mail is asked for at a time, so that a lost link costs no more."""
    batch: int = 32 * KILOBYTE
    """How much of small mails is asked for at a time; a mail above this is a large one."""
    batch_count: int = 20
    patience: int = 600
    """How long a changed UIDVALIDITY must stay the same before the folder is matched anew."""
    vanish_patience: int = 24 * 3600
    """How long most of a folder must be gone at the provider before it is believed."""

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        path.write_text(json.dumps(asdict(self)), encoding="ascii")


def read(path: Path) -> Settings:
    """The settings in a file. Raises TypeError, ValueError or OSError: it is written by the engine alone."""
    found = json.loads(path.read_text(encoding="ascii"))
    return Settings(**found | {name: tuple(found.get(name, ())) for name in ("folders", "uploads")})

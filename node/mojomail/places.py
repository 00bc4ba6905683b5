"""Where things lie on the node, and who may read them."""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The node's directories. `root` is / on the node, and a directory of its own in tests."""

    root: Path = Path("/")

    @property
    def data(self) -> Path:
        """The database's files."""
        return self.root / "var/lib/mojomail"

    @property
    def mail(self) -> Path:
        """One directory a person, named by uid."""
        return self.root / "srv/mail"

    @property
    def run(self) -> Path:
        """Sockets; gone after a restart."""
        return self.root / "run/mojomail"

    @property
    def credential(self) -> Path:
        """The vault's key ring as an encrypted systemd credential."""
        return self.root / "etc/credstore.encrypted/mojomail.vault-keys"

    def home(self, uid: int) -> Path:
        """A person's home; `Maildir` lies in it."""
        return self.mail / str(uid)


def give_to(path: Path, *, mode: int, group: str | None = None) -> None:
    """Set a file's rights: owner root, `group` when it exists here (it does on the node), `mode`.

    Only root can give files away; others (tests) keep them for themselves.
    """
    if os.geteuid() == 0 and group is not None:
        try:
            os.chown(path, 0, grp.getgrnam(group).gr_gid)
        except KeyError:
            mode &= ~0o070
    path.chmod(mode)

"""Certificates and ssh keys, which only a file on the card gives: what an earlier set-up was given goes again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .durable import make_directories, remove_file
from .process import demand

if TYPE_CHECKING:
    from .actions import Site

AUTHORITIES = Path("usr/local/share/ca-certificates")
AUTHORITY = "mojomail-extra-"
BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
ASIDE = ".old"
"""Ending of a certificate that is on its way out: update-ca-certificates(8) takes those that end in .crt."""
KEYS, SSH_RULES = "root/.ssh/authorized_keys", "etc/nftables.d/10-ssh.nft"
OURS = "# Who may log in by ssh, as the answers of the set-up have it.\n"
"""First line of the keys of a set-up: those that the image was built with stay, where no answer takes their place."""
SSH_OPEN = "# ssh, by key only; who guesses is slowed down.\n" + (
    "add rule inet filter services tcp dport 22 ct state new limit rate 10/minute burst 20 packets accept\n"
)
SSH_SHUT = "# ssh is off.\n"


class Authorities:
    """The further authorities that mail servers may be certified by, in PEM."""

    def __init__(self, given: tuple[str, ...], site: Site) -> None:
        self._site = site
        self.files = {f"{AUTHORITY}{number}.crt": f"{each.strip()}\n" for number, each in enumerate(given)}

    def _left(self) -> list[Path]:
        """Files of an earlier set-up."""
        folder = self._site.root / AUTHORITIES
        return [path for path in sorted(folder.glob(f"{AUTHORITY}*")) if path.name not in self.files]

    def trusted(self) -> bool:
        """Whether these are trusted, and none of an earlier set-up is."""
        if self._left():
            return False
        bundle = self._site.root / BUNDLE
        text = "".join(bundle.read_text("ascii").split()) if self.files and bundle.exists() else ""
        return all("".join(body.split()) in text for body in self.files.values())

    def trust(self) -> None:
        """Have the list of trusted ones made anew. What goes leaves a file until it is made, so that a cut is seen."""
        disk = self._site.disk
        for path in self._left():
            if path.suffix == ".crt":
                disk.rename(path, path.with_name(path.name + ASIDE))
                disk.sync_directory(path.parent)
        demand(self._site.runner, "update-ca-certificates", limit=1800.0)
        for path in self._left():
            remove_file(path, disk)


class Login:
    """Who may log in by ssh, as root and by key only."""

    def __init__(self, keys: tuple[str, ...], site: Site) -> None:
        self._site = site
        self.text = OURS + "".join(f"{key}\n" for key in keys)
        self.folder = (site.root / KEYS).parent

    def make_folder(self) -> None:
        """A folder that nobody else looks into."""
        make_directories(self.folder, mode=0o700, disk=self._site.disk)

    def outdated(self) -> bool:
        """Whether the keys of an earlier set-up are there."""
        try:
            return (self._site.root / KEYS).read_text("utf-8", "replace").startswith(OURS)
        except OSError:
            return False

    def take_away(self) -> None:
        """Nobody may log in by key any more."""
        remove_file(self._site.root / KEYS, self._site.disk)

"""The programs the far side runs, unpacked into the cache: python3 -m tests.lab.daemontree makes them ahead of time."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab.packagetree import PackageTree

USERS = {
    "root": 0,
    "dnsmasq": 101,
    "postfix": 110,
    "postdrop": 111,
    "dovecot": 120,
    "dovenull": 121,
    "vmail": 5000,
    "nobody": 65534,
}
"""Users of the tree, each with a group of the same name and number."""


def complete(tree: Path) -> None:
    """Write what the packages' own scripts would have: users, and how names are looked up."""
    for place in ("dev", "proc", "run", "srv/mail", "tmp", "root", "var/log", "var/spool", "etc"):
        (tree / place).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    files = {
        "passwd": "".join(f"{name}:x:{number}:{number}::/nonexistent:/bin/false\n" for name, number in USERS.items()),
        "group": "".join(f"{name}:x:{number}:\n" for name, number in USERS.items()),
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
        "hosts": "127.0.0.1 localhost\n",
        "resolv.conf": "nameserver 192.0.2.1\n",
    }
    for name, content in files.items():
        (tree / "etc" / name).write_text(content)


FAR_SIDE = PackageTree(
    name="farside",
    module="tests.lab.daemontree",
    packages=(
        "dovecot-imapd",
        "dovecot-lmtpd",
        "dovecot-sieve",
        "dovecot-auth-lua",
        "postfix",
        "dnsmasq-base",
        "openssl",
    ),
    recipe=[1, USERS],
    complete=complete,
)
find_tree = FAR_SIDE.find
ensure_tree = FAR_SIDE.ensure

if __name__ == "__main__":
    sys.exit(FAR_SIDE.main())

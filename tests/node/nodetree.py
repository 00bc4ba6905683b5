"""The programs that the node's own tests run, unpacked into the cache: python3 -m tests.node.nodetree makes them."""

from __future__ import annotations

import sys

from tests.lab.packagetree import PackageTree
from tests.node.cell import prepare

NODE_PROGRAMS = PackageTree(
    name="nodetree",
    module="tests.node.nodetree",
    packages=(
        "coreutils",
        "dash",
        "dbus-daemon",
        "dovecot-imapd",
        "gir1.2-glib-2.0",
        "libc-bin",
        "offlineimap3",
        "python3",
        "python3-gi",
    ),
    recipe=1,
    complete=prepare,
)
ensure_tree = NODE_PROGRAMS.ensure

if __name__ == "__main__":
    sys.exit(NODE_PROGRAMS.main())

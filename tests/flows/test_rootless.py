"""The world and its providers need no right on the host, and nothing that is not in an ordinary user's PATH."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from imagebuilder import namespace
from tests.lab import processes
from tests.lab.daemontree import ensure_tree
from tests.lab.world import ROOT

PATH = "/usr/bin:/bin"
"""What Debian gives an ordinary user, less what is optional: no sbin, where chroot is (login.defs(5), ENV_PATH)."""
LIMIT = 300.0
"""Seconds that the program may take on a busy host; it takes three."""
PROGRAM = """
import imaplib, sys, tempfile
from pathlib import Path
from tests.flows.fakenode import node_at
from tests.lab.farside import authority
from tests.lab.world import World

with tempfile.TemporaryDirectory() as directory, World(Path(directory), seed=1) as world:
    world.internet.providers()
    world.internet.add_account("dev@example.org", "secret")
    with node_at(world.wires) as node:
        node.place.dns_server = "192.0.2.1"
        client = node.place.imap("imap.example.org", 993, ca=authority().certificate)
        print(client.login("dev@example.org", "secret")[0])
        world.internet.remove_account("dev@example.org")  # which ends the session
        try:
            client.noop()
        except imaplib.IMAP4.abort:
            print("ended")
"""


def has_ids(user: pwd.struct_passwd) -> bool:
    """Whether a user has the subordinate ids that a namespace needs."""
    files = (Path("/etc/subuid"), Path("/etc/subgid"))
    return all(namespace.subordinate_range(file, user.pw_name, user.pw_uid) for file in files)


def ordinary_user() -> tuple[list[str], dict[str, str]]:
    """The words that make whoever runs the tests an ordinary user, and that user's environment; skips without one."""
    ours = {"PATH": PATH, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    if os.getuid():
        ensure_tree()
        return [], {**os.environ, **ours}
    user = next((user for user in pwd.getpwall() if user.pw_uid and has_ids(user)), None)
    if user is None:
        pytest.skip("no ordinary user of this host has subordinate ids (/etc/subuid, /etc/subgid)")
    # by way of env, for setpriv itself still starts programs that only root may read
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "env"]
    environment = {"HOME": user.pw_dir, **ours}
    look = [*become, sys.executable, "-c", "from tests.lab import daemontree, world; daemontree.find_tree()"]
    tried = subprocess.run(look, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT)
    if tried.returncode:
        pytest.skip(f"{user.pw_name} cannot run the lab in {ROOT}: {tried.stderr.strip().splitlines()[-1]}")
    return become, environment


def test_an_ordinary_user_has_a_world_with_providers() -> None:
    become, environment = ordinary_user()
    words = [*become, sys.executable, "-c", PROGRAM]
    program = processes.start(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    try:
        printed, said = program.communicate(timeout=LIMIT)
    finally:
        processes.end(program)
    assert printed.decode().split() == ["OK", "ended"], said.decode(errors="replace")

"""The world, its providers and its browser need no right on the host, and nothing that is not in a user's PATH."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from imagebuilder.cache import default_cache
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
from tests.flows.leftovers import command_of, descendants, still_there, wait_until
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
    with world.village.browser() as page:
        page.set_content("<p>shown</p>")
        print(page.inner_text("p"))
    below = descendants(world.process.pid)
    running = " ".join(map(command_of, below))
    print(*(name for name in ("dnsmasq", "dovecot", "master") if name in running))
    world.process.kill()
    world.process.wait()
    wait_until(lambda: not still_there(below), 90)
    print("gone")
"""

SAID = ["OK", "ended", "shown", "dnsmasq", "dovecot", "master", "gone"]
"""What the program says: of a login, a session that ended, a page in a browser, the daemons that run, and, once the
world was killed, that nothing is left of it."""

USER, UID = "villager", 61000
BECOME = """
set -e
place=$1 tree=$2 python=$3
shift 3
mkdir -p "$place/tree" "$place/python" "$place/home/.cache/mojomail"
mount --bind "$tree" "$place/tree"
mount --bind "$python" "$place/python"
for file in passwd subuid subgid; do
	cp "/etc/$file" "$place/$file" 2>/dev/null || : > "$place/$file"
	chmod 644 "$place/$file"
done
echo "$USER:x:$UID:$UID::$place/home:/bin/sh" >> "$place/passwd"
for file in subuid subgid; do
	echo "$USER:2000000:65536" >> "$place/$file"
	[ -e "/etc/$file" ] || : > "/etc/$file"
	mount --bind "$place/$file" "/etc/$file"
done
mount --bind "$place/passwd" /etc/passwd
mount -t tmpfs none /dev/net
mknod -m 666 /dev/net/tun c 10 200
cp -a "$CACHE/indexes" "$CACHE/debs" "$place/home/.cache/mojomail/"
chown -R "$UID:$UID" "$place/home"
cd "$place/tree"
exec setpriv --reuid="$UID" --regid="$UID" --clear-groups "$@"
"""
"""In a mount namespace of root's: an ordinary user as adduser(8) makes one, who can read the tree and this Python, with
the packages that were downloaded already. Nothing of it is on the host."""


@contextlib.contextmanager
def ordinary_user() -> Iterator[tuple[list[str | Path], dict[str, str]]]:
    """The words that run Python as an ordinary user, and that user's environment."""
    ours = {"PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"}
    if os.getuid():
        ensure_tree()
        yield [sys.executable], {**os.environ, **ours, "PYTHONPATH": str(ROOT)}
        return
    ensure_tree()  # with it come the packages and their indexes
    with processes.temporary_directory() as place:
        place.chmod(0o755)
        packages = Path(sysconfig.get_path("purelib")).relative_to(ROOT)
        environment = {
            **ours,
            "HOME": str(place / "home"),
            "PYTHONPATH": f"{place / 'tree'}:{place / 'tree' / packages}",
            "LD_LIBRARY_PATH": str(place / "python/lib"),  # where it was built, the user may not look
            "USER": USER,
            "UID": str(UID),
            "CACHE": str(default_cache().path),
        }
        words = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            BECOME,
            "sh",
            place,
            ROOT,
            sys.base_prefix,
        ]
        yield [*words, place / "python/bin" / Path(sys.executable).resolve().name], environment


def test_an_ordinary_user_has_a_world_with_providers_and_a_browser_that_leaves_nothing() -> None:
    with ordinary_user() as (python, environment):
        for words, said in ((["-m", "tests.lab.daemontree"], None), (["-c", PROGRAM], SAID)):
            program = processes.start(
                [*python, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
            try:
                printed, wrong = program.communicate(timeout=LIMIT)
            finally:
                processes.end(program)
            assert program.returncode == 0, wrong.decode(errors="replace")
            assert said is None or printed.decode().split() == said, wrong.decode(errors="replace")

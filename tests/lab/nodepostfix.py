"""The node's Postfix without a node: the shipped master.cf and what its tests need of the shipped main.cf.

It is of the far side's tree of programs, in a mount namespace of its own, and speaks to nobody but the sockets in one
directory. The mails it is to send are there when it starts; its ports, where they are wanted, are sockets too.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.daemontree import USERS, find_tree
from tests.lab.mailprovider import QUEUES
from tests.lab.processes import end, start

SHIPPED = Path(__file__).resolve().parents[2] / "overlay/etc/postfix"
TAKEN = re.compile(
    r"^(?:compatibility_level|recipient_delimiter|smtp_header_checks|smtp_delivery_status_filter|smtp_data_\w+"
    r"|smtpd_sasl_(?!path)\w+|service_throttle_time|smtpd_relay_restrictions|smtpd_reject_footer_maps) *=.*$",
    re.MULTILINE,
)
"""The parameters that are taken from the shipped main.cf."""
OWN = """
myhostname = mojo.home.arpa
mydestination =
alias_maps =
local_recipient_maps =
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
default_transport = oauth:unix:/run/mojomail/relay
"""
LINE = re.compile(r"^\w+ +\d+ [\d:]+ \S+ (?P<program>[\w/-]+)\[\d+\]: (?P<message>.*)$")
"""A line of maillog_file: time, host, program and number, and what it says."""


DOORS = {"submission": "submission", "127.0.0.1:10587": "webmail"}
"""Ports without TLS from the first byte, by their name in master.cf, and what the sockets in their place are called."""


@dataclass(frozen=True)
class Mail:
    """A mail to be sent."""

    sender: str
    recipients: Sequence[str]
    content: bytes


class PostfixLog:
    """What it logs, as (program, message)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[tuple[str, str]]:
        """All lines so far."""
        text = self._path.read_text(errors="replace") if self._path.exists() else ""
        return [(found["program"], found["message"]) for found in map(LINE.match, text.splitlines()) if found]


@contextmanager
def node_postfix(
    work: Path, sockets: Path, mails: Sequence[Mail] = (), *, doors: Mapping[str, str] | None = None, own: str = OWN
) -> Iterator[PostfixLog]:
    """Postfix with these mails for the block; it sees `sockets` as /run/mojomail. `work` is a directory for it.

    Of its ports it opens those of `doors` (see DOORS), as sockets in work/doors. `own` stands in main.cf behind what
    is taken from the shipped one.
    """
    root = find_tree()
    for name in ("log", "etc", "mails", "doors"):
        (work / name).mkdir(parents=True)
    (work / "doors").chmod(0o777)
    for file in SHIPPED.iterdir():
        if file.is_file() and file.name != "main.cf":
            (work / "etc" / file.name).write_bytes(file.read_bytes())
    (work / "etc/master.cf").write_text("".join(_services((SHIPPED / "master.cf").read_text(), doors or {})))
    (work / "etc/main.cf").write_text("\n".join(TAKEN.findall((SHIPPED / "main.cf").read_text())) + own)
    process = start(_command(root, work, sockets, mails), stdout=None, stderr=None)
    try:
        yield PostfixLog(work / "log/postfix.log")
    finally:
        end(process)


def _services(master: str, doors: Mapping[str, str]) -> Iterator[str]:
    """The services of master.cf, with sockets for ports: the host may use the ports themselves."""
    for service in re.split(r"^(?=\S)", master, flags=re.MULTILINE):
        port = re.match(r"(\S+) +inet ", service)
        if port is None:
            yield service
        elif port[1] in doors:
            yield f"{doors[port[1]]} unix {service[port.end() :]}"


def _command(root: Path, work: Path, sockets: Path, mails: Sequence[Mail]) -> list[str]:
    """A shell that mounts what Postfix sees, queues the mails and starts Postfix.

    It is process 1 of a namespace, so that Postfix, which does not hear of our end, ends with it.
    """
    inside, postfix, postdrop = shlex.quote(str(root)), USERS["postfix"], USERS["postdrop"]
    spool = f"{inside}/var/spool/postfix"
    lines = ["set -e"]
    lines += [f"mount -t tmpfs postfix {inside}/{name}" for name in ("run", "tmp", "var/spool", "var/lib")]
    lines += [f"mkdir -p {spool}/{name}" for name in (*QUEUES, "private", "public", "maildrop", "pid")]
    lines += [f"mkdir -p {inside}/run/mojomail {inside}/var/lib/postfix"]
    owned = " ".join(f"{spool}/{name}" for name in (*QUEUES, "private"))
    lines += [f"chown {postfix}:0 {owned} {inside}/var/lib/postfix", f"chmod 700 {owned}"]
    lines += [f"chown {postfix}:{postdrop} {spool}/maildrop", f"chmod 730 {spool}/maildrop"]
    for source, target in (
        (work / "log", "var/log"),
        (work / "etc", "etc/postfix"),
        (sockets, "run/mojomail"),
        (work / "doors", "var/spool/postfix/public"),
    ):
        lines.append(f"mount --bind {shlex.quote(str(source))} {inside}/{target}")
    lines += [f"mount --rbind /{name} {inside}/{name}" for name in ("dev", "proc")]
    for number, mail in enumerate(mails):
        file = work / f"mails/{number}"
        file.write_bytes(mail.content)
        words = shlex.join(["/usr/sbin/sendmail", "-i", "-f", mail.sender, *mail.recipients])
        lines.append(f"chroot {inside} {words} < {shlex.quote(str(file))}")
    lines += [f"chroot {inside} /usr/lib/postfix/sbin/master -d &", "wait"]
    who = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *who, "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", "\n".join(lines)]

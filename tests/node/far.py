"""A real Dovecot as the far provider, an own vault, and one account's runs of the real OfflineIMAP against it."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mojomail.sync.engine import Outcome, Run, outcome_of
from mojomail.sync.events import Event, parse
from mojomail.sync.guard.settings import read
from mojomail.sync.offlineimap import OfflineImap

from tests.lab.authority import Authority
from tests.lab.processes import end
from tests.node.cell import Cell
from tests.node.proxy import Faults, Proxy

DOVECOT = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = /run/dovecot
state_dir = /run/dovecot
log_path = /var/log/dovecot.log
protocols {{
  imap = yes
}}
ssl = no
auth_allow_cleartext = yes
mail_driver = maildir
mail_home = /srv/far/%{{user}}
mail_path = ~/Maildir
mail_inbox_path = ~/Maildir/INBOX
mailbox_list_layout = fs
mail_uid = 5000
mail_gid = 5000
passdb static {{
  password = {password}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  restart_request_count = unlimited
  process_min_avail = 1
  inet_listener imap {{
    listen = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
PASSWORD = "right horse"
ADDRESS = "asha@example.org"


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_until(condition: object, limit: float = 20.0) -> None:
    """Wait for a callable to give something true."""
    assert callable(condition)
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def letter(number: int, size: int = 400, *, subject: str = "", sender: str = "ravi@example.net") -> bytes:
    """A mail with a Message-ID of its own, as a provider keeps it."""
    when = f"Mon, 02 Nov 2026 10:{number // 60 % 60:02}:{number % 60:02} +0530"
    head = (
        f"Message-ID: <{number}@example.net>\r\nDate: {when}\r\n"
        f"From: {sender}\r\nTo: {ADDRESS}\r\nSubject: {subject or f'Letter {number}'}\r\n\r\n"
    ).encode()
    line = f"{number} the mail must go through\r\n".encode()
    return head + line * max(1, (size - len(head)) // len(line))


class Vault(socketserver.ThreadingUnixStreamServer):
    """Hands out one password to whoever asks."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.password = PASSWORD
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(str(path), _Question)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Question(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        json.loads(self.rfile.readline())
        assert isinstance(self.server, Vault)
        self.wfile.write(json.dumps({"secret": self.server.password}).encode() + b"\n")


class FarSide:
    """The provider, its front door, and the vault."""

    def __init__(self, tree: Path, work: Path, authority: Authority) -> None:
        self.cell = Cell(tree, work)
        self.work = work
        port = free_port()
        (work / "etc/dovecot").mkdir()
        (work / "etc/dovecot/dovecot.conf").write_text(DOVECOT.format(port=port, password=PASSWORD))
        (work / "etc/authority.pem").write_text(authority.pem)
        (work / "srv/far").mkdir()
        self.daemon = self.cell.start("dovecot", "-F")
        self.vault = Vault(work / "run/secret")
        self.proxy = Proxy(
            ("127.0.0.1", port),
            authority.issue("named", ["localhost"]),
            authority.issue("unnamed", ["localhost"], common_name=False),
        )
        wait_until(lambda: _answers(port))

    def close(self) -> None:
        """End everything."""
        self.proxy.close()
        self.vault.shutdown()
        self.vault.server_close()
        with suppress(ProcessLookupError):
            os.killpg(self.daemon.pid, signal.SIGTERM)
        end(self.daemon, 5.0)


class FarAccount:
    """The provider's side and ours of one account."""

    def __init__(self, side: FarSide, number: int) -> None:
        self.cell, self.work, self.proxy, self.vault = side.cell, side.work, side.proxy, side.vault
        self.proxy.faults, self.proxy.down, self.proxy.up, self.proxy.connections = Faults(), 0, bytearray(), 0
        self.vault.password = PASSWORD
        self.number = number
        self.address = f"asha{number}@example.org"
        self.far = self.work / "srv/far" / self.address / "Maildir"
        self.home = f"/srv/mail/{20000 + number}"
        self.near = self.cell.inside(self.home) / "Maildir"
        self.state = self.cell.inside(self.home) / "sync" / str(number)
        self.state.mkdir(parents=True)
        for mailbox in (self.far / "INBOX", self.near / "INBOX"):
            for part in ("cur", "new", "tmp"):
                (mailbox / part).mkdir(parents=True)
        open_to_all(self.far.parent)
        self.events: list[Event] = []
        self.said = ""
        self.settings: dict[str, object] = {"patience": 0, "vanish_patience": 3600}

    def deliver(self, mail: bytes, folder: str = "INBOX", flags: str = "") -> Path:
        """Put a mail into the provider's folder."""
        return _put(self.far / folder, mail, flags)

    def deliver_here(self, mail: bytes, folder: str = "INBOX", flags: str = "") -> Path:
        """Put a mail into our folder, as LMTP does."""
        return _put(self.near / folder, mail.replace(b"\r\n", b"\n"), flags)

    def here(self, folder: str = "INBOX") -> list[bytes]:
        """Our mails, in the order of their texts."""
        return sorted(path.read_bytes() for path in files(self.near / folder))

    def there(self, folder: str = "INBOX") -> list[bytes]:
        """The provider's mails, in the order of their texts, with LF."""
        return sorted(path.read_bytes().replace(b"\r\n", b"\n") for path in files(self.far / folder))

    def renumber(self, folder: str = "INBOX") -> None:
        """Give the provider's folder another UIDVALIDITY, and its mails other UIDs."""
        mailbox = self.far / folder
        for path in files(mailbox):  # other names, so that they are listed in another order
            path.rename(path.with_name(f"{abs(hash(path.name)) % 10**9}.{path.name}"))
        for path in mailbox.glob("dovecot*"):
            path.unlink()
        # Written whole, for a Dovecot that just looks sees either none or this.
        (mailbox / "dovecot-uidlist.new").write_text(f"3 V{int(time.time()) + 1000} N1 G{os.urandom(16).hex()}\n")
        (mailbox / "dovecot-uidlist.new").rename(mailbox / "dovecot-uidlist")

    def start(self, guard: bool = True, **changes: object) -> subprocess.Popen[bytes]:
        """Start a run; `finish` waits for it."""
        run = Run(
            account=self.number,
            uid=20000 + self.number,
            home=Path(self.home),
            host="localhost",
            port=self.proxy.port,
            tls="tls",
            user=self.address,
            method="password",
            folder="",
            folders=(("INBOX", "INBOX"),),
        )
        run = replace(run, **changes)  # type: ignore[arg-type]
        directory = self.work / "run/sync"
        directory.mkdir(exist_ok=True)
        engine = OfflineImap(Path("/run/secret"), Path("/etc/authority.pem"))
        inside = Path("/run/sync")
        engine.prepare(run, directory)
        for name in ("offlineimap.conf", "guard.py"):
            text = (directory / name).read_text().replace(str(directory), str(inside))
            (directory / name).write_text(text)
        settings = read(directory / "guard.json")
        replace(settings, **self.settings).write(directory / "guard.json")  # type: ignore[arg-type]
        if not guard:
            self._unguard(directory)
        self.proxy.faults.common_name = not guard
        return self.cell.start(*engine.command(inside), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _unguard(self, directory: Path) -> None:
        """Take the guard away: OfflineIMAP as it is, with the password in its configuration."""
        code = (directory / "guard.py").read_text()
        code = "\n".join(line for line in code.splitlines() if "install" not in line)
        (directory / "guard.py").write_text(code)
        text = (directory / "offlineimap.conf").read_text().replace("remotepass = none", f"remotepass = {PASSWORD}")
        if not self.proxy.faults.compression:  # it tries without having been offered
            text = text.replace("usecompression = yes", "usecompression = no")
        (directory / "offlineimap.conf").write_text(text)

    def finish(self, child: subprocess.Popen[bytes], limit: float = 60.0) -> Outcome:
        """What came of a run; `timeout` when it is not done after so many seconds."""
        ended = ""
        try:
            printed, said = child.communicate(timeout=limit)
            ended = "success" if child.returncode == 0 else "exit-code"
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            printed, said = child.communicate()
            ended = "timeout"
        end(child)
        self.said = said.decode(errors="replace")
        self.events = [event for line in printed.splitlines() if (event := parse(line))]
        return outcome_of(self.events, ended)

    def sync(self, guard: bool = True, limit: float = 60.0, **changes: object) -> Outcome:
        """One run from its beginning to its end."""
        return self.finish(self.start(guard, **changes), limit)


def files(mailbox: Path) -> Iterator[Path]:
    """The mails of a folder."""
    for part in ("new", "cur"):
        yield from sorted((mailbox / part).iterdir())


def _put(mailbox: Path, mail: bytes, flags: str) -> Path:
    if not (mailbox / "tmp").exists():
        for part in ("cur", "new", "tmp"):
            (mailbox / part).mkdir(parents=True, exist_ok=True)
        open_to_all(mailbox)
    name = f"{time.time_ns()}.M1.far"
    target = mailbox / ("cur" if flags else "new") / (f"{name}:2,{flags}" if flags else name)
    target.write_bytes(mail)
    return target


def open_to_all(directory: Path) -> None:
    """Let the provider's own user work in directories that tests made."""
    for place in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        with suppress(PermissionError):
            place.chmod(0o777)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(5)
        return connection.recv(100).startswith(b"* OK")
    return False

"""mojomaild: the one daemon, on one GLib loop.

It is root, since it starts units and asks postsuper(1), which both only root may; its unit takes from it all that it
does not need. What speaks to providers for it are runs of the engine, which have a person's rights, and Postfix. The
vault is in the same process, because a secret is handed to a run exactly as long as this process knows it under way.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gi.repository import GLib  # type: ignore[import-not-found,import-untyped,unused-ignore]

from .accounts import Account
from .control import ControlServer, Request
from .database import Database
from .doctor import examine_waiting
from .errors import MojoError, SystemFault
from .link import LinkState, LinkWatch
from .mailqueue import MailQueue, parse_delivery
from .networkmanager import NetworkManager
from .notices import deliver, letter
from .office import Office
from .places import Places
from .secretserver import Grants, SecretServer
from .sync.engine import Run
from .sync.offlineimap import OfflineImap
from .sync.unit import Systemd, as_person, properties, unit_name
from .vault import Vault
from .vaultkeys import VaultLocked

LOG = logging.getLogger(__name__)
JOURNAL = ("/usr/bin/journalctl", "--follow", "--output=json", "--unit=postfix.service")
UNIT = "mojomaild.service"
QUEUE_SECONDS = 120
"""How often the queue and the accounts are looked at, beside when Postfix's log tells of a mail handed in."""
GATHER_MS = 300
"""Mails that are handed in together are looked at together."""


class UnitRunner:
    """Runs of the engine in units of systemd's, each with the right to the secret of its account for as long."""

    def __init__(self, places: Places, systemd: Systemd, grants: Grants) -> None:
        self._places, self._systemd, self._grants = places, systemd, grants
        self._engine = OfflineImap(places.run / "secret")

    def start(self, run: Run, heard: Callable[[Any], None], ended: Callable[[str], None]) -> None:
        """Start a run. Raises SystemFault."""
        directory = self._places.run / "sync" / str(run.account)
        name = unit_name(run.account)
        with ExitStack() as undo:
            try:
                self._write(run, directory)
                undo.callback(shutil.rmtree, directory, ignore_errors=True)
                undo.enter_context(self._grants.open(run.account, run.uid, name))
                command = as_person(run.uid, self._engine.command(directory))
                settings = [
                    *properties(f"Mail of account {run.account}", command, run.home, directory, run.seconds),
                    # Without us nobody would hear of it, nor hand it its secret.
                    ("BindsTo", "as", [UNIT]),
                    ("After", "as", [UNIT]),
                ]
                kept = undo.pop_all()

                def done(word: str) -> None:
                    kept.close()
                    ended(word)

                try:
                    self._systemd.start(name, settings, heard, done)
                except BaseException:
                    kept.close()
                    raise
            except (OSError, ValueError, GLib.Error) as error:
                raise SystemFault(f"a run cannot be started: {error}") from None

    def stop(self, account: int) -> None:
        """Stop an account's run."""
        self._systemd.stop(unit_name(account))

    def _write(self, run: Run, directory: Path) -> None:
        """Make the run's directory anew: what was in it belonged to the person, and is not written through."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.parent.mkdir(exist_ok=True)
        directory.parent.chmod(0o711)  # each person goes through it to the own one
        directory.mkdir(mode=0o700)
        self._engine.prepare(run, directory)
        for path in (*directory.iterdir(), directory):
            os.chown(path, run.uid, run.uid)


class PostfixLog:
    """Follows Postfix's log in the journal: what came behind `cursor`, or what comes from now on.

    `told` gets the program, its message, and the cursor to go on behind.
    """

    def __init__(self, told: Callable[[str, str, str], None], cursor: str) -> None:
        self._told, self._cursor = told, cursor
        self._start()

    def _start(self) -> bool:
        since = f"--after-cursor={self._cursor}" if self._cursor else "--lines=0"
        self._rest, self._heard = b"", False
        self._child = subprocess.Popen((*JOURNAL, since), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._child.stdout is not None
        self._descriptor = self._child.stdout.fileno()
        GLib.io_add_watch(
            self._descriptor, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, self._read
        )
        return bool(GLib.SOURCE_REMOVE)

    def _read(self, *_: object) -> bool:
        data = os.read(self._descriptor, 65536)
        if not data:
            self._child.wait()
            if not self._heard:
                self._cursor = ""  # a place in a journal that is not there any more
            GLib.timeout_add_seconds(5, self._start)
            return bool(GLib.SOURCE_REMOVE)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                entry = json.loads(line)
                self._cursor, self._heard = str(entry["__CURSOR"]), True
                self._told(str(entry["SYSLOG_IDENTIFIER"]), str(entry["MESSAGE"]), self._cursor)
            except (ValueError, KeyError):
                continue
        return bool(GLib.SOURCE_CONTINUE)


class Daemon:
    """Everything, put together."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._loop = GLib.MainLoop()
        self._database = Database.open(places)
        self._grants = Grants()
        self._timer = self._gathering = 0
        self._vault: Vault | None = None
        self._locked_told = False
        self._undo = ExitStack()
        self._examining = threading.Lock()
        last = self._database.row("SELECT max(synced_at) AS at FROM contact")
        self._watch = LinkWatch(time.time, last["at"] if last else None)
        self._runner = UnitRunner(places, Systemd(), self._grants)
        self._office = Office(
            self._database, self._runner, MailQueue(), self._watch, time.monotonic, time.time, self._tell
        )
        self._watch.listen(self._link_changed)

    def run(self) -> int:
        """Serve until SIGTERM."""
        with ExitStack() as undo:
            self._undo = undo
            self._open_vault()
            control = ControlServer(self._places.run / "control", self._uid_of, self._on_loop)
            control.start()
            undo.callback(control.stop)
            manager = NetworkManager(self._watch.changed)
            PostfixLog(self._logged, self._office.log_cursor)
            GLib.timeout_add_seconds(QUEUE_SECONDS, self._look_at_queue)
            GLib.unix_signal_add(GLib.PRIORITY_HIGH, 15, self._loop.quit)
            watchdog = int(os.environ.get("WATCHDOG_USEC", "0")) // 2_000_000
            if watchdog:
                GLib.timeout_add_seconds(watchdog, lambda: notify("WATCHDOG=1"))
            self._step()
            notify("READY=1")
            self._loop.run()
            notify("STOPPING=1")
            assert manager is not None
        return 0

    def _open_vault(self) -> None:
        """Begin to hand out secrets, if the vault has its keys by now."""
        try:
            self._vault = Vault.open(self._places)
        except VaultLocked as error:
            if not self._locked_told:
                LOG.error("no secrets are handed out: %s", error.message)
            self._locked_told = True
            return
        secrets = SecretServer(self._vault, self._grants, self._places.run)
        secrets.start()
        self._undo.callback(secrets.stop)

    def _step(self) -> bool:
        if self._timer:
            GLib.source_remove(self._timer)
            self._timer = 0
        wait = self._office.step()
        if wait is not None:
            self._timer = GLib.timeout_add_seconds(max(1, min(int(wait) + 1, 3600)), self._timed)
        self._publish()
        return bool(GLib.SOURCE_REMOVE)

    def _timed(self) -> bool:
        self._timer = 0
        return self._step()

    def _look_at_queue(self) -> bool:
        if self._vault is None:
            self._open_vault()
        self._office.reload()
        self._step()
        return bool(GLib.SOURCE_CONTINUE)

    def _logged(self, program: str, message: str, cursor: str) -> None:
        if (attempt := parse_delivery(program, message)) is not None:
            self._office.attempted(attempt, cursor)
            self._step()
        elif program == "postfix/qmgr" and message.endswith("(queue active)") and not self._gathering:
            self._gathering = GLib.timeout_add(GATHER_MS, self._gathered)

    def _gathered(self) -> bool:
        self._gathering = 0
        self._office.refresh_outbox()
        self._step()
        return bool(GLib.SOURCE_REMOVE)

    def _link_changed(self, state: LinkState) -> None:
        LOG.info("link: %s %s", state.link.kind, "reached" if state.reached else "not reached yet")
        if state.link.up and not state.reached:
            threading.Thread(target=self._examine, daemon=True, name="doctor").start()
        GLib.idle_add(self._step)

    def _examine(self) -> None:
        """Test the accounts that have not been, in a thread and on a connection of its own."""
        if self._vault is None or not self._examining.acquire(blocking=False):
            return
        try:
            with Database.open(self._places) as database:
                examine_waiting(database, self._vault)
        except MojoError as error:
            LOG.warning("accounts cannot be tested: %s", error.message)
        finally:
            self._examining.release()

    def _tell(self, one: Account, said: str) -> None:
        """Write to an account's owner that the provider no longer takes the password."""
        row = self._database.row(
            "SELECT mailbox, language FROM postfix_alias JOIN person USING (login) WHERE address = ?",
            one.address_ascii,
        )
        if row is None:
            return
        try:
            mail = letter("password", row["language"], row["mailbox"], address=one.address, said=said)
            deliver(mail, row["mailbox"])
        except MojoError as error:
            LOG.warning("account %d: its owner could not be told: %s", one.id, error.message)

    def _publish(self) -> None:
        """Write what everybody may know where the TV and the webmail look for it."""
        path = self._places.run / "status.json"
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(self._office.status()))
        partial.chmod(0o644)
        partial.rename(path)

    def _uid_of(self, login: str) -> int | None:
        with Database.open(self._places) as database:
            row = database.row("SELECT uid FROM dovecot_user WHERE name = ?", login.lower())
        return int(row["uid"]) if row else None

    def _on_loop(self, request: Request) -> dict[str, Any]:
        """Answer a request of the control socket's threads in the loop's thread."""
        result: Future[dict[str, Any]] = Future()

        def work() -> bool:
            try:
                result.set_result(self._answer(request))
            except BaseException as error:
                result.set_exception(error)
            return bool(GLib.SOURCE_REMOVE)

        GLib.idle_add(work)
        return result.result(timeout=60)

    def _answer(self, request: Request) -> dict[str, Any]:
        office, uid = self._office, request.uid
        answer: dict[str, Any] = {}
        if request.verb == "status":
            answer = office.status() if uid is None else office.personal_status(uid)
        elif request.verb == "outbox":
            office.refresh_outbox()
            answer = {"mails": office.listing(uid)}
        elif request.verb == "sync":
            insist = request.arguments.get("insist") is True
            answer = {"soon": office.look(uid, insist=insist) if uid is not None else False}
        elif request.verb == "reload":
            office.reload()
            threading.Thread(target=self._examine, daemon=True, name="doctor").start()
        else:
            changed = office.change(request.verb, str(request.arguments.get("id", "")), uid)
            answer = {"id": changed.id, "state": changed.state.value}
        self._step()
        return answer


def notify(message: str) -> bool:
    """Tell systemd (sd_notify(3)); to be called again as a timer's work."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.send(message.encode())
    return bool(GLib.SOURCE_CONTINUE)


def main() -> int:
    """The program mojomaild."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return Daemon(Places()).run()
    except MojoError as error:
        LOG.error("%s", error)
        return error.exit_code

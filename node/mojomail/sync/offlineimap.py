"""OfflineIMAP as a sync engine: its configuration, written afresh for each run, and how it is started.

The options are those that were measured to be right on a thin link; what is not asked of OfflineIMAP (limits of size
and age, uploads, newest first) is done by the guard.
"""

from __future__ import annotations

from pathlib import Path

from mojomail.lines import is_line
from mojomail.sync.engine import Run
from mojomail.sync.guard.settings import Settings
from mojomail.sync.launch import CONFIGURATION, PYTHONFILE, SETTINGS

SILENCE = 120
"""Seconds without a byte after which the link is taken for lost."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

TEMPLATE = """\
[general]
accounts = A
metadata = {state}
maxsyncaccounts = 1
socktimeout = {silence}
fsync = True
pythonfile = {directory}/{pythonfile}

[Account A]
localrepository = L
remoterepository = R

[Repository L]
type = Maildir
localfolders = {maildir}
sep = /
nametrans = our_name_to_theirs

[Repository R]
type = IMAP
remotehost = {host}
remoteport = {port}
remoteuser = {user}
# What the guard logs in with comes from the vault; this keeps OfflineIMAP from looking for it elsewhere.
remotepass = none
ssl = {ssl}
starttls = {starttls}
sslcacertfile = {certificates}
maxconnections = 1
retrycount = 1
singlethreadperfolder = yes
usecompression = yes
createfolders = False
expunge = no
folderfilter = wanted
foldersort = in_turn
nametrans = their_name_to_ours
"""

GUARD = """\
from pathlib import Path

from mojomail.sync.guard import install

FOLDERS = dict({folders!r})
ORDER = list(FOLDERS)
OURS = {{ours: theirs for theirs, ours in FOLDERS.items()}}


def wanted(folder):
    return folder in FOLDERS


def their_name_to_ours(folder):
    return FOLDERS.get(folder, folder)


def our_name_to_theirs(folder):
    return OURS.get(folder, folder)


def in_turn(one, other):
    places = [ORDER.index(each) if each in FOLDERS else len(ORDER) for each in (one, other)]
    return places[0] - places[1]


install(Path({settings!r}))
"""


def our_name(account_folder: str, name: str) -> str:
    """Where a folder of an account lies in the mailbox: further accounts have an INBOX of their own."""
    return f"{account_folder}/{name}" if account_folder else name


class OfflineImap:
    """The engine."""

    name = "offlineimap"

    def __init__(self, secret_socket: Path, certificates: Path = CERTIFICATES) -> None:
        self._secret_socket, self._certificates = secret_socket, certificates

    def state_of(self, run: Run) -> Path:
        """Where the account's memory is: on the mail's file system, out of Dovecot's sight."""
        return run.home / "sync" / str(run.account)

    def prepare(self, run: Run, directory: Path) -> None:
        """Write the configuration. Raises ValueError for what would break out of its line."""
        values = (run.host, run.user, run.folder, *(name for pair in run.folders for name in pair))
        if any(not is_line(value) for value in values):
            raise ValueError("a line break or control character in an account's settings")
        folders = [(theirs, our_name(run.folder, ours)) for theirs, ours in run.folders]
        state = self.state_of(run)
        settings = Settings(
            account=str(run.account),
            secret_socket=str(self._secret_socket),
            state=str(state),
            folders=tuple(ours for _, ours in folders),
            method=run.method,
            realdelete=run.realdelete,
            uploads=run.uploads,
            budget=run.budget,
        )
        settings.write(directory / SETTINGS)
        guard = GUARD.format(folders=folders, settings=str(directory / SETTINGS))
        (directory / PYTHONFILE).write_text(guard, encoding="utf-8")
        text = TEMPLATE.format(
            state=state,
            silence=SILENCE,
            directory=directory,
            pythonfile=PYTHONFILE,
            maildir=run.home / "Maildir",
            host=escaped(run.host),
            port=run.port,
            user=escaped(run.user),
            ssl="yes" if run.tls == "tls" else "no",
            starttls="yes" if run.tls == "starttls" else "no",
            certificates=self._certificates,
        )
        (directory / CONFIGURATION).write_text(text, encoding="utf-8")

    def command(self, directory: Path) -> tuple[str, ...]:
        """The program and its arguments."""
        return ("/usr/bin/python3", "-I", "-m", "mojomail.sync.launch", str(directory))


def escaped(value: str) -> str:
    """A value for OfflineIMAP's configuration: its parser takes % for the beginning of a reference."""
    return value.replace("%", "%%")

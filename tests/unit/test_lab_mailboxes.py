"""The lab's own sessions with a provider's mailboxes, whose server dies or falls silent."""

from __future__ import annotations

import imaplib
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.lab import mailboxes, processes
from tests.lab.mailboxes import Mailbox

SERVER = """
import sys
sys.stdout.write("* PREAUTH ready\\r\\n")
sys.stdout.flush()
for line in sys.stdin:
    tag, verb = line.split()[:2]
    if verb in sys.argv[1:]:
        continue
    if verb == "CAPABILITY":
        print("* CAPABILITY IMAP4rev1", end="\\r\\n")
    if verb == "STATUS":
        print('* STATUS "INBOX" (UIDVALIDITY 7)', end="\\r\\n")
    print(tag, "OK done", end="\\r\\n", flush=True)
"""
"""A bit of an IMAP server: it says nothing more to the commands that it is told."""


class Root:
    """In place of the daemons' root directory; counts the servers it starts."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.failing: list[str] = []

    def start(self, *words: str, **streams: Any) -> subprocess.Popen[bytes]:
        self.started.append(processes.start([sys.executable, "-c", SERVER, *self.failing], **streams))
        return self.started[-1]


@pytest.fixture
def root() -> Root:
    return Root()


@pytest.fixture
def mailbox(root: Root, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    monkeypatch.setattr(mailboxes, "PATIENCE", 2.0)
    return Mailbox(root, "dovecot.conf", "asha@gmail.com")  # type: ignore[arg-type]


def test_a_server_that_died_is_not_asked_again(root: Root, mailbox: Mailbox) -> None:
    assert mailbox.uidvalidity("INBOX") == 7
    root.started[0].kill()
    root.started[0].wait()
    with pytest.raises(imaplib.IMAP4.abort, match="is gone"):
        mailbox.put([b"x" * 1000] * 10, "INBOX", (), None)
    assert mailbox.uidvalidity("INBOX") == 7
    assert len(root.started) == 2
    mailbox.close()


@pytest.mark.parametrize("verb", ["CAPABILITY", "STATUS"])
def test_a_server_that_falls_silent_is_given_up(root: Root, mailbox: Mailbox, verb: str) -> None:
    root.failing = [verb]
    began = time.monotonic()
    with pytest.raises(imaplib.IMAP4.abort, match="was silent for 2 s"):
        mailbox.uidvalidity("INBOX")
    assert time.monotonic() - began < 20
    assert root.started[0].poll() is not None
    root.failing = []
    assert mailbox.uidvalidity("INBOX") == 7
    mailbox.close()

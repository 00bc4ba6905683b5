"""What a run's end means, and that its configuration holds no secret and no way out of its lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mojomail.sync.engine import Result, Run, outcome_of
from mojomail.sync.events import LINE_LIMIT, Event, Kind, parse
from mojomail.sync.offlineimap import OfflineImap, our_name

RUN = Run(
    account=7,
    uid=20001,
    home=Path("/srv/mail/20001"),
    host="imap.gmail.com",
    port=993,
    tls="tls",
    user="asha@gmail.com",
    method="password",
    folder="",
    folders=(("INBOX", "INBOX"), ("[Gmail]/Sent Mail", "Sent")),
)
LOGIN, DONE = Event(Kind.LOGIN, {}), Event(Kind.DONE, {"more": False})


def refused(text: str, code: str = "") -> Event:
    return Event(Kind.REFUSED, {"text": text, "code": code})


def trouble(failure: str, text: str = "it broke") -> Event:
    return Event(Kind.TROUBLE, {"failure": failure, "text": text})


@pytest.mark.parametrize(
    ("events", "ended", "expected"),
    [
        ([LOGIN, DONE], "success", Result.OK),
        ([refused("Invalid credentials (Failure)", "AUTHENTICATIONFAILED")], "exit-code", Result.PASSWORD),
        ([refused("Application-specific password required", "ALERT")], "exit-code", Result.PASSWORD),
        ([refused("Please generate an application password")], "exit-code", Result.PASSWORD),
        ([refused("Enter the accurate, separate sign-in code")], "exit-code", Result.REFUSED),
        ([refused("AUTHENTICATE failed.")], "exit-code", Result.REFUSED),
        ([refused("Temporary authentication failure.")], "exit-code", Result.RUBBISH),
        ([refused("LOGIN Rate limit hit.")], "exit-code", Result.LIMIT),
        ([refused("Request is throttled. Suggested Backoff Time: 92 s")], "exit-code", Result.LIMIT),
        ([refused("Too many simultaneous connections", "ALERT")], "exit-code", Result.LIMIT),
        ([refused("Account exceeded bandwidth limits", "OVERQUOTA")], "exit-code", Result.LIMIT),
        ([refused("Temporary problem", "UNAVAILABLE")], "exit-code", Result.RUBBISH),
        ([Event(Kind.NO_SECRET, {"text": "no"})], "exit-code", Result.SECRET),
        ([Event(Kind.UNTRUSTED, {"text": "it is for nobody"}), trouble("trust")], "exit-code", Result.TRUST),
        ([LOGIN, trouble("link")], "exit-code", Result.LINK),
        ([LOGIN, trouble("disk")], "exit-code", Result.DISK),
        ([LOGIN, trouble("provider", "FETCH refused: bandwidth limit")], "exit-code", Result.LIMIT),
        ([LOGIN, trouble("provider", "Fetch of separate parts failed")], "exit-code", Result.RUBBISH),
        ([LOGIN, trouble("bug", "KeyError")], "exit-code", Result.BUG),
        ([LOGIN, Event(Kind.VALIDITY, {"folder": "INBOX"}), DONE], "exit-code", Result.VALIDITY),
        ([LOGIN, Event(Kind.PART, {"have": 1})], "timeout", Result.LINK),
        ([Event(Kind.CONNECTING, {})], "timeout", Result.RUBBISH),
        ([LOGIN], "signal", Result.LINK),
        ([], "oom-kill", Result.BUG),
        ([], "exit-code", Result.BUG),
    ],
)
def test_how_a_run_ended_tells_what_to_do(events: list[Event], ended: str, expected: Result) -> None:
    assert outcome_of(events, ended).result is expected


@pytest.mark.parametrize("line", [b"", b"hello", b"[]", b"null", b'{"event": "no such"}', b"{" * 9999, b"\xff\xfe"])
def test_what_is_no_event_is_left_out(line: bytes) -> None:
    assert parse(line) is None


def test_an_event_cannot_flood_or_break_a_line() -> None:
    assert parse(b'{"event": "done", "text": "' + b"x" * LINE_LIMIT + b'"}') is None
    event = parse(b'{"event": "refused", "text": "two\\nlines", "code": 5}')
    assert event is not None and event.text("text") == "two lines" and event.text("code") == ""


def test_the_configuration_asks_the_vault_and_holds_no_secret(tmp_path: Path) -> None:
    OfflineImap(Path("/run/mojomail/secret")).prepare(RUN, tmp_path)
    text = (tmp_path / "offlineimap.conf").read_text()
    assert "remotepass = none" in text and "oauth2" not in text
    assert "/run/mojomail/secret" in (tmp_path / "guard.json").read_text()
    compile((tmp_path / "guard.py").read_text(), "guard.py", "exec")


@pytest.mark.parametrize("field", ["host", "user", "folder"])
def test_a_value_cannot_break_out_of_its_line(field: str, tmp_path: Path) -> None:
    bad = replace(RUN, **{field: "x\npythonfile = /tmp/evil"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="line break"):
        OfflineImap(Path("/s")).prepare(bad, tmp_path)


def test_folders_are_synced_that_are_called_as_indian_keyboards_write_them(tmp_path: Path) -> None:
    name, found = "ಮೇಲ್\u200cಗಳು", dict[str, object]()
    OfflineImap(Path("/s")).prepare(replace(RUN, folder=name, folders=((name, name),)), tmp_path)
    exec((tmp_path / "guard.py").read_text().partition("install(Path")[0], found)
    assert found["FOLDERS"] == {name: f"{name}/{name}"}


def test_a_percent_sign_stays_one(tmp_path: Path) -> None:
    OfflineImap(Path("/s")).prepare(replace(RUN, user="50%off@example.org"), tmp_path)
    assert "remoteuser = 50%%off@example.org" in (tmp_path / "offlineimap.conf").read_text()


def test_further_accounts_have_folders_of_their_own() -> None:
    assert our_name("", "INBOX") == "INBOX"
    assert our_name("Work", "INBOX") == "Work/INBOX"

"""The command mojomail: what it says, to people and to programs, and what it never shows."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mojomail import cli
from mojomail.accounts import accounts
from mojomail.cli import main, parser
from mojomail.cli.completion import _levels, _subcommands, script
from mojomail.control import ControlServer, Request
from mojomail.doctor import Patience
from mojomail.doctor import examination as examination_module
from mojomail.doctor import findings as findings_module
from mojomail.errors import InputError
from mojomail.people import people, person
from mojomail.places import Places
from mojomail.secretserver import Peer
from node_mailservers import AUTHORITY, HOST, Imap, Smtp, serving
from node_village import CANARY, PASSWORD, Village, village_fixture

village = pytest.fixture(village_fixture)

Outcome = tuple[int, str, str]
Command = Callable[..., Outcome]


@pytest.fixture
def run(village: Village, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line; `stdin` is what is typed or piped. Gives exit code, output and errors."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr(findings_module, "has_default_route", lambda: False)
    monkeypatch.setattr("mojomail.cli.providerlogin.has_default_route", lambda: False)

    def command(*words: str, stdin: str = "", terminal: bool = False) -> Outcome:
        read, write = os.pipe()
        os.write(write, stdin.encode())
        os.close(write)
        with os.fdopen(read) as pipe:
            if terminal:
                typed = io.StringIO(stdin)
                typed.isatty = lambda: True  # type: ignore[method-assign]
                monkeypatch.setattr(sys, "stdin", typed)
                monkeypatch.setattr("getpass.getpass", lambda prompt: typed.readline().rstrip("\n"))
            else:
                monkeypatch.setattr(sys, "stdin", pipe)
            code = main(words, places=village.places)
        out, err = capsys.readouterr()
        return code, out, err

    return command


def as_json(outcome: Outcome) -> object:
    return json.loads(outcome[1])


def all_commands() -> list[str]:
    return [path for path, _, leaf in _levels(parser()) if leaf and path != "completion"]


def test_help_says_what_it_is_and_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for said in ("mojomail person add", "mojomail account test", "Exit codes", "--json", "completion"):
        assert said in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("path", all_commands())
def test_each_command_explains_itself_with_an_example_and_takes_json(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*path.split(), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"\n  mojomail {path}" in text
    assert "--json" in text
    usage, _, rest = text.partition("\n\n")
    for option in re.findall(r"--[a-z-]+", usage):
        assert re.search(rf"{option}\b[^\n]*\s+\S", rest), f"{option} of {path} has no help"


@pytest.mark.parametrize("option", ["password", "secret"])
def test_no_secret_can_be_given_as_an_argument(option: str) -> None:
    stack = [parser()]
    while stack:
        one = stack.pop()
        for action in one._actions:
            if isinstance(getattr(action, "choices", None), dict):
                stack += action.choices.values()  # type: ignore[union-attr]
            elif option in action.dest:
                assert action.type is int or action.nargs == 0, action


def test_completion_is_good_bash_and_knows_commands_and_choices(tmp_path: Path) -> None:
    text = script(parser())
    file = tmp_path / "completion.bash"
    file.write_text(text)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", "-s", "bash", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout

    def complete(*words: str) -> set[str]:
        line = " ".join(f"'{word}'" for word in words)
        code = f"source {file}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mojomail; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert complete("mojomail", "pe") == {"person"}
    assert {"add", "import", "unlock"} <= complete("mojomail", "person", "")
    assert complete("mojomail", "person", "add", "--gen") == {"--generate"}
    assert complete("mojomail", "account", "set", "a@b.org", "--realdelete", "") == {"yes", "no"}
    assert complete("mojomail", "account", "set", "a@b.org", "--real") == {"--realdelete"}


def test_person_is_added_with_a_password_from_standard_input(run: Command, village: Village) -> None:
    code, out, err = run("person", "add", "asha", "--name", "Asha Devi", stdin=f"{PASSWORD}\n")
    assert (code, out.strip(), err) == (0, "asha was added.", "")
    assert person(village.database, "asha").name == "Asha Devi"


def test_password_is_asked_for_twice_at_a_terminal(run: Command, village: Village) -> None:
    assert run("person", "add", "asha", stdin=f"{PASSWORD}\nother-one-here\n", terminal=True)[0] == 2
    assert people(village.database) == []
    assert run("person", "add", "asha", stdin=f"{PASSWORD}\n{PASSWORD}\n", terminal=True)[0] == 0


def test_password_that_was_made_is_shown_once(run: Command) -> None:
    outcome = run("person", "add", "asha", "--generate", "--json")
    made = as_json(outcome)["password"]  # type: ignore[index]
    assert len(made) > 12
    assert made not in run("person", "show", "asha", "--json")[1]
    assert as_json(run("person", "passwd", "asha", "--generate", "--json"))["password"] != made  # type: ignore[index]


def test_password_is_read_from_a_file_descriptor(run: Command, village: Village) -> None:
    read, write = os.pipe()
    os.write(write, f"{PASSWORD}\n".encode())
    os.close(write)
    assert run("person", "add", "asha", "--password-fd", str(read))[0] == 0
    os.close(read)
    assert run("person", "passwd", "asha", "--password-fd", "987")[0] == 2


def test_removing_asks_and_keeps_the_mail(run: Command, village: Village) -> None:
    one = village.person()
    assert run("person", "remove", "asha")[0] == 2
    assert run("person", "remove", "asha", stdin="yes\n", terminal=True)[0] == 2
    assert [someone.login for someone in people(village.database)] == ["asha"]
    code, out, _ = run("person", "remove", "asha", stdin="asha\n", terminal=True)
    assert code == 0
    assert f"/srv/mail/{one.uid}" in out
    assert village.places.home(one.uid).is_dir()
    assert "asha" in run("person", "list", "--former")[1]


def test_erasing_is_only_done_when_asked_for(run: Command, village: Village) -> None:
    one = village.person()
    assert run("person", "remove", "asha", "--erase", "--yes")[0] == 0
    assert not village.places.home(one.uid).exists()


class PlayedOutbox:
    """The daemon's outbox, and Postfix's queue behind it."""

    def __init__(self, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: dict[str, tuple[str, str]] = {}
        """Sender and state by number."""
        self.cancelled: list[str] = []
        showq = places.root / "showq"
        showq.touch()
        monkeypatch.setattr("mojomail.mailqueue.SHOWQ", showq)
        monkeypatch.setattr("mojomail.mailqueue.run", self._postfix)

    def answer(self, request: Request) -> dict[str, object]:
        """As the daemon does."""
        if request.verb == "outbox":
            known = {"LEFT01": ("asha@gmail.com", "waiting")} | self.waiting
            why = {"waiting": "link", "held": "owner"}
            return {
                "mails": [
                    {"id": number, "sender": sender, "state": state, "why": why.get(state)}
                    | ({} if number in self.waiting else {"why": "unknown"})
                    for number, (sender, state) in known.items()
                ]
            }
        if request.verb == "cancel":
            if self.waiting[request.arguments["id"]][1] == "sending":
                raise InputError("this mail is on its way already")
            self.remove(request.arguments["id"])
        return {}

    def remove(self, number: str) -> None:
        self.cancelled.append(number)
        del self.waiting[number]

    def _postfix(self, *argv: str) -> bytes:
        if argv[0] == "postsuper":
            self.remove(argv[2])
            return b""
        mails = [
            {"queue_id": number, "queue_name": "deferred", "arrival_time": 1, "message_size": 1, "sender": sender}
            | {"recipients": [{"address": "x@far.example"}]}
            for number, (sender, _) in self.waiting.items()
        ]
        return "\n".join(map(json.dumps, mails)).encode()


@pytest.fixture
def outbox(village: Village, monkeypatch: pytest.MonkeyPatch) -> PlayedOutbox:
    """Asha has two accounts, Ravi one; mail waits from Asha's first, also by an extension of it."""
    for login, address in (("asha", "asha@gmail.com"), ("asha", "work@gmail.com"), ("ravi", "ravi@gmail.com")):
        if login not in {one.login for one in people(village.database)}:
            village.person(login)
        village.account(login, address)
    played = PlayedOutbox(village.places, monkeypatch)
    played.waiting = {
        "AAAAAA": ("asha@gmail.com", "waiting"),
        "BBBBBB": ("asha+shop@gmail.com", "held"),
        "CCCCCC": ("ravi@gmail.com", "waiting"),
    }
    return played


@pytest.fixture(params=["with the daemon", "without it"])
def office(
    request: pytest.FixtureRequest, village: Village, outbox: PlayedOutbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PlayedOutbox]:
    """The same, with the daemon answering or not."""
    if request.param == "without it":
        yield outbox
        return
    village.places.run.mkdir(parents=True, exist_ok=True)
    control = ControlServer(village.places.run / "control", lambda login: None, outbox.answer)
    monkeypatch.setattr("mojomail.control.peer_of", lambda connection: Peer(1, 0))
    control.start()
    try:
        yield outbox
    finally:
        control.stop()


@pytest.mark.parametrize("words", [("account", "remove", "asha@gmail.com"), ("person", "remove", "asha")])
def test_nobody_is_removed_while_mail_waits_unless_it_is_cancelled_too(
    run: Command, village: Village, office: PlayedOutbox, words: tuple[str, ...]
) -> None:
    code, _, err = run(*words, "--yes")
    assert code == 2
    assert re.search(r"would never be: 2\n.*--cancel-waiting", err)
    assert len(accounts(village.database, "asha")) == 2 and not office.cancelled
    code, out, _ = run(*words, "--yes", "--cancel-waiting", "--json")
    assert code == 0
    assert sorted(json.loads(out)["cancelled"]) == sorted(office.cancelled) == ["AAAAAA", "BBBBBB"]
    assert "asha@gmail.com" not in {one.address for one in accounts(village.database)}


def test_mail_of_others_and_of_other_accounts_keeps_nobody(run: Command, office: PlayedOutbox) -> None:
    assert run("account", "remove", "work@gmail.com", "--yes")[0] == 0
    assert not office.cancelled


def test_mail_that_is_on_its_way_is_cancelled_too(run: Command, office: PlayedOutbox) -> None:
    office.waiting["AAAAAA"] = ("asha@gmail.com", "sending")
    assert run("account", "remove", "asha@gmail.com", "--yes")[0] == 2
    assert run("account", "remove", "asha@gmail.com", "--yes", "--cancel-waiting")[0] == 0
    assert sorted(office.cancelled) == ["AAAAAA", "BBBBBB"]


def test_nobody_is_removed_when_the_mail_cannot_be(
    run: Command, village: Village, office: PlayedOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "remove", lambda number: None)
    code, _, err = run("account", "remove", "asha@gmail.com", "--yes", "--cancel-waiting")
    assert (code, "AAAAAA, BBBBBB" in err) == (3, True)
    assert len(accounts(village.database, "asha")) == 2


def test_question_says_what_becomes_of_mail_that_waits(run: Command, office: PlayedOutbox) -> None:
    code, _, err = run("person", "remove", "asha", "--cancel-waiting", stdin="no\n", terminal=True)
    assert (code, "removed unsent: 2." in err, office.cancelled) == (2, True, [])


def test_lock_and_unlock_are_shown(run: Command, village: Village) -> None:
    village.person()
    assert run("person", "lock", "asha")[0] == 0
    assert "locked" in run("person", "list")[1]
    assert as_json(run("person", "unlock", "asha", "--json"))["locked"] is False  # type: ignore[index]


def test_account_is_accepted_without_a_link(run: Command, village: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def unreachable(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_AGAIN, "again")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    village.person()
    code, out, err = run("account", "add", "asha", "asha@gmail.com", stdin="abcd efgh ijkl mnop\n")
    assert code == 0
    assert "no link" in out
    assert "apppasswords" in err
    [one] = as_json(run("account", "list", "--json"))  # type: ignore[misc]
    assert (one["state"], one["has_secret"], one["login"]) == ("not-tested", True, "asha")
    assert village.vault.reveal(village.database, 1)[1] == "abcdefghijklmnop"


def test_usual_password_in_the_place_of_an_app_password_is_noticed_without_a_link(
    run: Command, village: Village
) -> None:
    village.person()
    code, _, err = run("account", "add", "asha", "asha@gmail.com", "--no-test", stdin="my usual 1\n")
    assert code == 0
    assert "does not look like an app password" in err


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], Imap, Smtp]]:
    """A provider that works, and the options that name it."""
    imap, smtp = Imap(), Smtp()
    real = examination_module.examine
    monkeypatch.setattr(
        "mojomail.cli.providerlogin.examine",
        lambda one, vault: real(one, vault, patience=Patience(20, 20, 60), context=AUTHORITY.trusting),
    )
    with serving(imap, AUTHORITY.server()) as one, serving(smtp, AUTHORITY.server()) as two:
        yield ["--imap", f"{HOST} {one} tls", "--smtp", f"{HOST} {two} tls"], imap, smtp


def test_account_is_tested_when_it_is_added(
    run: Command, village: Village, servers: tuple[list[str], Imap, Smtp]
) -> None:
    village.person()
    options, _, _ = servers
    code, out, _ = run("account", "add", "asha", "asha@example.org", *options, stdin=f"{CANARY}\n")
    assert code == 0
    assert "IMAP: the login at localhost works." in out
    assert "SMTP: the login at localhost works." in out
    assert "ok" in run("account", "list")[1]


def test_account_test_says_what_is_wrong_and_who_can_mend_it(
    run: Command, village: Village, servers: tuple[list[str], Imap, Smtp]
) -> None:
    village.person()
    options, imap, _ = servers
    run("account", "add", "asha", "asha@example.org", *options, "--no-test", stdin=f"{CANARY}\n")
    imap.login = lambda user, secret: "NO [AUTHENTICATIONFAILED] Invalid"
    code, out, _ = run("account", "test", "asha@example.org")
    assert code == 2
    assert "does not take the password" in out
    imap.login = lambda user, secret: "NO [ALERT] Too many simultaneous connections"
    outcome = run("account", "test", "--all", "--json")
    assert outcome[0] == 3
    assert as_json(outcome)[0]["imap"]["finding"] == "too-many"  # type: ignore[index]
    imap.login = lambda user, secret: "OK in"
    assert run("account", "test", "asha@example.org")[0] == 0
    assert run("account", "test")[0] == 2


def test_new_password_at_the_provider_is_taken(
    run: Command, village: Village, servers: tuple[list[str], Imap, Smtp]
) -> None:
    village.person()
    options, imap, _ = servers
    run("account", "add", "asha", "asha@example.org", *options, "--no-test", stdin="old one\n")
    imap.login = lambda user, secret: "OK in" if secret == CANARY else "NO [AUTHENTICATIONFAILED] no"
    assert run("account", "test", "asha@example.org")[0] == 2
    assert run("account", "passwd", "asha@example.org", stdin=f"{CANARY}\n")[0] == 0
    assert village.vault.reveal(village.database, 1)[1] == CANARY


def test_settings_are_changed_and_shown(run: Command, village: Village) -> None:
    village.person()
    village.account(address="a@example.org")
    village.account(address="b@example.org")
    code, _, _ = run("account", "set", "b@example.org", "--first", "--realdelete", "yes", "--synced", "INBOX,Work")
    assert code == 0
    assert [one.address for one in accounts(village.database, "asha")] == ["b@example.org", "a@example.org"]
    shown = as_json(run("account", "show", "b@example.org", "--json"))
    assert (shown["realdelete"], shown["synced"]) == (True, ["INBOX", "Work"])  # type: ignore[index]
    assert "INBOX, Work" in run("account", "show", "b@example.org")[1]
    assert run("account", "set", "b@example.org")[0] == 2
    assert run("account", "remove", "b@example.org", "--yes")[0] == 0


def test_presets_are_shown_with_how_to_get_the_password(run: Command) -> None:
    listed = run("account", "providers")[1]
    for name in ("gmail", "google-workspace", "outlook", "microsoft365", "yahoo", "rediffmail", "zoho", "icloud"):
        assert re.search(rf"^{name} ", listed, re.MULTILINE)
    assert "apppasswords" in run("account", "providers", "gmail")[1]
    assert as_json(run("account", "providers", "gmail", "--json"))["imap"] == "imap.gmail.com 993 tls"  # type: ignore[index]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("person", "add", "Asha Devi", "--generate"), "did you mean asha.devi?"),
        (("person", "show", "nobody"), "nobody here has the login"),
        (("account", "add", "asha", "asha"), "no @"),
        (("account", "add", "asha", "asha@example.org"), "--imap"),
        (("account", "add", "asha", "asha@gmail.com", "--provider", "gmial"), "did you mean gmail?"),
        (("account", "add", "asha", "taken@example.org"), "belongs to ravi already"),
        (("account", "add", "nobody", "n@gmail.com"), "nobody here has the login"),
        (("account", "show", "x@gmail.com"), "nobody here has an account"),
        (("person", "import", "/nowhere.csv"), "cannot be read"),
    ],
)
def test_bad_input_is_refused_with_what_would_do(
    run: Command, village: Village, words: tuple[str, ...], said: str
) -> None:
    village.person()
    village.person("ravi")
    village.account("ravi", "taken@example.org")
    before = len(accounts(village.database))
    code, out, err = run(*words, stdin="some secret\n")
    assert (code, out) == (2, "")
    assert said in err
    assert len(accounts(village.database)) == before
    code, out, _ = run(*words, "--json", stdin="some secret\n")
    assert json.loads(out)["exit_code"] == 2


def test_table_with_errors_adds_nobody_and_names_each_place(run: Command, village: Village, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("login,name,address\nasha,Asha,asha@gmail.com\nB C,Bad,\nravi,Ravi,ravi@\n")
    code, out, err = run("person", "import", str(table), "--json")
    assert code == 2
    assert [(one["line"], one["column"]) for one in json.loads(out)["problems"]] == [(3, 1), (4, 3)]
    assert f"{table}:3:1: " in err
    assert people(village.database) == []


def test_table_is_taken_and_passwords_that_were_made_are_shown(run: Command, village: Village, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("login,name,address\nasha,Asha,asha@gmail.com\nravi,Ravi,\n")
    assert run("person", "import", str(table), "--dry-run")[0] == 0
    assert people(village.database) == []
    code, out, _ = run("person", "import", str(table))
    assert code == 0
    assert [one.login for one in people(village.database)] == ["asha", "ravi"]
    assert len(re.findall(r"([a-z]{4}-){4}\d\d", out)) == 2


def test_database_is_prepared_and_checked(run: Command, village: Village) -> None:
    prepared = as_json(run("database", "prepare", "--json"))
    assert village.database.setting("node") == prepared["node"]  # type: ignore[index]
    assert run("database", "check")[:2] == (0, "The database is whole.\n")


def test_bug_of_ours_shows_places_and_no_values(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("mojomail.cli.people.people", broken)
    code, out, err = run("person", "list")
    assert code == 1
    assert "RuntimeError" in err
    assert "report" in err
    assert CANARY not in out + err


def test_language_of_the_terminal_that_is_not_there_falls_back_to_english(
    run: Command, village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    assert "nobody here yet" in run("person", "list")[1]


def test_nothing_in_clear_is_left_after_everything(
    run: Command,
    village: Village,
    servers: tuple[list[str], Imap, Smtp],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A canary of each kind goes in at every entrance; afterwards none is in any file, log or output."""
    caplog.set_level(logging.DEBUG)
    canaries = [
        "canary-own-1x",
        "canary-account-2x",
        "canary-csv-own-3x",
        "canary-csv-4x",
        "canary-oauth-5x",
        "canary-6x",
    ]
    options, imap, smtp = servers
    said = ""
    table = tmp_path / "people.csv"
    table.write_text(
        "login,name,password,address,provider,secret,imap,smtp\n"
        f"ravi,Ravi,{canaries[2]},ravi@example.org,generic,{canaries[3]},{options[1]},{options[3]}\n"
    )
    bad_table = tmp_path / "bad.csv"
    bad_table.write_text(table.read_text().replace("ravi@example.org", "ravi@"))
    steps: list[tuple[tuple[str, ...], str]] = [
        (("person", "add", "asha"), canaries[0]),
        (("person", "passwd", "asha"), canaries[0]),
        (("account", "add", "asha", "asha@example.org", *options), canaries[1]),
        (("person", "import", str(bad_table), "--json"), ""),
        (("person", "import", str(table), "--json"), ""),
        (("account", "oauth-client", "google", "client-1", "--json"), canaries[5]),
        (
            ("account", "add", "asha", "asha@gmail.com", "--kind", "oauth2", "--no-test", "--secret-fd", "FD"),
            canaries[4],
        ),
        (("account", "list", "--json"), ""),
        (("account", "show", "asha@example.org", "--json"), ""),
        (("person", "list", "--json"), ""),
        (("database", "check", "--json"), ""),
    ]
    for refusing in (False, True):
        if refusing:
            imap.login = lambda user, secret: "NO [AUTHENTICATIONFAILED] no"
            smtp.login = lambda user, secret: "535 no"
            both = ("asha@example.org", "ravi@example.org")
            steps = [(("account", "test", *both), ""), (("account", "test", *both, "--json"), "")]
        for words, secret in steps:
            if "FD" in words:
                read, write = os.pipe()
                os.write(write, f"{secret}\n".encode())
                os.close(write)
                words = tuple(str(read) if word == "FD" else word for word in words)
            code, out, err = run(*words, stdin=f"{secret}\n")
            assert code == 2 if refusing or "bad.csv" in " ".join(words) else code == 0, (words, err)
            said += out + err
    stored = [village.vault.reveal(village.database, one.id)[1] for one in accounts(village.database)]
    assert set(stored) == {canaries[1], canaries[3], canaries[4]}
    for canary in canaries:
        assert canary not in said + caplog.text
        for path in village.places.root.rglob("*"):
            if path.is_file():
                assert canary.encode() not in path.read_bytes(), path


def test_each_group_of_commands_is_in_the_grammar() -> None:
    words = {"person", "account", "status", "link", "sync", "outbox", "vault", "database"}
    assert {path.split()[0] for path in all_commands()} == words
    assert {word for group in cli.GROUPS.values() for word in group} == words | {"completion"}


def test_grammar_of_one_word_says_what_the_whole_grammar_says_of_it() -> None:
    whole = parser().format_help(), _subcommands(parser())
    for word in (word for group in cli.GROUPS.values() for word in group):
        assert _subcommands(parser(word))[word].format_help() == whole[1][word].format_help()
    assert parser("nonsense").format_help() == whole[0]

"""What commands import: on a small Pi each module costs, and a command pays for what it uses alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mojomail.control import ControlServer
from node_village import Village, a_village

HEAVY = frozenset(
    (
        "argon2",
        "csv",
        "cryptography",
        "difflib",
        "email",
        "hashlib",
        "html",
        "http",
        "idna",
        "imaplib",
        "importlib.resources",
        "logging",
        "secrets",
        "smtplib",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tarfile",
        "tempfile",
        "traceback",
        "unittest",
        "urllib.request",
        "xml",
        "yaml",
    )
)
"""Modules that take long to import: some hundredths of a second to whole seconds where a boot is emulated."""

NODE = Path(__file__).parents[2] / "node"
RUN = """
import contextlib, io, json, pathlib, sys
before = set(sys.modules)
from mojomail.cli import main
from mojomail.places import Places
with contextlib.redirect_stdout(io.StringIO()):
    try:
        code = main(sys.argv[2:], places=Places(pathlib.Path(sys.argv[1])))
    except SystemExit as end:
        code = end.code
print(json.dumps([code, sorted(set(sys.modules) - before)]))
"""
LINK = {"up": False, "kind": "none", "since": 0, "contact": None, "reached": False}
ANSWERS: dict[str, dict[str, Any]] = {
    "status": {"link": LINK, "waiting": 0, "receiving": False},
    "sync": {"soon": True},
    "outbox": {"mails": []},
}


@pytest.fixture(scope="module")
def node() -> Iterator[Village]:
    """A node with two people, an account, a vault's key and a daemon; the commands here change nothing of it."""
    with a_village() as village:
        for login in ("asha", "ravi"):
            village.person(login)
        village.account("asha", "asha@gmail.com")
        village.places.credential.parent.mkdir(parents=True)
        village.places.credential.touch()
        village.places.run.mkdir(parents=True)
        control = ControlServer(village.places.run / "control", lambda login: 20001, lambda asked: ANSWERS[asked.verb])
        control.start()
        try:
            yield village
        finally:
            control.stop()


def loaded_by(script: str, *arguments: str) -> tuple[int, set[str]]:
    """What a script in a fresh Python ends with and has loaded; both are its last line, as JSON."""
    begin = f"import sys; sys.path.insert(0, {str(NODE)!r})\n"
    command = [sys.executable, "-I", "-c", begin + script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    return int(code), set(modules)


@pytest.mark.parametrize(
    ("line", "uses"),
    [
        ("--help", {"sqlite3"}),
        ("--version", {"sqlite3"}),
        ("completion", {"sqlite3"}),
        ("person list --json", {"sqlite3"}),
        ("person show asha", {"sqlite3"}),
        ("account list", {"sqlite3", "yaml"}),
        ("account list --json", {"sqlite3", "yaml"}),
        ("status", set()),
        ("link --json", set()),
        ("sync asha", set()),
        ("outbox list --json", set()),
        ("database prepare", {"sqlite3"}),
        ("vault init", {"sqlite3", "yaml"}),
    ],
)
def test_command_loads_what_it_uses_and_no_more(node: Village, line: str, uses: set[str]) -> None:
    code, modules = loaded_by(RUN, str(node.places.root), *line.split())
    assert code == 0
    assert modules & HEAVY <= uses


def test_process_that_reads_what_strangers_wrote_loads_nothing_of_people_and_secrets() -> None:
    _, modules = loaded_by("import json, mojomail.relay.service\nprint(json.dumps([0, sorted(sys.modules)]))")
    assert not modules & {"cryptography", "argon2", "yaml", "sqlite3", "mojomail.database", "mojomail.vault"}


def test_list_of_heavy_modules_names_those_that_exist() -> None:
    script = "import importlib.util, json\nnames = json.loads(sys.argv[1])\n"
    script += "print(json.dumps([0, [name for name in names if importlib.util.find_spec(name)]]))"
    assert loaded_by(script, json.dumps(sorted(HEAVY)))[1] == HEAVY

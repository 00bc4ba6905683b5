"""Checks of single script and text files of a stage: line ends, and the `#!` line that names the interpreter."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from .errors import Problem
from .process import find_program
from .suggestion import did_you_mean

INTERPRETERS = ("/bin/bash", "/bin/sh", "/bin/dash", "/usr/bin/env", "/usr/bin/python3", "/usr/bin/perl")
ELF = b"\x7fELF"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GOOD_SHEBANG = "begin it with '#!/bin/bash -e'"


def check_line_ends(path: Path, data: bytes) -> Problem | None:
    """CRLF line ends: the shell and debconf take the CR for a part of the word before it."""
    lines = data.split(b"\n")
    found = [number for number, line in enumerate(lines, 1) if line.endswith(b"\r")]
    if not found:
        return None
    first = lines[found[0] - 1].decode("utf-8", "replace")
    count = f"{len(found)} lines end" if len(found) > 1 else "this line ends"
    hint = f"sed -i 's/\\r$//' {shlex.quote(str(path))}"
    return Problem(path, found[0], len(first), f"Windows line ends (CRLF): {count} with a carriage return", hint)


def check_shebang(path: Path, data: bytes) -> Problem | None:
    """The first line of a script that the kernel starts (execve(2), Interpreter scripts)."""
    if data.startswith(ELF):
        return None
    if data.startswith(BYTE_ORDER_MARK):
        return Problem(path, 1, 1, "a byte order mark stands before the '#!'", "save the file as UTF-8 without one")
    line = data.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    match = re.fullmatch(r"#![ \t]*(?P<interpreter>\S+)[ \t]*(?P<argument>.*)", line)
    if match is None:
        wrong = "the '#!' line names no interpreter" if line.startswith("#!") else "has no '#!' line"
        return Problem(path, 1, 1, wrong, GOOD_SHEBANG)
    interpreter, argument = match["interpreter"], match["argument"].strip()
    column = match.start("interpreter") + 1
    if not interpreter.startswith("/"):
        nearest = did_you_mean("/bin/" + interpreter, INTERPRETERS) or GOOD_SHEBANG
        return Problem(path, 1, column, f"the interpreter '{interpreter}' is not a full path", nearest)
    if find_program(interpreter) is None:
        hint = did_you_mean(interpreter, INTERPRETERS)
        return Problem(path, 1, column, f"there is no interpreter {interpreter}", hint)
    if interpreter.endswith("/env"):
        return _check_env(path, argument, match.start("argument") + 1)
    return None


def check_chroot_shebang(path: Path, data: bytes) -> Problem | None:
    """A script for the chroot is read by `bash -e` from its standard input: another interpreter is not used."""
    line = data.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    if not line.startswith("#!"):
        return None
    words = line[2:].split()
    program = words[1] if len(words) > 1 and words[0].endswith("/env") else words[0] if words else ""
    if program.rpartition("/")[2] in ("bash", "sh", "dash"):
        return None
    message = f"the '#!' line names '{program}', but a chroot script is read by 'bash -e'"
    return Problem(path, 1, 1, message, GOOD_SHEBANG)


def _check_env(path: Path, argument: str, column: int) -> Problem | None:
    words = argument.split()
    if words[:1] == ["-S"]:
        words = words[1:]
    elif len(words) > 1:
        message = f"env is given '{argument}' as one single word"
        return Problem(path, 1, column, message, f"write '#!/usr/bin/env -S {argument}' or the interpreter's full path")
    name = next((word for word in words if "=" not in word and not word.startswith("-")), "")
    if find_program(name or "/") is None:
        return Problem(path, 1, column, f"there is no interpreter '{name}' for env to find", "name one that is there")
    return None

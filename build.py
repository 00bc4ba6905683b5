#!/usr/bin/env python3
"""Builds MojoMail's images: see `./build.py --help`."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PYTHON = ROOT / ".venv" / "bin" / "python"
MARK = "MOJOMAIL_IN_VENV"

# The libraries live in .venv, which `make setup` fills: go on with its Python whoever called.
if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve() and PYTHON.exists():
    if MARK in os.environ:
        print("error: .venv is broken\n  hint: rm -rf .venv && make setup", file=sys.stderr)
        sys.exit(2)
    os.environ[MARK] = "1"
    os.execv(PYTHON, [str(PYTHON), str(ROOT / "build.py"), *sys.argv[1:]])
os.environ.pop(MARK, None)

sys.path.insert(0, str(ROOT))

if __name__ == "__main__":
    try:
        from imagebuilder.cli import main
    except ModuleNotFoundError as missing:
        print(f"error: the Python library {missing.name} is missing\n  hint: make setup", file=sys.stderr)
        sys.exit(2)
    sys.exit(main())

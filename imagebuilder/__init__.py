"""The engine behind build.py: profile -> plan -> layers -> root filesystem -> image -> release files."""

__version__ = "0.1.0"

"""The keeper's password: one line in a file that only root reads, hashed as crypt(3) does it.

crypt(3) is there on every Debian, knows the hashes that Raspberry Pi Imager writes, and its yescrypt costs a guesser
memory. Python no longer has a module for it.
"""

from __future__ import annotations

import ctypes
import hmac
from ctypes.util import find_library
from pathlib import Path

from .durable import DISK, Disk, write_file
from .errors import SystemFault

FILE = Path("var/lib/mojomail/keeper")
METHODS = ("$y$", "$7$", "$6$", "$5$", "$2b$", "$gy$")
"""Beginnings of hashes that are good enough: yescrypt, scrypt, SHA-2, bcrypt (crypt(5))."""
YESCRYPT = b"$y$"


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = library.crypt_gensalt.restype = ctypes.c_char_p
    library.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    library.crypt_gensalt.argtypes = (ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int)
    return library


def _crypt(password: str, setting: bytes) -> str:
    found = _library().crypt(password.encode(), setting)
    if not found or found.startswith(b"*"):
        raise SystemFault("crypt(3) does not know this kind of hash")
    return str(found, "ascii")


def make_hash(password: str) -> str:
    """A new hash of a password. Raises SystemFault."""
    setting = _library().crypt_gensalt(YESCRYPT, 0, None, 0)
    if not setting:
        raise SystemFault("crypt(3) makes no salt for yescrypt")
    return _crypt(password, setting)


def fits(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed."""
    try:
        return bool(hashed) and hmac.compare_digest(_crypt(password, hashed.encode()), hashed)
    except (SystemFault, UnicodeEncodeError, ValueError):
        return False


def is_hash(text: str) -> bool:
    """Whether a text is a hash of a good kind."""
    return text.startswith(METHODS) and text.count("$") >= 3 and text.isascii() and text.isprintable()


def read(root: Path) -> str:
    """The hash in force, "" where there is none."""
    try:
        return (root / FILE).read_text("ascii").strip()
    except OSError:
        return ""


def write(root: Path, hashed: str, disk: Disk = DISK) -> None:
    """Put a hash in force."""
    write_file(root / FILE, f"{hashed}\n".encode("ascii"), 0o600, disk)

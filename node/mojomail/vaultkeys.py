"""The vault's keys: 32 random bytes each, kept as one encrypted systemd credential.

The credential holds a ring of keys, the newest first, one a line in hexadecimal. There is more than one only while
secrets are encrypted anew, so that a power cut at any point leaves a ring that opens every secret.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .catalogue import say
from .errors import SystemFault
from .places import Places
from .process import run

NAME = "mojomail.vault-keys"
"""The credential's name: mojomaild.service has LoadCredentialEncrypted=mojomail.vault-keys."""
KEY_BYTES = 32


class VaultLocked(SystemFault):
    """There is no key to open the vault with, or not the right one."""


@dataclass(frozen=True)
class Key:
    """An AES-256 key; `id` tells it from others and tells nothing about it."""

    bytes: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """16 hexadecimal digits."""
        import hashlib

        return hashlib.sha256(b"mojomail vault key id\0" + self.bytes).hexdigest()[:16]


@dataclass(frozen=True)
class KeyRing:
    """All keys that secrets may be encrypted with; the first is for new ones."""

    keys: tuple[Key, ...]

    @property
    def newest(self) -> Key:
        """The key to encrypt with."""
        return self.keys[0]

    def key(self, key_id: str) -> Key | None:
        """The key with an id, or None."""
        return next((key for key in self.keys if key.id == key_id), None)

    def encoded(self) -> bytes:
        """What the credential holds."""
        return b"".join(key.bytes.hex().encode() + b"\n" for key in self.keys)


def make_key() -> Key:
    """A new key."""
    return Key(os.urandom(KEY_BYTES))


def parse_ring(content: bytes) -> KeyRing:
    """Read what the credential holds. Raises VaultLocked."""
    try:
        keys = tuple(Key(bytes.fromhex(line.decode("ascii"))) for line in content.split())
    except ValueError:
        keys = ()
    if not keys or any(len(key.bytes) != KEY_BYTES for key in keys):
        raise VaultLocked(say("vault.bad-keys"))
    return KeyRing(keys)


def load_ring(places: Places) -> KeyRing:
    """The key ring: from the credential that systemd gave this service, else (for root) decrypted by systemd-creds.

    Raises VaultLocked.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if given and (Path(given) / NAME).exists():
        return parse_ring((Path(given) / NAME).read_bytes())
    if not places.credential.exists():
        raise VaultLocked(say("vault.no-keys"), hint=say("hint.vault-init"))
    try:
        content = run("systemd-creds", "decrypt", f"--name={NAME}", str(places.credential), "-", secret=True)
    except SystemFault as error:
        raise VaultLocked(say("vault.no-decrypt", reason=error.message)) from None
    return parse_ring(content)


def store_ring(places: Places, keys: Sequence[Key]) -> KeyRing:
    """Encrypt the ring for this machine and put it in the place of the one before, in one step. Raises SystemFault."""
    ring = KeyRing(tuple(keys))
    command = ("systemd-creds", "encrypt", "--with-key=host", f"--name={NAME}", "-", "-")
    sealed = run(*command, stdin=ring.encoded(), secret=True)
    places.credential.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(places.credential, sealed)
    return ring


def write_durably(path: Path, content: bytes) -> None:
    """Write a file, mode 0600, so that after a power cut there is the old content or the new, whole."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

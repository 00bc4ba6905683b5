"""The package sources of a profile, and the keys they are signed with."""

from __future__ import annotations

import shutil
from pathlib import Path

from .cache import Cache
from .errors import BuildError, CommandFailed, InputError
from .indexes import RASPIOS_KEYRING, Source, check_fingerprint, debian_sources
from .layers import digest_of, digest_paths
from .process import run
from .profile import Profile


def profile_sources(profile: Profile, cache: Cache) -> tuple[list[Source], dict[Path, Path]]:
    """The package sources of a profile, and the keyrings (path on the node: file on the host) they need."""
    apt = profile.apt
    sources = debian_sources(cache, profile.release, apt.components, apt.mirror or None, apt.security_mirror or None)
    keyrings = {}
    if profile.base == "raspios":
        key = raspios_key(profile, cache)
        sources.append(
            Source(profile.raspios.archive, profile.release, profile.raspios.components, RASPIOS_KEYRING, key)
        )
        keyrings[RASPIOS_KEYRING] = key
    for number, extra in enumerate(profile.apt_sources()):
        on_node = Path(f"/usr/share/keyrings/mojomail-{number}{extra.key.suffix or '.gpg'}")
        sources.append(Source(extra.url, extra.suite, extra.components, on_node, extra.key))
        keyrings[on_node] = extra.key
    return sources, keyrings


def raspios_key_file(profile: Profile, cache: Cache) -> Path:
    """The file with Raspberry Pi's archive key: the profile's, else the one fetched from the archive into the cache."""
    return profile.raspios.key or cache.indexes / f"raspios-{digest_of(profile.raspios.archive)[:16]}.key"


def raspios_key(profile: Profile, cache: Cache) -> Path:
    """Raspberry Pi's archive key as a keyring, its fingerprint checked against the one the profile pins.

    The path is of no file while the key was not fetched yet: then there are no indexes either.
    """
    given = raspios_key_file(profile, cache)
    if not given.exists():
        return given.with_suffix(".unknown")
    try:
        check_fingerprint(given, profile.raspios.fingerprint)
    except InputError:
        if profile.raspios.key is None:
            given.unlink()
        raise
    keyring = cache.indexes / f"raspios-{digest_paths([('key', given)])[:16]}.gpg"
    if not keyring.exists():
        partial = keyring.with_suffix(".partial")
        head = given.read_bytes()[:64]
        if head.startswith(b"-----BEGIN"):
            run("gpg", "--no-options", "--batch", "--yes", "--output", partial, "--dearmor", given)
        else:
            shutil.copyfile(given, partial)
        partial.replace(keyring)
    return keyring


def fetch(uri: str, target: Path) -> None:
    """Fetch one file with apt's own transport, so that its proxy settings hold. Raises BuildError."""
    partial = target.with_suffix(".partial")
    try:
        run("/usr/lib/apt/apt-helper", "download-file", uri, str(partial))
    except CommandFailed as failed:
        raise BuildError(
            f"cannot fetch {uri}: {failed.tail[-1] if failed.tail else 'no answer'}",
            hint="check the network, or save the file yourself and name it in the profile (raspios: key:)",
        ) from failed
    partial.replace(target)

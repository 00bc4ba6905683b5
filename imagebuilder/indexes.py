"""Package indexes: which sources a root file system has, what they offer, and whether they changed.

The indexes of one set of sources live in an apt directory of their own in the cache, for the image's
architecture and the build machine's (whose programs run in the image's place). They are fetched by
the host's apt, so proxies and mirrors configured there hold.
"""

from __future__ import annotations

import email.utils
import fcntl
import hashlib
import platform
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import namespace
from .cache import Cache
from .diskspace import MIB, require
from .durable import write_whole
from .errors import BuildError, CommandFailed, InputError
from .layers import digest_of, digest_paths, tree_size
from .process import Patience, clean_environment, run

KEYRINGS = Path("/usr/share/keyrings")
DEBIAN_KEYRING = KEYRINGS / "debian-archive-keyring.gpg"
RASPIOS_KEYRING = KEYRINGS / "raspberrypi-archive-keyring.gpg"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The build machine's architecture: uname(2) name to Debian name."""

FIRST_FETCH = 200 * MIB
"""Bytes that the indexes of a Debian release take for two architectures, with what apt makes of them."""

APT_PATIENCE = 600
"""Seconds without a line and without a byte after which apt hangs. It gives up on a silent mirror before that, but
waits for ever for a method of its own that could not write."""


def host_architecture() -> str:
    """Debian's name for the build machine's architecture; raises InputError on an unknown machine."""
    machine = platform.machine()
    try:
        return ARCHITECTURES[machine]
    except KeyError:
        raise InputError(f"images are built on amd64 or arm64, this machine is {machine}") from None


@dataclass(frozen=True)
class Source:
    """One line of apt's sources: `signed_by` is the keyring's path on the node, `keyring` that on the host."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: Path
    keyring: Path

    def line(self, *, architectures: Iterable[str] = ()) -> str:
        """The line as sources.list(5) has it; on the host, `show_keyrings` puts the keyring at the node's path."""
        options = [f"signed-by={self.signed_by}"]
        named = ",".join(architectures)
        if named:
            options.insert(0, f"arch={named}")
        return f"deb [{' '.join(options)}] {self.uri} {self.suite} {' '.join(self.components)}"


def show_keyrings(keyrings: Mapping[Path, Path]) -> None:
    """Put keyrings (path on the node: file on the host) where the node has them, in this namespace only.

    apt takes no keyring at a path with a blank in it, which a cache or a profile's directory may have.
    """
    marker = KEYRINGS / ".mojomail"
    if not marker.exists():
        usual = {path.name: path.read_bytes() for path in KEYRINGS.iterdir() if path.is_file()}
        namespace.mount("keyrings", KEYRINGS, "tmpfs", options="mode=755,size=16m")
        for name, content in usual.items():
            (KEYRINGS / name).write_bytes(content)
        marker.touch()
    for on_node, on_host in keyrings.items():
        if on_host.exists():
            on_node.write_bytes(on_host.read_bytes())


def default_mirrors(cache: Cache, release: str, *, ask: bool = True) -> list[tuple[str, str]]:
    """The (URI, suite) pairs that mmdebstrap uses when it is given no mirror; asked once, then remembered.

    ask   False: only what is remembered, so nothing in a new cache. Asking needs root, or root's part in a namespace
    """
    remembered = cache.indexes / f"mmdebstrap-{release}.list"
    if not remembered.exists():
        if not ask:
            return []
        cache.create()
        with (cache.indexes / "asking.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not remembered.exists():  # nobody else has asked meanwhile
                write_whole(remembered, "\n".join(_ask_mmdebstrap(cache, release)) + "\n")
    found = []
    for line in remembered.read_text().splitlines():
        words = re.sub(r"\[[^]]*\]", "", line).split()
        found.append((words[1], words[2]))
    return found


def _ask_mmdebstrap(cache: Cache, release: str) -> list[str]:
    """The lines of apt's sources that mmdebstrap makes by itself; raises BuildError when some are missing."""
    root = cache.indexes / f".mmdebstrap-{release}"
    seen: list[str] = []
    run("rm", "-rf", root)
    try:
        # The hook runs before anything is fetched, and its failure ends mmdebstrap there.
        run(
            "mmdebstrap",
            "--mode=root",
            "--variant=custom",
            "--skip=check/empty",
            '--setup-hook=cat "$1/etc/apt/sources.list"; exit 9',
            release,
            str(root),
            on_line=seen.append,
        )
    except CommandFailed:
        pass
    finally:
        run("rm", "-rf", root)
    lines = [line for line in seen if line.startswith("deb ")]
    if not lines:
        raise BuildError(
            "mmdebstrap did not say which mirror it uses:\n  " + "\n  ".join(seen[-5:]),
            hint="name one in the profile (apt: mirror:)",
        )
    if not any("-security" in line for line in lines):
        raise BuildError(
            "mmdebstrap names no source of security updates:\n  " + "\n  ".join(lines),
            hint="name one in the profile (apt: security_mirror:)",
        )
    return lines


def debian_sources(
    cache: Cache,
    release: str,
    components: tuple[str, ...],
    mirror: str | None,
    security_mirror: str | None,
    *,
    ask: bool = True,
) -> list[Source]:
    """Debian's release, its updates and its security updates, from a given mirror or mmdebstrap's own."""
    pairs = []
    if mirror:
        pairs = [(mirror, release), (mirror, f"{release}-updates")]
    for uri, suite in [] if mirror and security_mirror else default_mirrors(cache, release, ask=ask):
        if suite.endswith("-security"):
            if not security_mirror:
                pairs.append((uri, suite))
        elif not mirror:
            pairs.append((uri, suite))
    if security_mirror:
        pairs.append((security_mirror, f"{release}-security"))
    return [Source(uri, suite, components, DEBIAN_KEYRING, DEBIAN_KEYRING) for uri, suite in pairs]


class Indexes:
    """The indexes of one set of sources, in the cache."""

    def __init__(self, cache: Cache, sources: list[Source]) -> None:
        self.sources = sources
        self.architectures = sorted({"arm64", host_architecture()}, key=lambda name: name != "arm64")
        self.lines = [source.line(architectures=self.architectures) for source in sources]
        keys = [digest_paths([("key", s.keyring)]) for s in sources if s.keyring != s.signed_by]
        self.identity = [*self.lines, *keys]
        self.path = cache.indexes / digest_of(self.identity)[:16]

    @property
    def lists(self) -> Path:
        """What apt knows as /var/lib/apt/lists."""
        return self.path / "lists"

    @property
    def present(self) -> bool:
        """Whether the indexes were fetched at least once."""
        return (self.path / "fetched").exists()

    def apt_options(self, architecture: str) -> list[str]:
        """Options that turn the host's apt into one that knows only these indexes and no installed package."""
        directories: dict[str, str | Path] = {
            "Dir::State": self.path / "state",
            "Dir::State::lists": self.lists,
            "Dir::State::status": self.path / "status",
            "Dir::Cache": self.path / "cache",
            "Dir::Etc::sourcelist": self.path / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
        }
        settings: dict[str, str | Path] = {
            **directories,
            "APT::Architecture": architecture,
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "true",
            "Acquire::Retries": "3",
            "Acquire::Languages": "none",
            "Acquire::PDiffs": "false",
            "Acquire::http::Timeout": "30",
            "Acquire::https::Timeout": "30",
            "APT::Update::Error-Mode": "any",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        for name in self.architectures:
            options += ["-o", f"APT::Architectures::={name}"]
        return options

    def environment(self) -> dict[str, str]:
        """The environment for the host's apt: of its configuration only what says how to reach the sources.

        Its hooks, pins and default release are for the host.
        """
        path = self.path / "apt.conf"
        lines = run("apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire", quiet=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, 'Dir::Etc::main "/dev/null";\nDir::Etc::parts "/dev/null";\n' + lines)
        return clean_environment({"TMPDIR": "/tmp", "APT_CONFIG": str(path)})

    def refresh(self) -> bool:
        """Ask the sources for newer indexes; raises BuildError when one cannot be reached or is not signed.

        Returns whether anything changed. What was there before stays when the sources cannot be reached.
        """
        before = self.digest if self.present else ""
        self.path.mkdir(parents=True, exist_ok=True)
        # apt fetches all that changed before it drops anything.
        require(self.path, tree_size(self.lists) if self.present else FIRST_FETCH, "the package indexes")
        for directory in ("state", "lists/partial", "cache"):
            (self.path / directory).mkdir(parents=True, exist_ok=True)
        (self.path / "status").touch()
        (self.path / "sources.list").write_text("\n".join(self.lines) + "\n")
        run(
            "apt-get",
            *self.apt_options("arm64"),
            "-o",
            "pkgCacheFile::Generate=false",
            "update",
            env=self.environment(),
            patience=Patience(APT_PATIENCE, (self.lists / "partial",)),
        )
        (self.path / "fetched").touch()
        self.__dict__.pop("digest", None)
        return self.digest != before

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the sources and their signed Release files: changes with any package in any of them."""
        total = hashlib.sha256("\n".join(self.identity).encode())
        for path in sorted(self.lists.glob("*Release")):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
        return total.hexdigest()

    @property
    def epoch(self) -> int:
        """Seconds since 1970 of the newest Date among the Release files: the age of what an image is made of."""
        dates = []
        for path in self.lists.glob("*Release"):
            found = re.search(r"^Date: (.+)$", path.read_text(errors="replace"), re.MULTILINE)
            if found:
                dates.append(int(email.utils.parsedate_to_datetime(found[1]).timestamp()))
        if not dates:
            raise BuildError("the package indexes carry no date", hint="run the build once without --frozen")
        return max(dates)

    @property
    def age(self) -> float:
        """Seconds since the sources were last asked."""
        import time

        return time.time() - (self.path / "fetched").stat().st_mtime

    def names(self) -> set[str]:
        """Names of all packages, virtual ones too."""
        text = run(
            "apt-cache", *self.apt_options("arm64"), "--all-names", "pkgnames", env=self.environment(), quiet=True
        )
        return set(text.split())


def check_fingerprint(key: Path, expected: str) -> None:
    """Raise InputError unless the key file holds exactly one primary key, with the expected fingerprint."""
    with tempfile.TemporaryDirectory() as home:
        environment = clean_environment({"GNUPGHOME": home})
        words = ("gpg", "--no-options", "--batch", "--with-colons", "--show-keys", key)
        # 2: there is no key in the file
        text = run(*words, env=environment, quiet=True, ok=(0, 2))
    found = []
    primary = False
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            primary = fields[0] == "pub"
        elif fields[0] == "fpr" and primary:
            found.append(fields[9])
    wanted = expected.replace(" ", "").upper()
    if found != [wanted]:
        raise InputError(
            f"{key}: the archive's key has fingerprint {', '.join(found) or 'none'}, the profile pins {wanted}",
            hint="do not build from this archive until you know why; a new key is named by raspios: fingerprint:",
        )

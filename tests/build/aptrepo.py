"""A small apt repository for tests: packages made on the spot, signed by a key made for it, served from this machine.

It can stop answering, and break off in the middle of a file, as a mirror behind a bad link does.
"""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ARCHITECTURES = ("arm64", "amd64")


class Repository:
    """One suite with one component, below `path`."""

    def __init__(self, path: Path, *, suite: str = "trixie", component: str = "main") -> None:
        self.path = path
        self.suite = suite
        self.component = component
        self.key = path / "raspberrypi.gpg.key"
        self.fingerprint = ""
        self._packages: dict[str, list[str]] = {}
        # gpg's agent needs a short path for its socket (unix(7): 108 bytes).
        self._home = Path(tempfile.mkdtemp(prefix="key-"))
        (path / "pool").mkdir(parents=True)
        self._make_key()

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "all"], check=False)
        shutil.rmtree(self._home, ignore_errors=True)

    def _gpg(self, *words: str | Path) -> str:
        command = ["gpg", "--homedir", self._home, "--batch", "--yes", "--no-tty", "--pinentry-mode", "loopback"]
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _make_key(self) -> None:
        name = "An archive for a test <archive@example.org>"
        self._gpg("--passphrase", "", "--quick-gen-key", name, "ed25519", "sign", "never")
        listed = self._gpg("--with-colons", "--list-keys")
        self.fingerprint = re.findall(r"^fpr:+([0-9A-F]+):", listed, re.MULTILINE)[0]
        self.key.write_text(self._gpg("--armor", "--export"))

    def add(
        self,
        name: str,
        version: str = "1.0",
        *,
        architecture: str = "all",
        depends: str = "",
        files: Mapping[str, str | bytes] | None = None,
        scripts: Mapping[str, str] | None = None,
    ) -> Path:
        """Make a package and put it into the pool; `files` by path in the root, `scripts` such as `postinst`."""
        with tempfile.TemporaryDirectory() as made:
            tree = Path(made)
            tree.chmod(0o755)
            for place, content in (files or {}).items():
                path = tree / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            (tree / "DEBIAN").mkdir(exist_ok=True)
            for script, content in (scripts or {}).items():
                (tree / "DEBIAN" / script).write_text(content)
                (tree / "DEBIAN" / script).chmod(0o755)
            control = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
            control += f"Depends: {depends}\n" if depends else ""
            control += "Maintainer: A Test <test@example.org>\nDescription: made for a test\n"
            (tree / "DEBIAN/control").write_text(control)
            target = self.path / "pool" / f"{name}_{version.partition(':')[2] or version}_{architecture}.deb"
            subprocess.run(
                ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        data = target.read_bytes()
        entry = control + f"Filename: pool/{target.name}\nSize: {len(data)}\n"
        entry += f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
        self._packages.setdefault(architecture, []).append(entry)
        return target

    def publish(self) -> None:
        """Write the indexes anew and sign them."""
        top = self.path / "dists" / self.suite
        sums = []
        for architecture in ARCHITECTURES:
            directory = top / self.component / f"binary-{architecture}"
            directory.mkdir(parents=True, exist_ok=True)
            entries = self._packages.get("all", []) + self._packages.get(architecture, [])
            text = "\n".join(entries).encode()
            for name, data in (("Packages", text), ("Packages.gz", gzip.compress(text, mtime=0))):
                (directory / name).write_bytes(data)
                relative = (directory / name).relative_to(top)
                sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {relative}")
        release = (
            f"Origin: Test\nLabel: Test\nSuite: {self.suite}\nCodename: {self.suite}\n"
            f"Date: {email.utils.formatdate(time.time() - 60, usegmt=True)}\n"
            f"Architectures: {' '.join(ARCHITECTURES)}\nComponents: {self.component}\nSHA256:\n"
            + "\n".join(sums)
            + "\n"
        )
        (top / "Release").write_text(release)
        self._gpg("--clearsign", "--output", top / "InRelease", top / "Release")


@dataclass
class Mirror:
    """Serves a directory at `url`.

    away        close every connection without an answer
    cut         break off after so many bytes of a file, by a part of its path; each once
    requests    what was asked for: (path, first byte)
    """

    directory: Path
    away: bool = False
    cut: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        mirror = self

        class Handler(_Handler):
            pass

        Handler.mirror = mirror
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fetched(self, part: str) -> list[int]:
        """The first bytes of all requests for files with `part` in their path."""
        return [start for path, start in self.requests if part in path]


class _Handler(http.server.BaseHTTPRequestHandler):
    """GET of whole files, and of the rest of a file from some byte on (RFC 9110, 14.2)."""

    mirror: Mirror
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        if self.mirror.away:
            return
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        asked = urllib.parse.unquote(self.path)
        self.mirror.requests.append((asked, start))
        path = self.mirror.directory / asked.lstrip("/")
        if ".." in asked or not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        if start >= len(data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Last-Modified", email.utils.formatdate(path.stat().st_mtime, usegmt=True))
        self.send_header("Connection", "close")
        self.end_headers()
        end = len(data)
        for part in [part for part in self.mirror.cut if part in asked]:
            end = start + self.mirror.cut.pop(part)
            self.mirror.away = True
        self.wfile.write(data[start:end])
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def random_bytes(count: int) -> bytes:
    """Content that no compression makes smaller."""
    return os.urandom(count)

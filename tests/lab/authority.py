"""The lab's own certificate authority, and the certificates of the far providers.

It lives in the cache, so that an image which trusts it is good for many runs. Certificates hold from 2020 to the end
of 2049: the node has no clock of its own, and tests move it by years. Made by the host's openssl(1).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.process import run

START, END = "20200101000000Z", "20491231235959Z"

CONFIGURATION = """\
[ca]
default_ca = lab
[lab]
new_certs_dir = {place}
database = {place}/index
serial = {place}/serial
default_md = sha256
policy = any
unique_subject = no
x509_extensions = {extensions}
[any]
commonName = optional
organizationName = optional
[req]
distinguished_name = name
prompt = no
[name]
{name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and its key, both PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a directory, made there when it is not yet."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.key = place / "authority.key"
        self.certificate = place / "authority.pem"
        place.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if not self.certificate.exists():
                self._found()

    @property
    def pem(self) -> str:
        """The authority's own certificate, for those who are to trust it."""
        return self.certificate.read_text()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other labs of the same cache out meanwhile."""
        with (self.place / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _found(self) -> None:
        partial = self.place / "authority.partial"
        self._sign(partial, self.key, "O = mojomail lab\nCN = mojomail lab authority", "", "authority")
        partial.rename(self.certificate)

    def issue(self, label: str, names: Sequence[str], *, common_name: bool = True) -> Certificate:
        """A certificate for host names, kept under `label`; the first is its CN unless there is to be none."""
        with self._alone():
            return self._issue(label, names, common_name)

    def _issue(self, label: str, names: Sequence[str], common_name: bool) -> Certificate:
        made = Certificate(self.place / f"{label}.pem", self.place / f"{label}.key")
        wanted = ",".join(f"DNS:{name}" for name in names)
        request = self.place / f"{label}.names"
        told = f"{wanted} {common_name}\n"
        if made.certificate.exists() and request.exists() and request.read_text() == told:
            return made
        name = f"CN = {names[0]}" if common_name else "O = mojomail lab"
        self._sign(made.certificate, made.key, name, wanted, "server")
        request.write_text(told)
        return made

    def _sign(self, certificate: Path, key: Path, name: str, names: str, extensions: str) -> None:
        """Make a key and a certificate for it, signed by the authority or, when it is the authority's own, itself."""
        (self.place / "index").touch()
        settings = self.place / "openssl.cnf"
        settings.write_text(
            CONFIGURATION.format(place=self.place, name=name, names=names or "DNS:none.invalid", extensions=extensions)
        )
        request = key.with_suffix(".csr")
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        run("openssl", "req", "-new", "-config", settings, "-key", key, "-out", request)
        signer = (
            ("-selfsign", "-keyfile", key) if key == self.key else ("-keyfile", self.key, "-cert", self.certificate)
        )
        words = ("-batch", "-notext", "-rand_serial", "-startdate", START, "-enddate", END)
        run("openssl", "ca", "-config", settings, *words, *signer, "-in", request, "-out", certificate)
        request.unlink()

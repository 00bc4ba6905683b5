"""The lab's own certificate authority, and the certificates of the far providers.

Who trusts the authority trusts nobody else. As at the real providers, it signs no server itself: two authorities stand
between, whose certificates a server sends along with its own, 3 to 4 kB that a slow link has to carry each time.
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
[between]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
certificatePolicies = 2.23.140.1.2.1
crlDistributionPoints = URI:http://crl.authority.example/above.crl
authorityInfoAccess = caIssuers;URI:http://authority.example/above.der
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
certificatePolicies = 2.23.140.1.2.1
crlDistributionPoints = URI:http://crl.authority.example/servers.crl
authorityInfoAccess = OCSP;URI:http://ocsp.authority.example/servers,caIssuers;URI:http://authority.example/servers.der
subjectAltName = {names}
"""

EC = ("EC", "ec_paramgen_curve:P-256")
RSA_2048, RSA_4096 = ("RSA", "rsa_keygen_bits:2048"), ("RSA", "rsa_keygen_bits:4096")
"""Kinds of key, in openssl-genpkey(1)'s words."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, both PEM files; with a server's own are those of who stands between, nearest first."""

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
        self._sign(partial, self.key, "O = mojomail lab\nCN = mojomail lab authority", "authority", EC, signer=None)
        partial.rename(self.certificate)

    def _between(self) -> tuple[Certificate, str]:
        """Who signs servers, and the certificates to send along, as PEM."""
        signer, chain = Certificate(self.certificate, self.key), ""
        for label, key in (("upper", RSA_4096), ("lower", RSA_2048)):
            made = Certificate(self.place / f"{label}.pem", self.place / f"{label}.key")
            if not made.certificate.exists():
                partial = made.certificate.with_suffix(".partial")
                name = f"O = mojomail lab\nCN = mojomail lab {label} authority"
                self._sign(partial, made.key, name, "between", key, signer)
                partial.rename(made.certificate)
            signer, chain = made, made.certificate.read_text() + chain
        return signer, chain

    def issue(self, label: str, names: Sequence[str], *, common_name: bool = True) -> Certificate:
        """A certificate for host names, kept under `label`; the first is its CN unless there is to be none."""
        with self._alone():
            return self._issue(label, names, common_name)

    def _issue(self, label: str, names: Sequence[str], common_name: bool) -> Certificate:
        made = Certificate(self.place / f"{label}.chain.pem", self.place / f"{label}.chain.key")
        wanted = ",".join(f"DNS:{name}" for name in names)
        request = self.place / f"{label}.chain.names"
        told = f"{wanted} {common_name}\n"
        if made.certificate.exists() and request.exists() and request.read_text() == told:
            return made
        name = f"CN = {names[0]}" if common_name else "O = mojomail lab"
        signer, chain = self._between()
        own = made.certificate.with_suffix(".partial")
        self._sign(own, made.key, name, "server", RSA_2048, signer, wanted)
        own.write_text(own.read_text() + chain)
        own.rename(made.certificate)
        request.write_text(told)
        return made

    def _sign(
        self,
        certificate: Path,
        key: Path,
        name: str,
        extensions: str,
        kind: tuple[str, str],
        signer: Certificate | None,
        names: str = "",
    ) -> None:
        """Make a key of a kind and a certificate for it, by `signer` or, without one, by the key itself."""
        (self.place / "index").touch()
        settings = self.place / "openssl.cnf"
        settings.write_text(
            CONFIGURATION.format(place=self.place, name=name, names=names or "DNS:none.invalid", extensions=extensions)
        )
        request = key.with_suffix(".csr")
        run("openssl", "genpkey", "-algorithm", kind[0], "-pkeyopt", kind[1], "-out", key)
        run("openssl", "req", "-new", "-config", settings, "-key", key, "-out", request)
        by = ("-keyfile", signer.key, "-cert", signer.certificate) if signer else ("-selfsign", "-keyfile", key)
        words = ("-batch", "-notext", "-rand_serial", "-startdate", START, "-enddate", END)
        run("openssl", "ca", "-config", settings, *words, *by, "-in", request, "-out", certificate)
        request.unlink()

"""Certificates of the lab's authority, and how many bytes a server has to send of them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.lab.authority import Authority
from tests.lab.providers import GMAIL


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def first_answer(certificate: Path, key: Path, trusted: Path, name: str) -> int:
    """The bytes that a server sends before the client finishes a handshake with it. Raises ssl's error."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = ssl.create_default_context(cafile=str(trusted)).wrap_bio(to_client, to_server, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    size = to_client.pending
    client.do_handshake()
    return size


def test_who_trusts_the_authority_trusts_a_server_that_sends_as_long_a_chain_as_real_ones(authority: Authority) -> None:
    made = authority.issue("gmail", tuple(GMAIL.names))
    assert made.certificate.read_text().count("BEGIN CERTIFICATE") == 3
    assert 3500 < first_answer(made.certificate, made.key, authority.certificate, "smtp.gmail.com") < 5500
    alone = authority.place / "alone.pem"
    alone.write_text(made.certificate.read_text().split("-----BEGIN", 2)[1].join(("-----BEGIN", "")))
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        first_answer(alone, made.key, authority.certificate, "smtp.gmail.com")


def test_what_was_issued_is_issued_again_only_for_other_names(authority: Authority) -> None:
    first = authority.issue("x", ["x.example"]).certificate.read_text()
    assert authority.issue("x", ["x.example"]).certificate.read_text() == first
    assert Authority(authority.place).issue("x", ["x.example"]).certificate.read_text() == first
    assert authority.issue("x", ["y.example"]).certificate.read_text() != first

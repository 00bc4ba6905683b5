"""The node's certificates are good for phones, which have the right time, whatever the node's clock has said."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.conftest import ROOT

PROGRAM = ROOT / "overlay/usr/lib/mojomail/make-certificate"
OPENSSL = """\
#!/bin/sh
exec {loader} --library-path {libraries} {tree}/usr/bin/openssl "$@"
"""
DATE = """\
#!/bin/sh
# What is counted from now is counted from a day that is AHEAD days later; a certain day stays where it is.
case "$2 $3" in
"-d "????-??-??*) ;;
"-d "*) exec /usr/bin/date -u -d "$3 $AHEAD days" "$4" ;;
esac
exec /usr/bin/date "$@"
"""
NOW = datetime.now(UTC)
IMAGE_MADE = NOW - timedelta(days=40)


@dataclass(frozen=True)
class Node:
    """What make-certificate sees of a node."""

    root: Path

    def run(self, ahead: int = 0) -> None:
        """Run the program with a clock that is so many days ahead."""
        path = f"{self.root}/bin:{os.environ['PATH']}"
        environment = {"PATH": path, "MOJOMAIL_ROOT": str(self.root), "AHEAD": str(ahead)}
        subprocess.run([PROGRAM, self.root / "ssl"], env=environment, check=True, capture_output=True)

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificates((self.root / "ssl" / name).read_bytes())[0]


@pytest.fixture
def node(tree: Path, tmp_path: Path) -> Node:
    """A node whose image is 40 days old, with Debian's OpenSSL: older ones cannot say when a certificate begins."""
    (tmp_path / "bin").mkdir()
    (loader,) = tree.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*")
    programs = {"openssl": OPENSSL.format(loader=loader, libraries=loader.parent, tree=tree), "date": DATE}
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    epoch = tmp_path / "usr/lib/clock-epoch"
    epoch.parent.mkdir(parents=True)
    epoch.touch()
    os.utime(epoch, (IMAGE_MADE.timestamp(), IMAGE_MADE.timestamp()))
    return Node(tmp_path)


def test_phones_accept_what_is_made_when_the_clock_is_right(node: Node) -> None:
    node.run()
    one = node.certificate("node.pem")
    assert one.not_valid_before_utc < NOW < one.not_valid_after_utc
    assert one.not_valid_after_utc - one.not_valid_before_utc < timedelta(days=825)
    one.verify_directly_issued_by(node.certificate("ca.crt"))


def test_certificate_that_fits_stays(node: Node) -> None:
    node.run()
    before = (node.root / "ssl/node.pem").read_bytes(), (node.root / "ssl/ca.pem").read_bytes()
    node.run()
    assert ((node.root / "ssl/node.pem").read_bytes(), (node.root / "ssl/ca.pem").read_bytes()) == before


@pytest.mark.parametrize("ahead", [3, 400, 4000])
def test_certificate_of_a_day_to_come_is_made_anew_once_the_clock_is_right(node: Node, ahead: int) -> None:
    node.run(ahead)
    assert node.certificate("node.pem").not_valid_before_utc > NOW
    authority = node.certificate("ca.crt")
    node.run()
    assert node.certificate("node.pem").not_valid_before_utc < NOW
    assert node.certificate("ca.crt") == authority, "phones keep it: it must not change"


@pytest.mark.parametrize("ahead", [0, 400])
def test_authority_is_valid_from_the_day_before_the_image_was_made(node: Node, ahead: int) -> None:
    node.run(ahead)
    begins = node.certificate("ca.crt").not_valid_before_utc
    assert timedelta(days=1) <= IMAGE_MADE - begins < timedelta(days=2)

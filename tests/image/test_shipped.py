"""The image as it lies in the file: nothing in it that belongs to one card, or to the lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imagefiles import has, look, read_from_boot, root_of
from tests.lab import control
from tests.lab.processes import run
from tests.lab.qemu import LANES, boot_files

PIECE = 1 << 22
MARKS = [control.PORT.encode(), control.UNIT.encode(), b"/dev/vport"]
"""What any end of the lab's control channel would have to name."""


@pytest.fixture(scope="module")
def root(image: Path) -> str:
    """The second partition as debugfs(8) names it."""
    return root_of(image)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/ssh/ssh_host_ecdsa_key",
        "/var/lib/systemd/credential.secret",
        "/var/lib/systemd/random-seed",
        "/var/lib/NetworkManager/secret_key",
        "/etc/ssl/private/ssl-cert-snakeoil.key",
        "/root/.ssh/authorized_keys",
        "/root/.bash_history",
        "/etc/ssl/mojomail/ca.pem",
        "/etc/ssl/mojomail/node.pem",
        "/etc/roundcube/des_key",
        "/etc/dovecot/private",
        "/etc/credstore.encrypted/mojomail.vault-keys",
        "/var/lib/mojomail/vault.db",
    ],
)
def test_no_card_begins_with_a_secret_of_another(root: str, path: str) -> None:
    assert not has(root, path)
    assert has(root, "/etc/hostname"), "debugfs can look into the image at all"


def test_machine_id_is_made_on_the_first_boot(root: str) -> None:
    assert look(root, "cat /etc/machine-id").strip() in ("", "uninitialized")


def test_nobody_has_a_password(root: str) -> None:
    lines = look(root, "cat /etc/shadow").splitlines()
    assert "root" in [line.split(":")[0] for line in lines]
    assert {line.split(":")[1] for line in lines} <= {"*", "!", "!*"}


def test_nothing_of_the_lab_is_in_the_image(image: Path) -> None:
    longest = max(map(len, MARKS))
    with image.open("rb") as file:
        rest = b""
        while piece := file.read(PIECE):
            text = rest + piece
            assert [mark for mark in MARKS if mark in text] == []
            rest = text[-longest:]


def test_nothing_of_the_lab_is_in_the_initramfs(image: Path, tmp_path: Path) -> None:
    packed = boot_files(image, LANES["virt"], tmp_path).initramfs.read_bytes()
    start = packed.index(b"\x28\xb5\x2f\xfd")  # a Zstandard frame (RFC 8878, 3.1.1), behind what is not compressed
    (tmp_path / "frame").write_bytes(packed[start:])
    run("zstd", "-dqf", tmp_path / "frame", "-o", tmp_path / "unpacked")
    text = packed[:start] + (tmp_path / "unpacked").read_bytes()
    assert b"switch_root" in text
    assert [mark for mark in MARKS if mark in text] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cmdline=cmdline-pal.txt", "video=Composite-1:720x576@50ie,tv_mode=PAL"),
        ("cmdline=cmdline-ntsc.txt", "video=Composite-1:720x480@60ie,tv_mode=NTSC"),
    ],
)
def test_one_line_in_tv_txt_shows_the_node_on_an_old_tv(image: Path, line: str, words: str) -> None:
    assert "include tv.txt" in read_from_boot(image, "config.txt").splitlines()
    assert f"#{line}" in read_from_boot(image, "tv.txt").splitlines()
    named = read_from_boot(image, line.partition("=")[2])
    assert named.split() == [*read_from_boot(image, "cmdline.txt").split(), words]

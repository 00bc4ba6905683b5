"""Sealing: what must not be on every card goes, and nothing outside the root is touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from imagebuilder.errors import BuildError
from imagebuilder.image import Layout
from imagebuilder.process import run
from imagebuilder.seal import check_initramfs, seal
from imagebuilder.standin import EM_X86_64
from imagebuilder.tools import Tools
from tests.unit.stagetree import write_tree

EM_AARCH64 = 183

LAYOUT = Layout.from_seed("test")


class HostTools(Tools):
    """The host's own programs, by their names."""

    def command(self, name: str) -> list[str]:
        return [name]


TOOLS = HostTools("host", Path("/"), "amd64", ())


def seal_tree(root: Path, kept: Path) -> None:
    for name in ("etc", "usr/share/doc", "boot/firmware"):
        (root / name).mkdir(parents=True, exist_ok=True)
    kept.mkdir()
    seal(root, kept, LAYOUT, TOOLS)


SECRET_FILES = [
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "etc/ssl/private/ssl-cert-snakeoil.key",
    "etc/hostid",
    "etc/NetworkManager/system-connections/home.nmconnection",
    "root/.ssh/id_ed25519",
    "home/pi/.ssh/id_rsa",
    "home/pi/.bash_history",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/NetworkManager/secret_key",
    "var/lib/dbus/machine-id",
]


@pytest.mark.parametrize("name", SECRET_FILES)
def test_secret_is_removed(tmp_path: Path, name: str) -> None:
    root = write_tree(
        tmp_path / "root", {name: "secret", "etc/ssh/sshd_config": "kept", "root/.ssh/authorized_keys": "k"}
    )
    seal_tree(root, tmp_path / "kept")
    assert not (root / name).exists()
    assert (root / "etc/ssh/sshd_config").exists() and (root / "root/.ssh/authorized_keys").exists()


def test_machine_id_is_empty_and_d_bus_keeps_its_link_to_it(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root", {"etc/machine-id": "0123", "var/lib/dbus/machine-id": "-> /etc/machine-id"})
    seal_tree(root, tmp_path / "kept")
    assert (root / "etc/machine-id").read_text() == ""
    assert (root / "var/lib/dbus/machine-id").is_symlink()


@pytest.mark.parametrize("name", ["var/tmp", "var/log", "tmp", "run", "etc/ssl/private", "home"])
def test_link_out_of_the_root_is_not_followed(tmp_path: Path, name: str) -> None:
    host = write_tree(tmp_path / "host", {"file": "the host's", ".ssh/id_rsa": "x", "pi/.ssh/id_rsa": "x", "a/b": "x"})
    root = tmp_path / "root"
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(host)
    seal_tree(root, tmp_path / "kept")
    assert sorted(str(p.relative_to(host)) for p in host.rglob("*") if p.is_file()) == [
        ".ssh/id_rsa", "a/b", "file", "pi/.ssh/id_rsa"
    ]  # fmt: skip
    assert (root / name).is_symlink()


def test_links_in_place_of_files_do_not_reach_the_host(tmp_path: Path) -> None:
    host = write_tree(tmp_path / "host", {"id": "the host's", "fstab": "ROOTDEV"})
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/machine-id").symlink_to(host / "id")
    (root / "etc/fstab").symlink_to(host / "fstab")
    seal_tree(root, tmp_path / "kept")
    assert (host / "id").read_text() == "the host's"
    assert (host / "fstab").read_text() == "ROOTDEV"


def test_licences_and_the_log_are_kept_before_they_go(tmp_path: Path) -> None:
    files = {
        "usr/share/doc/vim/copyright": "Vim licence",
        "usr/share/doc/vim/README": "text",
        "var/log/dpkg.log": "2026-01-01 00:00:00 startup\n",
    }
    root = write_tree(tmp_path / "root", files)
    seal_tree(root, tmp_path / "kept")
    assert json.loads((tmp_path / "kept/licences.json").read_text()) == {"vim": "Vim licence"}
    assert (tmp_path / "kept/dpkg.log").read_text().endswith("startup\n")
    assert not (root / "usr/share/doc/vim").exists() and not (root / "var/log/dpkg.log").exists()


def test_directories_of_logs_stay_for_the_services_that_expect_them(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "root", {"var/log/nginx/access.log": "x"})
    seal_tree(root, tmp_path / "kept")
    assert (root / "var/log/nginx").is_dir() and not (root / "var/log/nginx/access.log").exists()


def test_placeholders_of_pi_gen_become_this_image_s_partitions(tmp_path: Path) -> None:
    files = {"etc/fstab": "BOOTDEV /boot\nROOTDEV /\n", "boot/firmware/cmdline.txt": "root=ROOTDEV rw\n"}
    root = write_tree(tmp_path / "root", files)
    seal_tree(root, tmp_path / "kept")
    disk = f"{LAYOUT.disk_id:08x}"
    assert (root / "etc/fstab").read_text() == f"PARTUUID={disk}-01 /boot\nPARTUUID={disk}-02 /\n"
    assert (root / "boot/firmware/cmdline.txt").read_text() == f"root=PARTUUID={disk}-02 rw\n"


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + machine.to_bytes(2, "little") + bytes(40)


@pytest.mark.parametrize("machine", [EM_X86_64, EM_AARCH64])
@pytest.mark.parametrize("plain_part", [b"", b"070701 a plain archive \x28\xb5\x2f\xfd by chance " + bytes(64)])
@pytest.mark.parametrize("packed", [True, False])
def test_initramfs_with_programs_of_the_build_machine_is_refused(
    tmp_path: Path, machine: int, plain_part: bytes, packed: bool
) -> None:
    if packed and shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    content = b"070701 archive " + elf(machine)
    if packed:
        (tmp_path / "part").write_bytes(content)
        run("zstd", "-q", "-o", tmp_path / "part.zst", tmp_path / "part")
        content = (tmp_path / "part.zst").read_bytes()
    boot = tmp_path / "boot"
    boot.mkdir()
    (boot / "initrd.img-1").write_bytes(plain_part + content)
    if machine == EM_X86_64:
        with pytest.raises(BuildError, match="programs of the build machine"):
            check_initramfs(tmp_path, TOOLS)
    else:
        check_initramfs(tmp_path, TOOLS)
    assert [path.name for path in boot.iterdir()] == ["initrd.img-1"]

"""Static checks of stages/ and overlay/: what can be known of an image without building one."""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OVERLAY = REPOSITORY / "overlay"
STAGES = REPOSITORY / "stages"
SUB_STAGES = sorted(path for path in STAGES.glob("*/[0-9]*") if path.is_dir())
VARIABLES = {"TARGET_HOSTNAME": "node", "TIMEZONE_DEFAULT": "Asia/Kolkata"}


def listed(path: Path) -> list[str]:
    lines = (line.split("#", 1)[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def rendered(name: str, **variables: str) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    return environment.from_string((OVERLAY / name).read_text()).render(VARIABLES | variables)


def overlay_files() -> list[Path]:
    return sorted(path for path in OVERLAY.rglob("*") if path.is_symlink() or path.is_file())


# --- stages ------------------------------------------------------------------


@pytest.mark.parametrize("stage", sorted({path.parent for path in SUB_STAGES}), ids=lambda path: path.name)
def test_a_stage_begins_where_the_one_before_ended(stage: Path) -> None:
    prerun = stage / "prerun.sh"
    assert os.access(prerun, os.X_OK)
    assert "copy_previous" in prerun.read_text()


@pytest.mark.parametrize("sub_stage", SUB_STAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sub_stage_has_only_what_a_builder_runs(sub_stage: Path) -> None:
    known = re.compile(r"\d\d-(debconf|packages|packages-nr|run\.sh|run-chroot\.sh|patches)|OVERLAY|INPUTS|files|SKIP")
    for path in sub_stage.iterdir():
        assert known.fullmatch(path.name), path
        if path.name.endswith(".sh"):
            assert os.access(path, os.X_OK), path
            assert path.read_text().startswith("#!/bin/bash -e\n"), path
    runs = "".join(path.read_text() for path in sub_stage.glob("*-run.sh"))
    assert (sub_stage / "OVERLAY").exists() == ("/../install-overlay" in runs)


@pytest.mark.parametrize("path", sorted(STAGES.glob("*/*/*-packages-nr")), ids=lambda path: path.parent.name)
def test_package_lists_name_each_package_once(path: Path) -> None:
    names = listed(path)
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in names)


def test_every_overlay_file_is_installed_and_every_installed_file_is_there() -> None:
    named = {name for path in STAGES.glob("*/*/OVERLAY") for name in listed(path)}
    missing = {
        n for n in named if not any((OVERLAY / f).exists() or (OVERLAY / f).is_symlink() for f in (n, n + ".j2"))
    }
    assert not missing
    files = {str(path.relative_to(OVERLAY)) for path in overlay_files()}
    unused = {
        file for file in files
        if not any(file in (name, name + ".j2") or file.startswith(name + "/") for name in named)
    }  # fmt: skip
    assert not unused


@pytest.mark.parametrize("path", overlay_files(), ids=lambda path: str(path.relative_to(OVERLAY)))
def test_no_secret_lies_in_the_overlay(path: Path) -> None:
    if not path.is_symlink():
        assert "PRIVATE KEY" not in path.read_text()


# --- what is left out of packages ----------------------------------------------

DPKG = OVERLAY / "etc/dpkg/dpkg.cfg.d/mojomail"
MODULES = "/usr/lib/modules/6.12.1-arm64/kernel"
NEEDED_MODULES = """
    drivers/gpu/drm/drm drivers/gpu/drm/drm_kms_helper drivers/gpu/drm/vc4/vc4 drivers/gpu/drm/v3d/v3d
    drivers/gpu/drm/virtio/virtio-gpu drivers/media/cec/core/cec sound/core/snd-pcm sound/soc/snd-soc-core
    drivers/net/virtio_net drivers/net/ethernet/broadcom/genet/genet drivers/net/usb/smsc95xx
    drivers/net/usb/lan78xx drivers/net/usb/cdc_ncm drivers/net/usb/cdc_mbim drivers/net/usb/qmi_wwan
    drivers/net/usb/rndis_host drivers/net/usb/r8152 drivers/net/usb/ax88179_178a drivers/net/ppp/ppp_async
    drivers/net/tun drivers/net/tap drivers/usb/serial/option drivers/usb/class/cdc-wdm
    drivers/usb/class/cdc-acm drivers/usb/storage/uas drivers/usb/storage/usb-storage drivers/usb/dwc2/dwc2
    drivers/net/wireless/virtual/mac80211_hwsim drivers/net/wireless/broadcom/brcm80211/brcmfmac/brcmfmac
    drivers/net/wireless/ath/ath9k/ath9k_htc drivers/net/wireless/ralink/rt2x00/rt2800usb
    drivers/net/wireless/realtek/rtl8xxxu/rtl8xxxu drivers/net/wireless/realtek/rtw88/rtw88_8822bu
    drivers/net/wireless/mediatek/mt76/mt76x2/mt76x2u net/mac80211/mac80211 net/wireless/cfg80211
    net/batman-adv/batman-adv net/sched/sch_netem net/netfilter/nf_tables net/bridge/bridge net/8021q/8021q
    fs/ext4/ext4 fs/fat/vfat fs/nls/nls_iso8859-1 fs/autofs/autofs4 fs/overlayfs/overlay
    drivers/block/zram/zram drivers/block/virtio_blk drivers/md/dm-log-writes drivers/md/dm-mod
    drivers/watchdog/bcm2835_wdt drivers/mmc/host/sdhci-iproc drivers/mmc/host/bcm2835 drivers/scsi/sd_mod
    drivers/scsi/virtio_scsi drivers/nvme/host/nvme drivers/i2c/busses/i2c-bcm2835
    drivers/hid/usbhid/usbhid drivers/input/evdev
    drivers/char/hw_random/bcm2835-rng drivers/char/hw_random/iproc-rng200 drivers/reset/reset-raspberrypi
""".split()  # noqa: SIM905 - a list of words reads better


def is_kept(path: str) -> bool:
    """As dpkg decides (dpkg(1), --path-exclude): the last rule that matches wins, fnmatch(3) without flags."""
    kept = True
    for line in DPKG.read_text().splitlines():
        rule = re.fullmatch(r"path-(include|exclude)=(.*)", line)
        if rule and fnmatch.fnmatchcase(path, rule[2]):
            kept = rule[1] == "include"
    return kept


def test_every_line_of_the_dpkg_rules_is_one() -> None:
    for line in listed(DPKG):
        assert re.fullmatch(r"path-(include|exclude)=/\S+|force-conf(def|old)", line), line


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/doc/bash/copyright",
        "/usr/share/locale/hi/LC_MESSAGES/bash.mo",
        "/usr/share/locale/kn/LC_MESSAGES/bash.mo",
        "/usr/share/locale/en_GB/LC_MESSAGES/bash.mo",
        "/usr/share/locale/locale.alias",
        "/usr/lib/raspi-firmware/start.elf",
        "/usr/lib/raspi-firmware/start4.elf",
        "/usr/lib/raspi-firmware/fixup.dat",
        "/usr/lib/raspi-firmware/fixup4.dat",
        "/usr/lib/raspi-firmware/bootcode.bin",
        "/usr/lib/linux-image-6.12.1-arm64/broadcom/bcm2837-rpi-3-b.dtb",
        "/usr/lib/linux-image-6.12.1-arm64/broadcom/bcm2837-rpi-3-b-plus.dtb",
        "/usr/lib/linux-image-6.12.1-arm64/broadcom/bcm2837-rpi-zero-2-w.dtb",
        "/usr/lib/linux-image-6.12.1-arm64/broadcom/bcm2711-rpi-4-b.dtb",
        "/usr/lib/linux-image-6.12.1-arm64/broadcom/bcm2711-rpi-400.dtb",
        "/usr/lib/linux-image-6.12.1-arm64/broadcom/bcm2711-rpi-cm4-io.dtb",
        "/usr/lib/firmware/brcm/brcmfmac43430-sdio.raspberrypi,3-model-b.txt",
        "/usr/lib/firmware/brcm/brcmfmac43430-sdio.raspberrypi,model-zero-2-w.txt",
        "/usr/lib/firmware/brcm/brcmfmac43430-sdio.bin",
        "/usr/lib/firmware/brcm/brcmfmac43455-sdio.raspberrypi,4-model-b.txt",
        "/usr/lib/firmware/brcm/brcmfmac43455-sdio.Raspberry Pi Foundation-Raspberry Pi 4 Model B.txt",
        "/usr/lib/firmware/brcm/brcmfmac43456-sdio.bin",
        "/usr/lib/firmware/cypress/cyfmac43455-sdio.bin",
        "/usr/lib/firmware/cypress/cyfmac43430-sdio.clm_blob",
        *(f"{MODULES}/{name}.ko.xz" for name in NEEDED_MODULES),
    ],
)
def test_a_node_keeps_what_it_needs(path: str) -> None:
    assert is_kept(path)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/doc/bash/README.gz",
        "/usr/share/man/man1/bash.1.gz",
        "/usr/share/info/bash.info.gz",
        "/usr/share/locale/de/LC_MESSAGES/bash.mo",
        "/usr/share/locale/hr/LC_MESSAGES/bash.mo",
        "/usr/lib/raspi-firmware/start_db.elf",
        "/usr/lib/raspi-firmware/start4x.elf",
        "/usr/lib/raspi-firmware/start4cd.elf",
        "/usr/lib/raspi-firmware/fixup_cd.dat",
        "/usr/lib/linux-image-6.12.1-arm64/rockchip/rk3399-rock-pi-4b.dtb",
        "/usr/lib/firmware/brcm/brcmfmac4366c-pcie.bin",
        "/usr/lib/firmware/brcm/brcmfmac43455-sdio.pine64,pinebook-pro.txt",
        f"{MODULES}/drivers/gpu/drm/amd/amdgpu/amdgpu.ko.xz",
        f"{MODULES}/drivers/net/ethernet/mellanox/mlx5/core/mlx5_core.ko.xz",
        f"{MODULES}/drivers/infiniband/core/ib_core.ko.xz",
        f"{MODULES}/sound/usb/snd-usb-audio.ko.xz",
        f"{MODULES}/fs/xfs/xfs.ko.xz",
    ],
)
def test_a_node_leaves_the_rest_out(path: str) -> None:
    assert not is_kept(path)


# --- boot ----------------------------------------------------------------------


def test_file_systems_are_mounted_by_label_and_checked_at_boot() -> None:
    rows = {row[1]: row for row in (line.split() for line in listed(OVERLAY / "etc/fstab"))}
    assert all(len(row) == 6 for row in rows.values())
    source, _, kind, options, _, order = rows["/"]
    assert (source, kind, order) == ("LABEL=mojoroot", "ext4", "1")
    assert {"data=ordered", "noatime"} <= set(options.split(","))
    source, _, kind, options, _, order = rows["/boot/firmware"]
    assert (source, kind, order) == ("LABEL=MOJOBOOT", "vfat", "2")
    assert {"nofail", "umask=0077"} <= set(options.split(","))


def test_the_kernel_is_told_the_same_root() -> None:
    text = (OVERLAY / "etc/default/raspi-firmware").read_text()
    settings = dict(re.findall(r'^([A-Z]+)="?(.*?)"?$', text, re.MULTILINE))
    assert settings["ROOTPART"].split()[0] == "LABEL=mojoroot"
    assert "rootflags=data=ordered" in settings["ROOTPART"]
    assert settings["CMA"] == "0"
    assert "ttyAMA0" not in settings["CONSOLES"]
    assert (OVERLAY / "etc/default/raspi-extra-cmdline").read_text().count("\n") == 1


def test_locales_of_the_profile_are_generated() -> None:
    def lines(**variables: str) -> list[str]:
        return [line for line in rendered("etc/locale.gen.j2", **variables).splitlines() if not line.startswith("#")]

    assert lines() == ["en_IN.UTF-8 UTF-8", "hi_IN.UTF-8 UTF-8", "kn_IN.UTF-8 UTF-8"]
    assert lines(LOCALE_DEFAULT="kn_IN.UTF-8", MOJOMAIL_LOCALES="C.UTF-8 kn_IN.UTF-8 ta_IN.UTF-8") == [
        "kn_IN.UTF-8 UTF-8",
        "ta_IN.UTF-8 UTF-8",
    ]


# --- services --------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(OVERLAY.rglob("*.service")) + sorted(OVERLAY.rglob("*.conf.d/*.conf")))
def test_configuration_of_systemd_and_its_like_can_be_read(path: Path) -> None:
    if path.parent.name in ("sshd_config.d",):
        return
    reader = configparser.RawConfigParser(strict=False, delimiters=("=",), allow_no_value=False)
    reader.optionxform = str  # type: ignore[assignment, method-assign]
    reader.read_string(path.read_text())
    assert reader.sections()


@pytest.mark.parametrize("unit", sorted((OVERLAY / "usr/lib/systemd/system").glob("*.service")), ids=lambda p: p.name)
def test_own_units_run_programs_that_are_there_and_are_switched_on(unit: Path) -> None:
    text = unit.read_text()
    for command in re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE):
        program = OVERLAY / command.lstrip("/")
        assert not command.startswith("/usr/lib/mojomail/") or os.access(program, os.X_OK)
    enabled = "".join(path.read_text() for path in STAGES.glob("*/*/*-run-chroot.sh"))
    if "[Install]" in text:
        assert unit.name in enabled
    else:
        others = [path for path in overlay_files() if path != unit] + sorted((REPOSITORY / "firstboot").rglob("*.py"))
        assert any(unit.name.encode() in path.read_bytes() for path in others if path.is_file()), "nothing starts it"


@pytest.mark.parametrize("ssh", ["0", "1"])
@pytest.mark.skipif(not shutil.which("nft") or not shutil.which("unshare"), reason="needs nft and unshare")
def test_the_firewall_is_valid_and_opens_ssh_only_when_asked(tmp_path: Path, ssh: str) -> None:
    include = rendered("etc/nftables.d/10-ssh.nft.j2", ENABLE_SSH=ssh)
    assert ("dport 22" in include) == (ssh == "1")
    rules = tmp_path / "rules.nft"
    rules.write_text((OVERLAY / "etc/nftables.conf").read_text().replace('include "/etc/nftables.d/*.nft"', include))
    namespaces = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    done = subprocess.run([*namespaces, "nft", "-c", "-f", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"policy drop", rules.read_text())) == 2


def test_ssh_takes_keys_only() -> None:
    settings = dict(line.split(None, 1) for line in listed(OVERLAY / "etc/ssh/sshd_config.d/10-mojomail.conf"))
    assert settings["PasswordAuthentication"] == settings["KbdInteractiveAuthentication"] == "no"
    assert settings["PermitRootLogin"] == "prohibit-password"


# --- what leaves the image ---------------------------------------------------------


def test_the_last_sub_stage_removes_every_secret_and_id(tmp_path: Path) -> None:
    secrets = """
        etc/ssh/ssh_host_rsa_key etc/ssh/ssh_host_ed25519_key.pub etc/hostid
        var/lib/systemd/random-seed var/lib/systemd/credential.secret var/lib/systemd/timesync/clock
        var/lib/NetworkManager/secret_key var/lib/NetworkManager/timestamps
        etc/NetworkManager/system-connections/wifi.nmconnection etc/ssl/private/ssl-cert-snakeoil.key
        root/.ssh/known_hosts
    """.split()  # noqa: SIM905 - a list of words reads better
    kept = ["etc/ssh/sshd_config", "root/.ssh/authorized_keys"]
    for name in [*secrets, *kept, "etc/machine-id", "var/lib/dbus/machine-id"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("0123456789abcdef\n")
    script = (STAGES / "base/99-clean/00-run-chroot.sh").read_text()
    assert script.count("cd /\n") == 1
    script = script.replace("cd /\n", f"cd {tmp_path}\n")
    for _ in range(2):  # the second time finds nothing, and does no harm
        subprocess.run(["bash", "-e"], input=script, text=True, env={"PATH": os.environ["PATH"]}, check=True)
    assert [name for name in secrets if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert (tmp_path / "etc/machine-id").read_bytes() == b""
    assert (tmp_path / "var/lib/dbus/machine-id").readlink() == Path("/etc/machine-id")


def test_greeting_fits_an_old_television() -> None:
    """In the console's letters of 12 x 24 pixels, of which 720 x 576 shows 54 in a line within its safe 90 %."""
    for line in (OVERLAY / "etc/issue").read_text().splitlines():
        shown = re.sub(r"\\4\{\w+\}", "255.255.255.255", line).replace("\\n", "mojomail")
        assert len(shown) <= 54, line

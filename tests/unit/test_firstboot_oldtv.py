"""An old TV on the yellow socket: one line in tv.txt, and the kernel's command line that it names."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OVERLAY = REPOSITORY / "overlay"
FIRMWARE = OVERLAY / "boot/firmware"
HOOKS = ("etc/kernel/postinst.d/zy-mojomail-old-tv", "etc/initramfs/post-update.d/zy-mojomail-old-tv")
"""After another kernel, and after another initramfs."""
WORDS = {
    "cmdline-pal.txt": "video=Composite-1:720x576@50ie,tv_mode=PAL",
    "cmdline-ntsc.txt": "video=Composite-1:720x480@60ie,tv_mode=NTSC",
}
"""What the kernel's vc4 driver takes (drivers/gpu/drm/vc4/vc4_vec.c, Documentation/fb/modedb.rst)."""


def defaults() -> str:
    """The command line as Debian's raspi-firmware puts it together from its two files of settings."""
    script = """
        . ./raspi-firmware
        for console in $CONSOLES; do line="$line console=$console"; done
        [ "$CMA" = 0 ] && cma='' || cma="cma=$CMA"
        echo "$line root=$ROOTPART rw fsck.repair=yes net.ifnames=0 $cma rootwait $(cat raspi-extra-cmdline)"
    """
    done = subprocess.run(
        ["sh", "-euc", f"line=''; {script}"], cwd=OVERLAY / "etc/default", capture_output=True, text=True, check=True
    )
    return done.stdout


LINES = {"boot-debian": defaults(), "boot-raspios": (FIRMWARE / "cmdline.txt").read_text()}
"""The kernel's command line by what brings the kernel."""


def run_hook(hook: str, folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "MOJOMAIL_FIRMWARE": str(folder)}
    subprocess.run([OVERLAY / hook, "6.12.0-arm64", "/boot/vmlinuz"], env=environment, check=True)


def listed(stage: str) -> set[str]:
    return set((REPOSITORY / "stages" / stage / "00-ground/OVERLAY").read_text().splitlines())


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("hook", HOOKS)
def test_an_old_tv_gets_the_whole_command_line_and_the_words_for_its_colour_system(
    tmp_path: Path, hook: str, line: str
) -> None:
    assert {"console=tty1", "root=LABEL=mojoroot", "panic=10", "loglevel=4"} <= set(line.split())
    (tmp_path / "cmdline.txt").write_text(line)
    run_hook(hook, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"cmdline.txt", *WORDS}
    for name, words in WORDS.items():
        text = (tmp_path / name).read_text()
        assert text.split() == [*line.split(), words]
        assert text.endswith("\n") and text.count("\n") == 1, "the firmware reads one line"


def test_another_kernel_takes_its_command_line_to_old_tvs_too(tmp_path: Path) -> None:
    for line in ("root=LABEL=mojoroot rw loglevel=4\n", " root=LABEL=other  rw usbcore.quirks=1:2:k "):
        (tmp_path / "cmdline.txt").write_text(line)
        run_hook(HOOKS[0], tmp_path)
        assert (tmp_path / "cmdline-pal.txt").read_text().split()[:-1] == line.split()


def test_where_no_command_line_is_written_none_is_made(tmp_path: Path) -> None:
    run_hook(HOOKS[0], tmp_path / "not mounted")
    run_hook(HOOKS[0], tmp_path)
    (tmp_path / "cmdline.txt").touch()
    run_hook(HOOKS[0], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cmdline.txt"]


@pytest.mark.parametrize("hook", HOOKS)
def test_old_tvs_are_told_after_the_firmwares_hook_and_before_all_goes_to_the_card(hook: str) -> None:
    settle = Path(hook).with_name("zz-mojomail-settle")
    assert (OVERLAY / settle).exists() and os.access(OVERLAY / hook, os.X_OK)
    assert "z50-raspi-firmware" < Path(hook).name < settle.name
    assert re.fullmatch(r"[a-z0-9-]+", Path(hook).name), "run-parts(8) passes over other names"


@pytest.mark.parametrize("stage", LINES)
def test_who_ships_tv_txt_also_reads_it_and_makes_what_its_lines_name(stage: str) -> None:
    named = re.findall(r"^#cmdline=(\S+)$", (FIRMWARE / "tv.txt").read_text(), re.MULTILINE)
    assert named == list(WORDS)
    assert {"boot/firmware/tv.txt", *HOOKS} <= listed(stage)
    (reader,) = listed(stage) & {"boot/firmware/config.txt", "etc/default/raspi-firmware-custom"}
    assert "include tv.txt" in (OVERLAY / reader).read_text().splitlines()


def test_nobody_else_ships_tv_txt_and_as_shipped_it_names_nothing() -> None:
    shipping = {
        path.parents[1].name for path in (REPOSITORY / "stages").glob("*/*/OVERLAY") if "tv.txt" in path.read_text()
    }
    assert shipping == set(LINES)
    assert all(line.startswith("#") for line in (FIRMWARE / "tv.txt").read_text().splitlines() if line)


def test_the_documentation_names_the_lines_of_tv_txt() -> None:
    told = (REPOSITORY / "docs/firstboot.md").read_text()
    assert re.findall(r"^    cmdline=(\S+)", told, re.MULTILINE) == list(WORDS)

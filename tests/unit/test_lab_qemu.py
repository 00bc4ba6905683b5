"""What QEMU is started with, and what is said when it cannot be."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from tests.lab import processes, qemu
from tests.lab.machine import FIRST_PICTURE, LANES, LabError, Machine
from tests.lab.screen import Picture
from tests.unit.smallimage import small_image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A card image with nothing but a boot partition."""
    return small_image(tmp_path)


def test_the_boot_files_are_the_images_own(image: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    files = qemu.boot_files(image, LANES["raspi3b"], work)
    assert files.device_tree is not None
    assert [path.read_text() for path in (files.kernel, files.initramfs, files.device_tree)] == ["K", "I", "D"]
    assert files.command_line == "root=x rw"


PATIENT = {
    "systemd.default_timeout_start_sec=600",
    "systemd.default_device_timeout_sec=600",
    "rcupdate.rcu_cpu_stall_timeout=300",
    "watchdog_thresh=60",
    FIRST_PICTURE,
}


@pytest.mark.parametrize(
    ("lane", "more"), [("virt", {"console=ttyAMA0", "kpti=off", "norandmaps"}), ("raspi3b", set())], ids=list(LANES)
)
def test_without_control_the_command_line_is_the_images_own_with_patience(
    image: Path, lane: str, more: set[str]
) -> None:
    with Machine(image, LANES[lane], control=False) as node:
        command = node._command()
        line = command[command.index("-append") + 1]
        assert line.startswith("root=x rw ")
        assert set(line.split()) == {"root=x", "rw"} | PATIENT | more
        assert not any("control" in word for word in command if "chardev=qmp" not in word)


@pytest.mark.parametrize("lane", LANES)
def test_with_control_the_card_is_the_same(image: Path, lane: str) -> None:
    with Machine(image, LANES[lane]) as shown, Machine(image, LANES[lane], control=False) as shipped:
        drives = [[word for word in node._command() if "qcow2" in word] for node in (shown, shipped)]
    assert drives[0] == [word.replace(str(shipped.work), str(shown.work)) for word in drives[1]]
    assert len(drives[0]) == 1


def test_a_screen_has_the_size_that_was_asked_for(image: Path) -> None:
    with Machine(image, screen=(720, 576)) as node:
        assert "virtio-gpu-pci,xres=720,yres=576" in node._command()


def test_a_command_line_that_the_kernel_would_cut_is_refused(image: Path) -> None:
    with Machine(image, append="x" * 2000) as node, pytest.raises(LabError, match="too long"):
        node.start()


def test_nothing_is_left_of_a_machine(image: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with Machine(image, work=work, logs=tmp_path / "logs"):
        assert list(work.rglob("card.qcow2"))
    assert not any(work.iterdir())


def test_a_missing_image_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with (
        pytest.raises(LabError, match=r"^there is no image at .*none\.img: run 'make image'$"),
        Machine(tmp_path / "none.img"),
    ):
        pass


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.img"
    path.write_bytes(b"not an image".ljust(4096))
    with pytest.raises(LabError, match="no partition table"), Machine(path):
        pass


def test_a_directory_in_use_is_refused(image: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"is in use: rm -r {tmp_path}"), Machine(image, work=tmp_path):
        pass


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="too long for a socket"):
        qemu.socket_path(tmp_path / ("x" * 100), "qmp")


def test_a_missing_qemu_is_said_with_the_command_that_installs_it(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Machine(image) as node:
        found = processes.find_program

        def find(name: str) -> str:
            if "qemu-system" in name:
                monkeypatch.setenv("PATH", str(tmp_path))
                monkeypatch.setattr(processes, "SBIN", ())
            return found(name)

        monkeypatch.setattr(processes, "find_program", find)
        with pytest.raises(LabError, match=r"^qemu-system-aarch64 is missing: sudo apt-get install qemu-system-arm$"):
            node.start()
        monkeypatch.undo()


def test_an_xz_is_unpacked_with_its_holes(tmp_path: Path) -> None:
    data = bytes(3 << 20) + b"x" * 100 + bytes(2 << 20)
    packed = tmp_path / "card.img.xz"
    packed.write_bytes(lzma.compress(data))
    (tmp_path / "work").mkdir()
    raw = qemu.raw_image(packed, tmp_path / "work")
    assert raw.read_bytes() == data
    assert raw.stat().st_blocks * 512 < len(data) // 2


def test_lit_pixels_are_those_unlike_the_first() -> None:
    picture = Picture.from_ppm(b"P6\n2 2\n255\n" + b"\0\0\0" * 2 + b"\1\0\0" + b"\0\0\0")
    assert (picture.width, picture.height, picture.lit()) == (2, 2, 1)
    assert Picture(2, 1, b"\0" * 6).lit() == 0

"""Flashing: what is refused and why, what lands on the card, and what a card looks like when it went wrong."""

import io
import lzma
import os
import random
import re
import socket
from functools import cache
from pathlib import Path

import pytest

from imagebuilder import bmap, device, flash
from imagebuilder.device import Device
from imagebuilder.errors import BuildError, InputError, MojoError
from imagebuilder.flash import HEAD
from imagebuilder.progress import Progress, showing

MEBI = 1 << 20
CARD = 8 * MEBI


class Machine:
    """A /sys and /proc with one card reader (sdb, 8 MiB, two partitions) and one fixed disk (sda)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/class/block").mkdir(parents=True)
        (root / "proc/self").mkdir(parents=True)
        self.mounts = ""
        self.swap()
        self.mount("8:1", "/", "/dev/sda1")
        self.add("sda", "8:0", 100 * MEBI, bus="pci0000:00/ata1", removable=0)
        self.add("sda1", "8:1", 99 * MEBI, disk="sda")
        self.add("sdb", "8:16", CARD, bus="pci0000:00/usb1/1-2", removable=1)
        self.add("sdb1", "8:17", 2 * MEBI, disk="sdb")
        self.add("sdb2", "8:18", 4 * MEBI, disk="sdb")

    def add(
        self, name: str, number: str, size: int, *, bus: str = "", removable: int = 0, disk: str | None = None
    ) -> None:
        folder = self.folder(disk) / name if disk else self.root / "sys/devices" / bus / "block" / name
        (folder / "holders").mkdir(parents=True)
        (folder / "size").write_text(f"{size // 512}\n")
        (folder / "ro").write_text("0\n")
        (folder / "dev").write_text(f"{number}\n")
        if disk:
            (folder / "partition").write_text("1\n")
        else:
            (folder / "removable").write_text(f"{removable}\n")
            (folder / "device").mkdir()
            (folder / "device/vendor").write_text("Generic \n")
            (folder / "device/model").write_text("SD Reader\n")
        (self.root / "sys/class/block" / name).symlink_to(folder)

    def folder(self, name: str) -> Path:
        return (self.root / "sys/class/block" / name).resolve()

    def mount(self, number: str, where: str, source: str) -> None:
        self.mounts += f"36 35 {number} / {where} rw,noatime shared:1 - ext4 {source} rw\n"
        (self.root / "proc/self/mountinfo").write_text(self.mounts)

    def swap(self, *paths: str) -> None:
        lines = [f"{path} partition 1048572 0 -2\n" for path in paths]
        (self.root / "proc/swaps").write_text("Filename Type Size Used Priority\n" + "".join(lines))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


def pattern(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@cache
def release_data() -> tuple[bytes, bytes]:
    """An image of 6 MiB with holes in it, raw and packed."""
    data = bytearray(6 * MEBI)
    data[: MEBI // 2] = pattern(MEBI // 2)
    data[MEBI - 8192 : MEBI + 8192] = pattern(16384, 2)
    data[4 * MEBI : 5 * MEBI] = pattern(MEBI, 3)
    return bytes(data), lzma.compress(data, preset=0)


class Release:
    """An image of 6 MiB with holes, its map and its .xz, in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.image = folder / "node.img"
        self.data, packed = release_data()
        self.image.write_bytes(self.data)
        self.packed = folder / "node.img.xz"
        self.packed.write_bytes(packed)
        self.map = folder / "node.img.bmap"
        self.map.write_text(bmap.render(bmap.create(self.image, free=[(0, 6 * MEBI)])))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "deploy here")


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file full of old data that stands for /dev/sdb."""
    path = tmp_path / "sdb"
    path.write_bytes(b"\xa5" * CARD)
    monkeypatch.setattr(device, "kernel_name", lambda p, root=None: "sdb" if p == path else None)
    return path


# What is refused


def edit(name: str, entry: str, text: str):  # type: ignore[no-untyped-def]
    return lambda machine: (machine.folder(name) / entry).write_text(text)


REFUSED = [
    (lambda m: None, "sda", "mounted on /"),
    (lambda m: None, "sda", "not removable"),
    (lambda m: None, "sdb1", "partition of /dev/sdb"),
    (lambda m: m.mount("8:16", "/media/card", "/dev/sdb"), "sdb", "mounted on /media/card"),
    (lambda m: m.mount("8:18", "/media/my\\040card", "/dev/sdb2"), "sdb", "mounted on /media/my card"),
    (lambda m: m.mount("0:44", "/mnt", "/dev/sdb2"), "sdb", "mounted on /mnt"),
    (lambda m: m.swap("/dev/sdb2"), "sdb", "in use as swap"),
    (lambda m: (m.folder("sdb1") / "holders/dm-0").mkdir(), "sdb", "in use by dm-0"),
    (lambda m: (m.folder("sdb") / "holders/md127").mkdir(), "sdb", "in use by md127"),
    (edit("sdb", "ro", "1\n"), "sdb", "read-only"),
    (edit("sdb", "size", "8191\n"), "sdb", "smaller than the image"),
    (edit("sdb", "size", "0\n"), "sdb", "no card in it"),
]


@pytest.mark.parametrize(("change", "name", "reason"), REFUSED)
def test_a_device_is_refused(machine: Machine, change, name: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    change(machine)
    assert any(reason in text for text in device.refusals(device.probe(name, machine.root), 6 * MEBI))


def test_a_free_card_is_not_refused(machine: Machine) -> None:
    assert device.refusals(device.probe("sdb", machine.root), 6 * MEBI) == []


def test_being_named_lifts_fixed_and_mounted_but_nothing_else(machine: Machine) -> None:
    machine.mount("8:18", "/media/card", "/dev/sdb2")
    (machine.folder("sdb") / "removable").write_text("0\n")
    (machine.folder("sdb") / "ro").write_text("1\n")
    machine.swap("/dev/sdb1")
    reasons = device.refusals(device.probe("sdb", machine.root), 9 * MEBI, fixed=True, mounted=True)
    assert len(reasons) == 3
    assert any("smaller" in r for r in reasons)
    assert any("swap" in r for r in reasons)
    assert any("read-only" in r for r in reasons)


def test_the_running_systems_disk_is_refused_even_when_named(machine: Machine) -> None:
    reasons = device.refusals(device.probe("sda", machine.root), 6 * MEBI, fixed=True, mounted=True)
    assert reasons == ["it is mounted on /"]


@pytest.mark.parametrize(
    ("bus", "name", "kind", "removable"),
    [
        ("platform/mmc_host/mmc0/mmc0:0001", "mmcblk0", "SD", True),
        ("platform/mmc_host/mmc1/mmc1:0001", "mmcblk1", "MMC", False),
        ("pci0000:00/usb2/2-1", "sdc", "", True),
        ("pci0000:00/nvme/nvme0", "nvme0n1", "", False),
        ("virtual", "loop0", "", False),
    ],
)
def test_what_counts_as_removable(machine: Machine, bus: str, name: str, kind: str, removable: bool) -> None:
    machine.add(name, "9:9", CARD, bus=bus)
    if kind:
        (machine.folder(name) / "device/type").write_text(f"{kind}\n")
    assert device.probe(name, machine.root).removable is removable


def test_only_free_removable_disks_are_offered(machine: Machine) -> None:
    machine.add("sdc", "8:32", 0, bus="usb9", removable=1)
    machine.add("loop0", "7:0", CARD, bus="virtual", removable=1)
    assert [found.name for found in device.candidates(machine.root)] == ["sdb"]
    assert str(device.candidates(machine.root)[0]) == "/dev/sdb  8.4 MB  Generic SD Reader (usb)"
    machine.mount("8:17", "/media/card", "/dev/sdb1")
    assert device.candidates(machine.root) == []


def test_a_refusal_names_the_reasons_and_the_disks_to_take_instead(
    machine: Machine, release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "kernel_name", lambda path, root=None: "sda")
    target = tmp_path / "sda"
    target.write_bytes(b"precious")
    with pytest.raises(InputError, match=r"mounted on /.*not removable") as caught:
        flash.flash(release.image, target, root=machine.root)
    assert "/dev/sdb  8.4 MB" in str(caught.value)
    assert target.read_bytes() == b"precious"


def test_a_fixed_disk_is_written_only_when_its_name_is_repeated(machine: Machine, release: Release, card: Path) -> None:
    machine.add("sdd", "8:48", 100 * MEBI, bus="pci/ata2")
    (machine.folder("sdb") / "removable").write_text("0\n")
    (machine.root / "sys/class/block/sdb").unlink()
    (machine.root / "sys/class/block/sdb").symlink_to(machine.folder("sdd"))
    with pytest.raises(InputError, match="not removable") as caught:
        flash.flash(release.image, card, root=machine.root)
    assert f"--allow-fixed {card}" in str(caught.value)
    with pytest.raises(InputError, match="--allow-fixed names /dev/sdz"):
        flash.flash(release.image, card, allow_fixed=Path("/dev/sdz"), root=machine.root)
    flash.flash(release.image, card, allow_fixed=card, root=machine.root)
    assert card.read_bytes()[:MEBI] == release.data[:MEBI]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda t: t.mkdir(), "is a folder"),
        (lambda t: os.mkfifo(t), "neither a disk nor a plain file"),
        (lambda t: socket.socket(socket.AF_UNIX).bind(str(t)), "neither a disk nor a plain file"),
        (lambda t: t.symlink_to("nowhere"), "no such device or folder"),
    ],
)
def test_a_target_of_another_kind_is_refused(machine: Machine, release: Release, tmp_path: Path, make, said) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "target")
    with pytest.raises(InputError, match=said):
        flash.flash(release.image, tmp_path / "target", root=machine.root)


@pytest.mark.parametrize("target", ["/dev/sdx-is-not-there", "/no/such/folder/card.img"])
def test_a_target_that_is_not_there_is_refused_with_the_choices(
    machine: Machine, release: Release, target: str
) -> None:
    with pytest.raises(InputError, match="no such device") as caught:
        flash.flash(release.image, Path(target), root=machine.root)
    assert "/dev/sdb" in (caught.value.hint or "")
    assert not Path(target).exists()


def test_the_image_itself_is_not_a_target(release: Release) -> None:
    with pytest.raises(InputError, match="the image itself"):
        flash.flash(release.image, release.image)
    assert release.image.read_bytes() == release.data


# What lands on the card


@pytest.mark.parametrize("packed", [False, True])
def test_a_card_with_old_data_holds_the_mapped_blocks_afterwards(
    machine: Machine, release: Release, card: Path, packed: bool
) -> None:
    done = flash.flash(release.packed if packed else release.image, card, root=machine.root)
    bytes_of_card, bmap_of_image = card.read_bytes(), bmap.read(release.map)
    for start, end in map(bmap_of_image.span, bmap_of_image.ranges):
        assert bytes_of_card[start:end] == release.data[start:end]
    assert done.written == bmap_of_image.mapped_bytes
    assert bytes_of_card[2 * MEBI : 3 * MEBI] == b"\xa5" * MEBI, "unmapped blocks are left alone"
    assert len(bytes_of_card) == CARD


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_plain_file_becomes_the_image(release: Release, tmp_path: Path, packed: bool, mapped: bool) -> None:
    target = tmp_path / "a card.img"
    target.write_bytes(b"older and " * 1_000_000)
    if not mapped:
        release.map.unlink()
    flash.flash(release.packed if packed else release.image, target)
    assert target.read_bytes() == release.data
    assert not list(tmp_path.glob("*.partial"))
    if mapped:
        assert target.stat().st_blocks * 512 < 4 * MEBI, "the file is sparse"


def test_without_a_map_everything_is_written_and_that_is_said(machine: Machine, release: Release, card: Path) -> None:
    release.map.unlink()
    screen = io.StringIO()
    with showing(Progress(screen)):
        flash.flash(release.packed, card, root=machine.root)
    assert card.read_bytes()[: 6 * MEBI] == release.data
    assert "no block map beside node.img.xz" in screen.getvalue()
    assert re.search(r"Writing 6\.3 MB to .*\n.*Reading 6\.3 MB back", screen.getvalue(), re.S)


def test_an_image_that_is_no_whole_number_of_blocks_is_written_to_its_end(tmp_path: Path) -> None:
    image = tmp_path / "odd.img"
    image.write_bytes(pattern(MEBI + 4096 + 77))
    flash.flash(image, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == image.read_bytes()
    image.write_bytes(b"x" * 10)
    flash.flash(image, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"x" * 10


# When it goes wrong


def head_is_blank(card: Path) -> bool:
    return card.read_bytes()[:HEAD] == bytes(HEAD)


def test_an_interrupted_card_has_no_partition_table(
    machine: Machine, release: Release, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flash, "_verify", interrupt)
    with pytest.raises(KeyboardInterrupt):
        flash.flash(release.image, card, root=machine.root)
    assert head_is_blank(card)


@pytest.mark.parametrize("at", [HEAD + 4096, 4 * MEBI])
def test_a_card_that_forgets_is_found_and_has_no_partition_table(
    machine: Machine, release: Release, card: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    keep = flash._pwrite

    def forget(target: int, data: bytes, offset: int) -> None:
        keep(target, data, offset)
        if offset <= at < offset + len(data):
            os.pwrite(target, b"????", at)

    monkeypatch.setattr(flash, "_pwrite", forget)
    with pytest.raises(BuildError, match="read back wrong") as caught:
        flash.flash(release.image, card, root=machine.root)
    assert "not usable" in str(caught.value)
    assert head_is_blank(card)


def test_a_card_that_forgets_its_first_sector_is_found(
    machine: Machine, release: Release, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = flash._pwrite
    monkeypatch.setattr(flash, "_pwrite", lambda t, data, at: keep(t, b"????" + data[4:] if at == 0 else data, at))
    with pytest.raises(BuildError, match="first MiB"):
        flash.flash(release.image, card, root=machine.root)


def test_a_failing_write_is_told_and_a_plain_target_is_left_as_it_was(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "target.img"
    target.write_bytes(b"good")
    monkeypatch.setattr(flash, "_pwrite", full)
    with pytest.raises(BuildError, match=r"target\.img: No space left on device"):
        flash.flash(release.image, target)
    assert target.read_bytes() == b"good"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deploy here", "target.img"]


def test_a_map_of_another_image_is_found_and_both_are_named(machine: Machine, release: Release, card: Path) -> None:
    changed = bytearray(release.data)
    changed[4 * MEBI + 5] ^= 1
    release.image.write_bytes(changed)
    with pytest.raises(InputError, match="does not belong") as caught:
        flash.flash(release.image, card, root=machine.root)
    assert str(release.map) in str(caught.value)
    assert str(release.image) in str(caught.value)
    assert head_is_blank(card)


def test_a_map_for_another_size_is_refused_before_the_card_is_touched(
    machine: Machine, release: Release, card: Path
) -> None:
    release.image.write_bytes(release.data + b"more")
    with pytest.raises(InputError, match="is for an image of 6291456 bytes"):
        flash.flash(release.image, card, root=machine.root)
    assert card.read_bytes() == b"\xa5" * CARD


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw[: len(raw) // 2], "damaged|too early"),
        (lambda raw: raw[:20000] + b"\0\0\0\0" + raw[20004:], "damaged"),
        (lambda raw: lzma.compress(bytes(7 * MEBI)), "does not belong"),
        (lambda raw: raw + lzma.compress(b"more"), "unpacks to more"),
        (lambda raw: b"not xz", "not an xz file"),
    ],
)
def test_a_damaged_archive_is_found(machine: Machine, release: Release, card: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    release.packed.write_bytes(spoil(release.packed.read_bytes()))
    with pytest.raises(MojoError, match=said):
        flash.flash(release.packed, card, root=machine.root)
    assert head_is_blank(card) or card.read_bytes() == b"\xa5" * CARD


def test_an_empty_or_missing_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.img").touch()
    with pytest.raises(InputError, match="empty"):
        flash.flash(tmp_path / "empty.img", tmp_path / "target")
    with pytest.raises(InputError, match="no such image"):
        flash.flash(tmp_path / "none.img", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_device_without_the_right_to_write_says_how_to_get_it(
    machine: Machine, release: Release, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(flash.os, "open", refuse)
    with pytest.raises(InputError, match="no right to write") as caught:
        flash.flash(release.image, card, root=machine.root)
    assert "sudo" in (caught.value.hint or "")


def test_sizes_are_shown_as_cards_are_sold() -> None:
    assert [device.format_size(n) for n in (80, 1000, 31_914_983_424)] == ["80 bytes", "1 kB", "31.9 GB"]
    assert "mounted on /a" in str(Device("sdb", 1, True, False, "usb", "", mounts=("/a",)))

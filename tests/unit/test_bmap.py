"""Block maps: right for a card with old data on it, the same for the same bytes, and bmaptool's."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuilder import bmap
from imagebuilder.bmap import BLOCK, Bmap, Range
from imagebuilder.errors import InputError
from imagebuilder.freespace import free_spans, partitions

MEBI = 1 << 20


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [name for name in programs if not find(name)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def find(name: str) -> str | None:
    return shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin")


def call(program: str, *arguments: object, stdin: str | None = None) -> str:
    """Run a program of the host; its output. Fails the test on another exit code than 0."""
    done = subprocess.run(
        [find(program) or program, *map(str, arguments)], input=stdin, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
    return done.stdout


def write_sparse(path: Path, size: int, parts: dict[int, bytes]) -> Path:
    with path.open("wb") as handle:
        handle.truncate(size)
        for offset, data in parts.items():
            handle.seek(offset)
            handle.write(data)
    return path


def write_disk(path: Path, files: Path) -> tuple[Path, dict[str, tuple[int, int]]]:
    """A small disk like the real one: MBR, FAT32 with a file, ext4 with a journal; and where the parts lie."""
    fat_at, fat_size, root_at, root_size = 4 * MEBI, 40 * MEBI, 44 * MEBI, 96 * MEBI
    write_sparse(path, root_at + root_size, {})
    call("sfdisk", "-q", path, stdin="label: dos\nstart=8192,size=81920,type=c\nstart=90112,size=196608,type=83\n")
    fat, root = path.with_suffix(".fat"), path.with_suffix(".ext4")
    write_sparse(fat, fat_size, {})
    write_sparse(root, root_size, {})
    call("mkfs.vfat", "-F", "32", "-s", "1", fat)
    call("mcopy", "-i", fat, files / "zeros", "::zeros")
    call("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-J", "size=4", "-d", files, root)
    for part, at in ((fat, fat_at), (root, root_at)):
        call("dd", f"if={part}", f"of={path}", "bs=1M", f"seek={at // MEBI}", "conv=notrunc,sparse", "status=none")
    return path, {"fat": (fat_at, fat_size), "root": (root_at, root_size)}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "zeros").write_bytes(bytes(300_000))
    (folder / "text").write_text("a letter\n" * 9000)
    return folder


def flash_over_old_data(image: Path, map_of_image: Bmap, target: Path) -> Path:
    """What a card holds that was full of other bytes before the map's ranges were written to it."""
    with image.open("rb") as source, target.open("wb") as card:
        for _ in range(0, map_of_image.image_size, MEBI):
            card.write(b"\xa5" * MEBI)
        card.truncate(map_of_image.image_size)
        for start, end in map(map_of_image.span, map_of_image.ranges):
            source.seek(start)
            card.seek(start)
            card.write(source.read(end - start))
    return target


@needs("sfdisk", "mkfs.vfat", "fsck.vfat", "mcopy", "mke2fs", "e2fsck", "dd")
def test_a_card_with_old_data_is_good_after_only_the_mapped_blocks_were_written(tmp_path: Path, files: Path) -> None:
    image, places = write_disk(tmp_path / "disk.img", files)
    made = bmap.create(image)
    assert made.mapped_bytes < made.image_size // 2
    card = flash_over_old_data(image, made, tmp_path / "card.img")
    for name, (start, size) in places.items():
        part = tmp_path / f"{name}.part"
        with card.open("rb") as handle:
            handle.seek(start)
            part.write_bytes(handle.read(size))
    call("fsck.vfat", "-n", tmp_path / "fat.part")
    call("e2fsck", "-fn", tmp_path / "root.part")
    call("mcopy", "-n", "-i", tmp_path / "fat.part", "::zeros", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(300_000)
    call("debugfs", "-R", f"dump /zeros {tmp_path / 'back2'}", tmp_path / "root.part")
    assert (tmp_path / "back2").read_bytes() == bytes(300_000)


@needs("sfdisk", "mkfs.vfat", "mcopy", "mke2fs", "dd", "debugfs")
def test_the_empty_journal_and_inode_tables_are_written_although_zero(tmp_path: Path, files: Path) -> None:
    image, places = write_disk(tmp_path / "disk.img", files)
    start = places["root"][0]
    mapped = {b for part in bmap.create(image).ranges for b in range(part.first, part.last + 1)}
    journal = call("debugfs", "-R", "blocks <8>", tmp_path / "disk.ext4").split()
    assert len(journal) >= 1024
    assert {start // BLOCK + int(block) for block in journal} <= mapped


@needs("mke2fs", "dumpe2fs")
@pytest.mark.parametrize("block", [1024, 2048, 4096])
@pytest.mark.parametrize("features", ["", "^64bit,^flex_bg", "^sparse_super,^resize_inode", "^has_journal"])
def test_free_blocks_are_those_that_dumpe2fs_calls_free(tmp_path: Path, block: int, features: str, files: Path) -> None:
    disk = tmp_path / "disk.img"
    size = 40 * MEBI
    root = write_sparse(tmp_path / "root.ext4", size, {})
    call("mke2fs", "-q", "-t", "ext4", "-b", block, "-O", features or "64bit", "-d", files, root)
    shown = call("dumpe2fs", root)
    free = sum(int(line.split(":")[1]) for line in shown.splitlines() if line.startswith("Free blocks:"))
    entry = b"\0" * 4 + b"\x83" + b"\0" * 3 + (2048).to_bytes(4, "little") + (size // 512).to_bytes(4, "little")
    head = b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa"
    write_sparse(disk, MEBI + size, {0: head, MEBI: root.read_bytes()})
    spans = free_spans(disk)
    expected = set()
    for line in shown.splitlines():
        if line.startswith("  Free blocks: "):
            for run in filter(None, line.removeprefix("  Free blocks: ").split(", ")):
                first, _, last = run.partition("-")
                expected |= set(range(int(first), int(last or first) + 1))
    found = {b for start, end in spans for b in range((start - MEBI) // block, (end - MEBI) // block)}
    assert len(expected) == free
    assert found == expected


def test_nothing_is_free_where_there_is_no_partition_table_or_it_is_not_understood(tmp_path: Path) -> None:
    image = write_sparse(tmp_path / "image", MEBI, {})
    assert free_spans(image) == []
    assert bmap.create(image).mapped_bytes == MEBI
    gpt = b"\0" * 446 + b"\0\0\0\0\xee\0\0\0" + b"\1\0\0\0\xff\xff\0\0" + b"\0" * 48 + b"\x55\xaa"
    with write_sparse(tmp_path / "gpt", MEBI, {0: gpt}).open("rb") as handle:
        assert partitions(handle) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(st.integers(0, 40), max_size=12),
    tail=st.integers(0, BLOCK - 1),
    free=st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 60_000)), max_size=3),
)
def test_the_map_depends_on_the_bytes_alone(
    tmp_path: Path, blocks: list[int], tail: int, free: list[tuple[int, int]]
) -> None:
    size = 41 * BLOCK + tail
    sparse = write_sparse(tmp_path / "sparse", size, {n * BLOCK + 7: b"x" for n in blocks})
    full = tmp_path / "full"
    full.write_bytes(sparse.read_bytes())
    spans, at = [], 0
    for start, length in sorted(free):
        start = max(start, at)
        spans.append((start, start + length))
        at = start + length
    made = bmap.create(sparse, free=spans)
    assert bmap.render(made) == bmap.render(bmap.create(full, free=spans))
    mapped = {b for part in made.ranges for b in range(part.first, part.last + 1)}
    assert set(blocks) <= mapped
    for block in set(range(made.blocks)) - mapped:
        assert any(start <= block * BLOCK and (block + 1) * BLOCK <= end for start, end in spans)
    path = tmp_path / "map"
    path.write_text(bmap.render(made))
    assert bmap.read(path) == made


@needs("bmaptool")
def test_bmaptool_copies_by_our_map(tmp_path: Path) -> None:
    image = write_sparse(tmp_path / "a.img", 3 * MEBI + 100, {0: b"one", 2 * MEBI: b"two", 3 * MEBI + 99: b"e"})
    path = tmp_path / "a.img.bmap"
    path.write_text(bmap.render(bmap.create(image, free=[(0, 4 * MEBI)])))
    call("bmaptool", "copy", "--bmap", path, image, tmp_path / "target")
    assert (tmp_path / "target").read_bytes()[: image.stat().st_size] == image.read_bytes()


@needs("bmaptool")
def test_bmaptool_finds_a_changed_image_by_our_map(tmp_path: Path) -> None:
    image = write_sparse(tmp_path / "a.img", MEBI, {0: b"one"})
    path = tmp_path / "a.img.bmap"
    path.write_text(bmap.render(bmap.create(image)))
    write_sparse(image, MEBI, {0: b"two"})
    done = subprocess.run(
        ["bmaptool", "copy", "--bmap", path, image, tmp_path / "t"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "checksum" in done.stderr


@needs("bmaptool")
def test_we_read_a_map_that_bmaptool_made(tmp_path: Path) -> None:
    image = write_sparse(tmp_path / "a.img", 3 * MEBI, {0: b"one", 2 * MEBI: b"two"})
    call("bmaptool", "create", "-o", tmp_path / "a.bmap", image)
    read = bmap.read(tmp_path / "a.bmap")
    assert read.image_size == 3 * MEBI
    assert all(part.sha256 for part in read.ranges)


GOOD = bmap.render(Bmap(3 * BLOCK, BLOCK, (Range(0, 0, "a" * 64), Range(2, 2, "b" * 64))))


def signed(text: str) -> str:
    """The text of a map with the checksum that belongs to it."""
    import hashlib
    import re

    blank = re.sub(r"(<BmapFileChecksum>) \w+", rf"\1 {'0' * 64}", text)
    return blank.replace("0" * 64, hashlib.sha256(blank.encode()).hexdigest(), 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not XML"),
        ("<bmap", "not XML"),
        ("<other/>", "not a block map of format 2"),
        (GOOD.replace('version="2.0"', 'version="1.3"'), "not a block map of format 2"),
        (GOOD.replace("0 </Range>", "1 </Range>"), "damaged"),
        (signed(GOOD.replace(" sha256 ", " md5 ")), "checksums of type md5"),
        (signed(GOOD.replace("<ImageSize> 12288 </ImageSize>", "")), "ImageSize is missing"),
        (signed(GOOD.replace(" 12288 ", " -1 ")), "ImageSize is not a number"),
        (signed(GOOD.replace("> 0 </Range>", "> x </Range>")), "not a range of blocks"),
        (signed(GOOD.replace("> 0 </Range>", "> 2 </Range>")), "out of order"),
        (signed(GOOD.replace("> 2 </Range>", "> 3 </Range>")), "beyond the image"),
        (signed(GOOD.replace("<MappedBlocksCount> 2", "<MappedBlocksCount> 3")), "contradict"),
        (signed(GOOD.replace("<BlockSize> 4096", "<BlockSize> 4095")), "impossible sizes"),
    ],
)
def test_a_bad_map_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.bmap"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        bmap.read(path)
    assert str(path) in str(caught.value)


def test_a_map_or_image_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the block map"):
        bmap.read(tmp_path / "none.bmap")
    with pytest.raises(InputError, match="no such image"):
        bmap.create(tmp_path / "none.img")
    with pytest.raises(InputError, match="empty"):
        bmap.create(write_sparse(tmp_path / "empty.img", 0, {}))


def test_the_map_beside_an_image_is_found(tmp_path: Path) -> None:
    assert bmap.beside(tmp_path / "a.img.xz") is None
    (tmp_path / "a.img.bmap").write_text(GOOD)
    assert bmap.beside(tmp_path / "a.img.xz") == tmp_path / "a.img.bmap"
    assert bmap.beside(tmp_path / "a.img") == tmp_path / "a.img.bmap"

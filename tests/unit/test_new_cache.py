"""A cache that nobody has used: what asks it first makes it, and what only looks finds nothing there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagebuilder.cache import Cache
from imagebuilder.indexes import debian_sources
from tests.lab.daemontree import FAR_SIDE
from tests.lab.processes import LabError

ASKED = """\
#!/bin/sh
# mmdebstrap that gives its sources to the hook and ends as that does.
for word; do case $word in --setup-hook=*) hook=${word#--setup-hook=} ;; esac; root=$word; done
mkdir -p "$root/etc/apt" && [ -z "$(ls "$root/etc/apt")" ] || { echo "E: $root is not mine alone"; exit 1; }
echo 'deb http://archive.example/debian trixie main' > "$root/etc/apt/sources.list"
echo 'deb http://archive.example/security trixie-security main' >> "$root/etc/apt/sources.list"
sh -c "$hook" exec "$root"
"""


@pytest.fixture
def fake_mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts an mmdebstrap that knows two sources on the path."""
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text(ASKED)
    program.chmod(0o755)
    return lambda: monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def test_several_may_ask_a_new_cache_for_its_sources_at_once(
    tmp_path: Path, fake_mmdebstrap: Callable[[], None]
) -> None:
    fake_mmdebstrap()
    cache = Cache(tmp_path / "new/cache")
    with ThreadPoolExecutor(4) as crowd:
        asked = [crowd.submit(debian_sources, cache, "trixie", ("main",), None, None) for _ in range(4)]
    for one in asked:
        assert [source.suite for source in one.result()] == ["trixie", "trixie-security"]
    assert {path.name for path in cache.indexes.iterdir()} == {"asking.lock", "mmdebstrap-trixie.list"}


def test_looking_for_the_tests_programs_in_a_new_cache_asks_nobody_and_says_how_to_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no program to ask
    with pytest.raises(LabError, match=r"not in the cache: \.venv/bin/python -m tests\.lab\.daemontree"):
        FAR_SIDE.find(Cache(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_programs_that_cannot_be_fetched_are_told_in_one_line_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MOJOMAIL_CACHE", str(tmp_path / "new"))
    with pytest.raises(LabError) as told:
        FAR_SIDE.ensure()
    (line,) = str(told.value).splitlines()
    assert "program not found" in line and "make setup" in line

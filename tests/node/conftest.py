"""Programs of the node for its own tests: Debian's packages of this machine's architecture, unpacked into the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.lab.authority import Authority
from tests.node.cell import prepare
from tests.node.far import FarAccount, FarSide
from tests.node.nodetree import ensure_tree

NUMBERS = pytest.StashKey[Iterator[int]]()


@pytest.fixture(scope="session")
def tree() -> Path:
    """The tree of programs; MOJOMAIL_NODE_TREE names one that was made otherwise."""
    given = os.environ.get("MOJOMAIL_NODE_TREE")
    if not given:
        return ensure_tree()
    prepare(Path(given))
    return Path(given)


@pytest.fixture(scope="session")
def far_side(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSide]:
    """A provider whose certificate names it in subjectAltName alone (F6), unless told otherwise."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    made = FarSide(tree, tmp_path_factory.mktemp("far"), authority)
    yield made
    made.close()


@pytest.fixture
def account(far_side: FarSide, request: pytest.FixtureRequest) -> FarAccount:
    """An account of its own for each test."""
    numbers = request.session.stash.setdefault(NUMBERS, count(1))
    return FarAccount(far_side, next(numbers))

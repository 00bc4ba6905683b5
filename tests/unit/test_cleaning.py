"""`build.py clean` also frees what lies in the cache for builds that are made twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.cache import Cache
from imagebuilder.cleaning import clean_cache
from imagebuilder.layers import Inputs, LayerStore


def a_layer_in(cache: Cache) -> Path:
    """A finished layer that no build names any more."""
    cache.create()
    store, inputs = LayerStore(cache.layers), Inputs("stage/step", {"files": "one"})
    (store.begin(inputs) / "tree.0").mkdir()
    (store.partial(inputs.id) / "tree.0/file").write_text("content")
    store.finish(inputs, None, 1.0)
    return cache.layers / inputs.id


@pytest.mark.parametrize("how", ["prune", "layers", "everything"])
def test_both_caches_are_cleaned(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    cache = Cache(tmp_path / "cache")
    layers = [a_layer_in(cache), a_layer_in(cache.twice)]
    clean_cache(cache, prune=False, layers=False, everything=False)
    assert all(layer.exists() for layer in layers)
    assert str(cache.twice.path) in capsys.readouterr().out, "what it holds is told"
    clean_cache(cache, **{**dict.fromkeys(("prune", "layers", "everything"), False), how: True})
    assert not any(layer.exists() for layer in layers)

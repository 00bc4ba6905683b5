"""What the cache holds, and what of it no build needs any more."""

from __future__ import annotations

from pathlib import Path

from . import namespace
from .cache import Cache
from .layers import LayerStore, remove_tree, tree_size
from .plan import read_heads
from .progress import Progress, note, showing
from .report import format_bytes


def clean_cache(cache: Cache, *, prune: bool, layers: bool, everything: bool) -> int:
    with showing(Progress()), cache.locked():
        store = LayerStore(cache.layers)
        used = used_layers(store)
        freed = 0
        for entry in sorted(cache.layers.iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                partial = "." in entry.name
                if everything or layers or (prune and (partial or entry.name not in used)):
                    freed += tree_size(entry)
                    (entry / "layer.json").unlink(missing_ok=True)
                    remove_tree(entry)
        if everything or layers:
            (cache.layers / "heads.json").unlink(missing_ok=True)
        newest = max(cache.tools.iterdir(), key=lambda path: path.stat().st_mtime, default=None)
        victims = [cache.work, cache.images] if (everything or layers) else []
        victims += [cache.debs, cache.indexes, cache.tools, cache.logs, cache.reports] if everything else []
        victims += [path for path in cache.tools.iterdir() if path != newest] if prune and not everything else []
        for path in victims:
            freed += tree_size(path)
            namespace.unmount_below(path)
            remove_tree(path)
        cache.create()
        _show(cache, store)
        if freed:
            print(f"freed {format_bytes(freed)}")
    if cache.twice.path.is_dir():
        return clean_cache(cache.twice, prune=prune, layers=layers, everything=everything)
    return 0


def used_layers(store: LayerStore) -> set[str]:
    """Layers of the last build of each stage, and seals on top of them."""
    used: set[str] = set()
    for name, top in read_heads(store).items():
        if not Path(name.partition(" ")[2]).is_dir():
            continue  # the stage is gone: a temporary project's, or a checkout that was removed
        try:
            used |= {layer.id for layer in store.chain(top)}
        except KeyError:
            continue
    for layer in store.all():
        if layer.base in used and layer.name in ("packages", "seal"):
            used.add(layer.id)
    for layer in store.all():
        if layer.base in used and layer.name == "seal":
            used.add(layer.id)
    return used


def _show(cache: Cache, store: LayerStore) -> None:
    layers = store.all()
    used = used_layers(store)
    unused = [layer for layer in layers if layer.id not in used]
    failed = list(cache.layers.glob("*.partial"))
    print(f"{cache.path}")
    print(
        f"  layers      {format_bytes(sum(layer.size for layer in layers)):>10}  {len(layers)} layers, "
        f"{len(unused)} of older builds ({format_bytes(sum(layer.size for layer in unused))}), {len(failed)} unfinished"
    )
    for name, path in (
        ("packages", cache.debs),
        ("indexes", cache.indexes),
        ("tools", cache.tools),
        ("images", cache.images),
        ("logs", cache.logs),
    ):
        print(f"  {name:<11} {format_bytes(tree_size(path)):>10}  {path}")


def remind_of_old_layers(store: LayerStore, limit: int = 3_000_000_000) -> None:
    used = used_layers(store)
    size = sum(layer.size for layer in store.all() if layer.id not in used)
    if size > limit:
        note(f"the cache holds {format_bytes(size)} of older builds; './build.py clean --prune' frees it")

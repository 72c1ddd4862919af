"""similar-items: what stands near an item, by who took it, by its text, and by whom it is for.

For a person who wants to see what the vectors of a night mean: als factors, text vectors, aligned vectors.
"""

import difflib
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read
from feature_store.tables import TABLES
from jobs.night_accounts import aligned as as_table

HEADINGS = ("rank", "item", "title", "score", "taken alike", "text alike", "wanted alike")
# Cosines that agree to so many decimals are a tie, and go by item.
_DECIMALS = 6
_NAMED = 3
_SPACES = (("item_factors", "factors"), ("item_embeddings", "embedding"), ("aligned_items", "wanted"))


@dataclass(frozen=True)
class Neighbour:
    """An item near another: the mean of its cosines, and each of them; None where a vector is missing."""

    item_id: str
    title: str
    score: float
    taken: float | None
    text: float | None
    wanted: float | None


def similar_items(store: Store, ds: date, item_id: str, top: int) -> str:
    """The `top` nearest items as a table for people."""
    found = neighbours(store, ds, item_id, top)
    rows = [
        (f"{rank}", n.item_id, n.title[:60], f"{n.score:.3f}", _said(n.taken), _said(n.text), _said(n.wanted))
        for rank, n in enumerate(found, 1)
    ]
    return as_table(HEADINGS, rows, left=3)


def neighbours(store: Store, ds: date, item_id: str, top: int) -> list[Neighbour]:
    """The `top` items with the largest mean cosine, best first, ties by item.

    NightmillError where the night is not published, the item is unknown, or has no vector.
    """
    titles = _titles(store, ds, item_id)
    spaces = [
        _cosines(_rows(store, table, ds, ["item_id", column]), column, item_id) for table, column in _SPACES
    ]
    if not any(spaces):
        raise NightmillError(
            f"{item_id} has neither factors nor a text vector on {ds}: nobody took it, and it has no text"
        )
    found = []
    for other in set().union(*spaces) & titles.keys() - {item_id}:
        cosines = [space[other] for space in spaces if other in space]
        score = round(sum(cosines) / len(cosines), _DECIMALS)
        found.append(Neighbour(other, titles[other], score, *(space.get(other) for space in spaces)))
    return sorted(found, key=lambda n: (-n.score, n.item_id))[:top]


def _titles(store: Store, ds: date, item_id: str) -> dict[str, str]:
    rows = _rows(store, "items", ds, ["item_id", "title"])
    titles = dict(zip(rows["item_id"].to_pylist(), rows["title"].to_pylist(), strict=True))
    if item_id not in titles:
        near = difflib.get_close_matches(item_id, sorted(titles), _NAMED, cutoff=0.0)
        raise NightmillError(
            f"there is no item {item_id!r} in the catalogue of {ds}; nearest ids: {', '.join(near) or 'none'}"
        )
    return titles


def _rows(store: Store, table: str, ds: date, columns: list[str]) -> pa.Table:
    partition = store.published(table, ds)
    if partition is None:
        raise NightmillError(
            f"{table} of {ds} is not published: run `nightmill {TABLES[table].job} --ds {ds}` first"
        )
    return read(table, partition.files, columns)


def _cosines(rows: pa.Table, column: str, item_id: str) -> dict[str, float]:
    """The cosine of each item's vector and that of `item_id`; empty where it has none."""
    ids = rows["item_id"].to_pylist()
    if item_id not in ids:
        return {}
    flat = rows[column].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    vectors = flat.reshape(len(ids), -1)
    lengths = np.linalg.norm(vectors, axis=1)
    at = ids.index(item_id)
    usable = np.isfinite(lengths) & (lengths > 0)
    if not usable[at]:
        return {}
    units = vectors[usable] / lengths[usable, None]
    found = (units @ (vectors[at] / lengths[at])).round(_DECIMALS)
    return dict(zip(np.array(ids, dtype=object)[usable].tolist(), found.tolist(), strict=True))


def _said(cosine: float | None) -> str:
    return "-" if cosine is None else f"{cosine:.3f}"

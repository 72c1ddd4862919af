"""Categories proposed for items that have none: how often such proposals are right, and some of them."""

from dataclasses import dataclass
from datetime import date
from math import floor
from typing import Any

import duckdb

from feature_store.partitions import Store

SHOWN = 10


@dataclass(frozen=True)
class Proposed:
    """One proposal."""

    title: str
    category: str
    confidence: float


@dataclass(frozen=True)
class Categories:
    """A night's proposals.

    checks: items with known categories that vote and model were tried on. right: how many of them by whom,
    most first. withheld: items for which nobody was sure enough. low: so large a share is right at least.
    """

    count: int
    withheld: int
    checks: int
    right: list[tuple[str, int]]
    low: float | None
    shown: list[Proposed]


def categories(store: Store, ds: date) -> Categories | None:
    """What a night proposed; None where there was nothing to propose a category for."""
    partition = store.published("item_categories_proposed", ds)
    said: dict[str, Any] = partition.manifest["provenance"].get("category_checks", {}) if partition else {}
    if partition is None or not said:
        return None
    right = {"always the most common category": said["most_common_right"]}
    right |= {f"the {name}": said[name]["right"] for name in ("vote", "model") if name in said}
    bar = said[said["published"]]["bar"] if said["published"] in said else None
    return Categories(
        count=partition.manifest["rows"]["written"],
        withheld=partition.manifest["counts"]["withheld"],
        checks=said["items"],
        right=sorted(right.items(), key=lambda pair: (-pair[1], pair[0])),
        low=floor(100 * bar["low"]) / 100 if bar else None,
        shown=_shown(store, ds),
    )


def _shown(store: Store, ds: date) -> list[Proposed]:
    """The surest proposals."""
    proposed, items = store.published("item_categories_proposed", ds), store.published("items", ds)
    if proposed is None or items is None or not proposed.files:
        return []
    query = """
        SELECT title, llm_category, confidence
        FROM read_parquet($proposed) proposed JOIN read_parquet($items) items USING (item_id)
        ORDER BY confidence DESC, item_id LIMIT $count
    """
    files = {
        name: [str(f) for f in partition.files]
        for name, partition in (("proposed", proposed), ("items", items))
    }
    with duckdb.connect() as connection:
        return [Proposed(*row) for row in connection.execute(query, files | {"count": SHOWN}).fetchall()]

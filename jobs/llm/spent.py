"""What the answers behind published rows cost when they were given, whichever night asked for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow.parquet as pq

from feature_store.catalog import generations_view, without_damaged
from feature_store.partitions import Store
from feature_store.sections import Price


class Spent(NamedTuple):
    """Tokens read and written, seconds of the model, and the price (0 where no price is known)."""

    tokens: int
    seconds: float
    cost: float


def spent(store: Store, files: Sequence[Path], price: Price) -> Spent:
    """The sum over the distinct answers that the rows of some Parquet files name by any generation_key."""
    keys: set[str] = set()
    for file in files:
        named = [name for name in pq.read_schema(file).names if name.endswith("generation_key")]
        rows = pq.read_table(file, columns=named, partitioning=None)
        keys.update(key for column in rows.columns for key in column.to_pylist() if key)
    if not keys:
        return Spent(0, 0.0, 0.0)
    return without_damaged(store, lambda: _sum(store, sorted(keys), price))


def _sum(store: Store, keys: Sequence[str], price: Price) -> Spent:
    query = """
        SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),
               coalesce(sum(output_tokens), 0), coalesce(sum(seconds), 0.0)
        FROM (SELECT DISTINCT ON (key) * FROM generations WHERE key IN (SELECT unnest($keys)))
    """
    with duckdb.connect() as connection:
        connection.execute(generations_view(store))
        ((read, cached, written, seconds),) = connection.execute(query, {"keys": list(keys)}).fetchall()
    paid = (read - cached) * price.read + cached * price.cached + written * price.written
    return Spent(int(read + written), float(seconds), float(paid) / 1e6)

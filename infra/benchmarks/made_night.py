"""A made-up night as large as wanted: what recommend reads, for users and items of power-law activity.

Everything is drawn from one seed, block by block, so that making it takes little memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store.contract import FLAG, INTEGER, NUMBER, NUMBERS, TEXT, TEXTS, VECTOR, Column
from feature_store.partitions import Partition, Store
from feature_store.tables import CHANNELS, TABLES

DS = date(2026, 6, 30)
AS_OF = datetime(2026, 7, 1, tzinfo=UTC)
RUN = "made"
SEED = 7
_BLOCK = 65_536
_WIDTH = 384
_DAYS = 29
# Words of each kind, and how many of them a row has.
_WORDS = {
    "categories": (500, 3),
    "user_category_names_90d": (500, 10),
    "user_category_shares_90d": (0, 10),
    "user_brand_names_90d": (300, 5),
    "user_brand_shares_90d": (0, 5),
    "llm_tags": (200, 5),
    "llm_interests": (200, 5),
    "llm_recent_tags": (200, 20),
    "user_recent_items_90d": (0, 10),
}


@dataclass(frozen=True)
class Scale:
    """How large: users, items, events, and candidates of each user."""

    users: int
    items: int
    events: int
    candidates: int


def ids(kind: str, codes: NDArray[np.integer]) -> pa.Array:
    """Names whose order is that of their codes."""
    return pa.array(np.char.add(f"{kind}-", np.char.zfill(codes.astype(str), 7)).tolist(), pa.string())


def events(scale: Scale) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The user and the item of each event: one event for each user first, the others by a power law."""
    draw = np.random.default_rng(SEED)
    users = (scale.users * draw.random(scale.events, dtype=np.float32) ** 1.5).astype(np.int32)
    first = min(scale.users, scale.events)
    users[:first] = np.arange(first)
    items = np.exp(draw.random(scale.events, dtype=np.float32) * np.log(scale.items)).astype(np.int32) - 1
    return np.minimum(users, scale.users - 1), np.minimum(items, scale.items - 1)


def write(root: Path, scale: Scale) -> None:
    """Every table of the night but candidates and rankers."""
    users, items = events(scale)
    names = ids("user", np.arange(scale.users)), ids("item", np.arange(scale.items))
    draw = np.random.default_rng(SEED + 1)

    def interactions(start: int, end: int) -> dict[str, Any]:
        ages = draw.random(end - start) * _DAYS * 86_400_000_000
        times = int(AS_OF.timestamp() * 1_000_000) - 1 - ages.astype(np.int64)
        return {
            "user_id": names[0].take(pa.array(users[start:end])),
            "item_id": names[1].take(pa.array(items[start:end])),
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
        }

    write_table(root, "interactions", scale.events, interactions, draw)
    for table, key, entity in (
        ("items", "item_id", 1),
        ("item_features", "item_id", 1),
        ("item_embeddings", "item_id", 1),
        ("user_features", "user_id", 0),
        ("user_embeddings", "user_id", 0),
    ):
        count = (scale.users, scale.items)[entity]

        def columns(start: int, end: int, key: str = key, entity: int = entity) -> dict[str, Any]:
            recent = names[1].take(pa.array(draw.integers(0, scale.items, 10 * (end - start))))
            found: dict[str, Any] = {key: names[entity].slice(start, end - start)}
            return found | ({} if entity else {"user_recent_items_90d": _lists(recent, 10)})

        write_table(root, table, count, columns, draw)


def write_candidates(
    root: Path, proposed: NDArray[np.int32], scores: NDArray[np.float64], items: int
) -> None:
    """The candidates of each user, in the order of als; the other channels proposed some of them.

    proposed, scores: shape (users, candidates).
    """
    users, each = proposed.shape
    names = ids("user", np.arange(users)), ids("item", np.arange(items))
    draw = np.random.default_rng(SEED + 2)
    size = max(1, _BLOCK // each) * each

    def columns(start: int, end: int) -> dict[str, Any]:
        ranks = np.arange(start, end) % each + 1
        found: dict[str, Any] = {
            "user_id": names[0].take(pa.array(np.arange(start, end) // each)),
            "item_id": names[1].take(pa.array(proposed.reshape(-1)[start:end])),
            "score": pa.array(60 / (60 + ranks)),
            "rank": pa.array(ranks),
            "channels": _lists(pa.array(["als"] * (end - start)), 1),
            "als_rank": pa.array(ranks),
            "als_score": pa.array(scores.reshape(-1)[start:end]),
        }
        for channel in CHANNELS[1:]:
            absent = draw.random(end - start) < 0.7
            found[f"{channel}_rank"] = pa.array(draw.integers(1, each + 1, end - start), mask=absent)
            found[f"{channel}_score"] = pa.array(draw.random(end - start), mask=absent)
        return found

    write_table(root, "candidates", users * each, columns, draw, size)


def inputs(root: Path, *more: str) -> dict[str, list[Partition]]:
    """The partitions of the night, as a job gets them."""
    tables = ("interactions", "items", "item_features", "user_features", "item_embeddings", "user_embeddings")
    return {table: [Partition(table, DS, RUN, _folder(root, table), "made")] for table in (*tables, *more)}


def write_row(root: Path, table: str, row: dict[str, Any]) -> None:
    """A table of one row; what is not given is null or empty."""
    draw = np.random.default_rng(0)
    given = {name: pa.array([value], TABLES[table].schema.field(name).type) for name, value in row.items()}
    write_table(root, table, 1, lambda start, end: given, draw)


def _folder(root: Path, table: str) -> Path:
    return Store(root).run_folder(table, DS, RUN)


def write_table(
    root: Path,
    table: str,
    count: int,
    given: Callable[[int, int], dict[str, Any]],
    draw: np.random.Generator,
    size: int = _BLOCK,
) -> None:
    """Write a table block by block; columns that are not given are drawn, others are left out."""
    folder = _folder(root, table)
    folder.mkdir(parents=True, exist_ok=True)
    contract = TABLES[table]
    schema = pa.schema([field.with_nullable(True) for field in contract.schema])
    times = ("as_of", "known_at", "generated_at", "ingested_at")
    same: dict[str, Any] = dict.fromkeys(times, AS_OF)
    same |= {"ds": DS, "run_id": RUN}
    with pq.ParquetWriter(folder / "part-00000.parquet", schema, compression="zstd") as file:
        for start, end in _blocks(count, size):
            found = given(start, end)
            rows = end - start
            for field in schema:
                if field.name in same:
                    found[field.name] = pa.repeat(pa.scalar(same[field.name], field.type), rows)
            for column in contract.columns:
                if column.name not in found:
                    found[column.name] = _drawn(column, rows, draw)
            columns = [found.get(f.name, pa.nulls(rows, f.type)) for f in schema]
            file.write_table(pa.table([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema))


def _blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, size):
        yield start, min(count, start + size)


def _lists(values: pa.Array, each: int) -> pa.Array:
    offsets = np.arange(0, len(values) + 1, each, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _drawn(column: Column, rows: int, draw: np.random.Generator) -> pa.Array:
    """Values a column may have."""
    kinds, each = _WORDS.get(column.name, (1, 1))
    if column.type == VECTOR:
        vectors = draw.standard_normal((rows, _WIDTH), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return _lists(pa.array(vectors.ravel()), _WIDTH)
    if column.type in (TEXTS, NUMBERS):
        if column.type == NUMBERS:
            return _lists(pa.array(draw.random(rows * each) / each), each)
        words = pa.array([f"word-{n}" for n in range(kinds)])
        return _lists(words.take(pa.array(draw.integers(0, kinds, rows * each))), each)
    if column.type == FLAG:
        return pa.array(draw.random(rows) < 0.9)
    if column.type == INTEGER:
        return pa.array(draw.integers(0, 100, rows))
    if column.type == NUMBER:
        return pa.array(draw.random(rows))
    if column.type == TEXT and column.name == "brand":
        brands = pa.array([f"word-{n}" for n in range(300)])
        return brands.take(pa.array(draw.integers(0, 300, rows)))
    return pa.repeat(pa.scalar("", TEXT), rows) if column.type == TEXT else pa.nulls(rows, column.type)

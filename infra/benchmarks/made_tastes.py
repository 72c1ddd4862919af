"""A made-up shop in which texts say something of who takes what: what aligning is measured on.

Items have topics, users have three each, and most of what a user takes is of these; a topic's items have
vectors around one point, and its words for categories and tags. Within a topic, as between users, a few have
most of the events. Everything is drawn from one seed.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from feature_store.partitions import Partition, Store
from infra.benchmarks.made_night import AS_OF, DS, RUN, SEED, ids, write_table
from jobs.recommender.history import Codes, Floats

TABLES = ("interactions", "items", "item_profiles", "item_embeddings")
_TOPICS, _OF_A_USER = 200, 3
_OWN = 0.8  # share of a user's events that are of the user's topics
_WIDTH, _NOISE = 384, 0.7
_DAYS = 90
_BLOCK = 65_536


class Scale(NamedTuple):
    """How large."""

    users: int
    items: int
    events: int


class Tastes(NamedTuple):
    """The topic of each item, and the user and the item of each event."""

    topics: Codes
    users: Codes
    items: Codes


def tastes(scale: Scale) -> Tastes:
    """Draw who takes what; each user has an event at least, where there are as many."""
    draw = np.random.default_rng(SEED)
    count = min(_TOPICS, scale.items)
    topics = np.sort(draw.integers(0, count, scale.items)).astype(np.int32)
    own = draw.integers(0, count, (scale.users, _OF_A_USER))
    users = (scale.users * draw.random(scale.events) ** 1.5).astype(np.int32)
    first = min(scale.users, scale.events)
    users[:first] = np.arange(first)
    wanted = own[users, draw.integers(0, _OF_A_USER, scale.events)]
    elsewhere = draw.random(scale.events) > _OWN
    wanted[elsewhere] = draw.integers(0, count, int(elsewhere.sum()))
    starts, ends = (np.searchsorted(topics, np.arange(count), side=side) for side in ("left", "right"))
    sizes = np.maximum(ends - starts, 1)[wanted]
    items = starts[wanted] + (sizes * draw.random(scale.events) ** 2).astype(np.int64)
    return Tastes(topics, users, np.minimum(items, scale.items - 1).astype(np.int32))


def vectors(topics: Codes) -> Floats:
    """Vectors of length one around a point for each topic: shape (items, 384)."""
    draw = np.random.default_rng(SEED + 1)
    points = _unit(draw.standard_normal((int(topics.max()) + 1, _WIDTH)))
    noise = _unit(draw.standard_normal((len(topics), _WIDTH)))
    return _unit(points[topics] + _NOISE * noise).astype(np.float32)


def write(root: Path, scale: Scale) -> None:
    """Write TABLES of the night."""
    made, draw = tastes(scale), np.random.default_rng(SEED + 2)
    names = ids("user", np.arange(scale.users)), ids("item", np.arange(scale.items))
    matrix = vectors(made.topics)
    words = pa.array([f"topic-{n}" for n in range(int(made.topics.max()) + 1)])

    def events(start: int, end: int) -> dict[str, Any]:
        ages = draw.random(end - start) * _DAYS * 86_400_000_000
        times = int(AS_OF.timestamp() * 1_000_000) - 1 - ages.astype(np.int64)
        return {
            "user_id": names[0].take(pa.array(made.users[start:end])),
            "item_id": names[1].take(pa.array(made.items[start:end])),
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
        }

    def items(start: int, end: int) -> dict[str, Any]:
        own = _each(words.take(pa.array(made.topics[start:end])), 1)
        flat = _each(pa.array(matrix[start:end].ravel()), _WIDTH)
        given = {"categories": own, "llm_tags": own, "embedding": flat}
        given["attributes"] = pa.repeat("{}", end - start)
        return {"item_id": names[1].slice(start, end - start), **given}

    for table in TABLES:
        rows, columns = (scale.events, events) if table == "interactions" else (scale.items, items)
        write_table(root, table, rows, columns, draw, _BLOCK)


def partitions(root: Path) -> dict[str, list[Partition]]:
    """What `write` wrote, as a job gets it."""
    folder = Store(root).run_folder
    return {table: [Partition(table, DS, RUN, folder(table, DS, RUN), "made")] for table in TABLES}


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _each(values: pa.Array, each: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(values) + 1, each, dtype=np.int32)), values)

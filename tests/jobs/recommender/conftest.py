"""Histories small enough to read by eye."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from feature_store.contract import TIME
from feature_store.tables import TABLES
from jobs.recommender.groups import FEATURES
from jobs.recommender.history import History, encode

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
# user, item, days before AS_OF, weight
Event = tuple[str, str, float, float]


def make_history(events: Sequence[Event], catalogue: Sequence[str]) -> History:
    """The history of these events as of AS_OF; codes follow the sorted ids."""
    users, items, ages, weights = zip(*events, strict=True) if events else ((), (), (), ())
    rows = pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "event_time": pa.array([AS_OF - timedelta(days=age) for age in ages], TIME),
            "weight": pa.array(weights, pa.float64()),
        }
    )
    return encode(rows, pa.chunked_array([pa.array(catalogue, pa.string())]), AS_OF)


@pytest.fixture
def history() -> Callable[[Sequence[Event], Sequence[str]], History]:
    """`history(events, catalogue)`."""
    return make_history


def query_table(rows):
    """A training set without features, of rows (user, item, window, label, relevant_count)."""
    return pa.table(
        {
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "query_time": pa.array(
                [datetime(*row[2].timetuple()[:3], 12, tzinfo=UTC) for row in rows], pa.timestamp("us", "UTC")
            ),
            "window": pa.array([row[2] for row in rows], pa.date32()),
            "label": pa.array([row[3] for row in rows], pa.int64()),
            "relevant_count": pa.array([row[4] for row in rows], pa.int64()),
        }
    )


@pytest.fixture(scope="session")
def table():
    """`table(rows)`: see query_table."""
    return query_table


START = datetime(2026, 1, 1, tzinfo=UTC)
FLAGS = {column.name for column in TABLES["training_set"].columns if column.type == pa.bool_()}


def make_training_rows(groups, days=4, rows=10, seed=0):
    """Each query has one positive, the item with the largest cosine; other features are constant or null."""
    generator = np.random.default_rng(seed)
    schema = TABLES["training_set"].schema
    names = ["user_id", "item_id", "query_time", "window", "label", "relevant_count", *FEATURES]
    found = []
    for group in range(groups):
        cosines = generator.random(rows)
        moment = START + timedelta(days=group % days)
        for place, cosine in enumerate(cosines):
            blank = {name: name in FLAGS if not schema.field(name).nullable else None for name in FEATURES}
            found.append(
                blank
                | {
                    "user_id": f"u{group:03}",
                    "item_id": f"i{place}",
                    "query_time": moment,
                    "window": moment.date(),
                    "label": int(cosine == cosines.max()),
                    "relevant_count": 1,
                    "als_rank": 1,
                    "llm_pair_embedding_similarity": cosine,
                }
            )
    return pa.Table.from_pylist(found, pa.schema([schema.field(name) for name in names]))


@pytest.fixture(scope="session")
def training_rows():
    """`training_rows(groups, days=4, rows=10, seed=0)`."""
    return make_training_rows

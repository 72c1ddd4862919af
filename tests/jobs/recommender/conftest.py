"""Histories small enough to read by eye."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from feature_store.contract import TIME
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

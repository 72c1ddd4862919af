"""What a user liked last, how often an item was taken, which items are cold."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.tables import TABLES
from jobs.history import History, cold_items, event_counts, recent_items, taken_items, users_with_few

AS_OF = datetime(1998, 1, 3, tzinfo=UTC)
Event = tuple[str, str, int, float]  # user, item, hours before as_of, weight


@pytest.fixture
def write(tmp_path: Path):
    def write_events(events: Sequence[Event]) -> list[Path]:
        rows = [
            {
                "user_id": user,
                "item_id": item,
                "event_time": AS_OF - timedelta(hours=hours),
                "event_type": "rating",
                "weight": weight,
                "ds": (AS_OF - timedelta(hours=hours)).date(),
                "ingested_at": AS_OF,
            }
            for user, item, hours, weight in events
        ]
        pq.write_table(pa.Table.from_pylist(rows, TABLES["interactions"].schema), tmp_path / "e.parquet")
        return [tmp_path / "e.parquet"]

    return write_events


def test_history_is_what_was_liked_last_oldest_first(write) -> None:
    # ann's mean is 3: the 1 is not liked; the third liked item back is beyond `last`
    files = write(
        [
            ("ann", "old", 9, 4.0),
            ("ann", "b", 8, 4.0),
            ("ann", "bad", 7, 1.0),
            ("ann", "a", 6, 3.0),
            ("bob", "x", 2, 1.0),
        ]
    )
    assert recent_items(files, AS_OF, last=2) == [
        History("bob", ("x",), AS_OF - timedelta(hours=2)),
        History("ann", ("b", "a"), AS_OF - timedelta(hours=6)),
    ]


def test_newest_is_the_newest_event_liked_or_not(write) -> None:
    (history,) = recent_items(write([("ann", "a", 5, 5.0), ("ann", "b", 1, 1.0)]), AS_OF, last=5)
    assert history == History("ann", ("a",), AS_OF - timedelta(hours=1))


def test_nothing_at_or_after_as_of_is_read(write) -> None:
    files = write([("ann", "past", 1, 1.0), ("ann", "now", 0, 1.0), ("bob", "future", -1, 5.0)])
    assert [h.item_ids for h in recent_items(files, AS_OF, last=5)] == [("past",)]
    assert event_counts(files, AS_OF) == {"past": 1}


def test_an_item_taken_twice_is_one_item(write) -> None:
    files = write([("ann", "a", 5, 1.0), ("ann", "b", 4, 1.0), ("ann", "a", 3, 1.0)])
    assert recent_items(files, AS_OF, last=5)[0].item_ids == ("b", "a")
    assert event_counts(files, AS_OF) == {"a": 2, "b": 1}


def test_without_files_there_is_nothing() -> None:
    assert recent_items([], AS_OF, last=5) == []
    assert event_counts([], AS_OF) == {}


def test_cold_items_are_the_same_ones_however_the_catalogue_is_ordered() -> None:
    counts = {"a": 4, "b": 3}
    chosen = cold_items(["a", "b", "c", "d"], counts, max_events=3, limit=2)
    assert set(chosen) < {"b", "c", "d"}
    assert cold_items(["d", "c", "b", "a"], counts, max_events=3, limit=2) == chosen
    assert set(cold_items(["a", "b", "c", "d"], counts, max_events=3, limit=9)) == {"b", "c", "d"}


def test_taken_is_everything_of_the_users_asked_about_liked_or_not_before_as_of(write) -> None:
    files = write(
        [("ann", "a", 9, 5.0), ("ann", "bad", 8, -1.0), ("ann", "later", 0, 5.0), ("bob", "b", 1, 1.0)]
    )
    assert taken_items(files, AS_OF, ["ann", "nobody"]) == {"ann": {"a", "bad"}, "nobody": set()}
    assert taken_items([], AS_OF, ["ann"]) == {"ann": set()}


def test_users_with_few_events_have_one_at_least_and_do_not_know_of_what_comes_later(write) -> None:
    events = [
        ("ann", "a", 9, 1.0),
        ("ann", "b", 0, 1.0),
        ("bob", "a", 9, 1.0),
        ("bob", "a", 8, 1.0),
        ("eve", "a", 0, 1.0),
    ]
    files = write(events)
    assert users_with_few(files, AS_OF, 1) == {"ann"}
    assert users_with_few(files, AS_OF, 2) == {"ann", "bob"}

"""Events by the night that knows them first, in cases small enough to do by hand."""

from datetime import UTC, date, datetime

import pyarrow as pa

from feature_store.contract import TIME
from jobs.arrivals import by_day, seen, split, unknown

ROWS = [("ann", "a", 1, "buy"), ("ann", "a", 1, "view"), ("bob", "b", 2, "buy")]


def _events(rows):
    users, items, days, types = zip(*rows, strict=True) if rows else ([],) * 4
    times = [datetime(2020, 1, day, 12, tzinfo=UTC) for day in days]
    columns = {"user_id": users, "item_id": items, "event_time": times, "event_type": types}
    types_of = {"user_id": pa.string(), "item_id": pa.string(), "event_time": TIME, "event_type": pa.string()}
    weights = pa.array([1.0] * len(rows), pa.float64())
    return pa.table({n: pa.array(v, types_of[n]) for n, v in columns.items()} | {"weight": weights})


def _kinds(events):
    return sorted(zip(events["user_id"].to_pylist(), events["event_type"].to_pylist(), strict=True))


def test_each_day_has_its_events():
    assert {day.day: rows.num_rows for day, rows in by_day(_events(ROWS)).items()} == {1: 2, 2: 1}
    assert by_day(_events([])) == {}


def test_a_closed_day_is_closed_with_all_before_it():
    behind, ahead = split(_events(ROWS), date(2020, 1, 1))
    assert (_kinds(behind), _kinds(ahead)) == ([("ann", "buy"), ("ann", "view")], [("bob", "buy")])
    behind, ahead = split(_events(ROWS), None)
    assert (behind.num_rows, ahead.num_rows) == (0, 3)


def test_an_event_is_known_by_user_item_time_and_type(partition):
    known = [{"user_id": "ann", "item_id": "a", "event_time": datetime(2020, 1, 1, 12, tzinfo=UTC)}]
    first = partition("interactions", date(2020, 1, 1), [known[0] | {"event_type": "buy", "weight": 9.0}])
    assert _kinds(unknown(_events(ROWS), [first])) == [("ann", "view"), ("bob", "buy")]
    assert unknown(_events(ROWS), []).num_rows == 3


def test_an_event_that_entered_a_later_night_is_known_too(partition):
    late = {"user_id": "bob", "item_id": "b", "event_time": datetime(2020, 1, 2, 12, tzinfo=UTC)}
    night = partition("interactions", date(2020, 1, 9), [late | {"event_type": "buy"}])
    assert _kinds(unknown(_events(ROWS), [night])) == [("ann", "buy"), ("ann", "view")]


def test_who_and_what_was_seen_and_when_last(partition):
    rows = [
        {"user_id": user, "item_id": item, "event_time": datetime(2020, 1, day, tzinfo=UTC)}
        for user, item, day in (("bob", "b", 1), ("ann", "b", 2), ("bob", "a", 3))
    ]
    items, users, newest = seen(partition("interactions", date(2020, 1, 3), rows).files)
    assert (items.to_pylist(), users.to_pylist()) == (["a", "b"], ["ann", "bob"])
    assert newest == datetime(2020, 1, 3, tzinfo=UTC)
    assert seen([])[2] is None

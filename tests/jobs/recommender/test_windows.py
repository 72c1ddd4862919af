from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from feature_store.contract import TIME
from jobs.recommender import windows

END = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
CATALOGUE = pa.chunked_array([["a", "b", "c"]])
EASY = windows.Judging(users=100, min_users=1, active_days=365, repeats=False, seed=1)


def events(*rows):
    """user, item, days before END, weight."""
    users, items, days, weights = zip(*[(*row, 1.0)[:4] for row in rows], strict=True)
    return pa.table(
        {
            "user_id": users,
            "item_id": items,
            "event_time": pa.array([END - timedelta(days=day) for day in days], TIME),
            "weight": pa.array(weights, pa.float64()),
        }
    )


def relevant(window):
    """(user, item) the window holds."""
    users = window.history.user_ids.take(pa.array(window.users)).to_pylist()
    items = window.history.item_ids.to_pylist()
    rows, columns = window.relevant.nonzero()
    return {(users[row], items[column]) for row, column in zip(rows, columns, strict=True)}


def test_a_window_knows_what_came_before_it_and_judges_by_what_came_in_it():
    (window,) = windows.find(
        events(
            ("ann", "a", 8),
            ("ann", "b", 7),  # the first moment of the window
            ("ann", "c", 0),  # the first moment after it
            ("new", "b", 3),  # no history
            ("bob", "a", 9),
            ("bob", "a", 1),  # taken before
            ("cid", "a", 9),
            ("cid", "b", 2, -1.0),  # a return takes nothing
            ("dan", "a", 9),
            ("dan", "gone", 2),  # not in the catalogue
        ),
        CATALOGUE,
        END,
        WEEK,
        EASY,
    )
    assert (window.start, window.stop) == (END - WEEK, END)
    assert relevant(window) == {("ann", "b")}
    assert window.history.newest == END - timedelta(days=8)
    assert window.seen.toarray().tolist() == [[1, 0, 0]]


def test_what_is_taken_again_counts_with_repeats_and_is_not_seen():
    judging = windows.Judging(100, 1, 365, repeats=True, seed=1)
    (window,) = windows.find(events(("bob", "a", 9), ("bob", "a", 1)), CATALOGUE, END, WEEK, judging)
    assert relevant(window) == {("bob", "a")}
    assert not window.seen.nnz


def test_who_is_no_longer_active_is_no_judge():
    judging = windows.Judging(100, 1, 10, repeats=False, seed=1)
    past = events(("ann", "a", 18), ("ann", "b", 1), ("bob", "a", 16), ("bob", "b", 1))
    (window,) = windows.find(past, CATALOGUE, END, WEEK, judging)
    assert relevant(window) == {("bob", "b")}


def test_where_one_window_has_too_few_users_several_are_pooled_the_newest_first():
    judging = windows.Judging(100, 2, 365, repeats=False, seed=1)
    past = events(("ann", "a", 30), ("ann", "b", 1), ("bob", "a", 30), ("bob", "b", 8))
    found = windows.find(past, CATALOGUE, END, WEEK, judging)
    assert [relevant(window) for window in found] == [{("ann", "b")}, {("bob", "b")}]
    assert [window.stop for window in found] == [END, END - WEEK]


def test_where_windows_of_a_length_are_not_enough_they_grow():
    judging = windows.Judging(100, 2, 365, repeats=False, seed=1)
    past = events(("ann", "a", 100), ("ann", "b", 41), ("bob", "a", 100), ("bob", "b", 45))
    found = windows.find(past, CATALOGUE, END, WEEK, judging)
    assert [relevant(window) for window in found] == [{("ann", "b")}, {("bob", "b")}]
    assert {window.stop - window.start for window in found} == {2 * WEEK}
    assert found[-1].start == END - timedelta(days=56)


def test_too_little_of_a_past_has_no_window():
    assert windows.find(events(("ann", "a", 1)), CATALOGUE, END, WEEK, EASY) == []
    assert windows.find(events(("ann", "a", 1)).slice(0, 0), CATALOGUE, END, WEEK, EASY) == []


def test_no_more_users_than_asked_for_the_same_ones_each_time():
    past = events(*[(f"u{n:02}", item, day) for n in range(30) for item, day in (("a", 9), ("b", 1))])
    judging = windows.Judging(5, 2, 365, repeats=False, seed=1)
    once, again = (windows.find(past, CATALOGUE, END, WEEK, judging) for _ in range(2))
    assert [len(window.users) for window in once] == [5]
    np.testing.assert_array_equal(once[0].users, again[0].users)
    assert relevant(
        windows.find(past.take(np.arange(60)[::-1]), CATALOGUE, END, WEEK, judging)[0]
    ) == relevant(once[0])


@pytest.mark.parametrize("most", [100, 500])
def test_a_sample_is_whole_histories_of_about_so_many_events(most):
    past = events(*[(f"u{n:03}", item, 1) for n in range(200) for item in "abc"])
    kept = windows.sample(past, most, seed=3)
    counts = kept.group_by("user_id").aggregate([("item_id", "count")])["item_id_count"].to_pylist()
    assert set(counts) == {3}
    assert 0.6 * most < kept.num_rows < 1.4 * most
    assert kept.equals(windows.sample(past, most, seed=3))
    assert windows.sample(past, 600, seed=3) is past

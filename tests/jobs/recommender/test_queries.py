import math
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.recommender import metrics
from jobs.recommender.queries import matrix, ndcg_at_k, queries

OLD, NEW = date(2026, 1, 1), date(2026, 1, 8)


ROWS = [
    ("bob", "i2", NEW, 0, 1),
    ("ann", "i2", NEW, 1, 3),
    ("ann", "i1", NEW, 0, 3),
    ("ann", "i1", OLD, 1, 1),
    ("ann", "i3", OLD, 0, 1),
    ("bob", "i1", NEW, 0, 1),
]


def test_queries_are_sorted_by_user_time_and_item(table):
    found = queries(table(ROWS))
    assert found.rows["item_id"].to_pylist() == ["i1", "i3", "i1", "i2", "i1", "i2"]
    assert found.sizes.tolist() == [2, 2, 2]
    assert found.relevant.tolist() == [1, 3, 1]
    assert found.newest.tolist() == [False, True, True]
    assert found.starts.tolist() == [0, 2, 4]
    assert len(found.distinct_windows) == 2


def test_only_lists_with_both_kinds_of_labels_can_teach(table):
    assert queries(table(ROWS)).instructive().sizes.tolist() == [2, 2]


def test_rows_that_are_left_out_take_empty_queries_with_them(table):
    found = queries(table(ROWS))
    kept = found.only(np.array([True, False, False, False, True, True]))
    assert (kept.sizes.tolist(), kept.relevant.tolist()) == ([1, 2], [1, 1])


def test_no_rows_are_no_queries(table):
    found = queries(table([]))
    assert len(found.sizes) == len(found.labels) == len(found.instructive().sizes) == 0
    assert found.only(np.zeros(0, dtype=bool)).rows.num_rows == 0


def test_ndcg_by_hand(table):
    """Ann took three items and the list has one of them, in the second place; bob's list has none."""
    found = queries(table(ROWS)).where(np.array([False, True, True]))
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    scores = np.array([2.0, 1.0, 1.0, 2.0])
    assert ndcg_at_k(found, scores).tolist() == pytest.approx([1 / math.log2(3) / ideal, 0])
    # a tie goes to the smaller item
    assert ndcg_at_k(found, np.zeros(4))[0] == pytest.approx(1 / math.log2(3) / ideal)
    assert ndcg_at_k(found, -scores)[0] == pytest.approx(1 / ideal)


def test_of_a_slice_only_its_rows_count_and_only_where_there_are_any(table):
    found = queries(table(ROWS)).where(np.array([False, True, True]))
    second = np.array([False, True, False, True])
    values = ndcg_at_k(found, np.array([2.0, 1.0, 1.0, 2.0]), counted=second)
    assert values[0] == pytest.approx(1 / math.log2(3))
    assert np.isnan(values[1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=12), st.integers(0, 3))
def test_it_is_the_ndcg_of_the_lists(table, rows, beyond):
    """`beyond`: items taken that the list does not have."""
    taken = sum(label for label, _ in rows)
    found = queries(
        table([("ann", f"i{n:02}", NEW, int(label), taken + beyond) for n, (label, _) in enumerate(rows)])
    )
    scores = np.array([float(score) for _, score in rows])
    order = sorted(range(len(rows)), key=lambda n: (-scores[n], n))
    relevant = {f"i{n:02}" for n, (label, _) in enumerate(rows) if label} | {f"x{n}" for n in range(beyond)}
    expected = metrics.ndcg_at_k([[f"i{n:02}" for n in order]], [relevant], 10)
    assert ndcg_at_k(found, scores) == pytest.approx(expected, nan_ok=True)


def test_a_matrix_of_flags_counts_and_nulls():
    rows = pa.table({"flag": [True, False], "count": [3, None]})
    assert np.array_equal(matrix(rows, ("count", "flag")), [[3, 1], [np.nan, 0]], equal_nan=True)
    assert matrix(rows, ()).shape == (2, 0)

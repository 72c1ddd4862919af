import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from jobs.recommender import repeat

from .conftest import make_history

CATALOGUE = ["bread", "milk", "sofa"]


def propose(past, user, n=3, repeats=True):
    code = np.array([past.user_ids.index(user).as_py()], dtype=np.int32)
    nothing = csr_matrix((1, len(past.item_ids)), dtype=np.float32)
    return repeat.fit(past, repeats).recommend(code, n, nothing)


def every(user, item, days, times, first=1.0):
    return [(user, item, first + days * n, 1.0) for n in range(times)]


def test_what_is_bought_more_often_is_due_sooner_and_never_again_comes_last(history):
    events = [*every("ann", "bread", 2, 8), *every("ann", "milk", 7, 3), ("ann", "sofa", 2.0, 1.0)]
    past = history(events, CATALOGUE)
    assert propose(past, "ann").items.tolist() == [[0, 1, 2]]


def test_an_item_waits_until_it_is_due(history):
    """Both have milk every seven days; ann's last was yesterday, bob's a week ago."""
    events = [*every("ann", "milk", 7, 4, first=1.0), *every("bob", "milk", 7, 4, first=7.0)]
    past = history(events, CATALOGUE)
    assert propose(past, "bob", 1).scores[0, 0] > propose(past, "ann", 1).scores[0, 0]


def test_the_rate_by_hand(history):
    """One item, two users: ann on days 1, 3 and 5 before as_of, bob once, on day 3.

    Intervals: 4 days over 2 gaps, so 2 days, for the item as for all. Taken again by 1 user of 2: one half.
    """
    events = [("ann", "milk", day, 1.0) for day in (1.5, 3.5, 5.5)] + [("bob", "milk", 3.5, 1.0)]
    past = history(events, CATALOGUE)
    # k 3, mean 2, first 5 days ago, last 1 day ago: |1 - 2| twice
    assert propose(past, "ann", 1).scores[0, 0] == pytest.approx(0.5 * 3 / (2 + 5 + 2))
    assert propose(past, "bob", 1).scores[0, 0] == pytest.approx(0.5 * 1 / (2 + 3 + 2))


def test_two_lines_of_a_day_are_one_purchase_and_a_return_is_none(history):
    once = history([("ann", "milk", 1.2, 1.0)], CATALOGUE)
    more = history(
        [("ann", "milk", 1.2, 1.0), ("ann", "milk", 1.4, 1.0), ("ann", "sofa", 1.0, -1.0)], CATALOGUE
    )
    assert propose(once, "ann").scores.tolist() == propose(more, "ann").scores.tolist()
    assert propose(more, "ann").items.tolist() == [[1, -1, -1]]


def test_without_repeats_or_events_nothing_is_proposed(history):
    past = history(every("ann", "milk", 7, 3), CATALOGUE)
    assert propose(past, "ann", repeats=False).items.shape == (1, 0)
    empty = history([], CATALOGUE)
    assert not repeat.fit(empty, True).due.nnz
    assert not repeat.fit(history([("ann", "milk", 1.0, -1.0)], CATALOGUE), True).due.nnz


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]),
            st.sampled_from(CATALOGUE),
            st.floats(0, 4000, allow_nan=False),
            st.sampled_from([1.0, 3.0, -1.0]),
        ),
        max_size=12,
    )
)
def test_own_items_only_each_once_with_a_positive_score(events):
    past = make_history(events, CATALOGUE)
    for user in past.user_ids.to_pylist():
        found = propose(past, user)
        listed = found.items[found.items >= 0].tolist()
        own = {CATALOGUE.index(item) for who, item, _, weight in events if who == user and weight > 0}
        assert len(listed) == len(set(listed))
        assert set(listed) == own
        assert np.isfinite(found.scores[found.items >= 0]).all()
        assert (found.scores[found.items >= 0] > 0).all()

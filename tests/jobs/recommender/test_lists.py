import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.recommender import trending
from jobs.recommender.lists import Lists, best, beyond, explore, fill

NAN = np.nan


def candidates(*rows):
    """Arrays of users, items, scores out of rows (user, item, score)."""
    users, items, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(users, dtype=np.int64), np.array(items, dtype=np.int64), np.array(scores, dtype=float)


def ordered(arrays, top):
    return Lists.of(*arrays, best(*arrays, top)[0])


def shown(listed):
    return [tuple(row) for row in zip(listed.users.tolist(), listed.items.tolist(), strict=True)]


def test_best_is_by_score_then_item_code():
    users, items = np.array([1, 0, 1, 1]), np.array([5, 9, 3, 4])
    places, ranks = best(users, items, np.array([0.5, 0.1, 0.5, 0.7]), 2)
    assert places.tolist() == [1, 3, 2]
    assert ranks.tolist() == [1, 1, 2]


def test_short_lists_are_filled_with_trending_then_with_the_rest(history):
    past = history(
        [("ann", "a", 1.0, 1.0), ("bob", "b", 1.0, 1.0), ("cid", "b", 2.0, 1.0), ("cid", "c", 1.0, 1.0)],
        ["a", "b", "c", "d"],  # b is the most popular, nobody took d
    )
    users = past.active(30)
    listed = ordered(candidates((0, 2, 3.0), (1, 0, 9.0), (1, 2, 8.0), (1, 3, 7.0)), 3)
    popular = trending.fit(past, 14, whole_catalogue=True)
    added = fill(listed, past.seen(users), popular, 3)
    names = [
        (past.user_ids[u].as_py(), past.item_ids[i].as_py(), s)
        for u, i, s in zip(added.users, added.items, added.scores, strict=True)
    ]
    assert names == [("ann", "b", 2.0), ("ann", "d", 1.0), ("cid", "a", -1.0), ("cid", "d", -2.0)]
    assert not added.explored.any()
    assert set(added.places) == {-1}
    assert shown(listed.then(added)) == [(0, 2), (0, 1), (0, 3), (1, 0), (1, 2), (1, 3), (2, 0), (2, 3)]
    assert listed.then(added).ranks.tolist() == [1, 2, 3, 1, 2, 3, 1, 2]


def test_full_lists_and_users_who_have_seen_everything_are_left_alone(history):
    past = history([("ann", "a", 1.0, 1.0), ("bob", "a", 1.0, 1.0), ("bob", "b", 1.0, 1.0)], ["a", "b"])
    popular = trending.fit(past, 14, whole_catalogue=True)
    listed = ordered(candidates((0, 1, 1.0)), 1)
    assert not len(fill(listed, past.seen(past.active(30)), popular, 1).users)


def test_the_last_places_go_to_cold_items_that_are_not_on_the_list():
    arrays = candidates(*((0, item, 10.0 - item) for item in range(6)))
    cold = np.array([0.9, NAN, NAN, NAN, 0.2, 0.4])  # the first is on the list anyway
    listed = explore(ordered(arrays, 4), *arrays, cold, 4, 0.25)
    assert listed.items.tolist() == [0, 1, 2, 5]
    assert listed.explored.tolist() == [False, False, False, True]
    assert listed.scores.tolist() == [10.0, 9.0, 8.0, 5.0]
    two = explore(ordered(arrays, 4), *arrays, cold, 4, 0.5)
    assert two.items.tolist() == [0, 1, 5, 4]


def test_a_cold_item_that_held_a_last_place_holds_it_as_an_explored_one():
    arrays = candidates((0, 0, 3.0), (0, 1, 2.0), (0, 2, 1.0))
    listed = explore(ordered(arrays, 2), *arrays, np.array([NAN, 0.5, NAN]), 2, 0.5)
    assert (listed.items.tolist(), listed.explored.tolist()) == ([0, 1], [False, True])


@pytest.mark.parametrize("share", [0.0, 0.24, 1.0])
def test_without_cold_candidates_no_place_is_lost(share):
    arrays = candidates((0, 0, 3.0), (0, 1, 2.0), (2, 2, 1.0))
    listed = ordered(arrays, 4)
    after = explore(listed, *arrays, np.full(3, NAN), 4, share)
    assert (shown(after), after.explored.any()) == (shown(listed), False)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(0, 9),
            st.sampled_from([0.0, 0.5, 1.0]),
            st.sampled_from([NAN, 0.1, 0.2]),
        ),
        unique_by=lambda row: row[:2],
    ),
    st.integers(1, 6),
    st.floats(0, 1),
)
def test_exploring_never_shortens_a_list_nor_repeats_an_item(rows, top, share):
    arrays = candidates(*(row[:3] for row in rows))
    before = ordered(arrays, top)
    after = explore(before, *arrays, np.array([row[3] for row in rows]), top, share)
    assert np.bincount(after.users, minlength=3).tolist() == np.bincount(before.users, minlength=3).tolist()
    assert len(set(shown(after))) == len(after.users)
    assert after.explored.sum() <= 3 * int(top * share)
    safe = before.where(before.ranks <= top - int(top * share))
    assert set(shown(safe)) <= set(shown(after))


def test_of_scored_pairs_those_beyond_the_most_of_a_user_are_found():
    users, items = np.array([0, 0, 0, 0, 1]), np.array([4, 3, 2, 1, 4])
    scores = np.array([0.9, 0.5, NAN, 0.5, 0.1])
    assert beyond(users, items, scores, 2).tolist() == [
        False,
        True,
        False,
        False,
        False,
    ]  # a tie goes by item
    assert beyond(users, items, scores, 0).tolist() == [True, True, False, True, True]

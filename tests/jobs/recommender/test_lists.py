import numpy as np

from jobs.recommender.lists import Lists, best, fill


def listed(*rows):
    users, items, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return Lists(
        np.array(users, dtype=np.int64), np.array(items, dtype=np.int64), np.array(scores, dtype=float)
    )


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
    active = past.active(30)
    added = fill(past, active, listed((0, 2, 3.0), (1, 0, 9.0), (1, 2, 8.0), (1, 3, 7.0)), 3, 14)
    names = [
        (past.user_ids[u].as_py(), past.item_ids[i].as_py(), s)
        for u, i, s in zip(added.users, added.items, added.scores, strict=True)
    ]
    assert names == [("ann", "b", 2.0), ("ann", "d", 1.0), ("cid", "a", -1.0), ("cid", "d", -2.0)]


def test_full_lists_are_left_alone(history):
    past = history([("ann", "a", 1.0, 1.0)], ["a", "b"])
    assert not len(fill(past, past.active(30), listed((0, 1, 1.0)), 1, 14).users)


def test_a_user_who_has_seen_everything_stays_without(history):
    past = history([("ann", "a", 1.0, 1.0)], ["a"])
    assert not len(fill(past, past.active(30), listed(), 5, 14).users)

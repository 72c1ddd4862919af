import numpy as np

EVENTS = [("bob", "b", 40.0, 1.0), ("ann", "a", 2.0, 5.0), ("ann", "a", 1.0, 3.0), ("ann", "gone", 0.5, 1.0)]


def test_codes_follow_the_sorted_ids_and_ages_count_back_from_as_of(history):
    found = history(EVENTS, ["c", "b", "a"])
    assert found.user_ids.to_pylist() == ["ann", "bob"]
    assert found.item_ids.to_pylist() == ["a", "b", "c"]
    assert found.users.tolist() == [1, 0, 0]
    assert found.items.tolist() == [1, 0, 0]
    assert found.ages.tolist() == [40, 2, 1]


def test_an_item_that_left_the_catalogue_says_who_is_active_and_nothing_else(history):
    found = history(EVENTS, ["a", "b"])
    assert found.active_ages.tolist() == [0.5, 40]
    assert found.newest.hour == 12


def test_active_users_had_an_event_in_the_last_days_the_last_moment_included(history):
    found = history(EVENTS, ["a", "b"])
    assert found.active(30).tolist() == [0]
    assert found.active(40).tolist() == [0, 1]


def test_seen_marks_each_pair_once_for_the_users_asked(history):
    found = history(EVENTS, ["a", "b", "c"])
    assert found.seen(np.array([1, 0], dtype=np.int32)).toarray().tolist() == [[0, 1, 0], [1, 0, 0]]


def test_no_event_at_all(history):
    found = history([], ["a"])
    assert found.newest is None
    assert found.active(30).tolist() == []
    assert found.seen(found.active(30)).shape == (0, 1)

"""Slices of a small night, counted by hand."""

import numpy as np
import pytest

from jobs.recommender import slices


def test_items_are_cold_by_their_own_events_and_head_by_their_share_of_all() -> None:
    # 60 + 20 are 80% of 100 events: the third item is the first of the tail
    events = np.array([10, 60, 0, 20, 10])
    found = slices.of_items(events, cold_events=0)
    assert found["cold_item"].tolist() == [False, False, True, False, False]
    assert found["warm_item"].tolist() == [True, True, False, True, True]
    assert found["head"].tolist() == [False, True, False, True, False]
    assert found["tail"].tolist() == [True, False, True, False, True]
    assert found["all"].all()


def test_items_with_as_many_events_are_told_apart_by_their_place() -> None:
    # Of five with a fifth each, the first four carry 80%
    assert slices.tail(np.array([2, 2, 2, 2, 2])).tolist() == [False, False, False, False, True]


def test_a_catalogue_without_events_is_all_tail() -> None:
    assert slices.tail(np.zeros(3, dtype=int)).all()


def test_users_are_new_active_or_occasional_and_only_one_of_them() -> None:
    found = slices.of_users(np.array([0, 3, 4, 9, 10]), usual=9, new_events=3)
    assert found["new_user"].tolist() == [True, True, False, False, False]
    assert found["active_user"].tolist() == [False, False, False, True, True]
    assert found["occasional_user"].tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("seed", range(5))
def test_slices_of_items_and_of_users_part_them(seed: int) -> None:
    generator = np.random.default_rng(seed)
    events = generator.integers(0, 50, generator.integers(1, 60))
    items = slices.of_items(events, int(generator.integers(0, 5)))
    assert (items["warm_item"] != items["cold_item"]).all()
    assert (items["head"] != items["tail"]).all()
    users = slices.of_users(events, float(np.median(events)), int(generator.integers(0, 5)))
    assert (np.stack(list(users.values())).sum(axis=0) == 1).all()
    assert set(slices.SLICES) == {*items, *users}

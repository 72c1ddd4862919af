"""Intervals where the answer is known: no spread, a normal mean, two measures that move together."""

import math

import numpy as np
import pytest

from jobs.recommender import intervals
from jobs.recommender.intervals import Bootstrap


def test_without_users_there_is_no_interval() -> None:
    assert all(math.isnan(value) for value in intervals.bootstrap(np.array([])))
    sample = Bootstrap(["a"])
    sample.add({"a": np.array([])})
    assert all(math.isnan(value) for value in sample.mean("a"))
    assert sample.users("a") == 0


def test_bootstrap_of_equal_values_has_no_width_and_leaves_out_users_without_a_value() -> None:
    assert intervals.bootstrap(np.array([0.25, np.nan, 0.25])) == (0.25, 0.25, 0.25)


def test_bootstrap_interval_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 2_000)
    interval = intervals.bootstrap(values, seed=1)
    half_width = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half_width, abs=5e-4)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=5e-4)
    assert interval == intervals.bootstrap(values, seed=1)


def test_paired_bootstrap_sees_a_difference_that_two_separate_intervals_hide() -> None:
    generator = np.random.default_rng(0)
    theirs = generator.random(200)
    ours = theirs + 0.01 + generator.normal(0, 0.01, 200)
    separate, other = intervals.bootstrap(ours), intervals.bootstrap(theirs)
    assert separate.low < other.high
    paired = intervals.paired_bootstrap(ours, theirs)
    assert 0 < paired.low < 0.01 < paired.high


def test_paired_values_must_be_of_the_same_users() -> None:
    with pytest.raises(ValueError, match="same users"):
        intervals.paired_bootstrap(np.zeros(2), np.zeros(3))


def test_users_without_a_value_count_for_nothing() -> None:
    sample = Bootstrap(["a", "b"])
    sample.add({"a": np.array([0.25, np.nan, 0.25]), "b": np.array([np.nan] * 3)})
    assert sample.mean("a") == (0.25, 0.25, 0.25)
    assert sample.users("a") == 2
    assert all(math.isnan(value) for value in sample.mean("b"))


def test_poisson_resamples_give_the_interval_that_drawing_users_gives() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 2_000)
    sample = Bootstrap(["a"])
    sample.add({"a": values})
    drawn = intervals.bootstrap(values)
    np.testing.assert_allclose(sample.mean("a"), drawn, atol=5e-4)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_how_users_are_cut_into_blocks_changes_nothing(size: int) -> None:
    values = np.random.default_rng(3).random(50)
    whole, cut = Bootstrap(["a"]), Bootstrap(["a"])
    whole.add({"a": values})
    for start in range(0, 50, size):
        cut.add({"a": values[start : start + size]})
    np.testing.assert_allclose(cut.mean("a"), whole.mean("a"))


def test_a_difference_is_paired_where_the_users_are_the_same() -> None:
    generator = np.random.default_rng(0)
    theirs = generator.random(200)
    ours = theirs + 0.01 + generator.normal(0, 0.01, 200)
    sample = Bootstrap(["ours", "theirs"])
    sample.add({"ours": ours, "theirs": theirs})
    assert sample.mean("ours").low < sample.mean("theirs").high
    difference = sample.difference("ours", "theirs")
    assert 0 < difference.low < 0.01 < difference.high
    assert difference.mean == pytest.approx((ours - theirs).mean())


def test_a_share_of_many_things_a_user_has_is_that_of_all_of_them() -> None:
    sample = Bootstrap(["a"])
    # 1 of 1 and 0 of 3: a quarter, not the mean of 1 and 0
    sample.add({"a": np.array([1.0, 0.0, np.nan])}, {"a": np.array([1.0, 3.0, 0.0])})
    assert sample.mean("a").mean == 0.25
    assert sample.users("a") == 2


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    def interval(seed: int) -> tuple[float, ...]:
        sample = Bootstrap(["a"], seed)
        sample.add({"a": np.arange(30, dtype=np.float64)})
        return sample.mean("a")

    assert interval(1) == interval(1)
    assert interval(1)[1:] != interval(2)[1:]

"""Every expected value here can be worked out on paper."""

import math

import numpy as np
import pytest

from jobs.recommender import metrics

LISTS = [["a", "b", "c"], ["a", "b", "c"], ["x", "y"], ["a"], []]
WANTED = [{"a", "c"}, {"c"}, {"z"}, set(), {"a"}]


def test_ndcg_discounts_by_place_and_knows_the_best_possible_list() -> None:
    values = metrics.ndcg_at_k(LISTS, WANTED, 3)
    # hits at places 1 and 3; the ideal has them at 1 and 2
    assert values[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))
    assert values[1] == pytest.approx(0.5)  # 1 / log2(4)
    assert values[[2, 4]].tolist() == [0, 0]
    assert math.isnan(values[3])  # nothing relevant, so no value


def test_ndcg_of_more_relevant_items_than_places_can_still_be_one() -> None:
    assert metrics.ndcg_at_k([["a", "b"]], [{"a", "b", "c", "d"}], 2).tolist() == [pytest.approx(1)]


def test_recall_counts_against_all_relevant_items() -> None:
    assert metrics.recall_at_k(LISTS, WANTED, 2)[[0, 1, 2]].tolist() == [0.5, 0, 0]
    assert metrics.recall_at_k(LISTS, WANTED, 3)[[0, 1, 2, 4]].tolist() == [1, 1, 0, 0]
    assert metrics.candidate_recall_at_n([["a", "b"]], [{"a", "b", "c", "d"}], 2).tolist() == [0.5]


def test_hit_rate_asks_only_whether() -> None:
    values = metrics.hit_rate_at_k(LISTS, WANTED, 3)
    assert values[[0, 1, 2, 4]].tolist() == [1, 1, 0, 0]
    assert math.isnan(values[3])


def test_a_repeated_item_is_no_second_hit() -> None:
    assert metrics.recall_at_k([["a", "a"]], [{"a", "b"}], 2).tolist() == [0.5]
    assert metrics.ndcg_at_k([["b", "a", "a"]], [{"a"}], 3).tolist() == [pytest.approx(1 / math.log2(3))]


def test_the_same_item_of_another_user_is_no_hit() -> None:
    assert metrics.hit_rate_at_k([["a"], ["b"]], [{"b"}, {"a"}], 1).tolist() == [0, 0]


def test_coverage_is_the_share_of_the_catalogue_anyone_sees() -> None:
    assert metrics.item_coverage([["a", "b"], ["a", "c"]], 4, 1) == 0.25
    assert metrics.item_coverage([["a", "b"], ["a", "c"]], 4, 2) == 0.75
    assert metrics.item_coverage([], 0, 5) == 0


def test_no_users_at_all() -> None:
    assert metrics.ndcg_at_k([], [], 10).shape == (0,)
    assert all(math.isnan(value) for value in metrics.bootstrap(np.array([])))


def test_lists_and_sets_must_be_of_the_same_users() -> None:
    with pytest.raises(ValueError, match="one list and one set"):
        metrics.recall_at_k([["a"]], [], 1)


def test_bootstrap_of_equal_values_has_no_width_and_leaves_out_users_without_a_value() -> None:
    assert metrics.bootstrap(np.array([0.25, np.nan, 0.25])) == (0.25, 0.25, 0.25)


def test_bootstrap_interval_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.1, 2_000)
    interval = metrics.bootstrap(values, seed=1)
    half_width = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half_width, abs=5e-4)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=5e-4)
    assert interval == metrics.bootstrap(values, seed=1)


def test_paired_bootstrap_sees_a_difference_that_two_separate_intervals_hide() -> None:
    generator = np.random.default_rng(0)
    theirs = generator.random(200)
    ours = theirs + 0.01 + generator.normal(0, 0.01, 200)
    separate, other = metrics.bootstrap(ours), metrics.bootstrap(theirs)
    assert separate.low < other.high
    paired = metrics.paired_bootstrap(ours, theirs)
    assert 0 < paired.low < 0.01 < paired.high


def test_paired_values_must_be_of_the_same_users() -> None:
    with pytest.raises(ValueError, match="same users"):
        metrics.paired_bootstrap(np.zeros(2), np.zeros(3))


def test_metrics_agree_with_a_plain_loop_on_random_cases() -> None:
    generator = np.random.default_rng(3)
    items = [f"i{n}" for n in range(30)]
    lists = [list(generator.permutation(items)[: generator.integers(0, 20)]) for _ in range(50)]
    wanted = [set(generator.choice(items, generator.integers(1, 8))) for _ in range(50)]
    for k in (1, 5, 10):
        expected = []
        for ranked, relevant in zip(lists, wanted, strict=True):
            gain = sum(1 / math.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in relevant)
            expected.append(gain / sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant)))))
        np.testing.assert_allclose(metrics.ndcg_at_k(lists, wanted, k), expected)


def test_bootstrap_together_gives_what_bootstrap_gives_column_by_column() -> None:
    columns = list(np.random.default_rng(3).random((3, 50)))
    together = metrics.bootstrap_together([*columns, columns[0] - columns[1]], seed=5)
    alone = [metrics.bootstrap(column, seed=5) for column in columns]
    np.testing.assert_allclose(together, [*alone, metrics.paired_bootstrap(columns[0], columns[1], seed=5)])


def test_bootstrap_together_needs_a_value_for_every_user() -> None:
    with pytest.raises(ValueError, match="without a value"):
        metrics.bootstrap_together([np.array([0.1, np.nan])])
    assert metrics.bootstrap_together([]) == []
    assert all(math.isnan(end) for end in metrics.bootstrap_together([np.array([])])[0])

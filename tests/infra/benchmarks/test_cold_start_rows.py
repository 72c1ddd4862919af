"""What trials add up to: means over seeds by hand, intervals over seeds and users, who is left out."""

import numpy as np
import pytest

from infra.benchmarks.cold_start_references import REFERENCES
from infra.benchmarks.cold_start_rows import ALONE, Result, clustered, rows


def result(alignment, every=0.1, asked=(False, False), **others):
    """Two users; every arm that is not named has `every` for both."""
    names = (
        *REFERENCES,
        *ALONE,
        "same_signs",
        "alignment_without_numbers",
        "judgement_alone",
        "judgement",
        "all",
    )
    arms = dict.fromkeys(names, (every, every))
    recalls = {name: np.array(values) for name, values in (arms | {"alignment": alignment} | others).items()}
    return Result(recalls, np.array(asked), requests=40, kept=10, tokens=200_000)


def measured(results, judge="none"):
    return {row.measure: row for row in rows("shop", results, 7, judge)}


def test_the_mean_is_over_seeds_of_the_means_over_users():
    found = clustered([np.array([1.0, 0.0, 0.0, 0.0]), np.array([1.0])])
    assert found.mean == pytest.approx((0.25 + 1) / 2)
    assert 0 <= found.low < found.mean < found.high <= 1


def test_where_all_differ_alike_the_interval_is_a_point():
    assert clustered([np.full(3, 0.5), np.full(9, 0.5)]) == (0.5, 0.5, 0.5)


def test_one_seed_is_resampled_over_users_and_seeds_widen_the_interval():
    users = np.random.default_rng(0).normal(0.1, 0.2, 200)
    alone = clustered([users, users])
    apart = clustered([users - 0.1, users + 0.1])
    assert apart.mean == pytest.approx(alone.mean)
    assert apart.high - apart.low > 2 * (alone.high - alone.low)
    only = clustered([users])
    # the standard error of the mean, within what resampling does to it
    assert only.high - only.low == pytest.approx(2 * 1.96 * users.std() / np.sqrt(200), rel=0.15)


def test_a_trial_without_users_and_no_trial_at_all():
    assert clustered([np.array([]), np.full(2, 0.25)]).mean == 0.25
    assert np.isnan(clustered([np.array([])]).mean)


def test_ours_is_beside_the_best_reference_and_all_of_them():
    found = measured([result((0.3, 0.5), top3=(0.2, 0.2)), result((0.2, 0.2), top3=(0.2, 0.4))])
    best = found["cold_recall20_vs_best_reference/shop"]
    assert (best.ours, best.peer) == pytest.approx((0.3, 0.25))
    assert best.unit == "Recall@20 (top3)"
    assert best.low <= 0.05 <= best.high
    assert {f"cold_recall20_vs_{name}/shop" for name in REFERENCES} <= set(found)
    assert found["cold_recall20_alignment/shop"].peer == pytest.approx(0.1)
    without = found["cold_recall20_without_numbers/shop"]
    assert (without.ours, without.peer) == pytest.approx((0.1, 0.25))
    assert found["trials/shop"].ours == 2
    assert found["items_held_out/shop"].ours == 7
    assert not any("judge_" in name for name in found)


def test_a_judge_is_measured_on_users_who_were_not_asked():
    one = result((0.2, 0.4), asked=(True, False), all=(0.9, 0.5), judgement=(0.9, 0.3))
    found = measured([one], "oracle")
    assert (found["cold_recall20_all/shop"].ours, found["cold_recall20_all/shop"].peer) == (0.5, 0.4)
    assert found["cold_recall20_judgement/shop"].ours == 0.3
    # .1 for a fifth of a million tokens
    assert found["gain_per_million_tokens/shop"].ours == pytest.approx(0.5)
    assert found["judge_tokens/shop"].ours == 200_000

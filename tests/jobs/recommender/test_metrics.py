"""Every expected value here can be worked out on paper."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_lists_and_sets_must_be_of_the_same_users() -> None:
    with pytest.raises(ValueError, match="one list and one set"):
        metrics.recall_at_k([["a"]], [], 1)


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


def test_reciprocal_rank_looks_for_the_first_hit_only() -> None:
    values = metrics.mrr_at_k([["x", "a", "b"], ["x", "y"], ["a"]], [{"a", "b"}, {"a"}, set()], 3)
    assert values[:2].tolist() == [0.5, 0]
    assert math.isnan(values[2])
    assert metrics.mrr_at_k([["x", "a"]], [{"a"}], 1).tolist() == [0]


def test_precision_counts_empty_places_as_misses() -> None:
    assert metrics.precision_at_k([["a"], ["a", "b"]], [{"a"}, {"a", "b"}], 2).tolist() == [0.5, 1]


def test_lists_without_a_single_place() -> None:
    nothing, wanted = np.zeros((2, 0), dtype=bool), np.array([1, 0])
    for measure in (metrics.ndcg, metrics.recall, metrics.precision, metrics.hit_rate, metrics.mrr):
        values = measure(nothing, wanted, 5)
        assert values[0] == 0
        assert math.isnan(values[1])


def random_case(generator: np.random.Generator) -> dict[str, Any]:
    """Up to 12 users with lists and relevant items out of a small catalogue; lists may be short or empty."""
    items = [f"i{n}" for n in range(generator.integers(1, 40))]

    def some(most: int, least: int = 0) -> list[str]:
        size = int(generator.integers(least, min(most, len(items)) + 1))
        return [str(item) for item in generator.choice(items, size, replace=False)]

    users = int(generator.integers(1, 13))
    return {"lists": [some(25) for _ in range(users)], "wanted": [some(15, 1) for _ in range(users)]}


RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
asked = json.load(sys.stdin)
answers = []
for case in asked["cases"]:
    users = [f"u{n:03}" for n in range(len(case["lists"]))]
    wanted = {u: {item: 1 for item in items} for u, items in zip(users, case["wanted"])}
    # An empty list has to hold something to be a run; it is relevant to nobody.
    listed = {
        u: {item: 1.0 / place for place, item in enumerate(items or ["nothing"], 1)}
        for u, items in zip(users, case["lists"])
    }
    found = evaluate(Qrels(wanted), Run(listed), asked["metrics"], return_mean=False)
    answers.append({name: values.tolist() for name, values in found.items()})
print(json.dumps(answers))
"""
OURS = {
    "ndcg": metrics.ndcg_at_k,
    "recall": metrics.recall_at_k,
    "precision": metrics.precision_at_k,
    "hit_rate": metrics.hit_rate_at_k,
    "mrr": metrics.mrr_at_k,
}


def test_metrics_agree_with_ranx_on_random_cases(tmp_path: Path) -> None:
    generator = np.random.default_rng(11)
    cases = [random_case(generator) for _ in range(150)]
    names = [f"{name}@{k}" for name in OURS for k in (1, 5, 10, 20)]
    # A process of its own: it is not compiled, which would take a minute, and writes no file at home.
    environ = {"NUMBA_DISABLE_JIT": "1", "IR_DATASETS_HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX],
        input=json.dumps({"cases": cases, "metrics": names}),
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    for case, theirs in zip(cases, json.loads(done.stdout), strict=True):
        wanted = [set(items) for items in case["wanted"]]
        for name in names:
            metric, k = name.split("@")
            np.testing.assert_allclose(
                OURS[metric](case["lists"], wanted, int(k)), theirs[name], atol=1e-9, err_msg=f"{name} {case}"
            )

"""Two users and three items, every measure counted by hand."""

from dataclasses import replace
from math import isnan, log2

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from jobs.recommender import slices
from jobs.recommender.judged import Block
from jobs.recommender.list_qualities import Qualities
from jobs.recommender.measures import FOUND, GAIN, Key, Measures, hits_of
from jobs.recommender.published_values import PublishedValues, differences

# u1 took items 0 and 2, u2 took item 1; item 2 is cold.
BLOCK = Block(
    user_ids=["u1", "u2"],
    lists={
        "ranker": np.array([[1, 2], [1, -1]], dtype=np.int32),
        "candidates": np.array([[0, 1], [-1, -1]], dtype=np.int32),
        "als": np.array([[0, -1], [2, 1]], dtype=np.int32),
    },
    scores=np.array([[0.9, 0.1], [0.5, np.nan]]),
    takers=np.array([0, 0, 1], dtype=np.int32),
    taken=np.array([0, 2, 1], dtype=np.int32),
    found={
        "candidates": np.array([True, True, False]),
        "als": np.array([True, False, False]),
        "trending": np.array([True, True, False]),
    },
    before=np.array([9, 1]),
    had=csr_matrix((2, 3)),
)
EVENTS = np.array([6, 5, 0])
MEASURES = Measures(
    stages=("ranker", "candidates", "als"),
    cutoffs=(2,),
    candidates={"candidates": 4, "als": 3, "trending": 2, "content": 0},
    of_item=slices.of_items(EVENTS, 0),
    qualities=Qualities(EVENTS, 10, csr_matrix((3, 0)), csr_matrix((3, 0))),
    usual_events=5,
    new_events=1,
    bounds=np.array([0.3] * 5 + [0.7] * 4),
)


def measured(stage: str, metric: str, k: int = 2, part: str = "all") -> list[float]:
    return MEASURES.of(BLOCK)[0][Key(stage, metric, k, part)].tolist()


def test_every_measure_that_is_promised_is_taken_and_no_other() -> None:
    values, counts = MEASURES.of(BLOCK)
    assert set(values) == set(MEASURES.keys)
    assert len(MEASURES.keys) == len(set(MEASURES.keys))
    assert set(counts) <= set(values)
    assert {len(value) for value in values.values()} == {2}


def test_hits_are_of_the_user_whose_list_it_is() -> None:
    assert hits_of(BLOCK, BLOCK.lists["ranker"]).tolist() == [[False, True], [True, False]]
    assert hits_of(BLOCK, BLOCK.lists["als"]).tolist() == [[True, False], [False, True]]


def test_list_metrics_of_a_stage() -> None:
    assert measured("ranker", "ndcg_at_k") == [pytest.approx(1 / log2(3) / (1 + 1 / log2(3))), 1]
    assert measured("ranker", "mrr_at_k") == [0.5, 1]
    assert measured("candidates", "recall_at_k") == [0.5, 0]


def test_a_slice_of_items_judges_by_its_own_items() -> None:
    cold, warm = (
        measured("ranker", "recall_at_k", part="cold_item"),
        measured("ranker", "recall_at_k", part="warm_item"),
    )
    assert cold[0] == 1
    assert isnan(cold[1])
    assert warm == [0, 1]


def test_a_slice_of_users_has_no_value_for_the_others() -> None:
    active, new = (
        measured("ranker", "mrr_at_k", part="active_user"),
        measured("ranker", "mrr_at_k", part="new_user"),
    )
    assert active[0] == 0.5
    assert isnan(active[1])
    assert isnan(new[0])
    assert new[1] == 1


def test_a_gain_is_what_one_channel_alone_found() -> None:
    assert measured("candidates", FOUND, 4) == [1, 0]
    assert measured("als", FOUND, 3) == [0.5, 0]
    # item 0 was found by both, item 2 by trending alone
    assert measured("als", GAIN, 3) == [0, 0]
    assert measured("trending", GAIN, 2) == [0.5, 0]
    assert not any(key.stage == "content" for key in MEASURES.keys)


def test_deciles_count_all_places_of_their_scores() -> None:
    values, counts = MEASURES.of(BLOCK)
    best, worst = (Key("ranker", "taken_share_in_decile", k) for k in (10, 1))
    assert (values[best][0], counts[best].tolist()) == (0, [1, 0])
    assert (values[worst][0], counts[worst].tolist()) == (1, [1, 0])
    assert isnan(values[best][1])


def test_two_nights_differ_by_their_means_over_their_own_users() -> None:
    ours, theirs = PublishedValues((2,)), PublishedValues((2,))
    ours.add(BLOCK, "ranker")
    other = replace(BLOCK, user_ids=["u2", "u3"], lists={"candidates": BLOCK.lists["candidates"]})
    theirs.add(other, "candidates")
    interval, users = differences(ours, theirs)[Key("ranker", "mrr_at_k", 2)]
    # u1 .5 and u2 1 against u2 1 and u3 0
    assert interval.mean == pytest.approx(0.75 - 0.5)
    assert users == 3
    assert interval.low <= interval.mean <= interval.high


def test_a_night_that_nobody_came_back_from_is_compared_with_nothing() -> None:
    ours = PublishedValues((2,))
    ours.add(BLOCK, "ranker")
    assert differences(ours, PublishedValues((2,))) == {}

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.tables import CHANNELS, TABLES
from jobs.recommender import fusion
from jobs.recommender.proposals import Proposals
from jobs.recommender.quotas import Blend


def proposals(items, scores=None):
    items = np.array(items, dtype=np.int32)
    found = np.where(items >= 0, 1.0, -np.inf) if scores is None else np.array(scores, dtype=float)
    return Proposals(items, found)


def three(als, trending, content):
    return {"als": proposals(als), "trending": proposals(trending), "content": proposals(content)}


def blend(quotas=(0, 0, 0), weights=(1, 1, 1)):
    names = ("als", "trending", "content")
    return Blend(dict(zip(names, quotas, strict=True)), dict(zip(names, weights, strict=True)))


def test_an_item_two_channels_propose_beats_the_first_of_one():
    merged = fusion.merge(three([[0, 1]], [[2, 1]], [[-1, -1]]), 5, 10)
    assert merged.items.tolist() == [1, 0, 2]  # 0 and 2 tie, and 0 is the smaller code
    assert merged.scores.tolist() == pytest.approx([120 / 62, 60 / 61, 60 / 61])
    assert merged.ranks.tolist() == [1, 2, 3]
    assert merged.channel_ranks["als"].tolist() == [2, 1, 0]
    assert merged.channel_ranks["content"].tolist() == [0, 0, 0]


def test_each_user_keeps_the_best_and_ranks_start_anew():
    merged = fusion.merge(
        three([[3, 4], [-1, -1], [1, 0]], [[], [], []], [[4, -1], [-1, -1], [-1, -1]]), 5, 1
    )
    assert merged.users.tolist() == [0, 2]
    assert merged.items.tolist() == [4, 1]
    assert merged.ranks.tolist() == [1, 1]


def test_rows_keep_which_channel_proposed_at_which_rank_and_score():
    found = {
        "als": proposals([[1]], [[0.9]]),
        "trending": proposals([[0, 1]], [[7.0, 5.0]]),
    } | dict.fromkeys(("item_knn", "trending_category", "content", "repeat", "cold_start"), proposals([[-1]]))
    users = np.array([1], dtype=np.int32)
    absent = {f"{n}_{m}": None for n in set(CHANNELS) - {"als", "trending"} for m in ("rank", "score")}
    rows = fusion.as_rows(fusion.merge(found, 2, 9), users, pa.array(["ann", "bob"]), pa.array(["i", "j"]))
    assert rows.to_pylist() == [
        {
            "user_id": "bob",
            "item_id": "j",
            "score": pytest.approx(60 / 61 + 60 / 62),
            "rank": 1,
            "channels": ["als", "trending"],
            "als_rank": 1,
            "als_score": 0.9,
            "trending_rank": 2,
            "trending_score": 5.0,
            **absent,
        },
        {
            "user_id": "bob",
            "item_id": "i",
            "score": pytest.approx(60 / 61),
            "rank": 2,
            "channels": ["trending"],
            "als_rank": None,
            "als_score": None,
            "trending_rank": 1,
            "trending_score": 7.0,
            **absent,
        },
    ]


def test_no_candidates_have_the_same_columns():
    empty = fusion.empty()
    assert empty.num_rows == 0
    assert empty.column_names == [column.name for column in TABLES["candidates"].columns]


def test_a_weight_says_how_much_the_ranks_of_a_channel_count():
    merged = fusion.merge(three([[0, 1]], [[2, 1]], [[-1, -1]]), 5, 10, blend(weights=(1, 0.1, 1)))
    assert merged.items.tolist() == [1, 0, 2]
    assert merged.scores.tolist() == pytest.approx([66 / 62, 60 / 61, 6 / 61])
    merged = fusion.merge(three([[0, 1]], [[2, 1]], [[-1, -1]]), 5, 10, blend(weights=(0, 1, 1)))
    assert merged.items.tolist() == [2, 1, 0]  # what no weight speaks for comes last


def test_a_quota_keeps_a_place_for_what_the_score_would_leave_out():
    found = three([[0, 1, 2]], [[0, 1, 2]], [[4, 3, -1]])
    assert fusion.merge(found, 5, 3, blend()).items.tolist() == [0, 1, 2]
    # Two places for content, one for als; trending proposes the same as als, so its place is not needed.
    merged = fusion.merge(found, 5, 3, blend((1, 1, 2)))
    assert merged.items.tolist() == [0, 4, 3]
    assert merged.ranks.tolist() == [1, 2, 3]
    assert merged.channel_ranks["content"].tolist() == [0, 1, 2]


def test_a_place_that_a_quota_does_not_need_goes_to_the_best_of_the_rest():
    merged = fusion.merge(three([[0, 1, 2]], [[0, 3, -1]], [[-1, -1, -1]]), 5, 4, blend((1, 1, 2)))
    assert sorted(merged.items.tolist()) == [0, 1, 2, 3]
    assert fusion.merge(three([[0, 1, 2]], [[0, 3, -1]], [[-1, -1, -1]]), 5, 3, blend((1, 1, 2))).items[
        2
    ] in (1, 3)


@given(
    lists=st.lists(
        st.lists(st.integers(0, 7), unique=True, max_size=8).map(lambda x: x + [-1] * (8 - len(x))),
        min_size=6,
        max_size=6,
    ),
    quotas=st.tuples(*[st.integers(0, 8)] * 3),
    limit=st.integers(1, 9),
)
def test_lists_are_as_long_as_can_be_without_repeats_whatever_the_quotas(lists, quotas, limit):
    als, trending, content = lists[:2], lists[2:4], lists[4:]
    merged = fusion.merge(three(als, trending, content), 8, limit, blend(quotas))
    for user in range(2):
        mine = merged.items[merged.users == user].tolist()
        proposed = {item for found in (als, trending, content) for item in found[user] if item >= 0}
        assert len(mine) == len(set(mine)) == min(limit, len(proposed))
        assert set(mine) <= proposed
        scores = merged.scores[merged.users == user]
        assert (np.diff(scores) <= 0).all()
        firm = [
            item
            for found, quota in zip((als, trending, content), quotas, strict=True)
            for item in [i for i in found[user] if i >= 0][:quota]
        ]
        assert len(set(firm)) > limit or set(firm) <= set(mine)

import numpy as np
import pyarrow as pa
import pytest

from feature_store.tables import CHANNELS, TABLES
from jobs.recommender import fusion
from jobs.recommender.proposals import Proposals


def proposals(items, scores=None):
    items = np.array(items, dtype=np.int32)
    found = np.where(items >= 0, 1.0, -np.inf) if scores is None else np.array(scores, dtype=float)
    return Proposals(items, found)


def three(als, trending, content):
    return {"als": proposals(als), "trending": proposals(trending), "content": proposals(content)}


def test_an_item_two_channels_propose_beats_the_first_of_one():
    merged = fusion.merge(three([[0, 1]], [[2, 1]], [[-1, -1]]), 5, 10)
    assert merged.items.tolist() == [1, 0, 2]  # 0 and 2 tie, and 0 is the smaller code
    assert merged.scores.tolist() == pytest.approx([2 / 62, 1 / 61, 1 / 61])
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
        "content": proposals([[-1]]),
    }
    users = np.array([1], dtype=np.int32)
    rows = fusion.as_rows(fusion.merge(found, 2, 9), users, pa.array(["ann", "bob"]), pa.array(["i", "j"]))
    assert rows.to_pylist() == [
        {
            "user_id": "bob",
            "item_id": "j",
            "score": pytest.approx(1 / 61 + 1 / 62),
            "rank": 1,
            "channels": ["als", "trending"],
            "als_rank": 1,
            "als_score": 0.9,
            "trending_rank": 2,
            "trending_score": 5.0,
            "content_rank": None,
            "content_score": None,
        },
        {
            "user_id": "bob",
            "item_id": "i",
            "score": pytest.approx(1 / 61),
            "rank": 2,
            "channels": ["trending"],
            "als_rank": None,
            "als_score": None,
            "trending_rank": 1,
            "trending_score": 7.0,
            "content_rank": None,
            "content_score": None,
        },
    ]


def test_no_candidates_have_the_same_columns():
    empty = fusion.empty()
    assert empty.num_rows == 0
    assert empty.column_names == [column.name for column in TABLES["candidates"].columns]
    assert CHANNELS == ("als", "trending", "content")

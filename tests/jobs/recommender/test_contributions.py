import numpy as np
import pyarrow as pa

from feature_store.tables import TABLES
from jobs.recommender.contributions import sentences, words
from jobs.recommender.groups import FEATURES

CHOSEN = ("llm_pair_embedding_similarity", "item_cold", "user_events_count_7d", "als_rank")


def test_a_feature_is_named_in_the_words_of_its_contract():
    assert words("llm_pair_embedding_similarity") == "cosine of the item's vector and the user's mean vector"
    assert words("als_rank") == "rank in the als channel"
    assert words("user_recency_days") == "user: days since the last event"
    assert words("item_events_count_7d") == "events on the item in the last 7 days"
    assert words("charm_of_nobody") == "charm of nobody"


def test_no_two_features_have_the_same_words():
    named = [words(feature) for feature in FEATURES]
    assert sorted(named) == sorted(set(named))
    assert all(column.doc for column in TABLES["training_set"].columns)


def test_the_largest_are_said_with_value_and_sign_and_those_of_nothing_are_not():
    rows = pa.table(
        {
            "llm_pair_embedding_similarity": [0.62, None],
            "item_cold": [1.0, 0.0],
            "user_events_count_7d": [1234.0, 1.0],
            "als_rank": pa.array([None, 3], pa.int64()),
        }
    )
    added = np.array([[0.31, -0.5, 0.1, 0.05], [0.0, 0.0002, -2.5, -0.031]])
    assert sentences(rows, added, CHOSEN, 3).to_pylist() == [
        [
            "item: at most cold_start.max_events events in all of history yes: -0.5",
            "cosine of the item's vector and the user's mean vector 0.62: +0.31",
            "events of the user in the last 7 days 1,234: +0.1",
        ],
        ["events of the user in the last 7 days 1: -2.5", "rank in the als channel 3: -0.031"],
    ]


def test_no_rows_and_no_sentences():
    rows = pa.table({name: pa.array([], pa.float64()) for name in CHOSEN})
    assert sentences(rows, np.empty((0, 4)), CHOSEN, 3).to_pylist() == []
    rows = pa.table({name: [1.0] for name in CHOSEN})
    assert sentences(rows, np.ones((1, 4)), CHOSEN, 0).to_pylist() == [[]]

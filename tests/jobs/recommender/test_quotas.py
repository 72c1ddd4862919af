import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feature_store.tables import BLENDED
from jobs.recommender.quotas import Blend, Proposed, learn_quotas, learn_weights


def ranks(**by_channel):
    """Rows of items taken: where each channel ranked them, 0 for channels that are not named."""
    nothing = [0] * max(map(len, by_channel.values()))
    return np.array([by_channel.get(name, nothing) for name in BLENDED]).T


def test_equal_shares_by_default():
    blend = Blend.equal(200)
    assert set(blend.quotas.values()) == {33}
    assert set(blend.weights.values()) == {1.0}


def test_half_of_the_places_are_shared_and_each_block_goes_to_the_channel_that_adds_most():
    # als finds two in its first ten and one in its fourth block; item_knn one of als's and another.
    taken = ranks(als=[1, 9, 35, 0], item_knn=[2, 0, 0, 12])
    worth = np.full(4, 0.25)
    # Five each; then als's next ten add the item at 9, and item_knn's the one at 12.
    assert learn_quotas(taken, worth, 20) == dict.fromkeys(BLENDED, 0) | {"als": 15, "item_knn": 5}
    # Ten each, the block with the item at 12, and one that adds nothing: to the channel with fewer places.
    assert learn_quotas(taken, worth, 40) == dict.fromkeys(BLENDED, 0) | {"als": 20, "item_knn": 20}


def test_an_item_is_worth_more_to_a_user_who_took_few():
    taken = ranks(als=[9, 0], trending=[0, 9])
    quotas = learn_quotas(taken, np.array([0.2, 0.8]), 20)
    assert (quotas["als"], quotas["trending"]) == (5, 15)


def test_a_channel_that_found_nothing_has_no_place():
    quotas = learn_quotas(ranks(content=[7, 60]), np.full(2, 0.5), 60)
    assert quotas == dict.fromkeys(BLENDED, 0) | {"content": 60}


@given(
    arrays(np.int64, st.tuples(st.integers(0, 8), st.just(len(BLENDED))), elements=st.integers(0, 200)),
    st.integers(1, 210),
)
def test_quotas_add_up_to_the_candidates(taken, places):
    quotas = learn_quotas(taken, np.ones(len(taken)), places)
    assert list(quotas) == list(BLENDED)
    assert sum(quotas.values()) == places
    assert min(quotas.values()) >= 0


def proposed(users, shares, taken):
    return Proposed(
        np.array(users), np.array(shares, dtype=float), np.array(taken), np.ones(max(users, default=-1) + 1)
    )


def test_ndcg_of_the_weighted_list_by_hand():
    # One user: a found by als and item_knn, b by trending alone and taken.
    found = proposed([0, 0], [[0.9, 0.9, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], [False, True])
    assert found.ndcg(np.ones(6)).tolist() == pytest.approx([1 / np.log2(3)])
    assert found.ndcg(np.array([0.5, 0.5, 1, 1, 1, 1])).tolist() == [1]


def test_weights_follow_the_channel_that_knows():
    """Of two channels one ranks what is taken first, for every user, and the other what is not."""
    users = np.repeat(np.arange(8), 2)
    shares = np.zeros((16, 6))
    shares[0::2, 0], shares[1::2, 2] = 0.75, 1.0
    found = proposed(users, shares, np.arange(16) % 2 == 0)
    weights = learn_weights(found)
    assert weights[0] * 0.75 > weights[2]
    assert weights.min() >= 0.5
    assert weights.sum() == pytest.approx(len(BLENDED))
    assert found.ndcg(weights).tolist() == [1] * 8


def test_what_changes_nothing_stays_equal():
    found = proposed([0], [[1, 0, 0, 0, 0, 0]], [True])
    assert learn_weights(found).tolist() == [1] * 6

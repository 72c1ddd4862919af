import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from feature_store.errors import NightmillError
from jobs.recommender import cold_start
from jobs.recommender.cold_start import ColdTables, _largest
from jobs.recommender.mixture import FLOOR
from jobs.recommender.vectors import aligned

from .conftest import make_history
from .test_item_words import NO_PROFILES, SCHEMA

VECTORS = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.6, 0.8], "d": [1.0, 0.0], "e": [0.0, 1.0]}
EVENTS = [("ann", "a", 1.0, 1.0), ("bob", "b", 1.0, 1.0), ("cid", "a", 2.0, 1.0), ("cid", "e", 2.0, 1.0)]


def vectors(history, model="m"):
    rows = pa.table(
        {
            "item_id": list(VECTORS),
            "embedding": pa.array(list(VECTORS.values()), pa.list_(pa.float32())),
            "model_id": [model] * len(VECTORS),
        }
    )
    return aligned(rows, "item_id", history.item_ids)


def tables(far=0.0, near=1.0, equal=1.0, max_events=0, model="m"):
    """Tables under which the likeness of texts alone speaks, times ten."""
    fields = {"title": "", "description": None, "categories": [], "brand": None, "price": None}
    items = [fields | {"item_id": name, "attributes": "{}"} for name in VECTORS]
    vectors = pa.array(list(VECTORS.values()), pa.list_(pa.float32()))
    aligned = pa.table(
        {"item_id": list(VECTORS), "shown": vectors, "wanted": vectors, "model_id": [model] * 5}
    )
    row = {
        "model_id": model,
        "far": far,
        "near": near,
        "blocks": ["text"],
        "block_weights": [10.0],
        "equal_events": equal,
    }
    return ColdTables(pa.Table.from_pylist(items, SCHEMA), NO_PROFILES, aligned, row, max_events)


def fitted(events=EVENTS, told=(), **changes):
    history = make_history(events, list(VECTORS))
    return cold_start.fit(history, vectors(history), tables(**changes), imagined(history, told)), history


def imagined(history, told=()):
    """How much of an event the model's word makes up: (user, item, amount)."""
    users, items = history.user_ids.to_pylist(), history.item_ids.to_pylist()
    found = np.zeros((len(users), len(items)), dtype=np.float32)
    for user, item, amount in told:
        found[users.index(user), items.index(item)] = amount
    return csr_matrix(found)


def proposed(channel, history, user, n=5):
    users = np.array([history.user_ids.to_pylist().index(user)], dtype=np.int32)
    found = channel.recommend(users, n, history.taken[users])
    names = history.item_ids.to_pylist()
    return [
        (names[item], score) for item, score in zip(found.items[0], found.scores[0], strict=True) if item >= 0
    ]


def test_items_with_few_events_are_proposed_by_how_like_they_are_to_what_the_user_took():
    channel, history = fitted(equal=0.5)
    assert [name for name, _ in proposed(channel, history, "ann")] == ["d", "c"]
    assert [name for name, _ in proposed(channel, history, "bob")] == ["c", "d"]


def test_the_score_is_how_likely_the_item_is_among_the_cold_ones():
    channel, history = fitted(equal=0.5)
    (_, best), (_, second) = proposed(channel, history, "ann")
    near = np.exp([0.0, 10 * (0.6 - 1)]) + FLOOR
    assert np.exp(best) == pytest.approx(near[0] / near.sum(), abs=1e-5)
    assert np.exp(best) + np.exp(second) == pytest.approx(1, abs=1e-5)


def test_attention_adds_up_what_the_user_took():
    channel, history = fitted()
    users = np.array([history.user_ids.to_pylist().index("cid")], dtype=np.int32)
    (score,) = channel.scores(users, np.array([2], dtype=np.int32))[0]
    assert score == pytest.approx(np.log(np.exp(-4) + np.exp(-2)), abs=1e-4)


def test_the_towers_product_counts_as_the_mixture_says():
    channel, _ = fitted(far=2.0, near=0.0)
    users = np.array([0], dtype=np.int32)
    assert channel.scores(users, np.array([2, 3], dtype=np.int32))[0].tolist() == pytest.approx([1.2, 2.0])


def test_an_item_counts_less_with_each_event_and_half_where_they_are_worth_as_much():
    one, history = fitted(equal=1.0)  # items with one event are at the edge of being cold
    names = [history.item_ids.to_pylist()[item] for item in one.items]
    discounts = dict(zip(names, np.exp(one.discounts).round(4).tolist(), strict=True))
    assert discounts == {"b": 0.5, "c": 1.0, "d": 1.0, "e": 0.5}  # a has two events: it is not cold


def test_an_item_within_max_events_is_cold_whatever_was_learnt():
    channel, _ = fitted(equal=1.0, max_events=2)
    assert len(channel.items) == 5


def test_what_a_user_has_seen_is_not_proposed_and_nobody_without_history_is_served():
    events = [*EVENTS, ("dan", "gone", 1.0, 1.0)]
    channel, history = fitted(events, equal=1.0)
    assert "b" not in [name for name, _ in proposed(channel, history, "bob")]
    assert proposed(channel, history, "dan") == []


def test_vectors_of_another_model_are_refused():
    history = make_history(EVENTS, list(VECTORS))
    with pytest.raises(
        NightmillError, match=r"from vectors of m, item_embeddings from other.*align_embeddings"
    ):
        cold_start.fit(history, vectors(history, "other"), tables(), imagined(history))


def test_an_item_moves_towards_those_who_took_it_as_far_as_events_count():
    channel, history = fitted(equal=1.0)
    names = history.item_ids.to_pylist()
    # bob took b alone: his taste is b's own vector, so that one event, worth half, moves nothing
    assert channel.wanted[names.index("b")].tolist() == pytest.approx([0.0, 1.0], abs=0.02)
    # cid took a and e: (1, 1) over the root of two; vectors of items are as long, on the whole, as tastes
    moved = channel.wanted[names.index("e")]
    assert moved[0] > 0.3
    assert moved[1] > 0.8
    assert channel.wanted[names.index("d")].tolist() == [1.0, 0.0]  # nobody took it


def test_a_models_word_moves_an_item_as_a_part_of_an_event_does_and_leaves_it_cold():
    plain, history = fitted()
    told, _ = fitted(told=[("bob", "d", 0.25)])
    names = history.item_ids.to_pylist()
    d = names.index("d")
    assert plain.wanted[d].tolist() == [1.0, 0.0]
    # a fifth of the way, which is .25 / (.25 + 1), to where bob's taste (0, 1) points
    assert told.wanted[d][0] == pytest.approx(0.8)
    assert told.wanted[d][1] > 0
    assert told.discounts.tolist() == plain.discounts.tolist()
    others = [name for name in names if name != "d"]
    rows = [names.index(name) for name in others]
    assert np.array_equal(told.wanted[rows], plain.wanted[rows])


def test_without_alignment_nothing_is_proposed():
    history = make_history(EVENTS, list(VECTORS))
    assert proposed(cold_start.without(history), history, "ann") == []


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.0, -np.inf]), min_size=4, max_size=4), min_size=1, max_size=5
    ),
    st.integers(1, 4),
)
def test_the_largest_of_each_row_are_found_with_ties_in_item_order(rows, n):
    scores, items = np.array(rows), np.array([3, 5, 7, 9], dtype=np.int32)
    found = _largest(scores, items, n)
    for row, got, values in zip(rows, found.items.tolist(), found.scores.tolist(), strict=True):
        wanted = sorted(
            (-score, item) for score, item in zip(row, items.tolist(), strict=True) if score > -np.inf
        )
        wanted += [(np.inf, -1)] * 4
        assert got == [item for _, item in wanted[:n]]
        assert values == [-score for score, _ in wanted[:n]]

"""What every channel must never do, whatever it is fitted on."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.settings import load_settings
from feature_store.tables import CHANNELS
from jobs.recommender import channels
from jobs.recommender.quotas import Blend

from .conftest import make_history

RECALL = load_settings({}).recall.model_copy(update={"factors": 2, "iterations": 2, "per_channel": 4})
NAMES = ["a", "b", "c", "d", "e", "f"]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cid", "dan"]),
        st.sampled_from([*NAMES, "gone"]),
        st.sampled_from([0.5, 3.0, 40.0, 5000.0]),
        st.sampled_from([1.0, 5.0, -1.0, 0.0]),
    ),
    max_size=14,
)


def tables(categories, vectors):
    kept = [n for n, vector in enumerate(vectors) if vector is not None]
    return channels.Tables(
        pa.table({"item_id": NAMES, "categories": pa.array(categories, pa.list_(pa.string()))}),
        pa.table(
            {
                "item_id": pa.array([NAMES[n] for n in kept], pa.string()),
                "embedding": pa.array([vectors[n] for n in kept], pa.list_(pa.float32())),
                "model_id": pa.array(["m"] * len(kept), pa.string()),
            }
        ),
        pa.table(
            {
                "user_id": pa.array(["ann"], pa.string()),
                "item_id": pa.array(["f"], pa.string()),
                "confidence": pa.array([0.5], pa.float64()),
            }
        ),
    )


CATEGORIES = st.lists(st.lists(st.sampled_from(["x", "y", "z"]), max_size=3), min_size=6, max_size=6)
VECTORS = st.lists(st.sampled_from([None, [1.0, 0.0], [0.6, 0.8], [0.0, 0.0]]), min_size=6, max_size=6)


def test_every_channel_of_the_contract_is_there_under_its_name():
    assert tuple(field.name for field in fields(channels.Channels)) == CHANNELS
    fitted = channels.fit(make_history([], NAMES), tables([[]] * 6, [None] * 6), RECALL)
    assert tuple(getattr(fitted, name).name for name in CHANNELS) == CHANNELS


@settings(max_examples=60)
@given(EVENTS, CATEGORIES, VECTORS, st.booleans(), st.sampled_from([0.0, 10.0]))
def test_no_nan_no_item_twice_and_nothing_seen_unless_it_may_be_repeated(
    events, categories, vectors, repeats, half_life
):
    past = make_history(events, NAMES)
    asked = RECALL.model_copy(
        update={"repeats": repeats, "half_life_days": half_life, "knn_half_life_days": half_life}
    )
    fitted = channels.fit(past, tables(categories, vectors), asked)
    users = past.active(10_000)
    seen = channels.seen(past, users, asked)
    for name, found in fitted.propose(users, dict.fromkeys(CHANNELS, 4), seen).items():
        assert not np.isnan(found.scores).any(), name
        for row, code in enumerate(users):
            items = found.items[row][found.items[row] >= 0].tolist()
            assert len(items) == len(set(items)) <= 4
            assert np.isfinite(found.scores[row][: len(items)]).all()
            assert (np.diff(found.scores[row][: len(items)]) <= 0).all()
            taken = {
                NAMES.index(i) for u, i, _, _ in events if i in NAMES and u == past.user_ids[code].as_py()
            }
            assert repeats or not taken & set(items), name
            assert name != "repeat" or (repeats and set(items) <= taken) or not items


@settings(max_examples=30)
@given(EVENTS, CATEGORIES, VECTORS, st.randoms())
def test_the_order_of_the_events_changes_nothing(events, categories, vectors, random):
    shuffled = random.sample(events, len(events))
    merged = []
    for rows in (events, shuffled):
        past = make_history(rows, NAMES)
        users = past.active(10_000)
        fitted = channels.fit(past, tables(categories, vectors), RECALL)
        merged.append(channels.candidates(fitted, past, users, RECALL, Blend.equal(12)))
    np.testing.assert_array_equal(merged[0].users, merged[1].users)
    np.testing.assert_array_equal(merged[0].items, merged[1].items)
    assert merged[0].scores.tolist() == pytest.approx(merged[1].scores.tolist())


def test_a_channel_with_nothing_to_say_has_no_places():
    past = make_history([("ann", "a", 1.0, 1.0), ("bob", "b", 1.0, 1.0)], NAMES)
    fitted = channels.fit(past, tables([[]] * 6, [None] * 6), RECALL)
    users = past.active(30)
    found = fitted.propose(users, dict.fromkeys(CHANNELS, 4), past.seen(users))
    empty = {name for name, proposals in found.items() if not proposals.items.shape[1]}
    assert empty == {"item_knn", "trending_category", "content", "repeat", "cold_start"}

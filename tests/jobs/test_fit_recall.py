import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read
from jobs.fit_recall import JOB
from jobs.recommender.quotas import Blend
from jobs.step import execute

DS = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def event(user, item, days):
    return {
        "user_id": user,
        "item_id": item,
        "event_time": NOON - timedelta(days=days),
        "event_type": "event",
        "weight": 1.0,
    }


def vector(key, name, values, model="m"):
    return {key: name, "embedding": values, "model_id": model, "model_revision": "r"}


EVENTS = [
    event("ann", "a", 1),
    event("ann", "b", 2),
    event("bob", "b", 3),
    event("old", "c", 29.5),
    event("gone", "a", 60),
]
ITEMS = [{"item_id": name, "title": name, "attributes": "{}"} for name in ["a", "b", "c", "cold"]]
VECTORS = [
    vector("item_id", name, values)
    for name, values in {"a": [1, 0], "b": [0, 1], "c": [1, 1], "cold": [2, 1]}.items()
]

# Nothing was learnt but how alike the texts of items are.
ALIGNED = [
    {"item_id": name, "shown": [0.0], "wanted": [0.0], "model_id": "m"} for name in ["a", "b", "c", "cold"]
]
ALIGNMENT = {
    "model_id": "m",
    "far": 0.0,
    "near": 1.0,
    "blocks": ["text"],
    "block_weights": [10.0],
    "equal_events": 1.0,
}


def as_set(settings, parameters=(), quotas=(), weights=()):
    """A row of tunings: equal shares but for what is given."""
    blend = Blend.equal(settings.recall.blended)
    return {
        "tuned_ds": DS,
        "parameters": json.dumps(dict(parameters)),
        "quotas": json.dumps(dict(blend.quotas) | dict(quotas)),
        "weights": json.dumps(dict(blend.weights) | dict(weights)),
    }


@pytest.fixture
def settings(make_settings, publish):
    def prepare(events=EVENTS, vectors=VECTORS, synthetic=(), tuning=None, alignment=ALIGNMENT, **overrides):
        settings = make_settings(RECALL__FACTORS="4", **overrides)
        publish(settings, "ingest", DS, {"interactions": events, "items": ITEMS})
        publish(settings, "embed", DS, {"item_embeddings": vectors})
        publish(settings, "profile_items", DS, {"item_profiles": []})
        publish(settings, "align_embeddings", DS, {"aligned_items": ALIGNED, "alignments": [alignment]})
        publish(settings, "simulate_cold_start", DS, {"synthetic_interactions": synthetic})
        publish(settings, "tune", DS, {"tunings": [tuning or as_set(settings)]})
        return settings

    return prepare


def published(settings, table):
    return read(table, Store(settings.data_root).published(table, DS).files)


def lists(settings):
    rows = (
        published(settings, "candidates")
        .sort_by([("user_id", "ascending"), ("rank", "ascending")])
        .to_pylist()
    )
    return {
        user: [row["item_id"] for row in rows if row["user_id"] == user]
        for user in {r["user_id"] for r in rows}
    }


def test_every_active_user_gets_unseen_candidates(settings):
    prepared = settings()
    execute(JOB, DS, prepared)
    found = lists(prepared)
    assert set(found) == {"ann", "bob", "old"}  # gone was last seen 60 days ago
    assert set(found["ann"]) == {"c", "cold"}
    assert set(found["bob"]) == {"a", "c", "cold"}
    assert set(found["old"]) == {"a", "b", "cold"}


def test_candidates_keep_their_channels_and_their_time(settings):
    prepared = settings()
    execute(JOB, DS, prepared)
    (row,) = [
        r
        for r in published(prepared, "candidates").to_pylist()
        if (r["user_id"], r["item_id"]) == ("ann", "cold")
    ]
    assert row["channels"] == ["content", "cold_start"]
    assert row["content_rank"] == 2
    assert row["content_score"] == pytest.approx((2 + 1) / 5**0.5 / 3, abs=1e-6)
    assert row["als_rank"] is None
    assert row["input_max_event_time"] == NOON - timedelta(days=1)


def test_factors_are_published_for_whom_they_were_learnt(settings):
    prepared = settings()
    execute(JOB, DS, prepared)
    assert published(prepared, "user_factors")["user_id"].to_pylist() == ["ann", "bob", "gone", "old"]
    items = published(prepared, "item_factors")
    assert items["item_id"].to_pylist() == ["a", "b", "c"]
    assert {len(row) for row in items["factors"].to_pylist()} == {4}


def test_the_same_night_twice_gives_the_same_candidates(settings):
    prepared = settings()
    execute(JOB, DS, prepared)
    columns = ["user_id", "item_id", "score", "rank", "als_score"]
    first = published(prepared, "candidates").select(columns)
    execute(JOB, DS, prepared, reprocess=True)
    assert published(prepared, "candidates").select(columns).equals(first)


def test_a_synthetic_interaction_brings_a_cold_item_into_als(settings):
    told = {"user_id": "bob", "item_id": "cold", "other_item_id": "c", "probability": 1.0, "confidence": 1.0}
    prepared = settings(synthetic=[told])
    execute(JOB, DS, prepared)
    rows = {(r["user_id"], r["item_id"]): r for r in published(prepared, "candidates").to_pylist()}
    assert rows["bob", "cold"]["als_rank"] is not None  # not taken for seen either
    assert rows["bob", "cold"]["trending_rank"] is None


def test_the_number_of_candidates_is_capped_for_each_user(settings):
    prepared = settings(RECALL__CANDIDATES="1")
    execute(JOB, DS, prepared)
    assert {len(items) for items in lists(prepared).values()} == {1}


def test_nobody_active_and_nothing_left_to_propose_are_no_errors(settings):
    prepared = settings(events=[event("ann", name, 90) for name in "abc"])
    execute(JOB, DS, prepared)
    assert published(prepared, "candidates").num_rows == 0
    assert pa.compute.max(published(prepared, "user_factors")["input_max_event_time"]).as_py() < NOON


def test_vectors_of_two_models_are_refused(settings):
    mixed = [*VECTORS[:3], VECTORS[3] | {"model_id": "n"}]
    with pytest.raises(NightmillError, match=r"several models cannot be compared \(m, n\)"):
        execute(JOB, DS, settings(vectors=mixed))


def test_a_cold_item_has_a_place_of_its_own_behind_all_others(settings):
    prepared = settings(RECALL__CANDIDATES="4", RECALL__COLD_CANDIDATES="1", COLD_START__MAX_EVENTS="0")
    execute(JOB, DS, prepared)
    of_ann = [r for r in published(prepared, "candidates").to_pylist() if r["user_id"] == "ann"]
    (cold,) = [row for row in of_ann if row["item_id"] == "cold"]
    assert "cold_start" in cold["channels"]
    assert cold["cold_start_rank"] == 1
    assert all(row["cold_start_rank"] is None for row in of_ann if row["item_id"] != "cold")


def test_vectors_that_were_aligned_from_another_model_are_refused(settings):
    with pytest.raises(
        NightmillError, match=r"from vectors of old, item_embeddings from m.*align_embeddings"
    ):
        execute(JOB, DS, settings(alignment=ALIGNMENT | {"model_id": "old"}))


def test_a_tuning_sets_parameters_quotas_and_weights(settings):
    plain = settings()
    alone = as_set(plain, {"factors": 3}, {"content": 1}, dict.fromkeys(["als", "trending", "item_knn"], 0.0))
    tuned = settings(tuning=alone)
    execute(JOB, DS, tuned)
    rows = published(tuned, "candidates").to_pylist()
    assert {len(row) for row in published(tuned, "item_factors")["factors"].to_pylist()} == {3}
    for row in rows:
        rank = row["content_rank"]
        assert row["score"] == pytest.approx(60 / (60 + rank) if rank else 0)
        assert rank is None or row["rank"] == rank


def test_with_repeats_what_a_user_has_taken_may_be_proposed_again(settings):
    prepared = settings(RECALL__REPEATS="true")
    execute(JOB, DS, prepared)
    assert lists(prepared)["ann"][0] in {"a", "b"}
    (row,) = [
        r
        for r in published(prepared, "candidates").to_pylist()
        if (r["user_id"], r["item_id"]) == ("ann", "a")
    ]
    assert {"als", "repeat", "trending"} <= set(row["channels"])

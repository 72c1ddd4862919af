from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read
from jobs.recommend import JOB
from jobs.recommender.groups import FEATURES
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


def candidate(user, item, rank, score, **columns):
    row = {
        "user_id": user,
        "item_id": item,
        "rank": rank,
        "score": score,
        "channels": ["als"],
        "als_rank": rank,
    }
    return row | columns


EVENTS = [
    event("ann", "a", 1),
    event("bob", "a", 2),
    event("bob", "b", 3),
    event("new", "d", 1),
    event("gone", "c", 60),
]
CANDIDATES = [
    candidate("ann", "b", 1, 0.9),
    candidate("ann", "d", 2, 0.5),
    candidate("ann", "c", 3, 0.5),
    candidate("bob", "c", 1, 0.7, channels=["als", "content"]),
]
FALLBACK = {"status": "fallback", "reason": "too little history"}


def trained(features=FEATURES):
    """A ranker that prefers large ranks, which turns every list around."""
    import lightgbm

    generator = np.random.default_rng(0)
    values = generator.random((200, len(features)))
    values[:, features.index("als_rank")] = generator.integers(1, 4, 200)
    data = lightgbm.Dataset(values, values[:, features.index("als_rank")], feature_name=list(features))
    booster = lightgbm.train({"verbosity": -1, "num_leaves": 4, "learning_rate": 0.5}, data, 20)
    return {"status": "trained", "model_text": booster.model_to_string(), "features": list(features)}


@pytest.fixture
def settings(make_settings, publish):
    def prepare(ranker, candidates=CANDIDATES, items="abcd", **overrides):
        settings = make_settings(SPARK__DRIVER_MEMORY='"1g"', **{"RECOMMEND__TOP": "2"} | overrides)
        catalogue = [{"item_id": name, "title": name, "attributes": "{}"} for name in items]
        publish(settings, "ingest", DS, {"interactions": EVENTS, "items": catalogue})
        publish(settings, "fit_recall", DS, {"candidates": candidates})
        publish(settings, "train_ranker", DS, {"rankers": [ranker]})
        publish(settings, "build_features", DS, {"item_features": [], "user_features": []})
        publish(settings, "embed", DS, {"item_embeddings": [], "user_embeddings": []})
        return settings

    return prepare


def rows(settings):
    found = read("recommendations", Store(settings.data_root).published("recommendations", DS).files)
    return found.sort_by([("user_id", "ascending"), ("rank", "ascending")]).to_pylist()


def lists(settings):
    found = {}
    for row in rows(settings):
        found.setdefault(row["user_id"], []).append(row["item_id"])
    return found


def test_without_a_ranker_the_recall_scores_order_and_ties_go_by_item(settings):
    prepared = settings(FALLBACK, RECOMMEND__TOP="3")
    outcome = execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["b", "c", "d"]
    first = rows(prepared)[0]
    assert (first["rank"], first["score"], first["stage"], first["ranker_ds"]) == (1, 0.9, "candidates", None)
    assert first["channels"] == ["als"]
    assert first["input_max_event_time"] == NOON - timedelta(days=1)
    assert any("too little history" in note for note in outcome.notes)


def test_every_active_user_has_a_list_filled_from_what_is_trending(settings):
    prepared = settings(FALLBACK)
    outcome = execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["b", "c"], "bob": ["c", "d"], "new": ["a", "b"]}  # gone is not active
    filled = [row for row in rows(prepared) if row["user_id"] == "bob"]
    assert [row["channels"] for row in filled] == [["als", "content"], ["trending"]]
    assert filled[0]["score"] > filled[1]["score"]
    assert "recommend: 3 places of short lists were filled from what is trending" in outcome.notes


def test_a_seen_or_repeated_or_vanished_item_never_reaches_a_list(settings):
    tampered = [*CANDIDATES, candidate("ann", "a", 4, 9.0), candidate("ann", "x", 5, 8.0)]
    prepared = settings(FALLBACK, candidates=tampered, RECOMMEND__TOP="9")
    execute(JOB, DS, prepared)
    found = lists(prepared)
    assert found["ann"] == ["b", "c", "d"]
    assert all(count == 1 for items in found.values() for count in Counter(items).values())


def test_a_user_who_has_seen_everything_has_no_list(settings):
    prepared = settings(FALLBACK, candidates=[], items="ab")
    execute(JOB, DS, prepared)
    assert lists(prepared) == {"ann": ["b"], "new": ["a", "b"]}


def test_a_score_that_is_not_finite_is_refused(settings):
    with pytest.raises(NightmillError, match="not a finite number"):
        execute(JOB, DS, settings(FALLBACK, candidates=[candidate("ann", "b", 1, float("inf"))]))


@pytest.mark.spark
def test_a_ranker_orders_the_candidates(settings):
    prepared = settings(trained(), RECOMMEND__TOP="3")
    execute(JOB, DS, prepared)
    assert lists(prepared)["ann"] == ["c", "d", "b"]
    assert lists(prepared)["bob"] == ["c", "d"]
    first = rows(prepared)[0]
    assert (first["stage"], first["ranker_ds"]) == ("ranker", DS)


@pytest.mark.spark
def test_a_ranker_of_features_that_are_gone_is_refused_by_name(settings):
    prepared = settings(trained((*FEATURES, "item_charm_7d")))
    with pytest.raises(
        NightmillError, match=r"the ranker of 2026-01-31 .*\(item_charm_7d\): run `nightmill train"
    ):
        execute(JOB, DS, prepared)

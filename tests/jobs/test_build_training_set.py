"""Spark joins the training set here as it does every night."""

from datetime import UTC, date, datetime

import pytest

from feature_store.partitions import Store, read
from jobs.build_training_set import JOB
from jobs.step import execute

EARLIER, DS = date(2026, 1, 1), date(2026, 1, 9)


def took(user, item, day):
    moment = datetime(2026, 1, day, 12, tzinfo=UTC)
    return {"user_id": user, "item_id": item, "event_time": moment, "event_type": "event", "weight": 1.0}


def training_set(settings):
    return read("training_set", Store(settings.data_root).published("training_set", DS).files)


@pytest.mark.spark
def test_lists_of_an_earlier_night_become_a_training_set(make_settings, publish):
    settings = make_settings(SPARK__DRIVER_MEMORY='"1g"')
    events = [took("ann", "i0", 3), took("bob", "i9", 4), took("eve", "i1", 9)]
    publish(settings, "ingest", DS, {"interactions": events, "items": []})
    shown = [
        {"user_id": user, "item_id": item, "score": 1.0, "rank": n, "channels": ["als"], "als_rank": n}
        for user in ("ann", "bob", "eve")
        for n, item in enumerate(("i0", "i1"), 1)
    ]
    publish(settings, "fit_recall", EARLIER, {"candidates": shown})
    features = {"item_features": [{"item_id": "i0", "item_events_count_7d": 5}], "user_features": []}
    publish(settings, "build_features", EARLIER, features)
    publish(settings, "embed", EARLIER, {"item_embeddings": [], "user_embeddings": []})
    outcome = execute(JOB, DS, settings)
    found = training_set(settings).to_pylist()
    # eve came back when the window of seven days was over
    assert [(r["user_id"], r["item_id"], r["label"], r["item_events_count_7d"]) for r in found] == [
        ("ann", "i0", 1, 5),
        ("ann", "i1", 0, None),
        ("bob", "i0", 0, 5),
        ("bob", "i1", 0, None),
    ]
    assert {r["window"] for r in found} == {EARLIER}
    assert any("after 2 of 3 lists their user took something, 2 items in all" in n for n in outcome.notes)


def test_the_first_night_has_an_empty_one_and_starts_no_spark(make_settings, publish):
    settings = make_settings()
    publish(settings, "ingest", DS, {"interactions": [took("ann", "i0", 9)], "items": []})
    execute(JOB, DS, settings)
    assert training_set(settings).num_rows == 0

"""Spark joins the training set here as it does every night."""

from datetime import UTC, date, datetime

import pytest

from feature_store.partitions import Store, read
from jobs.recommender.ranker import FEATURES
from jobs.step import execute
from jobs.train_ranker import JOB

EARLIER, DS = date(2026, 1, 1), date(2026, 1, 9)
USERS = [f"u{n}" for n in range(12)]
ITEMS = [f"i{n}" for n in range(6)]


def took(user, item, day, hour=12):
    moment = datetime(2026, 1, day, hour, tzinfo=UTC)
    return {"user_id": user, "item_id": item, "event_time": moment, "event_type": "event", "weight": 1.0}


def candidate(user, item, rank):
    return {
        "user_id": user,
        "item_id": item,
        "score": 1 / rank,
        "rank": rank,
        "channels": ["als"],
        "als_rank": rank,
        "als_score": 1 / rank,
    }


@pytest.fixture
def settings(make_settings, publish):
    """On the earlier night every user had all six candidates; afterwards each took the first of them."""

    def prepare(users=USERS, **overrides):
        settings = make_settings(RANKER__MIN_DATA_IN_LEAF="2", SPARK__DRIVER_MEMORY='"1g"', **overrides)
        events = [took(user, "i0", 2 + n % 7) for n, user in enumerate(users)]
        publish(settings, "ingest", DS, {"interactions": events, "items": []})
        rows = [candidate(user, item, n + 1) for user in users for n, item in enumerate(ITEMS)]
        publish(settings, "fit_recall", EARLIER, {"candidates": rows})
        features = [{"item_id": item, "item_events_count_7d": n} for n, item in enumerate(ITEMS)]
        publish(
            settings,
            "build_features",
            EARLIER,
            {"item_features": features, "user_features": [{"user_id": user} for user in users]},
        )
        publish(settings, "embed", EARLIER, {"item_embeddings": [], "user_embeddings": []})
        return settings

    return prepare


def published(settings, table):
    return read(table, Store(settings.data_root).published(table, DS).files)


@pytest.mark.spark
def test_a_ranker_is_trained_on_what_was_taken_of_earlier_candidates(settings):
    prepared = settings(RANKER__MIN_GROUPS="5")
    execute(JOB, DS, prepared)
    (row,) = published(prepared, "rankers").to_pylist()
    assert (row["status"], row["reason"]) == ("trained", "")
    assert (row["groups"], row["positives"], row["rows"]) == (12, 12, 72)
    assert row["features"] == list(FEATURES)
    assert row["model_text"].startswith("tree\n")
    gains = dict(zip(row["features"], row["importances"], strict=True))
    assert max(gains, key=lambda name: gains[name]) in {"als_rank", "als_score", "item_events_count_7d"}
    assert row["input_max_event_time"] == datetime(2026, 1, 8, 12, tzinfo=UTC)
    assert published(prepared, "training_set").num_rows == 72


@pytest.mark.spark
def test_with_too_few_queries_it_says_so_and_recall_scores_have_to_do(settings):
    prepared = settings(users=USERS[:3])
    outcome = execute(JOB, DS, prepared)
    (row,) = published(prepared, "rankers").to_pylist()
    assert row["status"] == "fallback"
    assert row["reason"].startswith(
        "3 earlier queries have both taken and untaken candidates and a ranker needs 20"
    )
    assert row["model_text"] == ""
    assert any(row["reason"] in note for note in outcome.notes)


def test_the_first_night_has_nothing_to_learn_from(make_settings, publish):
    settings = make_settings()
    publish(settings, "ingest", DS, {"interactions": [took("ann", "i0", 9)], "items": []})
    execute(JOB, DS, settings)
    (row,) = published(settings, "rankers").to_pylist()
    assert (row["status"], row["rows"], row["input_max_event_time"]) == ("fallback", 0, None)
    assert published(settings, "training_set").num_rows == 0

"""What a model imagined is never taken for what happened.

Synthetic interactions enter ALS as a little confidence and the ranker's training as weighted pairs. For every
other use a test says that it cannot read them, or that it gives the same bytes with and without them.
"""

import json
from datetime import UTC, date, datetime, timedelta
from importlib import import_module

import numpy as np
import pytest

from feature_store.partitions import Store, read
from feature_store.settings import REPOSITORY
from feature_store.tables import CHANNELS
from jobs import fit_recall, simulate_cold_start
from jobs.chain import CHAIN
from jobs.history import cold_items, event_counts, recent_items
from jobs.night import Night, content_hash
from jobs.recommender.quotas import Blend
from jobs.step import execute

DS = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

# Who may read what, and what for.
READERS = {
    "synthetic_interactions": {
        "fit_recall": "confidence of ALS",
        "build_training_set": "synthetic_pairs",
        "ablate": "tokens that were paid for them",
    },
    "synthetic_pairs": {"train_ranker": "weighted pairs", "ablate": "what they are worth"},
}
# The uses that must never see them, by the job that would.
FORBIDDEN = {
    "ingest": "counts of events",
    "profile_items": "which items are cold",
    "profile_users": "histories shown to a model",
    "embed": "user vectors",
    "simulate_cold_start": "histories shown to a model, and its own earlier answers",
    "build_features": "features of behaviour, popularity, lifetimes",
    "propose_categories": "categories of items",
    "tune": "what recall is judged by",
    "recommend": "seen-item filters",
    "evaluate": "the truth lists are judged by",
}


def inputs(name):
    return {wanted.table for wanted in import_module(f"jobs.{name}").JOB.inputs}


@pytest.mark.parametrize("table", READERS)
def test_only_these_jobs_read_them(table):
    assert {name for name in CHAIN if table in inputs(name)} == set(READERS[table])


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_job_that_must_not_see_them_cannot(name, make_settings, tmp_path):
    """A night has the partitions of the declared inputs and no other."""
    found = {table: [] for table in inputs(name)}
    night = Night(DS, make_settings(), Store(tmp_path), found, "run")
    for table in READERS:
        for read_it in (night.files, night.read, night.earlier):
            with pytest.raises(KeyError):
                read_it(table)


def test_every_job_is_a_reader_or_forbidden_or_of_another_matter():
    """A new job has to be put on one of the lists, or here."""
    listed = set(FORBIDDEN).union(*READERS.values())
    assert set(CHAIN) - listed <= {"align_embeddings"}
    assert not set(FORBIDDEN) & set().union(*READERS.values())


def test_only_these_files_name_them():
    """Nobody goes round the inputs of a job, by the store or by SQL."""
    sources = [*(REPOSITORY / "jobs").rglob("*.py"), *(REPOSITORY / "feature_store").rglob("*.sql")]
    naming = {
        path.relative_to(REPOSITORY).as_posix()
        for path in sources
        if "synthetic_interactions" in path.read_text("utf-8") or "synthetic_pairs" in path.read_text("utf-8")
    }
    assert naming == {
        "feature_store/transforms/synthetic_pairs.sql",
        "jobs/ablate.py",
        "jobs/build_training_set.py",
        "jobs/fit_recall.py",
        "jobs/recommender/ablation.py",
        "jobs/recommender/als.py",
        "jobs/recommender/channels.py",
        "jobs/recommender/ranker.py",
        "jobs/recommender/synthetic_pairs.py",
        "jobs/recommender/tuning.py",
        "jobs/report/judge.py",
        "jobs/simulate_cold_start.py",
        "jobs/sql_origins.py",  # reads the SQL, for the documentation, and no row
        "jobs/train_ranker.py",
        "jobs/training_set.py",
        "jobs/tune.py",
    }


# -- recall: the same night with and without them ----------------------------------------------------

EVENTS = [("ann", "a", 1), ("ann", "b", 2), ("bob", "b", 3), ("eve", "c", 4), ("gone", "a", 60)]
VECTORS = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.7, 0.7], "cold": [0.9, 0.4]}
# One about a cold item, one about an item the user has taken, one of a user who has not been here for long,
# one of a user there is none of.
TOLD = [("bob", "cold"), ("ann", "a"), ("gone", "b"), ("nobody", "cold")]


@pytest.fixture
def recall(make_settings, publish, tmp_path):
    """`recall(confidence)`: what fit_recall publishes; None for a night without any synthetic interaction."""

    def run(confidence):
        folder = tmp_path / f"told-{confidence}"
        settings = make_settings(RECALL__FACTORS="4", RECALL__SYNTHETIC_WEIGHT="1.0")
        settings = settings.model_copy(update={"data_root": folder})
        events = [
            {"user_id": user, "item_id": item, "event_time": NOON - timedelta(days=days)}
            | {"event_type": "event", "weight": 1.0}
            for user, item, days in EVENTS
        ]
        items = [{"item_id": item, "categories": ["all"], "attributes": "{}"} for item in VECTORS]
        vectors = [{"item_id": item, "embedding": v, "model_id": "m"} for item, v in VECTORS.items()]
        told = [
            {"user_id": user, "item_id": item, "other_item_id": "c", "confidence": confidence}
            for user, item in (TOLD if confidence is not None else [])
        ]
        blend = Blend.equal(settings.recall.blended)
        tuning = {"tuned_ds": DS, "parameters": "{}"}
        tuning |= {"quotas": json.dumps(dict(blend.quotas)), "weights": json.dumps(dict(blend.weights))}
        publish(settings, "ingest", DS, {"interactions": events, "items": items})
        publish(settings, "embed", DS, {"item_embeddings": vectors})
        publish(settings, "profile_items", DS, {"item_profiles": []})
        alignment = {"model_id": vectors[0]["model_id"], "far": 0.0, "near": 1.0, "equal_events": 1.0}
        alignment |= {"blocks": ["text"], "block_weights": [10.0]}
        publish(settings, "align_embeddings", DS, {"aligned_items": [], "alignments": [alignment]})
        publish(settings, "simulate_cold_start", DS, {"synthetic_interactions": told})
        publish(settings, "tune", DS, {"tunings": [tuning]})
        execute(fit_recall.JOB, DS, settings)
        store = Store(folder)
        return {table: read(table, store.published(table, DS).files) for table in fit_recall.JOB.outputs}

    return run


def proposals(candidates, channel):
    names = ["user_id", "item_id", f"{channel}_rank", f"{channel}_score"]
    return sorted(tuple(row.values()) for row in candidates.select(names).to_pylist() if row[names[2]])


def test_no_other_channel_is_any_different_and_nothing_counts_as_seen_or_makes_active(recall):
    without, with_them = recall(None)["candidates"], recall(1.0)["candidates"]
    for channel in set(CHANNELS) - {"als", "cold_start"}:
        assert proposals(with_them, channel) == proposals(without, channel)
    assert proposals(with_them, "als") != proposals(without, "als")
    # not seen: bob, who was said to want it, may be recommended it; not active: nobody else is
    assert ("bob", "cold") in {row[:2] for row in proposals(with_them, "als")}
    assert (
        set(with_them["user_id"].to_pylist()) == set(without["user_id"].to_pylist()) == {"ann", "bob", "eve"}
    )


def test_of_confidence_0_they_change_not_a_byte(recall):
    without, with_them = recall(None), recall(0.0)
    for table in without:
        assert content_hash(with_them[table]) == content_hash(without[table])


# -- what jobs count by, over the files they are given ----------------------------------------------------


def test_counts_cold_items_and_recent_histories_are_of_interactions_alone(make_settings, publish):
    """The files of a job's `interactions` are the same files whatever was published beside them."""
    settings = make_settings()
    event = {"user_id": "ann", "item_id": "a", "event_time": NOON, "event_type": "event", "weight": 1.0}
    publish(settings, "ingest", DS, {"interactions": [event], "items": [{"item_id": "a"}]})

    def known():
        store = Store(settings.data_root)
        files = [f for part in store.partitions("interactions", DS) for f in part.files]
        counts = event_counts(files, datetime(2026, 2, 1, tzinfo=UTC))
        histories = recent_items(files, datetime(2026, 2, 1, tzinfo=UTC), 9)
        return counts, cold_items(["a", "cold"], counts, 0, 9), histories

    before = known()
    told = {"user_id": "ann", "item_id": "cold", "other_item_id": "a", "confidence": 1.0}
    publish(settings, "simulate_cold_start", DS, {"synthetic_interactions": [told]})
    assert known() == before
    assert before[:2] == ({"a": 1}, ["cold"])


def test_what_is_asked_tonight_does_not_depend_on_what_was_answered_before():
    assert not any(wanted.earlier for wanted in simulate_cold_start.JOB.inputs)
    assert np.all([wanted.table not in READERS for wanted in simulate_cold_start.JOB.inputs])

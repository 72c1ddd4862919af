"""align_embeddings on made nights: what it publishes, what it refuses, and that it survives kill -9."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from feature_store.errors import NightmillError
from feature_store.partitions import Store, read
from jobs.align_embeddings import JOB
from jobs.night import content_hash
from jobs.step import execute

DS = date(2026, 1, 31)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ITEMS = [f"i{n:03}" for n in range(150)]
SMALL = {"ALIGNMENT__DIMENSIONS": "8", "ALIGNMENT__PASSES": "4", "ALIGNMENT__USERS": "32"}


def event(user, item, days):
    time = NOON - timedelta(days=days)
    return {"user_id": user, "item_id": item, "event_time": time, "event_type": "event", "weight": 1.0}


def events():
    draw = np.random.default_rng(0)
    family = np.arange(150) % 5
    return [
        event(f"u{user:02}", ITEMS[item], n)
        for user in range(80)
        for n, item in enumerate(draw.choice(np.flatnonzero(family[:145] == user % 5), 8, replace=False))
    ]


def vectors(model="m", width=5):
    return [
        {
            "item_id": name,
            "embedding": np.eye(width)[n % 5].tolist(),
            "model_id": model,
            "model_revision": "r",
        }
        for n, name in enumerate(ITEMS)
    ]


@pytest.fixture
def settings(make_settings, publish):
    def prepare(happened=None, embedded=None, **overrides):
        settings = make_settings(**SMALL | overrides)
        items = [{"item_id": name, "title": "", "attributes": "{}"} for name in ITEMS]
        publish(
            settings,
            "ingest",
            DS,
            {"interactions": events() if happened is None else happened, "items": items},
        )
        publish(settings, "profile_items", DS, {"item_profiles": []})
        publish(settings, "embed", DS, {"item_embeddings": vectors() if embedded is None else embedded})
        return settings

    return prepare


def published(settings, table):
    return read(table, Store(settings.data_root).published(table, DS).files)


def test_every_item_has_vectors_and_the_mixture_says_what_it_was_tested_on(settings):
    prepared = settings()
    outcome = execute(JOB, DS, prepared)
    rows = published(prepared, "aligned_items")
    assert rows["item_id"].to_pylist() == ITEMS  # the last five nobody has touched
    assert {len(vector) for vector in rows["wanted"].to_pylist()} == {8}
    (row,) = published(prepared, "alignments").to_pylist()
    assert row["blocks"] == ["text"] or row["blocks"] == ["text", "code"]
    assert row["held_items"] > 20
    assert row["recall_both"] > 0.9
    assert row["input_max_event_time"] == NOON
    assert any("items held out" in note for note in outcome.notes)


def test_an_embedding_model_changed_overnight_is_aligned_anew(settings):
    prepared = settings()
    execute(JOB, DS, prepared)
    changed = settings(embedded=vectors("other", width=7))
    execute(JOB, DS, changed, reprocess=True)
    assert published(changed, "alignments")["model_id"].to_pylist() == ["other"]


@pytest.mark.parametrize("wrong", ["models", "lengths"])
def test_vectors_that_cannot_be_compared_are_refused(settings, wrong):
    mixed = [*vectors()[:100], *(vectors("other") if wrong == "models" else vectors(width=6))[100:]]
    with pytest.raises(NightmillError, match=r"several models|have lengths \[5, 6\].*nightmill embed"):
        execute(JOB, DS, settings(embedded=mixed))


def test_vectors_that_are_not_numbers_count_as_unknown(settings):
    broken = [row | {"embedding": [float("nan")] * 5} if n == 3 else row for n, row in enumerate(vectors())]
    prepared = settings(embedded=broken)
    execute(JOB, DS, prepared)
    rows = published(prepared, "aligned_items")
    assert ITEMS[3] not in rows["item_id"].to_pylist()
    assert np.isfinite(np.array(rows["wanted"].to_pylist())).all()


@pytest.mark.parametrize("happened", [[event("ann", "gone", 1)], [event("ann", "i000", 1)]])
def test_a_catalogue_that_is_all_cold_is_no_error(settings, happened):
    prepared = settings(happened)
    execute(JOB, DS, prepared)
    (row,) = published(prepared, "alignments").to_pylist()
    assert (row["held_items"], row["recall_both"]) == (0, None)


def test_killed_in_the_middle_it_goes_on_and_publishes_what_it_would_have(settings, tmp_path):
    prepared = settings(ALIGNMENT__PASSES="400", ALIGNMENT__PATIENCE="400", ALIGNMENT__HELD_SHARE="0.0")
    script = (
        "import sys, jobs.recommender.checkpoint as c; c._SECONDS = 0.0\n"
        "c.Checkpoint.__init__.__defaults__ = (0.0,)\n"
        "from datetime import date; from pathlib import Path\n"
        "from feature_store.settings import Settings; from jobs.align_embeddings import JOB\n"
        "from jobs.step import execute\n"
        "execute(JOB, date(2026, 1, 31), Settings.model_validate_json(Path(sys.argv[1]).read_text()))"
    )
    described = tmp_path / "settings.json"
    described.write_text(prepared.model_dump_json())
    scratch = prepared.data_root / "scratch" / f"align-{DS}"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(described)], stderr=subprocess.DEVNULL
    ) as running:
        until = time.monotonic() + 120
        while not list(scratch.glob("*/all.safetensors")) and running.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert running.poll() is None
        os.kill(running.pid, signal.SIGKILL)
    assert Store(prepared.data_root).published("aligned_items", DS) is None
    outcome = execute(JOB, DS, prepared)
    assert any("went on after pass" in note for note in outcome.notes)
    assert not scratch.exists()
    resumed = content_hash(published(prepared, "aligned_items"))
    execute(JOB, DS, prepared, reprocess=True)
    assert content_hash(published(prepared, "aligned_items")) == resumed

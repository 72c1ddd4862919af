import json
import multiprocessing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from unittest.mock import patch

import pyarrow as pa
import pytest

from feature_store import locks
from feature_store.errors import GateRefused, NightmillError
from feature_store.partitions import Store
from feature_store.sections import Settings
from jobs import cli
from jobs.chain import CHAIN, load_job
from jobs.ingest import JOB as INGEST
from jobs.step import Input, Job, execute, fingerprint, lock_name

DS = date(1998, 1, 2)


def _embedding_rows(newest):
    return pa.table(
        {
            "user_id": ["ann"],
            "embedding": pa.array([[1.0, 0.0]], pa.list_(pa.float32())),
            "history_events": [1],
            "model_id": ["m"],
            "model_revision": ["r"],
            "input_max_event_time": pa.array([newest], pa.timestamp("us", tz="UTC")),
        }
    )


def _job(run):
    return Job("embed", "", (Input("interactions"),), ("user_embeddings",), run, settings=("embedding",))


def _write(newest=datetime(1998, 1, 2, tzinfo=UTC)):
    return _job(lambda night: night.write("user_embeddings", _embedding_rows(newest)))


@pytest.fixture
def settings(make_settings) -> Settings:
    settings = make_settings()
    execute(INGEST, DS, settings)
    return settings


def test_a_night_publishes_with_provenance_and_a_manifest(settings):
    execute(_write(), DS, settings)
    partition = Store(settings.data_root).published("user_embeddings", DS)
    manifest = partition.manifest
    assert manifest["rows"] == {"written": 1, "quarantined": {}}
    assert [p["ds"] for p in manifest["inputs"]["interactions"]] == ["1998-01-01", "1998-01-02"]
    assert manifest["time_mode"] == "simulated"


def test_known_at_is_as_of_plus_the_delay_in_a_backfill(settings):
    seen = []
    execute(
        replace(_write(), run=lambda night: (seen.append(night.known_at), _write().run(night))), DS, settings
    )
    assert seen == [datetime(1998, 1, 3, 6, tzinfo=UTC)]


def test_the_same_inputs_run_once_and_another_setting_runs_again(settings, make_settings):
    assert not execute(_write(), DS, settings).nothing_to_do
    assert execute(_write(), DS, settings).nothing_to_do
    assert not execute(_write(), DS, make_settings(EMBEDDING__BATCH_SIZE="3")).nothing_to_do


def test_reprocess_runs_although_nothing_changed(settings):
    execute(_write(), DS, settings)
    assert not execute(_write(), DS, settings, reprocess=True).nothing_to_do


def test_an_event_at_as_of_is_the_future_and_is_refused(settings):
    with pytest.raises(NightmillError, match="not before"):
        execute(_write(datetime(1998, 1, 3, tzinfo=UTC)), DS, settings)
    just_before = datetime(1998, 1, 3, tzinfo=UTC) - timedelta(microseconds=1)
    assert not execute(_write(just_before), DS, settings).nothing_to_do


def test_a_crash_after_staging_leaves_the_published_run_and_no_files(settings):
    execute(_write(), DS, settings)
    store = Store(settings.data_root)
    before = store.published("user_embeddings", DS)

    def crash(night):
        night.write("user_embeddings", _embedding_rows(None))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        execute(_job(crash), DS, settings, reprocess=True)
    assert store.published("user_embeddings", DS) == before
    assert [p.name for p in (store.folder("user_embeddings", DS) / "runs").iterdir()] == [before.run_id]


def test_a_refused_gate_publishes_nothing(settings, monkeypatch):
    monkeypatch.setattr("jobs.publish.gates.check", lambda *_: ["embedding: 1 row is odd (ann)"])
    with pytest.raises(
        GateRefused, match=r"user_embeddings for 1998-01-02 was not published: embedding: 1 row is odd"
    ):
        execute(_write(), DS, settings)
    assert Store(settings.data_root).published("user_embeddings", DS) is None


def test_a_missing_column_is_named(settings):
    job = _job(lambda night: night.write("user_embeddings", _embedding_rows(None).drop(["model_id"])))
    with pytest.raises(NightmillError, match=r"lacks columns \['model_id'\]"):
        execute(job, DS, settings)


def test_a_shard_publishes_nothing(settings):
    outcome = execute(
        replace(_write(), run=lambda night: night.count(requests=2)), DS, settings, shard=(1, 2)
    )
    assert outcome.counts == {"requests": 2}
    assert Store(settings.data_root).published("user_embeddings", DS) is None


def test_an_unknown_refusal_reason_is_a_defect(settings):
    job = _job(lambda night: night.quarantine("ann", "moody", "no"))
    with pytest.raises(ValueError, match="not a refusal reason"):
        execute(job, DS, settings)


def test_the_manifest_is_plain_json(settings):
    execute(_write(), DS, settings)
    path = Store(settings.data_root).published("user_embeddings", DS).path / "manifest.json"
    assert json.loads(path.read_text())["job"] == "embed"


def _run_and_wait(settings, staged, go_on):
    def run(night):
        _write().run(night)
        staged.set()
        go_on.wait(60)

    with patch("jobs.publish.gates.check", return_value=[]):
        execute(_job(run), DS, settings)


def test_of_two_at_once_one_publishes_and_the_other_says_who_did(settings, monkeypatch, capsys):
    context = multiprocessing.get_context("spawn")
    staged, go_on = context.Event(), context.Event()
    winner = context.Process(target=_run_and_wait, args=(settings, staged, go_on))
    winner.start()
    assert staged.wait(60)
    say = locks._say_who_holds
    monkeypatch.setattr(locks, "_say_who_holds", lambda *said: (say(*said), go_on.set()))
    outcome = execute(_job(lambda night: pytest.fail("it ran twice")), DS, settings)
    winner.join()
    published = Store(settings.data_root).published("user_embeddings", DS)
    assert outcome.nothing_to_do
    assert outcome.rival.startswith(f"run {published.run_id} of pid {winner.pid} on ")
    assert f"embed for 1998-01-02 waits for the lock embed-1998-01-02 of pid {winner.pid} on " in (
        capsys.readouterr().err
    )
    cli._say(outcome)
    assert f"nothing to do: published meanwhile by run {published.run_id} of pid" in capsys.readouterr().out
    assert execute(_write(), DS, settings).rival == ""


def test_a_killed_run_holds_nobody_up(settings):
    context = multiprocessing.get_context("spawn")
    staged, go_on = context.Event(), context.Event()
    victim = context.Process(target=_run_and_wait, args=(settings, staged, go_on))
    victim.start()
    assert staged.wait(60)
    victim.kill()
    victim.join()
    assert not execute(_write(), DS, settings).nothing_to_do


def test_ingest_has_one_lock_for_every_ds_and_other_jobs_one_for_each():
    assert lock_name(INGEST, DS) == lock_name(INGEST, DS + timedelta(days=1))
    assert lock_name(_write(), DS) != lock_name(_write(), DS + timedelta(days=1))


@pytest.mark.parametrize("name", CHAIN)
def test_where_the_work_is_done_is_no_part_of_what_it_is_made_from(name, make_settings):
    elsewhere = make_settings(SPARK__MASTER="spark://cluster:7077", SPARK__SHUFFLE_PARTITIONS="400")
    job = load_job(name)
    assert fingerprint(job, DS, make_settings(), {}) == fingerprint(job, DS, elsewhere, {})

"""What a trial is told: nothing that another trial has kept."""

from datetime import UTC, datetime

import pyarrow as pa

from feature_store.contract import TIME
from feature_store.settings import load_settings
from feature_store.tables import TABLES
from infra.benchmarks import cold_start_known
from infra.benchmarks.cold_start_known import keep_vectors, stage

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_trials_of_one_data_root_have_other_fingerprints_and_the_last_known_day(tmp_path, monkeypatch):
    monkeypatch.setattr(cold_start_known, "run_job", lambda *_: None)
    settings = load_settings({"NIGHTMILL_DATA": str(tmp_path)})
    rows = {"user_id": ["ann"], "item_id": ["x"], "event_time": pa.array([NOON], TIME)}
    events = pa.table(rows | {"event_type": ["event"], "weight": [1.0]})
    items = TABLES["items"].schema.empty_table()
    nights = [stage(events, items, tmp_path, f"seed-{seed}", settings) for seed in (42, 43)]
    assert {night.ds for night in nights} == {NOON.date()}
    for table in ("interactions", "items", "users"):
        # a job keeps checkpoints by what its inputs are called
        assert len({night.inputs[table][0].fingerprint for night in nights}) == 2
    assert nights[0].read("users", ["user_id"]).to_pylist() == [{"user_id": "ann"}]
    assert nights[0].read("items", ["item_id", "listed"]).to_pylist() == [{"item_id": "x", "listed": False}]


def test_vectors_of_texts_are_kept_outside_the_data_root(tmp_path):
    environ = {"NIGHTMILL_DATA": str(tmp_path / "data"), "NIGHTMILL_CACHE": str(tmp_path / "cache")}
    keep_vectors(load_settings(environ))
    (tmp_path / "data" / "vectors" / "a").touch()
    assert (tmp_path / "cache" / "benchmarks" / "vectors" / "a").exists()

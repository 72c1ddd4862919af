from typing import Any

import pytest

from feature_store.tables import TABLES
from jobs.chain import CHAIN, load_job

SHARDED = [name for name in CHAIN if load_job(name).shardable]


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dags["nightly"]
    return found


def test_it_is_read_in_a_minute(dag: dict[str, Any]) -> None:
    assert dag["lines"] < 150


def test_one_task_is_one_job_and_the_shards_of_those_that_ask(dag: dict[str, Any]) -> None:
    assert set(dag["tasks"]) == {
        *CHAIN,
        *(f"{name}_shards" for name in SHARDED),
        "list_shards",
        "check_complete",
    }
    for name in CHAIN:
        command = dag["tasks"][name]["command"]
        assert command[:3] == ["nightmill", name, "--ds"]
        assert command[4] == "{{ '--reprocess' if params.get('reprocess') else '' }}"
    for name in SHARDED:
        shards = dag["tasks"][f"{name}_shards"]
        assert shards["mapped"]
        assert (shards["job"], shards["outlets"]) == (name, [])
        # An empty list of shards skips them, and the job that publishes does it all.
        assert dag["tasks"][name]["rule"] == "none_failed"


def test_order(dag: dict[str, Any]) -> None:
    assert {name: dag["tasks"][name]["upstream"] for name in CHAIN} == {
        "ingest": [],
        "profile_items": ["ingest", "profile_items_shards"],
        "profile_users": ["ingest", "profile_users_shards"],
        "embed": ["profile_items"],
        "simulate_cold_start": ["embed", "simulate_cold_start_shards"],
        "propose_categories": ["embed", "propose_categories_shards"],
        "build_features": ["embed", "profile_users"],
        "tune": ["embed"],
        "align_embeddings": ["embed"],
        "fit_recall": ["align_embeddings", "simulate_cold_start", "tune"],
        "build_training_set": ["build_features", "fit_recall"],
        "ablate": ["build_training_set"],
        "train_ranker": ["ablate"],
        "recommend": ["train_ranker"],
        "evaluate": ["propose_categories", "recommend"],
    }


@pytest.mark.parametrize("name", CHAIN)
def test_a_job_comes_after_those_whose_tables_it_reads(dag: dict[str, Any], name: str) -> None:
    read = {TABLES[given.table].job for given in load_job(name).inputs if not given.earlier}
    for task in [name, f"{name}_shards"] if name in SHARDED else [name]:
        before, todo = set(), [task]
        while todo:
            upstream = dag["tasks"][todo.pop()]["upstream"]
            before.update(upstream)
            todo.extend(upstream)
        assert read <= before


def test_the_run_for_a_day_starts_when_the_day_has_ended(dag: dict[str, Any]) -> None:
    # The night of January 6 is the one after that of January 5, and is known at the midnight that ends it.
    assert dag["next"] == ["1998-01-06 00:00:00+00:00", "1998-01-07 00:00:00+00:00"]
    assert not dag["catchup"]
    assert dag["end_date"] == "None"


def test_a_backfill_may_run_several_dates_at_once(dag: dict[str, Any]) -> None:
    assert dag["max_active_runs"] == 4


def test_pools(dag: dict[str, Any]) -> None:
    pools = {name: task["pool"] for name, task in dag["tasks"].items() if task["pool"] != "default_pool"}
    asking = {task: "generation" for name in SHARDED for task in (name, f"{name}_shards")}
    assert pools == asking | {"build_features": "spark", "build_training_set": "spark"}


def test_failures_are_tried_again_with_growing_pauses_and_explained(dag: dict[str, Any]) -> None:
    for task in dag["tasks"].values():
        assert (task["retries"], task["backoff"], task["callbacks"]) == (2, 2.0, [1, 1])


def test_a_shard_has_as_long_as_its_job(dag: dict[str, Any]) -> None:
    for name in SHARDED:
        assert dag["tasks"][f"{name}_shards"]["hours"] == dag["tasks"][name]["hours"]


def test_a_night_ends_with_whether_every_row_was_asked_about(dag: dict[str, Any]) -> None:
    assert dag["tasks"]["check_complete"]["upstream"] == ["evaluate"]
    assert dag["tasks"]["check_complete"]["asks"] == [SHARDED]


def test_somebody_is_told_of_a_night_that_takes_six_hours(dag: dict[str, Any]) -> None:
    alert = dag["deadline"]
    assert alert["interval"]["__data__"] == 6 * 3600
    assert alert["reference"] == {"reference_type": "DagRunQueuedAtDeadline"}
    # The default executor runs it itself: there is no triggerer to start.
    assert alert["callback"]["__classname__"].endswith("SyncCallback")
    assert alert["callback"]["__data__"]["path"] == "deadlines.say_late"


def test_every_table_is_an_asset_of_the_job_that_writes_it(dag: dict[str, Any]) -> None:
    for name in CHAIN:
        found = dict(dag["tasks"][name]["outlets"])
        if name == "evaluate":
            assert found.pop("nights") == "nightmill://nights/complete"
        assert set(found) == set(load_job(name).outputs)
        assert all(uri == f"nightmill://tables/{table}" for table, uri in found.items())


def test_documentation(dag: dict[str, Any]) -> None:
    assert "When a task is red" in dag["doc"]
    assert "leave it at 1" not in dag["doc"]
    for name, task in dag["tasks"].items():
        assert "When it is red" in task["doc"]
        assert name not in CHAIN or all(f"`{table}`" in task["doc"] for table in load_job(name).outputs)

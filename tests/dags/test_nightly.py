from collections.abc import Callable
from typing import Any

import pytest

from feature_store.tables import TABLES
from jobs.cli import CHAIN, load_job

INSPECT = """
import os
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DataInterval, TimeRestriction
from pendulum import datetime

bag = DagBag(os.environ["PYTHONPATH"])
dag = bag.dags["nightly"]
timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
after = timetable.next_dagrun_info(
    last_automated_data_interval=DataInterval(datetime(1998, 1, 5), datetime(1998, 1, 6)),
    restriction=TimeRestriction(earliest=None, latest=None, catchup=True),
)
result = {
    "errors": bag.import_errors,
    "dags": list(bag.dags),
    "doc": dag.doc_md,
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "logical_date": str(after.logical_date),
    "run_after": str(after.run_after),
    "tasks": {
        task.task_id: {
            "upstream": sorted(task.upstream_task_ids),
            "command": task.command,
            "pool": task.pool,
            "retries": task.retries,
            "backoff": task.retry_exponential_backoff,
            "doc": task.doc_md,
        }
        for task in dag.tasks
    },
}
"""


@pytest.fixture(scope="module")
def dag(in_airflow: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = in_airflow(INSPECT)
    return found


def test_the_folder_imports_and_holds_this_dag_only(dag: dict[str, Any]) -> None:
    assert dag["errors"] == {}
    assert dag["dags"] == ["nightly"]


def test_one_task_is_one_job(dag: dict[str, Any]) -> None:
    assert set(dag["tasks"]) == set(CHAIN)
    for name, task in dag["tasks"].items():
        assert task["command"] == ["nightmill", name, "--ds", "{{ ds }}"]


def test_order(dag: dict[str, Any]) -> None:
    assert {name: task["upstream"] for name, task in dag["tasks"].items()} == {
        "ingest": [],
        "profile_items": ["ingest"],
        "profile_users": ["ingest"],
        "embed": ["profile_items"],
        "simulate_cold_start": ["embed", "profile_users"],
        "propose_categories": ["embed"],
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
    before, todo = set(), [name]
    while todo:
        upstream = dag["tasks"][todo.pop()]["upstream"]
        before.update(upstream)
        todo.extend(upstream)
    read = {TABLES[given.table].job for given in load_job(name).inputs if not given.earlier}
    assert read <= before


def test_the_run_for_a_day_starts_when_the_day_has_ended(dag: dict[str, Any]) -> None:
    # The night of January 6 is the one after that of January 5, and is known at the midnight that ends it.
    assert dag["logical_date"].startswith("1998-01-06 00:00:00+00:00")
    assert dag["run_after"].startswith("1998-01-07 00:00:00+00:00")
    assert not dag["catchup"]


def test_one_date_at_a_time(dag: dict[str, Any]) -> None:
    assert dag["max_active_runs"] == 1


def test_the_jobs_that_ask_the_model_share_its_pool(dag: dict[str, Any]) -> None:
    pooled = {name for name, task in dag["tasks"].items() if task["pool"] == "generation"}
    assert pooled == {name for name in CHAIN if load_job(name).shardable}


def test_failures_are_tried_again_with_growing_pauses(dag: dict[str, Any]) -> None:
    for task in dag["tasks"].values():
        assert (task["retries"], task["backoff"]) == (2, 2.0)


def test_documentation(dag: dict[str, Any]) -> None:
    assert "When a task is red" in dag["doc"]
    for name, task in dag["tasks"].items():
        for table in load_job(name).outputs:
            if table in {"item_factors", "user_factors", "rankers"}:  # models, for the jobs' own use
                continue
            assert f"`{table}`" in task["doc"]

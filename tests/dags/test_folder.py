"""What holds for every DAG of the folder."""

from collections.abc import Callable
from typing import Any

ENDS = """
import os
from airflow.dag_processing.dagbag import DagBag

result = {dag.dag_id: str(dag.end_date) for dag in DagBag(os.environ["PYTHONPATH"]).dags.values()}
"""


def test_these_dags_and_no_others(dags: dict[str, Any]) -> None:
    assert set(dags) == {"nightly", "weekly_training", "maintenance", "renewal"}


def test_each_is_read_in_a_minute_and_documented(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag["lines"] < 150
        assert "is red**" in dag["doc"]
        for task in dag["tasks"].values():
            assert "When it is red" in task["doc"]


def test_failures_are_explained_and_tried_again_with_growing_pauses(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag["tasks"].values():
            assert task["callbacks"] == [1, 1]
            # What has waited for hours has waited enough.
            tries = (0, 2.0) if task["waits_for"] else (2, 2.0)
            assert (task["retries"], task["backoff"]) == tries


def test_every_command_ends_some_time(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag["tasks"].values():
            mode, seconds = task["waits"]
            if task["waits_for"]:
                assert mode == "reschedule"  # holds no worker
                assert 0 < seconds <= 36 * 3600
            elif task["command"] or task["job"]:
                assert 0 < task["hours"] <= 24


def test_no_run_is_made_up_for_days_that_are_gone(dags: dict[str, Any]) -> None:
    assert [name for name, dag in dags.items() if dag["catchup"]] == []


def test_data_without_new_days_gets_no_nights_by_itself(in_airflow: Callable[..., Any]) -> None:
    found = in_airflow(ENDS, _NIGHTMILL_LAST_NIGHT="2020-12-31")
    assert {name for name, end in found.items() if end.startswith("2020-12-31")} == {
        "nightly",
        "weekly_training",
    }

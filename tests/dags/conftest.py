"""Airflow sets up logging and its home on import, so tests look at it from a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feature_store.settings import REPOSITORY

DAGS = REPOSITORY / "dags"
INSPECT = """
import os
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DataInterval, TimeRestriction
from pendulum import datetime

bag = DagBag(os.environ["PYTHONPATH"])
assert bag.import_errors == {}, bag.import_errors

def of_operator(task, name, default=None):
    return task.partial_kwargs.get(name, default) if task.is_mapped else getattr(task, name, default)

def next_run(timetable):
    if not timetable.periodic:
        return None
    info = timetable.next_dagrun_info(
        last_automated_data_interval=DataInterval(datetime(1998, 1, 5), datetime(1998, 1, 6)),
        restriction=TimeRestriction(earliest=None, latest=None, catchup=True),
    )
    return [str(info.logical_date), str(info.run_after)]

def inspected(dag):
    serialized = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return {
        "doc": dag.doc_md,
        "lines": len(open(dag.fileloc).readlines()),
        "catchup": dag.catchup,
        "end_date": str(dag.end_date),
        "starts_paused": dag.is_paused_upon_creation,
        "max_active_runs": dag.max_active_runs,
        "deadline": serialized.deadline and serialized.deadline[0],
        "begun_by": [asset.name for asset in getattr(dag.timetable.asset_condition, "objects", [])],
        "next": next_run(serialized.timetable),
        "tasks": {
            task.task_id: {
                "upstream": sorted(task.upstream_task_ids),
                "mapped": task.is_mapped,
                "command": None if task.is_mapped else getattr(task, "command", None),
                "job": of_operator(task, "job"),
                "pool": task.pool,
                "retries": task.retries,
                "backoff": task.retry_exponential_backoff,
                "hours": task.execution_timeout and task.execution_timeout.total_seconds() / 3600,
                "waits": [getattr(task, "mode", None), getattr(task, "timeout", None)],
                "waits_for": getattr(task, "dags", None) or getattr(task, "external_dag_id", None),
                "asks": list(getattr(task, "op_args", [])),
                "rule": task.trigger_rule.value,
                "outlets": [[a.name, getattr(a, "uri", None)] for a in of_operator(task, "outlets", [])],
                "callbacks": [len(task.on_failure_callback), len(task.on_retry_callback)],
                "doc": task.doc_md,
            }
            for task in dag.tasks
        },
    }

result = {dag.dag_id: inspected(dag) for dag in bag.dags.values()}
"""


@pytest.fixture(scope="session")
def in_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run Python code that can import Airflow and the DAG folder; returns what it leaves in `result`."""
    home = tmp_path_factory.mktemp("airflow-home")

    def run(code: str, path: Path | None = None, **environment: str) -> Any:
        output = home / "result.json"
        script = f"{code}\nimport json\njson.dump(result, open({str(output)!r}, 'w'))"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        environ |= environment
        environ |= {"AIRFLOW_HOME": str(home), "PYTHONPATH": str(DAGS)}
        if path:
            environ["PATH"] = f"{path}{os.pathsep}{environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(output.read_text("utf-8"))

    return run


@pytest.fixture(scope="session")
def dags(in_airflow: Callable[..., Any]) -> dict[str, Any]:
    """What Airflow sees of every DAG of the folder, by dag_id."""
    found: dict[str, Any] = in_airflow(INSPECT)
    return found

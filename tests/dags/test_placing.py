from collections.abc import Callable
from typing import Any

import pytest

NIGHT = """
import os
os.environ |= {environ!r}
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(os.environ["PYTHONPATH"]).dags["nightly"]
result = {{task.task_id: task.executor_config or {{}} for task in dag.tasks if not task.is_mapped}}
result["shards"] = dag.get_task("profile_items_shards").partial_kwargs.get("executor_config") or {{}}
"""


@pytest.mark.airflow
def test_tasks_that_ask_the_model_get_the_template_that_is_named(in_airflow: Callable[..., Any]) -> None:
    environ = {"GENERATION_POD_TEMPLATE": "/opt/airflow/pod-templates/generation-pod.yaml"}
    found = in_airflow(NIGHT.format(environ=environ))
    placed = {name for name, config in found.items() if config}
    asking = {"profile_items", "profile_users", "simulate_cold_start", "propose_categories"}
    assert placed == asking | {"shards"}
    assert found["profile_items"] == {"pod_template_file": environ["GENERATION_POD_TEMPLATE"]}


@pytest.mark.airflow
def test_without_a_template_tasks_run_where_the_executor_likes(in_airflow: Callable[..., Any]) -> None:
    assert not any(in_airflow(NIGHT.format(environ={})).values())

from collections.abc import Callable
from typing import Any

import pytest

LATE = """
import logging
from datetime import timedelta
from deadlines import done_within, say_late

class Lines(logging.Handler):
    def emit(self, record):
        told.append([record.levelname, record.getMessage()])

logging.getLogger("deadlines").addHandler(Lines())
logging.getLogger("deadlines").setLevel("INFO")

def said(run_type, state):
    run = {"dag_id": "nightly", "logical_date": "1998-01-07", "dag_run_id": "r"}
    run |= {"run_type": run_type, "state": state}
    told.clear()
    say_late(context={"dag_run": run, "deadline": {"deadline_time": "1998-01-08 06:00"}})
    return told[0]

told = []
result = {
    "late": said("scheduled", "running"),
    "never begun": said("scheduled", "queued"),
    "slow": said("backfill", "running"),
    "in line": said("backfill", "queued"),
    "by": type(done_within(timedelta(hours=1)).callback).__name__,
}
"""
BY = """
from datetime import timedelta
from deadlines import done_within

result = type(done_within(timedelta(hours=1)).callback).__name__
"""


def test_a_late_night_is_an_error_and_a_place_in_line_is_not(in_airflow: Callable[..., Any]) -> None:
    found = in_airflow(LATE)
    level, said = found["late"]
    assert level == "ERROR"
    assert said.startswith("nightly for 1998-01-07 should have been done by 1998-01-08 06:00 and is running")
    assert said.endswith("/dags/nightly/runs/r")
    assert (found["never begun"][0], found["slow"][0], found["in line"][0]) == ("ERROR", "ERROR", "INFO")


@pytest.mark.parametrize(
    ("executor", "callback"),
    [
        ("LocalExecutor", "SyncCallback"),
        ("CeleryExecutor", "SyncCallback"),
        ("airflow.providers.celery.executors.celery_executor.CeleryExecutor", "SyncCallback"),
        ("KubernetesExecutor", "AsyncCallback"),  # which would stop the scheduler over the other kind
        ("LocalExecutor,KubernetesExecutor", "AsyncCallback"),
    ],
)
def test_who_tells_is_somebody_who_can(in_airflow: Callable[..., Any], executor: str, callback: str) -> None:
    assert in_airflow(BY, AIRFLOW__CORE__EXECUTOR=executor) == callback

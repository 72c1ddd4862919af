from collections.abc import Callable
from typing import Any

import pytest

# Connections from the environment, the first place where Airflow looks.
ASK = """
import os
os.environ |= {environ!r}
from connections import secrets_of_jobs
try:
    result = secrets_of_jobs()
except Exception as error:
    result = [type(error).__name__, str(error)]
"""
MODEL = '{"conn_type": "http", "host": "model-server", "port": 8000, "password": "sk-planted"}'
STORE = '{"conn_type": "aws", "login": "AKIA", "password": "planted", "extra": {"endpoint_url": "http://minio:9000"}}'


@pytest.mark.airflow
def test_connections_become_the_variables_that_jobs_read(in_airflow: Callable[..., Any]) -> None:
    environ = {"MODEL_CONNECTION": "nightmill_model", "STORE_CONNECTION": "nightmill_store"}
    environ |= {"AIRFLOW_CONN_NIGHTMILL_MODEL": MODEL, "AIRFLOW_CONN_NIGHTMILL_STORE": STORE}
    assert in_airflow(ASK.format(environ=environ)) == {
        "NIGHTMILL_GENERATION__HTTP__URL": "http://model-server:8000/v1",
        "NIGHTMILL_GENERATION__HTTP__API_KEY": "sk-planted",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "planted",
        "AWS_ENDPOINT_URL": "http://minio:9000",
    }


@pytest.mark.airflow
def test_without_names_no_connection_is_asked_for(in_airflow: Callable[..., Any]) -> None:
    assert in_airflow(ASK.format(environ={})) == {}


@pytest.mark.airflow
def test_a_missing_connection_is_named(in_airflow: Callable[..., Any]) -> None:
    kind, said = in_airflow(ASK.format(environ={"MODEL_CONNECTION": "nightmill_model"}))
    assert kind == "AirflowNotFoundException"
    assert "nightmill_model" in said


HANDED_ON = """
import os, io, contextlib, logging
os.environ |= {environ!r}
from job_operator import JobOperator
operator = JobOperator(task_id="embed", job="embed", writes=())
operator.render_template_fields({{"ds": "1998-01-07", "params": {{}}}})
log = io.StringIO()
with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
    operator.execute({{"outlet_events": {{}}}})
shown = str(operator.environment)
result = {{"seen": open(os.environ["SEEN"]).read(), "log": log.getvalue(), "shown": shown}}
"""


@pytest.mark.airflow
def test_a_job_gets_its_secret_and_neither_log_nor_form_shows_it(
    in_airflow: Callable[..., Any], tmp_path
) -> None:
    command = tmp_path / "nightmill"
    command.write_text('#!/bin/sh\necho "$NIGHTMILL_GENERATION__HTTP__API_KEY" > "$SEEN"\n')
    command.chmod(0o755)
    environ = {"MODEL_CONNECTION": "nightmill_model", "AIRFLOW_CONN_NIGHTMILL_MODEL": MODEL}
    environ |= {"SEEN": str(tmp_path / "seen"), "NIGHTMILL_DATA": str(tmp_path / "data")}
    found = in_airflow(HANDED_ON.format(environ=environ), tmp_path)
    assert found["seen"] == "sk-planted\n"
    assert "sk-planted" not in found["log"] + found["shown"]

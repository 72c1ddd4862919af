"""The client against a scripted Airflow that records what it is asked."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest

from feature_store.errors import NightmillError
from infra.airflow.api import AirflowApi, TaskState

Answers = dict[str, Any]
Script = Callable[[Answers], AirflowApi]
RUNS = "GET /api/v2/dags/nightly/dagRuns"
RUN = "/api/v2/dags/nightly/dagRuns/by_hand"


@pytest.fixture
def asked() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def airflow(asked: list[tuple[str, Any]]) -> Script:
    """An AirflowApi whose server knows the given answers, by method and path, and 404 for the rest."""

    def scripted(answers: Answers) -> AirflowApi:
        def answer(request: httpx.Request) -> httpx.Response:
            key = f"{request.method} {request.url.path}"
            asked.append((key, json.loads(request.content) if request.content else None))
            return (
                httpx.Response(200, json=answers[key]) if key in answers else httpx.Response(404, text="no")
            )

        return AirflowApi("http://airflow", transport=httpx.MockTransport(answer))

    return scripted


def test_a_date_that_has_no_run_gets_one_over_its_own_day(
    airflow: Script, asked: list[tuple[str, Any]]
) -> None:
    api = airflow({RUNS: {"dag_runs": []}, "POST /api/v2/dags/nightly/dagRuns": {"dag_run_id": "new"}})
    assert api.start(date(1998, 1, 31)) == "new"
    assert asked[-1][1] == {
        "dag_run_id": "nightly__1998-01-31",
        "logical_date": "1998-01-31T00:00:00+00:00",
        "data_interval_start": "1998-01-31T00:00:00+00:00",
        "data_interval_end": "1998-02-01T00:00:00+00:00",
        "run_after": "1998-02-01T00:00:00+00:00",
    }


def test_a_date_that_has_run_runs_again(airflow: Script, asked: list[tuple[str, Any]]) -> None:
    found = {"dag_runs": [{"dag_run_id": "by_hand", "state": "success"}]}
    api = airflow({RUNS: found, f"POST {RUN}/clear": {}})
    assert api.start(date(1998, 1, 31)) == "by_hand"
    assert asked[1:] == [(f"POST {RUN}/clear", {"dry_run": False, "run_on_latest_version": True})]


def test_a_run_that_was_left_running_is_ended_first(airflow: Script, asked: list[tuple[str, Any]]) -> None:
    found = {"dag_runs": [{"dag_run_id": "by_hand", "state": "running"}]}
    api = airflow({RUNS: found, f"PATCH {RUN}": {}, f"POST {RUN}/clear": {}})
    api.start(date(1998, 1, 31))
    assert [key for key, _ in asked[1:]] == [f"PATCH {RUN}", f"POST {RUN}/clear"]
    assert asked[1][1] == {"state": "failed"}


def test_only_missing_pools_are_made(airflow: Script, asked: list[tuple[str, Any]]) -> None:
    api = airflow({"GET /api/v2/pools": {"pools": [{"name": "b", "slots": 9}]}, "POST /api/v2/pools": {}})
    api.ensure_pools({"a": 1, "b": 2})
    assert asked[1:] == [("POST /api/v2/pools", {"name": "a", "slots": 1})]


def test_pausing_tells_how_it_was(airflow: Script, asked: list[tuple[str, Any]]) -> None:
    api = airflow({"GET /api/v2/dags/nightly": {"is_paused": True}, "PATCH /api/v2/dags/nightly": {}})
    assert api.pause(False) is True
    assert asked[-1] == ("PATCH /api/v2/dags/nightly", {"is_paused": False})
    api.pause(True)
    assert asked[-1][0] == "GET /api/v2/dags/nightly"  # nothing to change


def test_tasks(airflow: Script) -> None:
    found = {"task_id": "embed", "state": None, "try_number": 0, "duration": None, "map_index": -1}
    shard = found | {"task_id": "profile_items_shards", "map_index": 1}
    api = airflow({f"GET {RUN}/taskInstances": {"task_instances": [found, shard]}})
    tasks = api.tasks("by_hand")
    assert tasks[0] == TaskState("embed", "waiting", 0, None)
    assert [task.label for task in tasks] == ["embed", "profile_items_shards[1]"]


def test_a_log_is_its_lines_without_folding_marks(airflow: Script) -> None:
    content = [{"event": "::group::Pre Execute"}, {"event": "one\ntwo"}, {"event": "::endgroup::"}]
    api = airflow({f"GET {RUN}/taskInstances/embed/logs/2": {"content": content}})
    assert api.log("by_hand", "embed", 2) == ["one", "two"]


def test_a_refusal_is_one_line_with_airflows_reason(airflow: Script) -> None:
    with pytest.raises(NightmillError, match=r"Airflow refused GET pools \(404\): no$"):
        airflow({}).ensure_pools({"a": 1})


def test_a_dag_that_does_not_import_is_named(airflow: Script) -> None:
    broken = {"filename": "nightly.py", "stack_trace": "Traceback ...\n  File ...\nNameError: name 'x'\n"}
    api = airflow({"GET /api/v2/importErrors": {"import_errors": [broken]}})
    with pytest.raises(NightmillError, match=r"cannot import nightly\.py: NameError: name 'x'$"):
        api.raise_import_errors()


def test_a_busy_database_is_asked_again_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.airflow.api.BUSY_SECONDS", 0.0)
    busy = httpx.Response(500, json={"detail": {"reason": "Database error"}})
    answers = [busy, busy, httpx.Response(200, json={"state": "queued"})]
    api = AirflowApi("http://airflow", transport=httpx.MockTransport(lambda _: answers.pop(0)))
    assert api.state("by_hand") == "queued"
    answers = [busy] * 9
    with pytest.raises(NightmillError, match=r"refused GET .*by_hand \(500\): .*Database error"):
        api.state("by_hand")
    assert len(answers) == 4
    answers = [httpx.Response(500, text="a bug"), busy]
    with pytest.raises(NightmillError, match="a bug"):
        api.state("by_hand")
    assert len(answers) == 1

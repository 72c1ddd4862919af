from collections.abc import Callable
from typing import Any

import pytest

RENEW = """
from datetime import UTC, datetime
from types import SimpleNamespace as Some
from night_jobs import NIGHTS
from renew_operator import KEY, RenewOperator

class Hook:
    def run_command(self, command, env, cwd):
        seen.append(command)
        return Some(exit_code=code, output="nothing to renew")

class State(dict):
    def set(self, key, value):
        self[key] = value

import job_operator, renew_operator
job_operator.SubprocessHook = Hook
renew_operator.renewed = lambda since, environment: renewed_tables

class Events:
    def __getitem__(self, alias):
        return Some(add=lambda asset, extra: told.append([alias.name, asset.name, extra["ds"]]))

def renewed(params, state, *starts):
    runs = [Some(start_date=datetime(2026, 1, day, tzinfo=UTC)) for day in starts]
    events = [Some(extra={}, source_dag_run=run) for run in runs]
    operator = RenewOperator(task_id="renew", told_by=NIGHTS)
    operator.render_template_fields({"params": params})
    before = dict(state)
    try:
        operator.execute({"asset_state_store": {NIGHTS: state},
                          "triggering_asset_events": {NIGHTS: events},
                          "outlet_events": Events()})
    except job_operator.AirflowException:
        assert code
    now = datetime.now(UTC).isoformat()
    moved = state.get(KEY) != before.get(KEY)
    return [seen.pop()[1:], moved and before.get(KEY, "") < state[KEY] <= now]

seen, told, code, renewed_tables = [], [], 0, []
result = {
    "first": renewed({}, State(), 3, 2, 4),
    "by hand": renewed({}, State()),
    "again": renewed({"since": None}, State({KEY: "2025-12-31T00:00:00+00:00"}), 3),
    "chosen": renewed({"since": "2020-01-01T00:00:00Z"}, State({KEY: "2025-12-31T00:00:00+00:00"}), 3),
}
account = {"ds": "1998-01-14", "rows": 3, "run_id": "r"}
renewed_tables = [("recommendations", account), ("evaluations", account)]
renewed({}, State())
result["told"] = list(told)
code = 1
result["failed"] = renewed({}, State({KEY: "2025-12-31T00:00:00+00:00"}), 3)
"""


@pytest.fixture(scope="module")
def renewed(in_airflow: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = in_airflow(RENEW)
    return found


def test_since_the_last_renewal_that_succeeded(renewed: dict[str, Any]) -> None:
    command, remembered = renewed["again"]
    assert command == ["renew", "--since", "2025-12-31T00:00:00+00:00"]
    assert remembered
    assert renewed["failed"] == [command, False]


def test_the_first_time_since_the_first_night_that_told_of_it(renewed: dict[str, Any]) -> None:
    assert renewed["first"] == [["renew", "--since", "2026-01-02T00:00:00+00:00"], True]
    assert renewed["by hand"] == [["renew"], True]


def test_what_a_person_chose_is_not_remembered(renewed: dict[str, Any]) -> None:
    assert renewed["chosen"] == [["renew", "--since", "2020-01-01T00:00:00Z"], False]


def test_others_are_told_of_what_was_renewed(renewed: dict[str, Any]) -> None:
    assert renewed["told"] == [
        ["renewed tables", "recommendations", "1998-01-14"],
        ["renewed tables", "evaluations", "1998-01-14"],
    ]

"""The DAGs on `make airflow`: a backfill as the form starts it, its renewal, refusals, a failure's log."""

import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from feature_store.errors import NightmillError
from feature_store.settings import REPOSITORY
from infra.airflow.api import AirflowApi
from jobs.chain import CHAIN, load_job
from tests.stand_in_environment import stand_in_environment

pytestmark = pytest.mark.airflow

STAND_IN = """\
#!/bin/sh
echo "$* version=$NIGHTMILL_PROFILES__ITEM_PROMPT_VERSION" >> "$NIGHTMILL_DATA/calls"
publish() {
    partition="$NIGHTMILL_DATA/tables/$1/ds=$2"
    mkdir -p "$partition/runs/r1"
    echo '{"ds": "'$2'", "run_id": "r1", "finished_at": "'$3'", "incomplete": "", "rows": {"written": 7},
        "provenance": {"prompt_name": "profile_item", "prompt_version": 1, "model_id": "m"}}' \\
        > "$partition/runs/r1/manifest.json"
    echo '{"run_id": "r1", "fingerprint": "f"}' > "$partition/published.json"
}
case "$*" in
"profile_items --ds $3") publish item_profiles $3 1998-01-07 ;;
"renew"*) publish recommendations 1998-01-06 2100-01-01T00:00+00:00 ;;
"ingest --ds 1998-02-03") while [ ! -e "$NIGHTMILL_DATA/told" ]; do sleep 1; done; exit 2 ;;
"ingest --ds 1998-02-01") echo "nightmill: items.csv, line 7: no item_id" >&2; exit 3 ;;
esac
"""
DATES = ["1998-01-05", "1998-01-06"]
CONF = {"shards": 2, "item_prompt_version": 1}
BACKFILL = {
    "dag_id": "nightly",
    "from_date": f"{DATES[0]}T00:00:00Z",
    "to_date": f"{DATES[1]}T00:00:00Z",
    "run_backwards": True,
    "max_active_runs": 2,
    "dag_run_conf": CONF,
}
SHARDED = [name for name in CHAIN if load_job(name).shardable]


@dataclass
class Served:
    """A running `make airflow`, and what its jobs were called with."""

    api: AirflowApi
    data: Path

    @property
    def calls(self) -> list[str]:
        path = self.data / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def runs(self, dag: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.call("GET", f"dags/{dag}/dagRuns")["dag_runs"]
        return found

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "\n".join(self.calls)
            time.sleep(1.0)

    def trigger(self, dates: list[str], conf: dict[str, Any]) -> str:
        """Trigger a night; its run_id."""
        date = f"{dates[0]}T00:00:00Z"
        interval = {
            "logical_date": date,
            "data_interval_start": date,
            "data_interval_end": f"{dates[1]}T00:00:00Z",
        }
        name: str = self.api.call("POST", "dags/nightly/dagRuns", {**interval, "conf": conf})["dag_run_id"]
        return name

    def wait_for(self, run: str) -> None:
        self.wait(lambda: self.api.state(run) in ("success", "failed"), 200)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Airflow with the schedule on, for data that gets no new days."""
    data = tmp_path_factory.mktemp("data")
    python = stand_in_environment(tmp_path_factory.mktemp("environment"), STAND_IN)
    process = subprocess.Popen(
        [str(python), "-m", "infra.airflow.serve"],
        cwd=REPOSITORY,
        env=os.environ | {"NIGHTMILL_DATA": str(data)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        found = None
        for line in process.stdout:
            if found := re.match(r"(http://\S+)/dags/nightly is ready", line):
                break
        assert found, "it did not start"
        with AirflowApi(found[1]) as api:
            api.wait_until_ready(lambda: None)
            api.pause(False)
            yield Served(api, data)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def backfilled(served: Served) -> Served:
    """After a backfill of two dates at once, the newer first, and what it set off."""
    served.api.call("POST", "backfills", BACKFILL)
    served.wait(lambda: [run["state"] for run in served.runs("nightly")] == ["success"] * 2, 400)
    served.wait(lambda: {run["state"] for run in served.runs("renewal")} == {"success"}, 120)
    return served


def test_nothing_is_run_that_nobody_asked_for(served: Served) -> None:
    assert served.runs("nightly") == []
    assert served.calls == []


def test_a_backfill_runs_each_job_once_and_shards_what_asks(backfilled: Served) -> None:
    nights = [call for call in backfilled.calls if not call.startswith("renew")]
    shards = [f"{job} --ds {ds} --shard {k}/2" for job in SHARDED for ds in DATES for k in (1, 2)]
    expected = [f"{job} --ds {ds}" for job in CHAIN for ds in DATES] + shards
    assert sorted(nights) == sorted(f"{call} version=1" for call in expected)
    for job in SHARDED:
        last_shard = max(nights.index(f"{job} --ds {DATES[0]} --shard {k}/2 version=1") for k in (1, 2))
        assert last_shard < nights.index(f"{job} --ds {DATES[0]} version=1")


def test_what_learnt_too_early_is_renewed_once_all_nights_are_there(backfilled: Served) -> None:
    calls = backfilled.calls
    first = next(place for place, call in enumerate(calls) if call.startswith("renew --since 20"))
    assert [call for call in calls[first:] if not call.startswith("renew")] == []


def test_a_run_names_its_parameters_its_prompts_and_its_model(backfilled: Served) -> None:
    for run in backfilled.runs("nightly"):
        assert run["conf"] == CONF
        assert run["note"] == "Nightmill: profile_item/v1; asked m"


def test_others_are_told_of_every_table(backfilled: Served) -> None:
    events = backfilled.api.call("GET", "assets/events", limit=100)["asset_events"]
    names = [event["name"] for event in events]
    lists = [event["source_dag_id"] for event in events if event["name"] == "recommendations"]
    assert lists.count("nightly") == len(DATES)
    assert set(lists) == {"nightly", "renewal"}
    assert names.count("nights") == len(DATES)
    told = [event["extra"] for event in events if event["name"] == "item_profiles"]
    assert sorted((extra["ds"], extra["run_id"], extra["rows"]) for extra in told) == [
        (ds, "r1", 7) for ds in DATES
    ]


def test_a_week_is_trained_anew_once_its_night_is_there(backfilled: Served) -> None:
    backfilled.api.call("PATCH", "dags/weekly_training", {"is_paused": False})
    begun = len(backfilled.calls)
    body = {"logical_date": f"{DATES[1]}T00:00:00Z"}
    backfilled.api.call("POST", "dags/weekly_training/dagRuns", body)
    backfilled.wait(lambda: [run["state"] for run in backfilled.runs("weekly_training")] == ["success"], 200)
    called = [call.split(" version=")[0] for call in backfilled.calls[begun:]]
    assert sorted(called[:2]) == [f"align_embeddings --ds {DATES[1]}", f"tune --ds {DATES[1]} --fresh"]
    assert f"ablate --ds {DATES[1]} --fresh" in called
    assert called[-1].startswith(("evaluate", "renew"))


def test_maintenance(served: Served) -> None:
    served.api.call("PATCH", "dags/maintenance", {"is_paused": False})
    served.api.call("POST", "dags/maintenance/dagRuns", {"logical_date": None, "conf": {"dry_run": True}})

    def called() -> set[str]:
        return {call.split(" version=")[0] for call in served.calls}

    # One was asked for, and the schedule begins that of the latest noon.
    served.wait(lambda: {"gc --dry-run", "gc", "compact"} <= called(), 100)
    served.wait(lambda: {run["state"] for run in served.runs("maintenance")} == {"success"}, 100)


@pytest.mark.parametrize(
    "conf",
    [
        {"profile": "x; touch p"},
        {"item_prompt_version": "$(touch p)"},
        {"shards": 0},
        {"budget_tokens": -1},
        {"reprocess": "yes"},
    ],
)
def test_what_is_not_allowed_is_refused(served: Served, conf: dict[str, Any]) -> None:
    for path, body in (
        ("dags/nightly/dagRuns", {"logical_date": "1998-03-01T00:00:00Z", "conf": conf}),
        ("backfills", BACKFILL | {"dag_run_conf": conf}),
    ):
        with pytest.raises(NightmillError, match=r"Airflow refused POST \S+ \(4\d\d\)"):
            served.api.call("POST", path, body)


def test_the_last_lines_of_a_failures_log_say_what_to_do(served: Served) -> None:
    run = served.trigger(["1998-02-01", "1998-02-02"], {"item_prompt_version": 2})
    served.wait_for(run)
    lines = served.api.log(run, "ingest", 1)[-10:]
    assert f"ingest failed for ds=1998-02-01 (run {run}), try 1 of 3" in lines
    assert "reason: a quality gate refused to publish (exit code 3)" in lines
    assert "it said: nightmill: items.csv, line 7: no item_id" in lines
    assert "command: NIGHTMILL_PROFILES__ITEM_PROMPT_VERSION=2 nightmill ingest --ds 1998-02-01" in lines
    assert served.calls.count("ingest --ds 1998-02-01 version=2") == 1


def test_a_night_that_takes_too_long_is_told_of(served: Served) -> None:
    run = served.trigger(["1998-02-03", "1998-02-04"], {})
    served.wait(lambda: "ingest --ds 1998-02-03 version=" in served.calls, 100)
    database = sqlite3.connect(served.data / "airflow" / "airflow.db", timeout=60)
    with database:  # rather than wait for six hours
        moved = database.execute(
            "UPDATE deadline SET deadline_time = '1998-02-04 06:00:00' "
            "WHERE dagrun_id = (SELECT id FROM dag_run WHERE run_id = ?)",
            (run,),
        )
        assert moved.rowcount == 1
    database.close()
    folder = served.data / "airflow" / "logs" / "executor_callbacks" / "nightly" / run

    def told() -> str:
        return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())

    served.wait(lambda: "should have been done by" in told(), 100)
    assert f"/dags/nightly/runs/{run}" in told()
    (served.data / "told").touch()
    served.wait_for(run)

"""A month of nights through Airflow's backfill, three at once, has the tables of `nightmill backfill`."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from feature_store.settings import REPOSITORY
from tests.infra.cluster.shop import tables

from .harness import Harmed, different, held_locks, stored_twice, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
FIRST = date(1998, 2, 18)
# A shorter range is for trying the test out.
DAYS = int(os.environ.get("FAULT_DAYS", "30"))
ACTIVE = 3


def test_thirty_nights_with_three_active_runs(harmed: Harmed) -> None:
    api, began = harmed.cluster.airflow.api, datetime.now(UTC)
    last = FIRST + timedelta(days=DAYS - 1)
    api.pause(False)
    asked = {"from_date": f"{FIRST}T00:00:00Z", "to_date": f"{last}T00:00:00Z", "max_active_runs": ACTIVE}
    made = api.call("POST", "backfills", {"dag_id": "nightly", "dag_run_conf": {}, **asked})
    until(lambda: over(harmed, made["id"]), 7000, harmed.check)
    runs = api.call("GET", "dags/nightly/dagRuns", logical_date_gte=asked["from_date"], limit=100)["dag_runs"]
    assert [run["state"] for run in runs] == ["success"] * DAYS
    assert most_at_once(runs) == min(ACTIVE, DAYS)

    by_hand(harmed, harmed.root, "renew", "--since", began.isoformat())
    by_hand(harmed, harmed.whole, "backfill", "--from", str(FIRST), "--to", str(last))
    assert different(tables(harmed.root), tables(harmed.whole)) == []
    assert stored_twice(harmed.root) == []
    assert harmed.jobs() == []
    assert held_locks(harmed.root) == []


def over(harmed: Harmed, backfill: int) -> bool:
    """Whether a backfill is complete, or one of its nights is not to be saved."""
    found = harmed.cluster.airflow.api.call("GET", f"backfills/{backfill}")
    return found["completed_at"] is not None


def most_at_once(runs: list[dict[str, str]]) -> int:
    """How many runs were under way at the busiest moment."""
    starts = [(run["start_date"], 1) for run in runs]
    ends = [(run["end_date"], -1) for run in runs]
    busiest = under_way = 0
    for _, change in sorted(starts + ends):
        under_way += change
        busiest = max(busiest, under_way)
    return busiest


def by_hand(harmed: Harmed, root: Path, *words: str) -> None:
    """A command of Nightmill's on a data root; AssertionError with what it said when it fails."""
    environ = {**harmed.environ, "NIGHTMILL_DATA": str(root)}
    command = [sys.executable, "-m", "jobs.cli", *words]
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

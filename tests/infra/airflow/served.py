"""A shop with two data roots, Airflow's and the command line's, and a client of that Airflow."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_store.partitions import Store, read
from feature_store.settings import REPOSITORY
from feature_store.tables import TABLES
from infra.airflow.api import AirflowApi
from jobs.night import OF_A_RUN

DATES = [date(1998, 1, 6) + timedelta(days=n) for n in range(5)]
PATIENCE = 900.0  # a machine that does other things too


@dataclass
class Shop:
    """A made shop, the warm command on it, and its two data roots: Airflow's and the command line's."""

    python: Path
    variables: dict[str, str]
    root: Path
    by_hand: Path

    def nightmill(self, *arguments: str, root: Path | None = None) -> str:
        """Run the command in a data root; returns what it said."""
        variables = os.environ | self.variables | {"NIGHTMILL_DATA": str(root or self.root)}
        command = [str(self.python.with_name("nightmill")), *arguments]
        done = subprocess.run(
            command, env=variables, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tables(self, root: Path, dates: list[date]) -> dict[tuple[str, date], pa.Table]:
        """What the published partitions of the dates say, whichever run wrote them."""
        store, found = Store(root), {}
        for table in TABLES:
            for partition in (p for p in store.partitions(table) if p.ds in dates):
                rows = read(table, partition.files)
                dropped = [name for name in (*OF_A_RUN, "seconds") if name in rows.column_names]
                found[table, partition.ds] = rows.drop_columns(dropped)
        return found

    def check_same(self, dates: list[date]) -> None:
        """Both data roots say the same of the dates."""
        ours, wanted = self.tables(self.root, dates), self.tables(self.by_hand, dates)
        assert ours.keys() == wanted.keys()
        assert [key for key in wanted if not ours[key].equals(wanted[key])] == []


@dataclass
class Served:
    """`make airflow` and a client of it."""

    url: str
    api: AirflowApi

    def backfill(self, dates: list[date], **more: Any) -> None:
        """What the form's button calls."""
        body = {
            "dag_id": "nightly",
            "from_date": f"{dates[0]}T00:00:00Z",
            "to_date": f"{dates[-1]}T00:00:00Z",
        }
        self.api.call("POST", "backfills", body | more)

    def runs(self) -> dict[str, dict[str, Any]]:
        """The runs of `nightly` by their dates."""
        found = self.api.call("GET", "dags/nightly/dagRuns", limit=100)["dag_runs"]
        return {run["logical_date"][:10]: run for run in found}

    def wait(self, dates: list[date], done: Callable[[], bool]) -> None:
        """Until something is so; an error has the end of the log of the first of their tasks that failed."""
        deadline = time.monotonic() + PATIENCE
        while not done():
            runs = self.runs()
            for run in (runs[str(ds)] for ds in dates if str(ds) in runs):
                assert run["state"] != "failed", self.failure(run["dag_run_id"])
            assert time.monotonic() < deadline, {day: run["state"] for day, run in runs.items()}
            time.sleep(1.0)

    def failure(self, run: str) -> str:
        """The end of the log of a run's failed task."""
        failed = next(task for task in self.api.tasks(run) if task.state == "failed")
        return "\n".join(self.api.log(run, failed.name, failed.tries, failed.index)[-20:])

    def settled(self, dates: list[date]) -> bool:
        """Whether the nights are published, and what had to be renewed after them is."""
        runs = self.runs()
        if not all(runs.get(str(ds), {}).get("state") == "success" for ds in dates):
            return False
        told = max(runs[str(ds)]["end_date"] for ds in dates)
        renewals = self.api.call("GET", "dags/renewal/dagRuns", limit=100)["dag_runs"]
        return all(run["state"] == "success" for run in renewals) and any(
            run["end_date"] > told for run in renewals
        )

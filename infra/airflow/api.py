"""What the night needs of Airflow's public REST API (v2)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from feature_store.errors import NightmillError

FINISHED_RUN = {"success", "failed"}
# SQLite turns away a writer that has met another; of its request nothing was done.
BUSY = "Database error"
BUSY_TRIES, BUSY_SECONDS = 5, 0.5
FOLDS = ("::group::", "::endgroup::")


@dataclass(frozen=True)
class TaskState:
    """One task of a run as the API reports it; seconds is None until its latest try has ended.

    index: which of the tasks that one was mapped to; -1 where it was not.
    """

    name: str
    state: str
    tries: int
    seconds: float | None
    index: int = -1

    @property
    def label(self) -> str:
        """How it is shown."""
        return self.name if self.index < 0 else f"{self.name}[{self.index}]"


class AirflowApi:
    """A client of one Airflow, for one DAG.

    login: user and password; None for an Airflow that takes every visitor for an administrator.
    """

    def __init__(
        self,
        base_url: str,
        dag: str = "nightly",
        transport: httpx.BaseTransport | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.dag = dag
        self.login = login
        self.client = httpx.Client(base_url=base_url, timeout=120.0, trust_env=False, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def wait_until_ready(self, check: Callable[[], None], seconds: float = 300.0) -> None:
        """Return when the API answers, the scheduler beats and the DAG is known.

        check is called between attempts and raises when waiting is pointless.
        """
        deadline = time.monotonic() + seconds
        while True:
            check()
            missing = self._missing()
            if missing is None:
                return
            if time.monotonic() > deadline:
                raise NightmillError(f"{missing} was not ready within {seconds:.0f} s; see Airflow's logs")
            time.sleep(0.25)

    def _missing(self) -> str | None:
        try:
            # The first request for the API that tasks talk to builds it; better now than in the first task.
            if self.client.get("/execution/health").status_code != httpx.codes.OK:
                return "Airflow's API for tasks"
            health = self.client.get("/api/v2/monitor/health")
            if health.status_code != httpx.codes.OK:
                return "Airflow's API"
            if health.json()["scheduler"]["status"] != "healthy":
                return "Airflow's scheduler"
            if "Authorization" not in self.client.headers:
                self.client.headers["Authorization"] = f"Bearer {self._token()}"
            self.raise_import_errors()
            found = self.client.get(f"/api/v2/dags/{self.dag}")
            return None if found.status_code == httpx.codes.OK else f"DAG {self.dag}"
        except httpx.TransportError:
            return "Airflow's API"

    def _token(self) -> str:
        if self.login is None:
            answer = self.client.get("/auth/token")
        else:
            answer = self.client.post(
                "/auth/token", json={"username": self.login[0], "password": self.login[1]}
            )
        if answer.is_error:
            raise NightmillError(
                f"Airflow refused to let us in ({answer.status_code}): {answer.text.strip()}"
            )
        token: str = answer.json()["access_token"]
        return token

    def healthy(self) -> bool:
        """Whether the api-server answers and reaches its database."""
        try:
            answer = self.client.get("/api/v2/monitor/health", timeout=10.0)
            return answer.is_success and answer.json()["metadatabase"]["status"] == "healthy"
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **params: Any
    ) -> dict[str, Any]:
        """One request; NightmillError with Airflow's own words when it is refused."""
        for _ in range(BUSY_TRIES):
            answer = self._send(method, path, body, params)
            if answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR or BUSY not in answer.text:
                break
            time.sleep(BUSY_SECONDS)
        if answer.is_error:
            text = answer.text.strip()
            raise NightmillError(f"Airflow refused {method} {path} ({answer.status_code}): {text}")
        parsed: dict[str, Any] = answer.json() if answer.content else {}
        return parsed

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, params: Mapping[str, Any]
    ) -> httpx.Response:
        try:
            return self.client.request(method, f"/api/v2/{path}", json=body, params=params)
        except httpx.TransportError as error:
            what = f"{method} {path}"
            raise NightmillError(f"Airflow's API did not answer {what}: {error!r}; see its log") from error

    def raise_import_errors(self) -> None:
        """Raise NightmillError with the last line of the first DAG file that does not import."""
        for error in self.call("GET", "importErrors")["import_errors"]:
            reason = error["stack_trace"].strip().splitlines()[-1]
            raise NightmillError(f"Airflow cannot import {error['filename']}: {reason}")

    def ensure_pools(self, pools: Mapping[str, int]) -> None:
        """Create the pools that are missing; those that exist keep the slots somebody gave them."""
        known = {pool["name"] for pool in self.call("GET", "pools")["pools"]}
        for name, slots in pools.items():
            if name not in known:
                self.call("POST", "pools", {"name": name, "slots": slots})

    def pause(self, paused: bool) -> bool:
        """Set whether the DAG is paused; returns whether it was."""
        was: bool = self.call("GET", f"dags/{self.dag}")["is_paused"]
        if was != paused:
            self.call("PATCH", f"dags/{self.dag}", {"is_paused": paused})
        return was

    def start(self, ds: date) -> str:
        """Run the DAG for one logical date, again if it has run before; returns the run's id."""
        midnight = datetime(ds.year, ds.month, ds.day, tzinfo=UTC)
        end = midnight + timedelta(days=1)
        found = self.call(
            "GET",
            f"dags/{self.dag}/dagRuns",
            logical_date_gte=midnight.isoformat(),
            logical_date_lt=end.isoformat(),
        )["dag_runs"]
        if found:
            return self._restart(found[0])
        body = {
            "dag_run_id": f"nightly__{ds.isoformat()}",
            "logical_date": midnight.isoformat(),
            "data_interval_start": midnight.isoformat(),
            "data_interval_end": end.isoformat(),
            "run_after": end.isoformat(),
        }
        run: str = self.call("POST", f"dags/{self.dag}/dagRuns", body)["dag_run_id"]
        return run

    def _restart(self, run: Mapping[str, Any]) -> str:
        name: str = run["dag_run_id"]
        if run["state"] not in FINISHED_RUN:
            self.fail(name)  # left behind by an Airflow that was killed; nothing of it is running
        self.call("POST", f"{self._run(name)}/clear", {"dry_run": False, "run_on_latest_version": True})
        return name

    def fail(self, run: str) -> None:
        """Mark a run as failed, which stops what is running of it."""
        self.call("PATCH", self._run(run), {"state": "failed"})

    def state(self, run: str) -> str:
        """The state of a run."""
        state: str = self.call("GET", self._run(run))["state"]
        return state

    def tasks(self, run: str) -> list[TaskState]:
        """Every task of a run."""
        found = self.call("GET", f"{self._run(run)}/taskInstances")["task_instances"]
        return [
            TaskState(
                task["task_id"],
                task["state"] or "waiting",
                task["try_number"],
                task["duration"],
                task.get("map_index", -1),
            )
            for task in found
        ]

    def log(self, run: str, task: str, attempt: int, index: int = -1) -> list[str]:
        """The lines of one try's log, without the markers that fold them in the UI."""
        path = f"{self._run(run)}/taskInstances/{task}/logs/{attempt}"
        content = self.call("GET", path, full_content="true", map_index=index)["content"]
        lines = [str(entry["event"]) if isinstance(entry, dict) else str(entry) for entry in content]
        return [line for text in lines for line in text.splitlines() if not line.startswith(FOLDS)]

    def _run(self, run: str) -> str:
        return f"dags/{self.dag}/dagRuns/{run}"

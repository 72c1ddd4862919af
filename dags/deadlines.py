"""When a night takes so long that somebody should know, although nothing has failed."""

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk.configuration import conf
from airflow.sdk.definitions.callback import AsyncCallback, SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from failures import page

log = logging.getLogger(__name__)

# An alert that its executor cannot run would stop the scheduler; these two are known to run them.
RUN_CALLBACKS = ("LocalExecutor", "CeleryExecutor")


def say_late(context: dict[str, Any]) -> None:
    """Log that a run is late and where to look; `deadline_alerts.deadline_missed` is counted by Airflow."""
    run = context["dag_run"]
    if run["run_type"] == "backfill" and run["state"] == "queued":
        log.info("%s for %s waits for its turn in a backfill", run["dag_id"], run["logical_date"])
        return
    log.error(
        "%s for %s should have been done by %s and is %s; see which task runs or waits: %s",
        run["dag_id"],
        run["logical_date"],
        context["deadline"]["deadline_time"],
        run["state"],
        page(f"dags/{run['dag_id']}/runs/{run['dag_run_id']}"),
    )


async def say_late_in_triggerer(context: dict[str, Any]) -> None:
    """The same, for the triggerer, which takes coroutines only."""
    say_late(context)


def done_within(limit: timedelta) -> DeadlineAlert:
    """An alert for runs that are not done so long after they were queued."""
    executor = conf.get("core", "executor", fallback="LocalExecutor")
    able = all(one.strip().rsplit(".", 1)[-1].endswith(RUN_CALLBACKS) for one in executor.split(","))
    callback = SyncCallback(say_late) if able else AsyncCallback(say_late_in_triggerer)
    return DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=limit, callback=callback)

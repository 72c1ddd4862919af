"""What a job's run made, as metrics of Airflow's own exporter (StatsD or OpenTelemetry, `[metrics]`).

    nightmill.<job>.rows       rows the run wrote, all its tables together
    nightmill.<job>.refused    rows it refused
    nightmill.<job>.seconds    how long it took
    nightmill.<job>.tokens     read and written for this job and date, all runs and shards together

Gauges, for a task's process ends with its task: counters of such processes would all begin at nothing.
Airflow puts its prefix before the name. A job that found nothing to do leaves its gauges as they are.
"""

import logging
from collections.abc import Mapping
from datetime import date, datetime

from published import open_store_of

log = logging.getLogger(__name__)


def emit(job: str, ds: str, since: datetime, environment: Mapping[str, str]) -> dict[str, float]:
    """Set the gauges of the run of a job that was published for ds at `since` or later; returns them.

    environment: what the job was given beside this process's own, since that may name another data root. What
    goes wrong is one line in the log: the job is done.
    """
    try:
        found = measures(job, date.fromisoformat(ds), since, environment)
        if found:
            _send({f"nightmill.{job}.{name}": value for name, value in found.items()})
    except Exception as error:
        log.warning("The metrics of %s for %s were not sent: %s: %s", job, ds, type(error).__name__, error)
        return {}
    return found


def measures(job: str, ds: date, since: datetime, environment: Mapping[str, str]) -> dict[str, float]:
    """What the newest run of a job published for ds; nothing where that was before `since`."""
    # Here, since a DAG file that is only parsed has no use for them.
    from jobs.chain import load_job
    from jobs.llm.ledger import Ledger

    store = open_store_of(environment)
    published = (store.published(table, ds) for table in load_job(job).outputs)
    partitions = [p for p in published if p is not None and p.finished_at >= since]
    if not partitions:
        return {}
    newest = max(partitions, key=lambda p: p.finished_at)
    of_run = [p.manifest for p in partitions if p.run_id == newest.run_id]
    return {
        "rows": sum(manifest["rows"]["written"] for manifest in of_run),
        # The rows a run refused are in the manifests of all its tables.
        "refused": sum(newest.manifest["rows"]["quarantined"].values()),
        "seconds": newest.manifest["seconds"],
        "tokens": sum(entry.tokens for entry in Ledger(store.root).entries(ds) if entry.job == job),
    }


def _send(gauges: Mapping[str, float]) -> None:
    from airflow.sdk.observability import stats
    from opentelemetry import metrics

    for name, value in gauges.items():
        stats.gauge(name, value)
    # A task's process is ended without what Python does at an exit, where OpenTelemetry would send the last.
    if flush := getattr(metrics.get_meter_provider(), "force_flush", None):
        flush()

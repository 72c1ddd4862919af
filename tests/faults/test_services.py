"""A night in which one service after the other dies; it ends as if none had."""

import signal

import httpx
import pytest

from .harness import Harmed, signal_all, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]
DS = "1998-01-06"


def test_scheduler_database_and_a_spark_worker_die_in_one_night(harmed: Harmed) -> None:
    run, supervisor = harmed.start(DS), harmed.cluster.supervisor

    harmed.wait_for_job("embed", DS)
    supervisor.processes["scheduler"].kill()

    # The new scheduler has begun the job again.
    until(lambda: supervisor.restarts.get("scheduler"), 60, harmed.check)
    harmed.wait_for_job("embed", DS)
    supervisor.processes["postgres"].send_signal(signal.SIGINT)

    harmed.wait_for_job("build_features", DS)
    until(lambda: _cores_in_use(harmed) == 2, 300, harmed.check)
    worker = supervisor.processes["spark-worker-1"]
    signal_all(supervisor.of("spark-worker-1"), signal.SIGKILL)
    worker.wait()

    harmed.finish(run)
    assert {"scheduler", "postgres", "spark-worker-1"} <= supervisor.restarts.keys()
    harmed.assert_unharmed(DS)


def _cores_in_use(harmed: Harmed) -> int:
    state = httpx.get(f"{harmed.cluster.spark.page}/json/", trust_env=False).json()
    used: int = sum(worker["coresused"] for worker in state["workers"])
    return used

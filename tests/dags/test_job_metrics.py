import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

DS = "1998-01-07"
# What Airflow's task runner does before a task, in short.
EMIT = """
import os
os.environ |= {environ!r}
from datetime import datetime, UTC
from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from job_metrics import emit

stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
result = emit("profile_items", {ds!r}, datetime({year}, 1, 1, tzinfo=UTC), {given!r})
# ... and after it: the process ends without what Python does at an exit.
import atexit
atexit._clear()
"""
EXPECTED = {"rows": 40, "refused": 3, "seconds": 12.5, "tokens": 130}


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A data root in which profile_items has published one night, for which two shards had asked."""
    folder = tmp_path / "tables" / "item_profiles" / f"ds={DS}"
    run = folder / "runs" / "r1"
    run.mkdir(parents=True)
    (folder / "published.json").write_text(json.dumps({"run_id": "r1", "fingerprint": "f"}))
    manifest = {
        "run_id": "r1",
        "finished_at": "2026-11-22T03:00:00+00:00",
        "rows": {"written": 40, "quarantined": {"truncated": 1, "unsafe": 2}},
        "seconds": 12.5,
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    ledger = tmp_path / "ledger" / f"ds={DS}"
    ledger.mkdir(parents=True)
    for job, shard, read, written in (
        ("profile_items", "1/2", 60, 10),
        ("profile_items", "2/2", 50, 10),
        ("profile_users", "", 900, 90),
    ):
        entry: dict[str, Any] = {
            "ds": DS,
            "job": job,
            "run_id": "r",
            "prompt_name": "p",
            "model_id": "m",
            "engine": "fake",
        }
        entry |= {"shard": shard, "prompt_tokens": read, "output_tokens": written}
        (ledger / f"{job}-{shard.replace('/', 'of')}.json").write_text(json.dumps(entry))
    return tmp_path


def _metrics(body: bytes) -> list[Any]:
    said = ExportMetricsServiceRequest.FromString(body)
    scopes = [scope for resource in said.resource_metrics for scope in resource.scope_metrics]
    return [metric for scope in scopes for metric in scope.metrics]


def _run(in_airflow, data_root, environ, year=2026):
    given = {"NIGHTMILL_DATA": str(data_root)}
    return in_airflow(EMIT.format(environ=environ, ds=DS, year=year, given=given))


@pytest.mark.airflow
def test_a_collector_is_sent_what_the_run_made(in_airflow: Callable[..., Any], data_root, collector) -> None:
    url, received = collector
    environ = {
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
    }
    assert _run(in_airflow, data_root, environ) == EXPECTED
    sent = [metric for body in received for metric in _metrics(body)]
    points = {m.name: m.gauge.data_points[-1] for m in sent if m.WhichOneof("data") == "gauge"}
    values = {name: point.as_double or point.as_int for name, point in points.items()}
    assert values == {f"airflow.nightmill.profile_items.{name}": value for name, value in EXPECTED.items()}


@pytest.mark.airflow
def test_a_job_that_found_nothing_to_do_sends_nothing(in_airflow: Callable[..., Any], data_root) -> None:
    assert _run(in_airflow, data_root, {}, year=2027) == {}


@pytest.mark.airflow
def test_a_collector_that_is_away_fails_no_task(in_airflow: Callable[..., Any], data_root) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        environ = {
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        }
        assert _run(in_airflow, data_root, environ) == EXPECTED


@pytest.mark.airflow
def test_manifests_that_cannot_be_read_fail_no_task(in_airflow: Callable[..., Any], data_root) -> None:
    (data_root / "tables" / "item_profiles" / f"ds={DS}" / "published.json").write_text("{")
    assert _run(in_airflow, data_root, {}) == {}

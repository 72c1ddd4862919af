import json
import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from feature_store.partitions import Store
from jobs.column_origins import origins, shown_columns
from jobs.ingest import JOB as INGEST
from jobs.lineage import TABLES_NAMESPACE
from jobs.step import Input, Job, execute

DS = date(1998, 1, 2)
NEWEST = pa.array([datetime(1998, 1, 2, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch, tmp_path_factory):
    """Neither the machine's variables nor its openlineage.yml."""
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_DISABLED", "OPENLINEAGE_PARENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def _events(settings):
    path = settings.data_root / "lineage" / f"ds={DS}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _vectors(night):
    rows = {"user_id": ["ann"], "embedding": pa.array([[1.0]], pa.list_(pa.float32())), "history_events": [1]}
    named = {"model_id": ["m"], "model_revision": ["r"], "input_max_event_time": NEWEST}
    night.write("user_embeddings", pa.table(rows | named))


def _job(run):
    return Job("embed", "events -> vectors", (Input("interactions"),), ("user_embeddings",), run)


def test_a_run_tells_what_it_read_and_wrote(make_settings):
    settings = make_settings()
    execute(INGEST, DS, settings)
    execute(_job(_vectors), DS, settings)
    start, complete = [event for event in _events(settings) if event["job"]["name"] == "embed"]
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    published = Store(settings.data_root).published("user_embeddings", DS)
    assert complete["run"]["facets"]["nightmill_run"]["run_id"] == published.run_id
    assert complete["run"]["facets"]["nominalTime"]["nominalEndTime"] == "1998-01-03T00:00:00+00:00"
    assert [(i["namespace"], i["name"]) for i in complete["inputs"]] == [(TABLES_NAMESPACE, "interactions")]
    (output,) = complete["outputs"]
    assert output["facets"]["version"]["datasetVersion"] == published.run_id
    fields = {field["name"]: field["type"] for field in output["facets"]["schema"]["fields"]}
    assert (fields["user_id"], fields["embedding"], fields["as_of"]) == ("text", "vector", "time, UTC")
    size = sum(file.stat().st_size for file in published.files)
    said = output["outputFacets"]["outputStatistics"]
    assert (said["rowCount"], said["size"], said["fileCount"]) == (1, size, 1)


def test_ingest_reads_a_source_and_not_a_table(make_settings):
    settings = make_settings()
    execute(INGEST, DS, settings)
    complete = _events(settings)[-1]
    assert [i["namespace"] for i in complete["inputs"]] == ["nightmill://sources"]
    assert {o["name"] for o in complete["outputs"]} == {"interactions", "items", "users"}


def test_a_failure_is_told_by_its_kind_and_quotes_no_row(make_settings):
    settings = make_settings()
    execute(INGEST, DS, settings)

    def fail(night):
        raise ValueError("user ann has no vector")

    with pytest.raises(ValueError, match="ann"):
        execute(_job(fail), DS, settings)
    failed = _events(settings)[-1]
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "ValueError"
    assert "ann has" not in json.dumps(failed)


def test_a_person_who_stops_a_run_aborts_it(make_settings):
    settings = make_settings()
    execute(INGEST, DS, settings)

    def stop(night):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(_job(stop), DS, settings)
    assert _events(settings)[-1]["eventType"] == "ABORT"


def test_nothing_to_do_tells_nothing_and_does_not_import_the_library(make_settings):
    settings = make_settings()
    execute(INGEST, DS, settings)
    before = len(_events(settings))
    code = (
        "import sys\nfrom datetime import date\nfrom feature_store.settings import load_settings\n"
        "from jobs.ingest import JOB\nfrom jobs.step import execute\n"
        "outcome = execute(JOB, date(1998, 1, 2), load_settings())\n"
        "print(outcome.nothing_to_do, 'openlineage' in sys.modules)"
    )
    environ = {
        "NIGHTMILL_DATA": str(settings.data_root),
        "NIGHTMILL_SOURCE": settings.source.model_dump_json(),
    }
    said = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["True", "False"]
    assert len(_events(settings)) == before


def test_what_cannot_be_sent_is_one_line_and_no_failure(make_settings, monkeypatch, capsys):
    settings = make_settings()
    transport = {"type": "http", "url": "http://127.0.0.1:9", "retry": {"total": 0}}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
    execute(INGEST, DS, settings)
    said = [line for line in capsys.readouterr().err.splitlines() if "lineage" in line]
    assert len(said) == 1
    assert Store(settings.data_root).published("items", DS) is not None


def test_another_transport_is_configured_as_the_library_says(make_settings, monkeypatch, collector):
    url, bodies = collector
    monkeypatch.setenv("OPENLINEAGE_URL", url)
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "shop")
    parent = "airflow/nightly.ingest/01941f29-7c00-7087-8940-40e512257bd1"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", parent)
    settings = make_settings()
    execute(INGEST, DS, settings)
    received = [json.loads(body) for body in bodies]
    assert [event["eventType"] for event in received] == ["START", "COMPLETE"]
    assert {event["job"]["namespace"] for event in received} == {"shop"}
    assert received[0]["run"]["facets"]["parent"]["job"]["name"] == "nightly.ingest"
    assert _events(settings) == []


def test_a_prompt_shows_which_columns_an_answer_is_made_from():
    assert shown_columns("profile_user", 2) == ("categories", "title")
    expected = ("attributes", "categories", "description", "price", "title")
    assert shown_columns("profile_item", 3) == expected


def test_columns_of_sql_and_of_the_model_have_origins_and_those_of_python_have_none(make_settings):
    settings = make_settings()
    assert origins("item_features", settings)["item_trend_ratio_7d"] == (("interactions", "event_time"),)
    tags = origins("item_profiles", settings)["llm_tags"]
    assert ("items", "title") in tags
    assert ("items", "listed") not in tags
    assert origins("recommendations", settings) == {}

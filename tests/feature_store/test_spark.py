from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_store import spark
from feature_store.errors import NightmillError
from feature_store.tables import TABLES

PROVENANCE = {
    "ds": date(1998, 1, 2),
    "as_of": datetime(1998, 1, 3, tzinfo=UTC),
    "generated_at": datetime(2026, 1, 1, 12, 30, 0, 123456, UTC),
    "known_at": datetime(1998, 1, 3, 6, tzinfo=UTC),
    "run_id": "run",
}


@pytest.fixture
def session(make_settings):
    with spark.session(make_settings()) as session:
        yield session


def _java(folder: Path, said: str) -> dict[str, str]:
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{said}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return {"JAVA_HOME": str(folder)}


def test_executors_of_a_cluster_read_times_as_the_driver_does(make_settings):
    there = spark._configuration(make_settings(SPARK__MASTER="spark://127.0.0.1:7077"))
    assert "-Duser.timezone=UTC" in there["spark.executor.extraJavaOptions"]
    assert "spark.driver.host" not in there
    assert spark._configuration(make_settings())["spark.driver.host"] == "127.0.0.1"


def test_no_java_is_one_sentence_with_the_command_that_installs_it(tmp_path):
    with pytest.raises(NightmillError, match="no java on PATH: install one with `sudo apt-get install"):
        spark.require_java({"PATH": str(tmp_path)})
    with pytest.raises(NightmillError, match="no java under JAVA_HOME="):
        spark.require_java({"JAVA_HOME": str(tmp_path / "gone"), "PATH": "/usr/bin"})


@pytest.mark.parametrize("version", ["1.8.0_412", "11.0.2"])
def test_a_java_that_is_too_old_is_named(tmp_path, version):
    with pytest.raises(NightmillError, match=r"is Java (8|11): install one with"):
        spark.require_java(_java(tmp_path, version))


@pytest.mark.parametrize("version", ["17", "17.0.15", "21.0.2"])
def test_a_java_that_is_new_enough_is_taken(tmp_path, version):
    spark.require_java(_java(tmp_path, version))


def test_every_contract_has_words_in_spark():
    for table in TABLES.values():
        assert spark.ddl(table.schema).count("`") == 2 * len(table.schema)


def test_every_transform_states_grain_keys_and_inputs():
    for file in spark.TRANSFORMS.glob("*.sql"):
        header = "".join(line for line in file.read_text("utf-8").splitlines(True) if line.startswith("--"))
        assert header.startswith(f"-- {file.stem}: "), file
        assert "-- Grain " in header, file
        assert "-- Reads " in header, file


@pytest.mark.spark
def test_rows_are_written_with_the_contract_in_key_order(session, tmp_path):
    rows = session.createDataFrame(
        [("b", "[]", None), ("a", "{}", datetime(1998, 1, 2, 23, 59, 59, 999999, UTC))],
        "user_id STRING, attributes STRING, input_max_event_time TIMESTAMP",
    )
    folder = tmp_path / "run"
    assert spark.write(rows, "users", folder, PROVENANCE) == 2
    assert [path.name for path in folder.iterdir()] == ["part-00000.parquet"]
    written = pq.read_table(folder / "part-00000.parquet").cast(TABLES["users"].schema)
    assert written.to_pylist() == [
        {
            "user_id": "a",
            "attributes": "{}",
            "input_max_event_time": datetime(1998, 1, 2, 23, 59, 59, 999999, UTC),
            **PROVENANCE,
        },
        {"user_id": "b", "attributes": "[]", "input_max_event_time": None, **PROVENANCE},
    ]


@pytest.mark.spark
def test_a_table_without_rows_has_its_schema(session, tmp_path):
    spark.views(session, {"users": []})
    assert spark.write(session.table("users"), "users", tmp_path / "run", PROVENANCE) == 0
    (file,) = (tmp_path / "run").iterdir()
    assert pq.read_table(file).cast(TABLES["users"].schema).num_rows == 0


@pytest.mark.spark
def test_parameters_are_values_and_never_sql(session, tmp_path, monkeypatch):
    monkeypatch.setattr(spark, "TRANSFORMS", tmp_path)
    (tmp_path / "echo.sql").write_text("SELECT :text AS text, :moment AS moment")
    moment = datetime(1998, 1, 2, 3, 4, 5, 6, UTC)
    row = spark.run_sql(session, "echo", text="'; DROP VIEW users; --", moment=moment).toArrow().to_pylist()
    assert row == [{"text": "'; DROP VIEW users; --", "moment": moment}]


@pytest.mark.spark
def test_what_goes_wrong_inside_spark_is_one_line_with_the_innermost_cause(make_settings, tmp_path):
    damaged = tmp_path / "part-00000.parquet"
    damaged.write_text("these are no rows")

    def count():
        with spark.session(make_settings()) as session:
            spark.views(session, {"users": [damaged]})
            session.table("users").count()

    with pytest.raises(NightmillError) as failure:
        count()
    assert "part-00000.parquet is not a Parquet file" in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.spark
def test_an_error_of_the_job_passes_through_unchanged(make_settings):
    with pytest.raises(KeyError), spark.session(make_settings()):
        raise KeyError("user_id")

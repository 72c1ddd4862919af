"""The as-of join of labels with features of users and items: Nightmill's on Spark, DuckDB's and Feast's.

Each side writes the same columns as Parquet, so that their rows can be compared.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from infra.benchmarks.made_history import COUNTS, ENTITIES, RATIOS
from infra.benchmarks.processes import result

LABEL = ("row_id", "user_id", "item_id", "query_time")
FEATURES = tuple((entity, name) for entity in ENTITIES for name in (*COUNTS, *RATIOS))


def ours(root: Path, output: Path, rounds: int) -> dict[str, Any]:
    """feature_store.asof in one Spark session, whose start is not counted; the peak is its JVM's."""
    from feature_store import asof, spark
    from feature_store.settings import load_settings

    def run() -> None:
        sides = [
            asof.Side(entity, session.read.parquet(str(root / entity)), (f"{entity}_id",))
            for entity in ENTITIES
        ]
        joined = asof.join(session.read.parquet(str(root / "labels.parquet")), "query_time", sides)
        columns = [f"{entity}.{name} AS {entity}_{name}" for entity, name in FEATURES]
        joined.selectExpr(*LABEL, *columns).write.mode("overwrite").parquet(str(output))
        session.catalog.clearCache()

    with spark.session(load_settings()) as session:
        return {"seconds": _timed(run, rounds), "peak_gib": _peak_of_children()}


def duckdb(root: Path, output: Path, rounds: int) -> dict[str, Any]:
    """DuckDB's ASOF JOIN over the same files."""
    import duckdb as database

    features = ", ".join(f"{entity}.{name} AS {entity}_{name}" for entity, name in FEATURES)
    joins = " ".join(
        f"ASOF LEFT JOIN '{root / entity}/*.parquet' AS {entity} "
        f"ON l.{entity}_id = {entity}.{entity}_id AND l.query_time >= {entity}.known_at"
        for entity in ENTITIES
    )
    label = ", ".join(f"l.{name}" for name in LABEL)
    query = f"SELECT {label}, {features} FROM '{root / 'labels.parquet'}' AS l {joins}"
    output.mkdir()
    with database.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return {
            "seconds": _timed(
                lambda: connection.execute(f"COPY ({query}) TO '{output / 'part.parquet'}'"), rounds
            )
        }


def feast(root: Path, output: Path, rounds: int) -> dict[str, Any]:
    """Feast's get_historical_features on its DuckDB store, in its own environment; known_at is its time."""
    import pandas as pd
    import pyarrow.parquet as pq

    store = _feast_store(root, output)
    labels = pd.read_parquet(root / "labels.parquet").rename(columns={"query_time": "event_timestamp"})
    wanted = [f"{entity}:{name}" for entity, name in FEATURES]

    def run() -> None:
        found = store.get_historical_features(entity_df=labels, features=wanted, full_feature_names=True)
        rows = found.to_arrow().select(
            ["row_id", "user_id", "item_id", "event_timestamp", *(f"{e}__{n}" for e, n in FEATURES)]
        )
        rows = rows.rename_columns([*LABEL, *(f"{entity}_{name}" for entity, name in FEATURES)])
        pq.write_table(rows, output / "part.parquet")

    return {"seconds": _timed(run, rounds)}


def _feast_store(root: Path, output: Path) -> Any:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64

    output.mkdir()
    store = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(output / "registry.db"),
            offline_store={"type": "duckdb"},
            online_store=None,
            entity_key_serialization_version=3,
            repo_path=output,
        )
    )
    schema = [Field(name=name, dtype=Int64) for name in COUNTS]
    schema += [Field(name=name, dtype=Float64) for name in RATIOS]
    for name in ENTITIES:
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        source = FileSource(path=str(root / name / "*.parquet"), timestamp_field="known_at")
        view = FeatureView(
            name=name, entities=[entity], ttl=timedelta(0), schema=schema, source=source, online=False
        )
        store.apply([entity, view])
    return store


def _timed(run: Callable[[], Any], rounds: int) -> float:
    """Seconds of the median round."""
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        run()
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


def _peak_of_children() -> float:
    """GiB that the processes started from here held at most, together."""
    import psutil

    peaks = 0
    for child in psutil.Process().children(recursive=True):
        status = Path(f"/proc/{child.pid}/status").read_text("utf-8").splitlines()
        # A child that has ended and was not waited for has no such line any more.
        peaks += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return peaks / 2**20


def main() -> None:
    """One side."""
    task, config = sys.argv[1], json.loads(sys.argv[2])
    run: Callable[[Path, Path, int], dict[str, Any]] = {"ours": ours, "duckdb": duckdb, "feast": feast}[task]
    result(run(Path(config["root"]), Path(config["output"]), config["rounds"]))


if __name__ == "__main__":
    main()

"""Nights published by hand: what a job would write, through the framework that writes it."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.partitions import Partition, Store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.night import Night, end_of
from jobs.step import Job, execute

Rows = Sequence[Mapping[str, Any]]
EMPTY: dict[str, Any] = {"string": "", "double": 0.0, "int64": 0, "bool": False, "float": 0.0}


def as_table(table: str, rows: Rows) -> pa.Table:
    """Rows with the columns of a contract; what is not given is null, or empty where null is not allowed."""
    schema = TABLES[table].schema
    blank = {f.name: None if f.nullable else EMPTY.get(str(f.type), []) for f in schema}
    names = [c.name for c in TABLES[table].columns]
    if TABLES[table].kind == "snapshot":
        names.append("input_max_event_time")
    return pa.Table.from_pylist(
        [blank | dict(row) for row in rows], pa.schema([schema.field(n) for n in names])
    )


def publish_night(
    settings: Settings,
    job: str,
    ds: date,
    tables: Mapping[str, Rows],
    counts: Mapping[str, int] | None = None,
    refused: Rows = (),
) -> None:
    """Publish what `job` would have written for ds; events arrive on their day, or on their `ds`."""

    def arrival(row: Mapping[str, Any]) -> date:
        return row.get("ds") or row["event_time"].date()

    def run(night: Night) -> None:
        for table, rows in tables.items():
            if TABLES[table].kind == "snapshot":
                night.write(table, as_table(table, rows))
                continue
            for day in {arrival(row) for row in rows} | {ds}:
                night.write(table, as_table(table, [r for r in rows if arrival(r) == day]), day)
        for row in refused:
            night.quarantine(**row)
        night.count(**(counts or {}))

    # Rows made by hand are no subject for gate and catalogue, which would take most of a test's time.
    with patch("feature_store.gates.check", return_value=[]), patch("feature_store.catalog.rewrite"):
        events = any(TABLES[table].kind == "event" for table in tables)
        by_hand = Job(job, "by hand", (), tuple(tables), run, keeps_published=events)
        execute(by_hand, ds, settings, reprocess=True)


@pytest.fixture(scope="session")
def publish() -> Callable[..., None]:
    """`publish(settings, job, ds, {table: rows}, counts, refused)`."""
    return publish_night


@pytest.fixture
def partition(tmp_path: Path) -> Callable[..., Partition]:
    """`partition(table, ds, rows, known_at)`: an input of a Night, known from any moment on."""
    return partitions_in(tmp_path)


@pytest.fixture(scope="module")
def module_partition(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Partition]:
    """`partition` for inputs that the tests of a file share."""
    return partitions_in(tmp_path_factory.mktemp("partitions"))


def partitions_in(folder: Path) -> Callable[..., Partition]:
    def make(table: str, ds: date, rows: Rows, known_at: datetime | None = None) -> Partition:
        same = {
            "ds": ds,
            "as_of": end_of(ds),
            "known_at": known_at,
            "ingested_at": known_at or end_of(ds),
            "generated_at": end_of(ds),
            "run_id": "run",
        }
        contract = TABLES[table]
        columns = as_table(table, rows)
        for name in [n for n in contract.schema.names if n not in columns.column_names]:
            constant = pa.scalar(same[name], contract.schema.field(name).type)
            columns = columns.append_column(name, pa.repeat(constant, len(rows)))
        run = Path(tempfile.mkdtemp(prefix=f"{table}-{ds}-", dir=folder))
        pq.write_table(columns.select(contract.schema.names), run / "part-00000.parquet")
        return Partition(table, ds, "run", run)

    return make


@pytest.fixture
def two_nights(make_settings: Callable[..., Settings]) -> Callable[[Mapping[str, int]], Store]:
    """`two_nights(counts)`: ingest and profile_items of 1998-01-07 and 08, each with one refused row."""

    def make(counts: Mapping[str, int]) -> Store:
        settings = make_settings()
        event = {"user_id": "u", "item_id": "i1", "event_time": datetime(1998, 1, 6, tzinfo=UTC)}
        tables: dict[str, Rows] = {
            "interactions": [event],
            "items": [{"item_id": "i1"}, {"item_id": "i2"}],
            "users": [],
        }
        malformed = [{"entity_id": "x.inter:3", "reason": "malformed", "detail": "no item"}]
        cut_off = [{"entity_id": "i9", "reason": "truncated", "detail": "cut off", "raw": "{"}]
        for ds in (date(1998, 1, 7), date(1998, 1, 8)):
            publish_night(settings, "ingest", ds, tables, {}, malformed)
            publish_night(
                settings, "profile_items", ds, {"item_profiles": [{"item_id": "i1"}]}, counts, cut_off
            )
        return Store(settings.data_root)

    return make

"""Nights published by hand: what a job would write, through the framework that writes it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.night import Night
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
    """Publish what `job` would have written for ds; events go to the days they happened on."""

    def run(night: Night) -> None:
        for table, rows in tables.items():
            if TABLES[table].kind == "snapshot":
                night.write(table, as_table(table, rows))
                continue
            for day in {row["event_time"].date() for row in rows} | {ds}:
                night.write(table, as_table(table, [r for r in rows if r["event_time"].date() == day]), day)
        for row in refused:
            night.quarantine(**row)
        night.count(**(counts or {}))

    execute(Job(job, "by hand", (), tuple(tables), run), ds, settings, reprocess=True)


@pytest.fixture
def publish() -> Callable[..., None]:
    """`publish(settings, job, ds, {table: rows}, counts, refused)`."""
    return publish_night

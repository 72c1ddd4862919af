"""Which events a night is the first to know: those of days nobody has ingested yet, and those that came late.

A night closes its day and all before it. An event of a closed day that turns up afterwards is late: it enters
the next new night, for which it is news, and no published night ever changes.
"""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import TIME
from feature_store.partitions import Partition, read
from jobs.sources.events import KEY
from jobs.sources.places import File

# Beside the rows of `items`: the files of interactions that need not be read again.
FILES_READ = "files_read.json"
# A file with events of more days than this is a dump that grows; it is read every night.
FEW_DAYS = 62


def by_day(events: pa.Table) -> dict[date, pa.Table]:
    """The events of each day."""
    events = events.sort_by("event_time")
    days = pc.cast(events["event_time"], pa.date32())
    found, start = {}, 0
    for row in sorted(pc.value_counts(days).to_pylist(), key=lambda row: row["values"]):
        found[row["values"]] = events.slice(start, row["counts"])
        start += row["counts"]
    return found


def split(events: pa.Table, closed: date | None) -> tuple[pa.Table, pa.Table]:
    """The events of days up to `closed`, and those after it."""
    if closed is None:
        return events.slice(0, 0), events
    days = pc.cast(events["event_time"], pa.date32())
    behind = pc.less_equal(days, pa.scalar(closed, pa.date32()))
    return events.filter(behind), events.filter(pc.invert(behind))


def unknown(events: pa.Table, partitions: Sequence[Partition]) -> pa.Table:
    """The events that are in none of the partitions; user, item, time and type say which event it is."""
    if not events.num_rows:
        return events
    oldest = pc.min(events["event_time"]).as_py().date()
    # An event is in the partition of its day or in a later one.
    files = [file for partition in partitions if partition.ds >= oldest for file in partition.files]
    published = read("interactions", files, KEY)
    fresh = events.join(published, KEY, join_type="left anti")
    return fresh.select(events.column_names).cast(events.schema)


def seen(files: Sequence[Path]) -> tuple[pa.Array, pa.Array, datetime | None]:
    """The items and the users of published events, each once and in order, and the time of the newest."""
    if not files:
        return pa.array([], pa.string()), pa.array([], pa.string()), None
    paths = [str(file) for file in files]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        items, users = (
            connection.sql(
                f"SELECT DISTINCT {key} FROM read_parquet($files) ORDER BY 1", params={"files": paths}
            )
            .to_arrow_table()[key]
            .combine_chunks()
            for key in ("item_id", "user_id")
        )
        newest = connection.sql(
            "SELECT max(event_time) AS newest FROM read_parquet($files)", params={"files": paths}
        ).to_arrow_table()["newest"]
    moment: datetime | None = newest.cast(TIME)[0].as_py()
    return items, users, moment.astimezone(UTC) if moment else None


def unchanged(files: Sequence[File], ds: date, newest: Partition | None) -> set[str]:
    """The paths of files with no news for ds: as they were when `newest`, a partition of `items`, was
    ingested, and with every event on a day that was closed then, or that is after ds.
    """
    read_then, found = _read_then(newest), set()
    for file in files:
        known = read_then.get(file.path)
        if newest is None or known is None or known["token"] != file.token():
            continue
        days = [date.fromisoformat(day) for day in known["days"]]
        if all(day <= newest.ds or day > ds for day in days):
            found.add(file.path)
    return found


def remember(files: Sequence[File], days: dict[str, list[date]], newest: Partition | None) -> str:
    """What FILES_READ says after a night that read the files of `days`, as JSON."""
    before, found = _read_then(newest), {}
    for file in files:
        if file.path not in days:
            if file.path in before:
                found[file.path] = before[file.path]
        elif len(days[file.path]) <= FEW_DAYS:
            found[file.path] = {"token": file.token(), "days": [str(day) for day in days[file.path]]}
    return json.dumps(found)


def _read_then(newest: Partition | None) -> dict[str, Any]:
    """What FILES_READ says beside a partition of `items`, by the path of each file."""
    if newest is None or not (newest.path / FILES_READ).exists():
        return {}
    found: dict[str, Any] = json.loads((newest.path / FILES_READ).read_text("utf-8"))
    return found

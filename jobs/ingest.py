"""ingest: raw files -> interactions, items, users.

Every day up to ds becomes one partition of `interactions`; a day that is published stays as it is.
"""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import UsageError
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs import sources
from jobs.night import Night
from jobs.step import Job


def run(night: Night) -> None:
    """Read the source and stage the days that have not arrived yet, the catalogue and the users."""
    raw = sources.read(night.settings)
    for refused in raw.refused:
        night.quarantine(refused.where, "malformed", refused.problem, refused.raw)
    events = raw.events.filter(pc.less(raw.events["event_time"], night.as_of))
    if not events.num_rows:
        first = pc.min(raw.events["event_time"]).as_py()
        began = f"its first event is on {first.date()}" if first else "it has no readable event"
        raise UsageError(f"--ds {night.ds} is before the data of {night.settings.source.location}: {began}")
    _stage_days(night, events)
    newest = pc.max(events["event_time"]).as_py()
    night.write("items", _stamped(raw.items, None))
    seen = pc.is_in(raw.users["user_id"], pc.unique(events["user_id"]))
    night.write("users", _stamped(raw.users.filter(seen), newest))


def _stage_days(night: Night, events: pa.Table) -> None:
    """Stage one partition for each day from the first event to ds that is not published yet."""
    days = pc.cast(events["event_time"], pa.date32())
    first = pc.min(days).as_py()
    arrived = {p.ds for p in night.store.partitions("interactions", night.ds)}
    missing = [day for day in _days(first, night.ds) if night.reprocess or day not in arrived]
    empty = events.slice(0, 0)
    by_day = _split(events, days)
    with night.progress(len(missing), "ingest", "day") as progress:
        for day in missing:
            night.write("interactions", by_day.get(day, empty), day)
            progress.update()
    night.count(selected=events.num_rows)


def _split(events: pa.Table, days: pa.ChunkedArray) -> dict[date, pa.Table]:
    order = pc.sort_indices(events["event_time"])
    events, days = events.take(order), days.take(order)
    counts = sorted(pc.value_counts(days).to_pylist(), key=lambda row: row["values"])
    found, start = {}, 0
    for row in counts:
        found[row["values"]] = events.slice(start, row["counts"])
        start += row["counts"]
    return found


def _days(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _stamped(rows: pa.Table, newest: datetime | None) -> pa.Table:
    type_ = TABLES["items"].schema.field("input_max_event_time").type
    return rows.append_column("input_max_event_time", pa.repeat(pa.scalar(newest, type_), rows.num_rows))


def source_hash(settings: Settings) -> dict[str, Any]:
    """Hash of the raw files' bytes."""
    hashes = {}
    for role, path in sources.files(settings).items():
        with open(path, "rb") as handle:
            hashes[role] = hashlib.file_digest(handle, "sha256").hexdigest()
    return hashes


JOB = Job(
    name="ingest",
    summary="raw files -> interactions, items, users",
    inputs=(),
    outputs=("interactions", "items", "users"),
    run=run,
    settings=("source",),
    fingerprint=source_hash,
)

"""ingest: raw files -> interactions, items, users.

Every day up to ds becomes one partition of `interactions`; a day that is published stays as it is.
"""

from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.errors import UsageError
from feature_store.settings import Settings
from jobs.night import Night, stamped
from jobs.sources import formats, places, tables
from jobs.step import Job


def run(night: Night) -> None:
    """Read the source and stage the days that have not arrived yet, the catalogue and the users."""
    raw = tables.read(night.settings)
    for note in raw.notes:
        night.note(note)
    events_read = raw.accounts["interactions"]
    night.count(read=events_read.read, left_out=events_read.left_out, merged=events_read.merged)
    for refused in raw.refused:
        night.quarantine(refused.where, "malformed", refused.problem, refused.raw)
    events = raw.events.filter(pc.less(raw.events["event_time"], night.as_of))
    if not events.num_rows:
        first = pc.min(raw.events["event_time"]).as_py()
        began = f"its first event is on {first.date()}" if first else "it has no readable event"
        raise UsageError(f"--ds {night.ds} is before the data of {night.settings.source.location}: {began}")
    _stage_days(night, events)
    newest = pc.max(events["event_time"]).as_py()
    night.write("items", stamped(raw.items, None))
    seen = pc.is_in(raw.users["user_id"], pc.unique(events["user_id"]))
    night.write("users", stamped(raw.users.filter(seen), newest))


def _stage_days(night: Night, events: pa.Table) -> None:
    """Stage one partition for each day with events up to ds that is not published yet, and for ds itself."""
    by_day = _split(events)
    arrived = set() if night.reprocess else {p.ds for p in night.store.partitions("interactions", night.ds)}
    missing = sorted((by_day.keys() | {night.ds}) - arrived)
    if night.ds not in by_day:
        night.note(f"warning: no event on {night.ds}; its day of interactions is published empty")
    with night.progress(len(missing), "ingest", "day") as progress:
        for day in missing:
            night.write("interactions", by_day.get(day, events.slice(0, 0)), day)
            progress.update()
    night.count(selected=events.num_rows)


def _split(events: pa.Table) -> dict[date, pa.Table]:
    """The events of each day."""
    events = events.sort_by("event_time")
    days = pc.cast(events["event_time"], pa.date32())
    found, start = {}, 0
    for row in sorted(pc.value_counts(days).to_pylist(), key=lambda row: row["values"]):
        found[row["values"]] = events.slice(start, row["counts"])
        start += row["counts"]
    return found


def source_hash(settings: Settings) -> dict[str, Any]:
    """Hash of the raw files' bytes, by role."""
    found = places.find(settings, formats.find(settings.source.format).patterns)
    return {role: [file.digest() for file in files] for role, files in found.items()}


JOB = Job(
    name="ingest",
    summary="raw files -> interactions, items, users",
    inputs=(),
    outputs=("interactions", "items", "users"),
    run=run,
    settings=("source",),
    fingerprint=source_hash,
    exclusive=True,
)

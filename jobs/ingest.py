"""ingest: raw files -> interactions, items, users.

Each day with events becomes one partition of `interactions`. What is published stays as it is: events that
turn up late enter the next new night, and only `--reprocess` rebuilds, knowingly.
"""

from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_store.contract import TIME
from feature_store.errors import UsageError
from feature_store.partitions import Partition, write_atomically
from feature_store.settings import Settings
from jobs import arrivals
from jobs.catalogue_history import as_known
from jobs.night import CONTENT_HASH, Night, content_hash
from jobs.sources import formats, places, tables
from jobs.sources.catalogue import SINCE, with_unknown, with_unlisted
from jobs.sources.tables import Raw
from jobs.step import Job


def run(night: Night) -> None:
    """Stage the events that are news to the night, and the catalogue and the users as of it."""
    files = _files(night.settings)["interactions"]
    closed = _newest(night, "items")
    skip = set() if night.reprocess else arrivals.unchanged(files, night.ds, closed)
    raw = tables.read(night.settings, night.as_of, skip)
    _account(night, raw, len(skip))
    published = night.store.partitions("interactions")
    if not raw.events.num_rows and not any(partition.ds <= night.ds for partition in published):
        _refuse_empty(night, raw)
    days = _rebuilt(night, raw.events, published) if night.reprocess else _news(night, raw.events, published)
    with night.progress(len(days), "ingest", "day") as progress:
        for day, events in sorted(days.items()):
            night.write("interactions", events, day)
            progress.update()
    _stage_entities(night, raw, [p for p in published if p.ds <= night.ds and p.ds not in days])
    remembered = arrivals.remember(files, raw.days, closed)
    write_atomically(night.stage("items") / arrivals.FILES_READ, remembered)


def _files(settings: Settings) -> dict[str, list[places.File]]:
    return places.find(settings, formats.find(settings.source.format).patterns)


def _newest(night: Night, table: str) -> Partition | None:
    return next(reversed(night.store.partitions(table)), None)


def _account(night: Night, raw: Raw, skipped: int) -> None:
    """Say what became of the raw rows."""
    for note in raw.notes:
        night.note(note)
    read = raw.accounts["interactions"]
    night.count(read=read.read, left_out=read.left_out, merged=read.merged, files_unchanged=skipped)
    if read.forgotten:
        night.count(forgotten=read.forgotten)
    for refused in raw.refused:
        night.quarantine(refused.where, "malformed", refused.problem, refused.raw)


def _refuse_empty(night: Night, raw: Raw) -> None:
    days = [day for found in raw.days.values() for day in found]
    began = f"its first event is on {min(days)}" if days else "it has no readable event"
    raise UsageError(f"--ds {night.ds} is before the data of {night.settings.source.location}: {began}")


def _news(night: Night, events: pa.Table, published: list[Partition]) -> dict[date, pa.Table]:
    """The events of each day that is not closed yet; those that came late are in the night's own."""
    closed = published[-1].ds if published else None
    behind, ahead = arrivals.split(events, closed)
    days = arrivals.by_day(ahead)
    if closed is None or night.ds > closed:
        own = days.get(night.ds, events.slice(0, 0))
        late = arrivals.unknown(behind, published)
        if late.num_rows:
            nights = len(pc.unique(pc.cast(late["event_time"], pa.date32())))
            days_of = f"{nights:,} days up to {closed}"
            night.note(f"{late.num_rows:,} events of {days_of} came late: they are part of {night.ds}")
        _warn_of_none(night, own)
        days[night.ds] = pa.concat_tables([own, late])
        night.count(late=late.num_rows)
    elif all(partition.ds != night.ds for partition in published):
        _warn_of_none(night, events.slice(0, 0))
        days[night.ds] = events.slice(0, 0)
    night.count(new=sum(day.num_rows for day in days.values()))
    return days


def _warn_of_none(night: Night, events: pa.Table) -> None:
    if not events.num_rows:
        night.note(f"warning: no event on {night.ds}; its day of interactions is published without one")


def _rebuilt(night: Night, events: pa.Table, published: list[Partition]) -> dict[date, pa.Table]:
    """The days up to ds that are not what the source says now, late events in the days they happened on.

    An event that entered a later night stays there, so that it is in one night only.
    """
    later = [partition for partition in published if partition.ds > night.ds]
    days = arrivals.by_day(arrivals.unknown(events, later))
    now = {partition.ds: _says(partition) for partition in published if partition.ds <= night.ds}
    wanted = {day: days.get(day, events.slice(0, 0)) for day in {*days, *now, night.ds}}
    changed = {
        day: rows
        for day, rows in wanted.items()
        if now.get(day) != content_hash(night.conform("interactions", rows, day))
    }
    night.note(
        f"{len(changed):,} of {len(wanted):,} days up to {night.ds} are rebuilt, the others are the same"
    )
    night.count(new=sum(rows.num_rows for rows in changed.values()))
    return changed


def _says(partition: Partition) -> str:
    """The hash of what a day says; one that lost rows of a forgotten user keeps the fingerprint it had."""
    return str(partition.manifest.get(CONTENT_HASH) or partition.fingerprint)


def _stage_entities(night: Night, raw: Raw, kept: list[Partition]) -> None:
    """Stage the items and users as of the night, those among them that only have events."""
    source = night.settings.source
    files = [file for partition in kept for file in partition.files] + night.staged_files("interactions")
    item_ids, user_ids, newest = arrivals.seen(files)
    items = as_known(night, "items", raw.items, bool(source.item_time))
    night.write("items", with_unlisted(items, item_ids))
    users = with_unknown(as_known(night, "users", raw.users, bool(source.user_time)), user_ids)
    # A user is there because of events, whatever dates its fields have.
    stamp = pa.scalar(newest, TIME)
    newer = pc.fill_null(pc.greater(users[SINCE], stamp), False)
    since = pc.if_else(newer, users[SINCE], stamp)
    night.write("users", users.set_column(users.column_names.index(SINCE), SINCE, since))


def source_state(settings: Settings) -> dict[str, Any]:
    """What changes when the source does, without reading it: the state of every file, by role."""
    return {role: [file.token() for file in files] for role, files in _files(settings).items()}


JOB = Job(
    name="ingest",
    summary="raw files -> interactions, items, users",
    inputs=(),
    outputs=("interactions", "items", "users"),
    run=run,
    settings=("source",),
    fingerprint=source_state,
    exclusive=True,
    keeps_published=True,
)

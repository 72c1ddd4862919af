"""gc: removes the runs that nobody needs any more, and what killed processes have left.

A run is needed while a pointer names it, or a reader may have found a pointer that did. So of the runs that
no pointer names only those go that were superseded before the oldest living reader began, and longer than
retention.grace_hours ago, for readers without a lease (feature_store/leases.py). A run that is being staged
is younger than the lease of its job. Everything is done in an order that may be cut short anywhere:

    pointers of expired partitions -> catalogue -> runs that are not named (those of expired ones next time)

Answers, vectors, the ledger and the lineage are not touched, nor are files in a remote location
(feature_store/remote.py), where only the pointers of expired partitions are removed.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from feature_store import leases
from feature_store.catalog import CATALOG, rewrite
from feature_store.contract import Table
from feature_store.errors import SettingsError
from feature_store.partitions import POINTER, Partition, Store
from feature_store.settings import Settings
from feature_store.tables import TABLES
from jobs.chain import load_job
from jobs.step import lock_name

REMOVED = ".removed-"
HOUR = 3600 * 10**9


@dataclass
class Summary:
    """What a collection removed, or would remove."""

    dry_run: bool
    counts: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, size: int = 0) -> None:
        """Count one more of these, of `size` bytes."""
        self.counts[what] += 1
        self.bytes[what] += size

    def __str__(self) -> str:
        would = "would remove" if self.dry_run else "removed"
        if not self.counts:
            return f"{would} nothing"
        lines = [f"  {what}: {n:,}, {self.bytes[what]:,} bytes" for what, n in sorted(self.counts.items())]
        return "\n".join([f"{would} {self.bytes.total():,} bytes", *lines])


def collect(store: Store, settings: Settings, dry_run: bool = False) -> Summary:
    """Remove what retention and the readers allow; jobs and queries may run meanwhile."""
    summary = Summary(dry_run)
    check_retention(settings)
    with store.lock("gc", "a garbage collection"), store.lease() as now:
        horizon = now - int(settings.retention.grace_hours * HOUR)
        # Not None: it finds the lease of this collection, if no older one.
        horizon = min(horizon, leases.oldest(store.leases) or 0)
        for partition in expired(store, settings.retention.days, horizon):
            _withdraw(store, partition, summary)
        if not dry_run:
            rewrite(store)
        for folder in sorted(store.tables.glob("*/ds=*")):
            _remove_runs(store, folder, horizon, summary)
        for path in [*store.root.glob("scratch/*"), *store.root.glob(f".{CATALOG}.*")]:
            _remove_leftover(path, horizon, summary)
    return summary


def check_retention(settings: Settings) -> None:
    """Refuse to forget partitions that training and evaluation join by their dates."""
    ranker = settings.ranker
    least = max(ranker.windows * ranker.horizon_days, settings.evaluate.horizon_days) + 1
    if 0 < settings.retention.days < least:
        raise SettingsError(
            f"setting retention.days: {settings.retention.days} is too few: the ranker's label windows and "
            f"evaluate.horizon_days reach {least - 1} days back; set it to 0 (for ever) or at least {least}"
        )


def expired(store: Store, days: int, horizon: int) -> Iterator[Partition]:
    """The partitions that are `days` or more behind the newest of their table, published before `horizon`."""
    for table in (table for table in TABLES.values() if days and _may_expire(table)):
        partitions = store.partitions(table.name)
        for partition in partitions:
            pointer = store.folder(table.name, partition.ds) / POINTER
            old = partitions[-1].ds - partition.ds >= timedelta(days=days)
            if old and _changed(pointer) < horizon:
                yield partition


def _may_expire(table: Table) -> bool:
    """Whether a table is a snapshot that can be made again: of what was ingested nobody else has the past."""
    return table.kind == "snapshot" and not load_job(table.job).keeps_published


def _withdraw(store: Store, partition: Partition, summary: Summary) -> None:
    """Remove the pointer of an expired partition, unless its job is at work on it."""
    with store.lock_if_free(lock_name(load_job(TABLES[partition.table].job), partition.ds)) as free:
        if not free:
            return
        summary.add(f"{partition.table}: expired partitions (their files go another time)")
        if not summary.dry_run:
            store.withdraw(partition.table, partition.ds)


def _remove_runs(store: Store, folder: Path, horizon: int, summary: Summary) -> None:
    """Remove the runs of one partition that were superseded, or left unpublished, before `horizon`."""
    table, ds = folder.parent.name, date.fromisoformat(folder.name[3:])
    # Held against whoever fetches a run and points at it: it may be one of these.
    with store.lock("runs"):
        # The pointer before the time it was changed: whatever is published in between is newer than both.
        published = store.published_here(table, ds)
        since = _changed(folder)
        unnamed = [run for run in folder.glob("runs/*") if published is None or run.name != published.run_id]
        gone = [_set_apart(run, summary) for run in unnamed if max(since, _changed(run)) < horizon]
    for run in gone:
        _remove(run, f"{table}: superseded or unfinished runs", summary)
    for path in folder.glob(".*"):
        _remove_leftover(path, horizon, summary)


def _set_apart(run: Path, summary: Summary) -> Path:
    """Take a run out of sight as a whole; removing its files may be cut short."""
    if summary.dry_run or run.name.startswith(REMOVED):
        return run
    return run.rename(run.with_name(REMOVED + run.name))


def _remove_leftover(path: Path, horizon: int, summary: Summary) -> None:
    if _changed(path) < horizon:
        _remove(path, "leftovers of killed processes", summary)


def _remove(path: Path, what: str, summary: Summary) -> None:
    summary.add(what, sum(file.lstat().st_size for file in [path, *path.rglob("*")] if file.is_file()))
    if summary.dry_run:
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _changed(path: Path) -> int:
    """When a file or folder was changed; for one that has gone the end of time, so that nobody removes it."""
    try:
        return os.lstat(path).st_mtime_ns
    except FileNotFoundError:
        return 2**63

"""How far a table is behind a night, and whether its contract (`fresh_days`) allows that.

The measure is the logical date, never the clock: a backfill of 1998 is as fresh as last night. That a whole
store has stopped shows in when it was published, which `nightmill status` says beside it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from feature_store.partitions import Store
from feature_store.tables import TABLES


@dataclass(frozen=True)
class Stale:
    """A table whose newest partition is more than `fresh_days` before the night `ds`."""

    table: str
    newest: date
    ds: date

    def __str__(self) -> str:
        contract = TABLES[self.table]
        last = "has no row since" if contract.kind == "event" else "was last published for"
        return (
            f"{self.table} {last} {self.newest}, {(self.ds - self.newest).days} days before {self.ds} "
            f"(fresh_days = {contract.fresh_days}): run {contract.job}, or mend what it reads"
        )


def stale(store: Store, ds: date | None = None, leaving_out: Iterable[str] = ()) -> list[Stale]:
    """The tables that are stale as of the night `ds`, by default the newest night of any table.

    A table that was never published by then is no matter of freshness.
    """
    newest = {name: found for name in TABLES.keys() - set(leaving_out) if (found := _newest(store, name, ds))}
    night = ds or max(newest.values(), default=None)
    if night is None:
        return []
    behind = (Stale(name, newest[name], night) for name in TABLES if name in newest)
    return [table for table in behind if (night - table.newest).days > TABLES[table.table].fresh_days]


def _newest(store: Store, name: str, until: date | None) -> date | None:
    """The newest ds of a table; of an event table the newest with rows, as a quiet day is published too."""
    partitions = reversed(store.partitions(name, until))
    if TABLES[name].kind == "event":
        return next((p.ds for p in partitions if p.manifest["rows"]["written"]), None)
    return next((p.ds for p in partitions), None)
